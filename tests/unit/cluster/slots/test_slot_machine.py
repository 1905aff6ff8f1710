"""The slot's state machine: exactly once, whatever is repeated, late, withdrawn or ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casty.cluster.slots.machine import (
    Applied,
    MachineLimits,
    SlotMachine,
)
from casty.cluster.slots.pages import PAGE
from casty.cluster.slots.questions import is_cleared, is_held, outcome_of
from casty.cluster.slots.schema import (
    ABANDON,
    CANCEL,
    CLOSE,
    COMMAND,
    EXPIRE,
    OPEN,
    check_entry,
    check_read,
)
from casty.distributed.machines.base import (
    BARRIER,
    COUNTER,
    DESTROYED,
    EXPIRED,
    LOCK,
    MAP,
    OK,
    OVERLOADED,
    QUEUED,
    SEMAPHORE,
    STALE,
    WITHDRAWN,
)
from casty.entity_order import EntityOrder
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack, unpack

NAME = b"it"
ADD, VALUE = 1, 1
ACQUIRE, TRY_ACQUIRE, RELEASE, DESTROY = 1, 2, 3, 0
ARRIVE = 1


class Log:
    """A machine that is told entries, and the clients' marks."""

    def __init__(self, limits: MachineLimits | None = None, generation: int = 1) -> None:
        self.limits = limits or MachineLimits()
        self.machine = SlotMachine(self.limits, generation)
        self.index = 0

    def apply(self, *entry: Any) -> Applied:
        self.index += 1
        return self.machine.apply(self.index, pack(list(entry)))

    def open(self, attempt: bytes = b"a") -> int:
        number = self.apply(OPEN, attempt, b"gateway").reply[1]
        assert isinstance(number, int)
        return number

    def command(
        self, session: int, seq: int, kind: int, command: list[Any], low: int = 1, wait_low: int = 1
    ) -> Applied:
        return self.apply(COMMAND, session, seq, low, wait_low, kind, NAME, command)

    def value(self) -> Any:
        return self.machine.query(COUNTER, NAME, [VALUE])[1]

    def copy(self) -> SlotMachine:
        machine = SlotMachine(self.limits, 1)
        machine.load(self.machine.dump())
        return machine


@pytest.fixture
def log() -> Log:
    return Log()


# -- once


def test_a_repeated_command_is_applied_once_and_answered_alike(log: Log) -> None:
    session = log.open()
    first = log.command(session, 1, COUNTER, [ADD, 5])
    assert log.command(session, 1, COUNTER, [ADD, 5]).reply == first.reply
    assert log.value() == 5


def test_an_opening_is_known_by_its_attempt(log: Log) -> None:
    assert log.open(b"one") == log.open(b"one")
    assert log.open(b"two") != log.open(b"one")
    assert len(log.machine.sessions) == 2


def test_what_low_passed_is_stale_and_does_nothing(log: Log) -> None:
    session = log.open()
    log.command(session, 1, COUNTER, [ADD, 1])
    log.command(session, 2, COUNTER, [ADD, 1], low=2)
    assert log.command(session, 1, COUNTER, [ADD, 1], low=2).reply == [STALE]
    assert log.value() == 2
    assert list(log.machine.sessions[session].replies) == [2]


def test_replies_that_came_out_of_order_are_dropped_all_the_same(log: Log) -> None:
    session = log.open()
    for seq in (3, 1, 2):
        log.command(session, seq, COUNTER, [ADD, 1])
    log.command(session, 4, COUNTER, [ADD, 1], low=4)
    kept = log.machine.sessions[session]
    assert list(kept.replies) == [4]
    assert kept.reply_bytes > 0
    log.machine.sessions[session].pass_marks(5, 5)
    assert kept.reply_bytes == 0


def test_marks_never_go_back(log: Log) -> None:
    session = log.open()
    log.command(session, 5, COUNTER, [ADD, 1], low=5, wait_low=5)
    log.command(session, 3, COUNTER, [ADD, 1], low=2, wait_low=1)
    assert (log.machine.sessions[session].low, log.machine.sessions[session].wait_low) == (5, 5)
    assert log.value() == 1


