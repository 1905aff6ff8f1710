"""Records of a slot: what is kept of changes until they are on record, and how an entity is restored. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.records import grows
from casty.cluster.slots.schema import COMMAND, OPEN, check_entry, check_read
from casty.distributed.machines import record
from casty.distributed.machines.base import (
    BUSY,
    COUNTER,
    FENCE,
    LOCK,
    MAP,
    OK,
    OTHER_JOURNAL,
    OVERLOADED,
    QUEUE,
    RECORD,
    SET,
    UNRECORDED,
    UNSAVED,
)
from casty.distributed.machines.queue_shapes import APPEND, SETUP
from casty.distributed.machines.record import BEGIN, FORGET, NOTE, RECORDED, RESTORE, STATE, TAIL
from casty.distributed.machines.registry import STRUCTURES
from casty.distributed.recording.restoring import History, parts_of
from casty.errors import JournalError, RemoteProtocolError
from casty.wire.pack import pack, unpack

JOURNAL, OTHER, LIFE, LATER = b"journal", b"other", b"life", b"later"
NAME = b"it"
ADD, DESTROY, ENQUEUE, DEQUEUE, PUT = 1, 0, 1, 2, 1


class Log:
    """A machine with one session."""

    def __init__(self, limits: MachineLimits | None = None) -> None:
        self.machine = SlotMachine(limits or MachineLimits(), 1)
        self.index = 1
        self.seq = 0
        self.machine.apply(1, pack([OPEN, b"attempt", b"gateway"]))

    def command(self, kind: int, *command: Any) -> Any:
        self.index += 1
        self.seq += 1
        entry = pack([COMMAND, 1, self.seq, 1, 1, kind, NAME, list(command)])
        check_entry(entry)
        reply = self.machine.apply(self.index, entry).reply
        known = self.machine.known(self.machine.sessions[1], 1, self.seq)
        assert known == (None if reply[0] == BUSY else reply), "a repetition is answered the same"
        return reply

    def query(self, kind: int, *query: Any) -> Any:
        check_read(unpack(pack([kind, NAME, list(query)])))
        return self.machine.query(kind, NAME, list(query))

    def live(self, kind: int, number: int = 1, life: bytes = LIFE) -> None:
        assert self.command(kind, BEGIN, JOURNAL, life) == [OK, [life, False, False, 0]]
        assert self.command(kind, RESTORE, JOURNAL, life, 0, [], number)[1][1] is True

    def reload(self) -> None:
        """Go on with a machine that was dumped and loaded."""
        other = SlotMachine(self.machine.limits, 1)
        other.load(self.machine.dump())
        assert other.dump() == self.machine.dump()
        assert other.weights.total(1) == self.machine.weights.total(1)
        self.machine = other


def test_a_change_is_in_the_tail_until_somebody_says_that_it_is_on_record() -> None:
    log = Log()
    assert log.command(COUNTER, RECORDED, JOURNAL, 0, [ADD, 5]) == [UNRECORDED, True]
    log.live(COUNTER)
    assert log.command(COUNTER, RECORDED, JOURNAL, 0, [ADD, 5]) == [OK, 5, 2, 1, LIFE]
    assert log.command(COUNTER, RECORDED, JOURNAL, 1, [ADD, 2]) == [OK, 7, 3, 1, LIFE]
    assert log.query(COUNTER, TAIL, LIFE, 1, 1_000) == [OK, 1, [[ADD, 5], [ADD, 2]]]
    assert log.query(COUNTER, TAIL, LIFE, 2, 1_000) == [OK, 2, [[ADD, 2]]]
    assert log.query(COUNTER, TAIL, LATER, 2, 1_000) == [UNRECORDED, False]
    log.reload()
    assert log.command(COUNTER, RECORDED, JOURNAL, 2, [ADD, 1]) == [OK, 8, 4, 2, LIFE]
    assert log.query(COUNTER, TAIL, LIFE, 0, 1_000) == [OK, 2, [[ADD, 2], [ADD, 1]]]
    assert log.query(COUNTER, RECORDED, JOURNAL, [1]) == [OK, 8, 4, 2, LIFE]
    assert log.command(COUNTER, RECORDED, JOURNAL, 99, [ADD, 0]) == [OK, 8, 5, 4, LIFE]


def test_what_changes_nothing_leaves_no_trace() -> None:
    log = Log()
    log.live(QUEUE)
    assert log.command(QUEUE, RECORDED, JOURNAL, 0, [DEQUEUE]) == [OK, None, 1, 1, LIFE]
    assert log.command(QUEUE, RECORDED, JOURNAL, 0, [DESTROY]) == [OK, False, 1, 1, LIFE]
    log.live(SET)
    assert log.command(SET, RECORDED, JOURNAL, 0, [1, b"a"])[2] == 2
    assert log.command(SET, RECORDED, JOURNAL, 0, [1, b"a"])[2] == 2
    assert log.command(SET, RECORDED, JOURNAL, 0, [2, b"b"])[2] == 2


def test_whoever_has_no_journal_adds_to_the_tail_as_well() -> None:
    log = Log()
    log.live(COUNTER)
    assert log.command(COUNTER, ADD, 5) == [OK, 5]
    assert log.query(COUNTER, 1) == [OK, 5]
    assert log.query(COUNTER, TAIL, LIFE, 0, 1_000) == [OK, 1, [[ADD, 5]]]


def test_nobody_sees_half_of_a_restoration() -> None:
    log = Log()
    log.command(COUNTER, BEGIN, JOURNAL, LIFE)
    assert log.command(COUNTER, RESTORE, JOURNAL, LIFE, 0, [[ADD, 5]], 0)[1] == [LIFE, False, False, 1]
    assert log.command(COUNTER, ADD, 1)[0] == BUSY
    assert log.query(COUNTER, 1)[0] == BUSY
    assert log.command(COUNTER, RECORDED, JOURNAL, 0, [ADD, 1]) == [UNRECORDED, False]
    assert log.query(COUNTER, RECORDED, JOURNAL, [1]) == [UNRECORDED, False]
    assert log.command(COUNTER, RESTORE, JOURNAL, LIFE, 1, [[ADD, 2]], 9)[1] == [LIFE, True, False, 2]
    assert log.command(COUNTER, RECORDED, JOURNAL, 9, [ADD, 1]) == [OK, 8, 10, 9, LIFE]


def test_several_restore_together_and_each_step_is_done_once() -> None:
    log = Log()
    first, second, third = [[ADD, 1]] * 3, [[ADD, 10]] * 2, [[ADD, 100]]
    assert log.command(COUNTER, BEGIN, JOURNAL, LIFE)[1] == [LIFE, False, False, 0]
    assert log.command(COUNTER, RESTORE, JOURNAL, LIFE, 0, first, 0)[1][3] == 3
    assert log.command(COUNTER, BEGIN, JOURNAL, LATER)[1] == [LIFE, False, False, 3], "the first life counts"
    log.reload()
    assert log.command(COUNTER, RESTORE, JOURNAL, LIFE, 0, first, 0)[1][3] == 3
    assert log.command(COUNTER, RESTORE, JOURNAL, LATER, 3, second, 0) == [UNRECORDED]
    assert log.command(COUNTER, RESTORE, JOURNAL, LIFE, 3, second, 0)[1][3] == 5
    assert log.command(COUNTER, RESTORE, JOURNAL, LIFE, 3, second, 0)[1][3] == 5
    assert log.command(COUNTER, RESTORE, JOURNAL, LIFE, 5, third, 7)[1] == [LIFE, True, False, 6]
    assert log.command(COUNTER, RESTORE, JOURNAL, LIFE, 5, third, 7)[1] == [LIFE, True, False, 6]
    assert log.query(COUNTER, RECORDED, JOURNAL, [1]) == [OK, 123, 7, 7, LIFE]


def test_what_existed_before_goes_on_record() -> None:
    log = Log()
    for item in (b"a", b"b"):
        log.command(QUEUE, ENQUEUE, item)
    assert log.command(QUEUE, RECORDED, JOURNAL, 0, [DEQUEUE]) == [UNRECORDED, False]
    assert log.command(QUEUE, BEGIN, JOURNAL, LIFE)[1] == [LIFE, False, True, 0]
    assert log.command(QUEUE, ENQUEUE, b"c") == [OK, None], "meanwhile it is what it was"
    assert log.command(QUEUE, RESTORE, JOURNAL, LIFE, 0, [], 1)[1][1] is True
    assert log.query(QUEUE, TAIL, LIFE, 0, 1_000) == [
        OK,
        1,
        [[SETUP, None, None, 1], *([APPEND, item] for item in (b"a", b"b", b"c"))],
    ]
    taken = log.command(QUEUE, RECORDED, JOURNAL, 5, [DEQUEUE])
    assert (taken[:3], taken[-3:]) == ([OK, b"a", 1], [6, 5, LIFE])


def test_forgotten_it_is_what_it_was() -> None:
    log = Log()
    log.command(COUNTER, ADD, 5)
    log.command(COUNTER, BEGIN, JOURNAL, LIFE)
    assert log.command(COUNTER, FORGET, JOURNAL, LATER) == [OK, None]
    assert log.query(COUNTER, RECORDED, JOURNAL, [1]) == [UNRECORDED, False]
    assert log.command(COUNTER, FORGET, JOURNAL, LIFE) == [OK, None]
    assert log.command(COUNTER, BEGIN, JOURNAL, LATER)[1] == [LATER, False, True, 0]
    assert log.query(COUNTER, 1) == [OK, 5]


def test_another_journal_is_refused_and_may_take_over_what_nobody_has_seen() -> None:
    log = Log()
    log.command(COUNTER, BEGIN, OTHER, LATER)
    log.command(COUNTER, RESTORE, OTHER, LATER, 0, [[ADD, 5]], 0)
    assert log.command(COUNTER, BEGIN, JOURNAL, LIFE)[1] == [LIFE, False, False, 0]
    log.command(COUNTER, RESTORE, JOURNAL, LIFE, 0, [], 1)
    assert log.command(COUNTER, RESTORE, OTHER, LATER, 1, [[ADD, 5]], 9) == [UNRECORDED]
    assert log.query(COUNTER, RECORDED, JOURNAL, [1])[1] == 0
    assert log.command(COUNTER, RECORDED, OTHER, 0, [ADD, 1]) == [OTHER_JOURNAL, JOURNAL]
    assert log.command(COUNTER, BEGIN, OTHER, LATER) == [OTHER_JOURNAL, JOURNAL]
    assert log.query(COUNTER, RECORDED, OTHER, [1]) == [OTHER_JOURNAL, JOURNAL]


def test_a_destroyed_entity_is_forgotten_when_that_is_on_record() -> None:
    log = Log()
    log.live(MAP)
    log.command(MAP, RECORDED, JOURNAL, 0, [PUT, b"value"])
    assert log.command(MAP, NOTE, JOURNAL, 2) == [OK, None]
    assert log.command(MAP, RECORDED, JOURNAL, 2, [DESTROY]) == [OK, True, 3, 2, LIFE]
    log.command(MAP, NOTE, JOURNAL, 2)
    assert log.query(MAP, TAIL, LIFE, 0, 1_000) == [OK, 2, [[DESTROY]]], "not before"
    log.command(MAP, NOTE, JOURNAL, 3)
    assert not log.machine.entities
    assert log.command(MAP, RECORDED, JOURNAL, 3, [PUT, b"value"]) == [UNRECORDED, True]


def test_a_full_tail_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_TAIL", 3)
    log = Log()
    log.live(COUNTER)
    for _ in range(3):
        log.command(COUNTER, ADD, 1)
    assert log.command(COUNTER, ADD, 1) == [UNSAVED, 4, 1, LIFE]
    assert log.command(COUNTER, RECORDED, JOURNAL, 1, [ADD, 1]) == [UNSAVED, 4, 1, LIFE]
    assert log.query(COUNTER, 1) == [OK, 3]
    assert log.command(COUNTER, RECORDED, JOURNAL, 2, [ADD, 1]) == [OK, 4, 5, 2, LIFE]


def test_a_page_of_a_tail_is_bounded() -> None:
    log = Log()
    log.live(MAP)
    for _ in range(10):
        log.command(MAP, PUT, bytes(1_000))
    _, start, page = log.query(MAP, TAIL, LIFE, 0, 3_000)
    assert start == 1 and len(page) == 2
    assert len(log.query(MAP, TAIL, LIFE, 3, 1)[2]) == 1


def test_the_bound_of_entities_holds() -> None:
    log = Log(MachineLimits(max_entities=2))
    log.live(COUNTER)
    assert log.command(COUNTER, RECORDED, JOURNAL, 0, [ADD, 1])[0] == OK
    assert log.command(QUEUE, BEGIN, JOURNAL, LIFE) == [OVERLOADED, "max_entities", 2]
    log = Log(MachineLimits(max_entities=1))
    log.live(COUNTER)
    assert log.command(COUNTER, RECORDED, JOURNAL, 0, [ADD, 1])[0] == OVERLOADED
    assert log.query(COUNTER, TAIL, LIFE, 0, 1_000) == [OK, 1, []]


def test_tokens_are_drawn_above_what_is_on_record() -> None:
    log = Log()
    low = log.command(LOCK, 1)[1]
    log.command(LOCK, 3, low)
    high = log.command(LOCK, RECORDED, JOURNAL, 9, [1])[1]
    assert high >> 33 == 9
    log.command(LOCK, 3, high)
    log.reload()
    assert log.command(LOCK, RECORDED, JOURNAL, 2, [1])[1] == high + 1


def test_what_is_no_command_does_not_pass_the_schema() -> None:
    for kind, command in (
        (LOCK, [RECORDED, JOURNAL, 1, [3, 5]]),
        (LOCK, [RECORDED, JOURNAL, 2**40, [1]]),
        (LOCK, [BEGIN, JOURNAL, LIFE]),
        (COUNTER, [RECORDED, JOURNAL, 0, [RECORDED, JOURNAL, 0, [ADD, 1]]]),
        (COUNTER, [RECORDED, bytes(17), 0, [ADD, 1]]),
        (COUNTER, [RESTORE, JOURNAL, LIFE, 0, [[9, 9]], 0]),
        (COUNTER, [RESTORE, JOURNAL, LIFE, 0, [[ADD, 1]] * 513, 0]),
        (RECORD, [DESTROY]),
    ):
        with pytest.raises(RemoteProtocolError):
            check_entry(pack([COMMAND, 1, 1, 1, 1, kind, NAME, command]))


def test_what_grows() -> None:
    assert grows(COUNTER, None, [RECORDED, JOURNAL, 0, [ADD, 1]])
    assert not grows(COUNTER, 5, [RECORDED, JOURNAL, 0, [ADD, 1]])
    assert grows(COUNTER, None, [BEGIN, JOURNAL, LIFE])
    assert not grows(COUNTER, 5, [NOTE, JOURNAL, 1])


changes = st.one_of(
    st.tuples(st.just(COUNTER), st.sampled_from([[1, 5], [1, -3], [1, 2**13_999], [2, 5, 6], [3], [0]])),
    st.tuples(st.just(MAP), st.sampled_from([[1, b"a"], [2, b"b"], [3, b"a", b"c"], [0]])),
    st.tuples(st.just(SET), st.sampled_from([[1, b"a"], [1, b"b"], [2, b"a"], [0]])),
    st.tuples(
        st.just(QUEUE), st.sampled_from([[1, b"a"], [1, b"b"], [2], [3, b"c", 1, 0, None, False], [0]])
    ),
    st.tuples(st.just(FENCE), st.sampled_from([[1, 5, b"a"], [1, 4, b"b"], [2, 6], [0]])),
)


@given(st.lists(changes, max_size=60))
def test_what_is_recorded_gives_the_same_state(done: list[tuple[int, list[Any]]]) -> None:
    """Folded from its changes, rebuilt from its state, and restored in another machine: always the same."""
    log, kinds = Log(), (COUNTER, MAP, SET, QUEUE, FENCE)
    for kind in kinds:
        log.live(kind)
    events: dict[int, list[Any]] = {kind: [] for kind in kinds}
    for kind, command in done:
        reply = log.command(kind, RECORDED, JOURNAL, 0, command)
        assert reply[0] == OK
    for kind in kinds:
        structure = STRUCTURES[kind]
        _, start, events[kind] = log.query(kind, TAIL, LIFE, 0, 10**9)
        assert start == 1
        state = log.machine.entities.get((kind, NAME))
        history = History(kind, "it")
        for number, event in enumerate([["life", LIFE], *events[kind]], 1):
            history.take(number, unpack(pack(event)))
        assert _plain(structure, history.state) == _plain(structure, state)
        other = Log()
        other.command(kind, BEGIN, JOURNAL, LATER)
        part, is_last = parts_of(history.commands(), 0)
        assert is_last
        other.command(kind, RESTORE, JOURNAL, LATER, 0, part, history.number + 1)
        assert _plain(structure, other.machine.entities.get((kind, NAME))) == _plain(structure, state)
        assert other.query(kind, STATE, JOURNAL, 10**9)[1:3] == [part or None, history.number + 1]


def _plain(structure: Any, state: Any) -> object:
    plain: Any = None if state is None else structure.dump(state)
    if plain is not None and structure.kind == QUEUE:
        plain[0][3] = 0  # which queue of that name it is has a meaning in one slot only
    return plain


def test_parts_are_bounded() -> None:
    commands: list[Any] = [[ENQUEUE, bytes(100_000)] for _ in range(10)]
    sizes, step, is_last = [], 0, False
    while not is_last:
        part, is_last = parts_of(commands, step)
        sizes.append(len(part))
        step += len(part)
    assert sum(sizes) == 10 and max(sizes) == 2
    assert len(parts_of([[ADD, 1]] * 1_000, 0)[0]) == 512
    assert parts_of([], 0) == ([], True)


@pytest.mark.parametrize("event", [None, "text", [], [9], [ADD, b"x"], {"a": 1}])
def test_an_event_that_is_no_change_is_a_typed_error(event: Any) -> None:
    with pytest.raises(JournalError, match="event 1 of 'counter:it' is no change of a counter"):
        History(COUNTER, "counter:it").take(1, event)


def test_a_gap_in_a_history_is_a_typed_error() -> None:
    history = History(COUNTER, "counter:it")
    history.take(1, [ADD, 1])
    with pytest.raises(JournalError, match="expected event 2 of 'counter:it' next, found 3"):
        history.take(3, [ADD, 1])