def test_a_session_that_is_none_is_answered_expired(log: Log) -> None:
    for entry in ([COMMAND, 9, 1, 1, 1, COUNTER, NAME, [ADD, 1]], [CLOSE, 9], [EXPIRE, 9]):
        assert log.apply(*entry) == Applied([EXPIRED])
    assert log.apply(CANCEL, 9, 1, LOCK, NAME).reply == [EXPIRED]
    assert log.apply(ABANDON, 9, 1, [[1, LOCK, NAME]]).reply == [EXPIRED]
    assert log.value() == 0


# -- waiting


def test_a_repeated_acquire_is_answered_by_what_became_of_it(log: Log) -> None:
    a, b = log.open(b"a"), log.open(b"b")
    granted = log.command(a, 1, LOCK, [ACQUIRE]).reply
    assert log.command(a, 1, LOCK, [ACQUIRE]).reply == granted
    assert log.command(b, 1, LOCK, [ACQUIRE]).reply == [QUEUED]
    assert log.command(b, 1, LOCK, [ACQUIRE], low=2).reply == [QUEUED]
    effects = log.command(a, 2, LOCK, [RELEASE, granted[1]]).effects
    assert [(one.session, one.seq) for one in effects] == [(b, 1)]
    assert log.command(b, 1, LOCK, [ACQUIRE], low=2).reply == effects[0].reply
    assert effects[0].reply[1] > granted[1]
    assert is_held(log.machine, b, 1)
    assert not is_held(log.machine, a, 1)


def test_a_late_acquire_after_its_release_takes_nothing(log: Log) -> None:
    session = log.open()
    token = log.command(session, 1, LOCK, [ACQUIRE]).reply[1]
    log.command(session, 2, LOCK, [RELEASE, token])
    assert log.command(session, 1, LOCK, [ACQUIRE]).reply == [WITHDRAWN]
    assert log.command(session, 3, LOCK, [TRY_ACQUIRE], low=3).reply[1] > token
    assert log.command(session, 1, LOCK, [ACQUIRE], low=3).reply == [STALE]


def test_cancel_takes_out_what_waits_and_leaves_a_grant(log: Log) -> None:
    session = log.open()
    granted = log.command(session, 1, LOCK, [ACQUIRE]).reply
    log.command(session, 2, LOCK, [ACQUIRE])
    assert log.apply(CANCEL, session, 2, LOCK, NAME).reply == [WITHDRAWN]
    assert log.apply(CANCEL, session, 2, LOCK, NAME).reply == [WITHDRAWN]
    assert log.apply(CANCEL, session, 1, LOCK, NAME).reply == granted
    assert log.command(session, 2, LOCK, [ACQUIRE]).reply == [WITHDRAWN]
    assert is_cleared(log.machine, session, 2)
    assert not is_cleared(log.machine, session, 1)


def test_cancel_before_the_request_makes_it_do_nothing(log: Log) -> None:
    session = log.open()
    assert log.apply(CANCEL, session, 1, LOCK, NAME).reply == [WITHDRAWN]
    assert log.command(session, 1, LOCK, [ACQUIRE]).reply == [WITHDRAWN]
    assert log.machine.query(LOCK, NAME, [1]) == [OK, None]


def test_abandon_takes_a_grant_back_and_grants_to_the_next(log: Log) -> None:
    a, b = log.open(b"a"), log.open(b"b")
    log.command(a, 1, LOCK, [ACQUIRE])
    log.command(b, 1, LOCK, [ACQUIRE])
    effects = log.apply(ABANDON, a, 1, [[1, LOCK, NAME], [7, COUNTER, NAME]]).effects
    assert [(one.session, one.seq) for one in effects] == [(b, 1)]
    assert is_cleared(log.machine, a, 1)
    assert log.command(a, 7, COUNTER, [ADD, 1]).reply == [WITHDRAWN]
    assert log.value() == 0


def test_a_trip_is_remembered_until_wait_low_passes_it(log: Log) -> None:
    a, b = log.open(b"a"), log.open(b"b")
    assert log.command(a, 1, BARRIER, [ARRIVE, "a", 2], low=1).reply == [QUEUED]
    tripped = log.command(b, 1, BARRIER, [ARRIVE, "b", 2])
    assert [(one.session, one.seq, one.reply) for one in tripped.effects] == [(a, 1, tripped.reply)]
    log.command(a, 2, COUNTER, [ADD, 1], low=2, wait_low=1)
    assert log.command(a, 1, BARRIER, [ARRIVE, "a", 2], low=2).reply == tripped.reply
    assert outcome_of(log.machine, a, 1) == tripped.reply
    log.command(a, 3, COUNTER, [ADD, 1], low=3, wait_low=4)
    assert log.command(a, 1, BARRIER, [ARRIVE, "a", 2], low=3).reply == [STALE]


def test_destroyed_is_remembered_and_holds_become_revoked_holds(log: Log) -> None:
    a, b = log.open(b"a"), log.open(b"b")
    log.command(a, 1, LOCK, [ACQUIRE])
    log.command(b, 1, LOCK, [ACQUIRE], low=1)
    effects = log.command(b, 2, LOCK, [DESTROY]).effects
    assert [(one.session, one.seq, one.reply) for one in effects] == [(b, 1, [DESTROYED])]
    assert log.command(b, 1, LOCK, [ACQUIRE], low=2).reply == [DESTROYED]
    assert not is_held(log.machine, a, 1)
    assert log.command(b, 3, LOCK, [ACQUIRE]).reply == [QUEUED], "the revoked hold keeps a second owner out"
    freed = log.apply(ABANDON, a, 1, [[1, LOCK, NAME]]).effects
    assert [(one.session, one.seq) for one in freed] == [(b, 3)]


@pytest.mark.parametrize("ending", [CLOSE, EXPIRE])
def test_an_end_gives_back_exactly_what_the_session_had(log: Log, ending: int) -> None:
    a, b = log.open(b"a"), log.open(b"b")
    log.command(a, 1, SEMAPHORE, [ACQUIRE, 3, 2])
    kept = log.command(b, 1, SEMAPHORE, [ACQUIRE, 3, 1]).reply
    log.command(a, 2, SEMAPHORE, [ACQUIRE, 3, 3])
    log.command(b, 2, SEMAPHORE, [ACQUIRE, 3, 2])
    log.command(a, 3, BARRIER, [ARRIVE, "a", 2])
    log.command(a, 4, LOCK, [ACQUIRE])
    log.command(b, 3, LOCK, [ACQUIRE])
    log.command(b, 4, COUNTER, [ADD, 7])
    ended = log.apply(ending, a)
    assert ended.ended == a
    assert sorted((one.session, one.seq) for one in ended.effects) == [(b, 2), (b, 3)]
    assert log.command(b, 1, SEMAPHORE, [ACQUIRE, 3, 1]).reply == kept
    assert log.machine.query(BARRIER, NAME, [1]) == [OK, 0]
    assert log.value() == 7
    assert log.apply(ending, a) == Applied([EXPIRED])
    assert log.command(a, 9, COUNTER, [ADD, 1]).reply == [EXPIRED]
    assert log.open(b"a") != a, "the attempt of an ended session opens anew"


def test_tokens_only_grow_also_over_a_snapshot_and_carry_the_generation() -> None:
    log = Log(generation=3)
    session = log.open()
    tokens = []
    for seq in range(1, 9, 2):
        tokens.append(log.command(session, seq, LOCK, [ACQUIRE]).reply[1])
        log.command(session, seq + 1, LOCK, [RELEASE, tokens[-1]])
        log.machine = log.copy()
    assert tokens == sorted(set(tokens))
    assert {token >> 33 for token in tokens} == {3}


# -- bounds


def test_bounds_refuse_and_change_nothing() -> None:
    log = Log(MachineLimits(max_entities=1, max_sessions=2, max_waiters=1))
    a, b = log.open(b"a"), log.open(b"b")
    assert log.apply(OPEN, b"c", b"").reply == [OVERLOADED, "max_sessions", 2]
    log.command(a, 1, LOCK, [ACQUIRE])
    assert log.command(a, 2, COUNTER, [ADD, 1]).reply == [OVERLOADED, "max_entities", 1]
    assert log.command(a, 3, LOCK, [ACQUIRE]).reply == [QUEUED]
    assert log.command(b, 1, LOCK, [ACQUIRE]).reply == [OVERLOADED, "max_waiters", 1]
    log.apply(CANCEL, a, 3, LOCK, NAME)
    assert log.command(b, 2, LOCK, [ACQUIRE]).reply == [QUEUED], "the place of a withdrawn waiter is free"
    log.apply(EXPIRE, b)
    assert log.command(a, 4, LOCK, [ACQUIRE]).reply == [QUEUED], "and so is that of a dead session's"
    assert log.value() == 0


# -- hostile input


@pytest.mark.parametrize(
    "entry",
    [
        None, 7, [], {}, [0], [99, 1], [[1]], ["x", 1], [OPEN], [OPEN, "text", b""], [OPEN, b"", b"", b""],
        [EXPIRE, 1], [CLOSE, "1"], [CLOSE, True], [CANCEL, 1, 1, LOCK, "name"], [ABANDON, 1, 1, [[1, 2]]],
        [ABANDON, 1, 1, [7]], [ABANDON, 1, 1, [[1, LOCK, "name"]]], [ABANDON, 1, 1, None],
        [COMMAND, 1, 1, 1, 1, 77, b"", [1]], [COMMAND, 1, 1, 1, 1, COUNTER, b"", []],
        [COMMAND, 1, 1, 1, 1, COUNTER, b"", [ADD, "one"]], [COMMAND, 1, -1, 1, 1, COUNTER, b"", [ADD, 1]],
        [COMMAND, 1, 1, 1, 1, COUNTER, "name", [ADD, 1]], [COMMAND, True, 1, 1, 1, COUNTER, b"", [ADD, 1]],
        [COMMAND, 1, 1, 1, 1, SEMAPHORE, b"", [ACQUIRE, 1, 0]], [COMMAND, 1, 1, 1, 1, BARRIER, b"", [1, "a", 0]],
    ],
)  # fmt: skip
def test_entries_of_strangers_are_refused(entry: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        check_entry(pack(entry))


@pytest.mark.parametrize(
    "read", [None, 3, [], [COUNTER, b""], [COUNTER, "x", [1]], [77, b"", [1]], [COUNTER, b"", [99]]]
)
def test_reads_of_strangers_are_refused(read: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        check_read(unpack(pack(read)))


@given(st.binary(max_size=40))
def test_any_bytes_are_an_entry_or_refused(data: bytes) -> None:
    for check in (check_entry, check_read):
        try:
            check(data)
        except RemoteProtocolError:
            continue


def test_withdrawals_of_strange_kinds_and_entities_do_nothing(log: Log) -> None:
    session, other = log.open(b"a"), log.open(b"b")
    token = log.command(other, 1, LOCK, [ACQUIRE]).reply[1]
    for kind in (0, -5, 77, COUNTER, BARRIER, LOCK):
        log.apply(ABANDON, session, 1, [[1, kind, NAME]])
        log.apply(CANCEL, session, 2, kind, NAME)
    assert log.machine.query(LOCK, NAME, [1]) == [OK, token]


# -- anything at all

SESSIONS = st.integers(1, 4)
SEQS = st.integers(1, 7)
REQUESTS = st.one_of(
    st.tuples(st.just(COUNTER), st.just([ADD, 1])),
    st.tuples(st.just(LOCK), st.sampled_from([[ACQUIRE], [TRY_ACQUIRE], [DESTROY]])),
    st.tuples(st.just(LOCK), st.just([RELEASE, 0])),
    st.tuples(st.just(SEMAPHORE), st.sampled_from([[ACQUIRE, 3, 2], [TRY_ACQUIRE, 3, 1], [DESTROY]])),
    st.tuples(st.just(SEMAPHORE), st.builds(lambda seq: [RELEASE, seq], SEQS)),
    st.tuples(st.just(BARRIER), st.sampled_from([[ARRIVE, "a", 2], [ARRIVE, "b", 2], [ARRIVE, "c", 3]])),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(OPEN), SESSIONS),
        st.tuples(st.sampled_from([CLOSE, EXPIRE]), SESSIONS),
        st.tuples(st.just(COMMAND), SESSIONS, SEQS, REQUESTS, st.integers(0, 2)),
        st.tuples(st.just(COMMAND), SESSIONS, SEQS, REQUESTS, st.integers(0, 2)),
        st.tuples(st.just(COMMAND), SESSIONS, SEQS, REQUESTS, st.integers(0, 2)),
        st.tuples(st.sampled_from([CANCEL, ABANDON]), SESSIONS, SEQS, st.sampled_from([LOCK, SEMAPHORE])),
        st.tuples(st.just(0)),
    ),
    max_size=60,
)


class Repeaters:
    """Clients that repeat themselves, a machine, and one that is dumped and loaded on the way."""

    def __init__(self) -> None:
        limits = MachineLimits(max_waiters=5)
        self.limits = limits
        self.machine, self.other = SlotMachine(limits, 1), SlotMachine(limits, 1)
        self.index = 0
        self.numbers: dict[int, int] = {}
        self.requests: dict[tuple[int, int], list[Any]] = {}
        self.low: dict[int, int] = {}
        self.effective: dict[tuple[int, int], None] = {}
        self.granted: dict[int, None] = {}

    def apply(self, entry: list[Any]) -> Applied:
        self.index += 1
        data = pack(entry)
        applied = self.machine.apply(self.index, data)
        assert applied == self.other.apply(self.index, data)
        assert self.machine.dump() == self.other.dump()
        return applied

    def step(self, step: tuple[Any, ...]) -> None:
        kind = step[0]
        if kind == 0:
            dumped, self.other = self.other.dump(), SlotMachine(self.limits, 9)
            self.other.load(dumped)
            assert self.other.dump() == dumped
        elif kind == OPEN:
            self.numbers[step[1]] = self.apply([OPEN, bytes([step[1]]), b""]).reply[1]
        elif step[1] not in self.numbers:
            return
        elif kind in (CLOSE, EXPIRE):
            self.apply([kind, self.numbers[step[1]]])
        elif kind == CANCEL:
            self.apply([CANCEL, self.numbers[step[1]], step[2], step[3], NAME])
        elif kind == ABANDON:
            self.apply([ABANDON, self.numbers[step[1]], 1, [[step[2], step[3], NAME]]])
        else:
            self.request(self.numbers[step[1]], *step[2:])

    def request(self, session: int, seq: int, request: tuple[int, list[Any]], ahead: int) -> None:
        kind, command = request
        if kind == LOCK and command[0] == RELEASE:
            command = [RELEASE, next(reversed(self.granted), 0)]
        # A repetition has the bytes of the first attempt, marks included.
        low = max(1, min(seq, self.low.get(session, 1) + ahead))
        self.low[session] = max(low, self.low.get(session, 1))
        entry = self.requests.setdefault(
            (session, seq), [COMMAND, session, seq, low, low, kind, NAME, command]
        )
        before = self.count()
        first = self.apply(entry)
        if self.count() != before:
            assert (session, seq) not in self.effective, "one effect per number"
            self.effective[session, seq] = None
        if (
            entry[5] == LOCK
            and first.reply[0] == OK
            and entry[7][0] in (ACQUIRE, TRY_ACQUIRE)
            and first.reply[1]
        ):
            self.granted[first.reply[1]] = None
        again = self.apply(entry)
        taken_back = first.reply[0] == OK and again.reply in ([WITHDRAWN], [STALE])
        assert again.reply == first.reply or taken_back
        assert not again.effects

    def count(self) -> Any:
        return self.machine.query(COUNTER, NAME, [VALUE])[1]

    def check(self) -> None:
        waiting = 0
        for (kind, _), state in self.machine.entities.items():
            if kind in (LOCK, SEMAPHORE):
                tables = (state.waiters, state.grants, state.revoked)
                amount = sum(share.amount for share in (*state.grants.values(), *state.revoked.values()))
                assert amount <= (1 if kind == LOCK else 3)
                waiting += len(state.waiters)
            elif kind == BARRIER:
                tables = (state.arrivals,)
                waiting += len(state.arrivals)
            else:
                continue
            for table in tables:
                for session, seq in table:
                    assert session in self.machine.sessions, "nothing of a dead session is left"
                    assert (kind, NAME) in self.machine.sessions[session].entities
                    assert self.machine.sessions[session].waits[seq] == (kind, NAME)
        assert self.machine._waiting == waiting


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_any_entries_in_any_order_any_number_of_times(steps: list[tuple[Any, ...]]) -> None:
    repeaters = Repeaters()
    for step in steps:
        repeaters.step(step)
        repeaters.check()


# -- pages of entities


@pytest.mark.parametrize("moved", [b"1", b"2", b"3", b"5"])
def test_a_scan_meets_what_was_there_all_the_time(log: Log, moved: bytes) -> None:
    session = log.open()
    machine = log.machine
    names = [b"p" + digit for digit in (b"3", b"1", b"5", b"2", b"4")]
    for seq, name in enumerate(names, 1):
        log.apply(COMMAND, session, seq, seq, seq, MAP, name, [1, b"v"])
    found, after, is_more, seq = list[bytes](), b"", True, 10
    while is_more:
        page, is_more = machine.scan(MAP, b"p", after, 4)
        found += page
        after = page[-1] if page else b""
        for command in ([DESTROY], [1, b"again"]):
            seq += 1
            log.apply(COMMAND, session, seq, seq, seq, MAP, b"p" + moved, command)
    assert [name for name in found if name != b"p" + moved] == sorted(
        name for name in names if name != b"p" + moved
    )


def test_a_scan_goes_on_after_its_last_key_is_gone(log: Log) -> None:
    session = log.open()
    for seq, digit in enumerate((b"1", b"2", b"3"), 1):
        log.apply(COMMAND, session, seq, seq, seq, MAP, b"p" + digit, [1, b"v"])
    assert log.machine.scan(MAP, b"p", b"", 2) == ([b"p1"], True)
    log.apply(COMMAND, session, 9, 9, 9, MAP, b"p1", [DESTROY])
    assert log.machine.scan(MAP, b"p", b"p1", 2) == ([b"p2"], True)
    assert log.machine.scan(MAP, b"p", b"p3", 2) == ([], False)


def test_a_page_looks_at_no_more_names_than_it_has_and_each_is_on_one(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = log.open()
    names = [b"%s%05d" % (prefix, number) for number in range(2 * PAGE + 10) for prefix in (b"o", b"p", b"q")]
    for seq, name in enumerate(names, 1):
        log.apply(COMMAND, session, seq, seq, seq, MAP, name, [1, b"v"])
    restored = SlotMachine(MachineLimits(), 1)
    restored.load(log.machine.dump())
    looked = [0]
    right = EntityOrder.since

    def since(order: EntityOrder, name: bytes) -> Iterator[bytes]:
        for found in right(order, name):
            looked[0] += 1
            yield found

    monkeypatch.setattr(EntityOrder, "since", since)
    for machine in (log.machine, restored):
        pages, after, is_more = list[list[bytes]](), b"", True
        while is_more:
            looked[0] = 0
            page, is_more = machine.scan(MAP, b"p", after, 1 << 20)
            assert looked[0] <= PAGE + 2, "the last name of the page before, and the one that ends this"
            pages.append(page)
            after = page[-1]
        assert [len(page) for page in pages] == [PAGE, PAGE, 10]
        assert [name for page in pages for name in page] == [name for name in names if name.startswith(b"p")]
    assert log.machine.scan(77, b"p", b"", 1 << 20) == ([], False), "a kind that is none"


# -- what is over leaves nothing


def test_used_once_a_name_leaves_nothing_and_its_tokens_grow(log: Log) -> None:
    session = log.open()
    tokens, seq = list[int](), 0
    for _ in range(5):
        seq += 1
        reply = log.command(session, seq, LOCK, [ACQUIRE], low=seq, wait_low=seq).reply
        tokens.append(reply[1])
        seq += 1
        log.command(session, seq, LOCK, [RELEASE, tokens[-1]], low=seq, wait_low=seq)
        assert not log.machine.entities
        log.machine = log.copy()
    assert tokens == sorted(dict.fromkeys(tokens))
    kept = log.machine.sessions[session]
    assert not kept.waits and not kept.entities and not kept.outcomes


def test_a_late_duplicate_of_a_request_whose_record_went_does_nothing(log: Log) -> None:
    session = log.open()
    token = log.command(session, 1, LOCK, [ACQUIRE]).reply[1]
    log.command(session, 2, LOCK, [RELEASE, token])
    assert log.command(session, 1, LOCK, [ACQUIRE]).reply == [WITHDRAWN]
    assert not log.machine.entities
    log.command(session, 3, BARRIER, [ARRIVE, "a", 1])
    assert not log.machine.entities
    assert log.command(session, 3, BARRIER, [ARRIVE, "a", 1]).reply[0] == OK
    assert not log.machine.entities


def test_a_release_forgets_that_request_and_no_other(log: Log) -> None:
    session = log.open()
    for seq in (1, 2, 3):
        log.command(session, seq, SEMAPHORE, [ACQUIRE, 2, 1])
    log.command(session, 4, SEMAPHORE, [RELEASE, 1])
    assert list(log.machine.sessions[session].waits) == [2, 3]
    assert log.command(session, 5, SEMAPHORE, [RELEASE, 1]).reply == [OK, False]
    assert list(log.machine.sessions[session].waits) == [2, 3]
