"""The log of an event-sourced entity: who may write it, what comes next, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.control.placement import slot_of, slot_of_region
from casty.distributed.machines.base import (
    DESTROY,
    EVENTS,
    NOT_NEXT,
    NOT_WRITER,
    OK,
    OVERLOADED,
    Caller,
    Context,
)
from casty.distributed.machines.events import (
    APPEND,
    EVENT_LOGS,
    LOAD,
    MAX_BATCH,
    MAX_TAIL,
    MAX_TAIL_BYTES,
    OPEN,
    SNAPSHOT,
    EventLog,
    Home,
    home_of,
    log_label,
    log_name,
)
from casty.wire.pack import pack, unpack

CTX = Context(Caller(1, 1), lambda: 0)
A, B = b"writer a", b"writer b"


class Log:
    """One log driven by hand."""

    def __init__(self, *writers: bytes) -> None:
        self.state: EventLog | None = None
        for writer in writers:
            self.do(OPEN, writer)

    def do(self, *command: Any) -> list[Any]:
        EVENT_LOGS.check(list(command))
        decision = EVENT_LOGS.decide(self.state, command, CTX)
        self.state = decision.state
        return decision.reply

    def load(self, writer: bytes, after: int = 0, limit_bytes: int = 10**6) -> list[Any]:
        EVENT_LOGS.check_query([LOAD, writer, after, limit_bytes])
        return EVENT_LOGS.query(self.state, [LOAD, writer, after, limit_bytes])


def test_events_are_numbered_without_gaps() -> None:
    log = Log(A)
    assert log.do(APPEND, A, 0, [b"1", b"2"]) == [OK, 2]
    assert log.do(APPEND, A, 2, [b"3"]) == [OK, 3]
    assert log.do(APPEND, A, 4, [b"5"]) == [NOT_NEXT, 3]
    assert log.load(A) == [OK, 3, 0, None, [b"1", b"2", b"3"]]
    assert log.load(A, after=2) == [OK, 3, 0, None, [b"3"]]


def test_the_same_events_under_the_same_numbers_are_success_once() -> None:
    log = Log(A)
    log.do(APPEND, A, 0, [b"1", b"2"])
    assert log.do(APPEND, A, 0, [b"1", b"2"]) == [OK, 2]
    assert log.do(APPEND, A, 0, [b"1", b"other"]) == [NOT_NEXT, 2]
    assert log.do(APPEND, A, 1, [b"2", b"3"]) == [NOT_NEXT, 2], "it would be half of a repetition"
    assert log.load(A)[-1] == [b"1", b"2"]


def test_whoever_opened_last_is_the_only_writer() -> None:
    log = Log(A)
    log.do(APPEND, A, 0, [b"1"])
    assert log.do(OPEN, B) == [OK, 1]
    assert log.do(APPEND, A, 1, [b"2"]) == [NOT_WRITER, 1]
    assert log.do(SNAPSHOT, A, 1, b"s") == [NOT_WRITER, 1]
    assert log.load(A) == [NOT_WRITER, 1]
    assert log.do(APPEND, B, 1, [b"2"]) == [OK, 2]


def test_nobody_writes_what_nobody_opened() -> None:
    log = Log()
    assert log.do(APPEND, A, 0, [b"1"]) == [NOT_WRITER, 0]
    assert log.load(A) == [NOT_WRITER, 0]
    assert log.state is None


def test_a_snapshot_takes_the_place_of_the_events_in_it() -> None:
    log = Log(A)
    log.do(APPEND, A, 0, [b"1", b"2", b"3"])
    assert log.do(SNAPSHOT, A, 4, b"ahead") == [NOT_NEXT, 3]
    assert log.do(SNAPSHOT, A, 2, b"state 2") == [OK, 2]
    assert log.do(SNAPSHOT, A, 1, b"state 1") == [OK, 2], "an older one changes nothing"
    assert log.load(A) == [OK, 3, 2, b"state 2", [b"3"]]
    assert log.load(A, after=2) == [OK, 3, 2, None, [b"3"]]
    assert log.do(APPEND, A, 0, [b"1", b"2"]) == [NOT_NEXT, 3], "nobody can say any more what they were"


def test_a_destroyed_log_has_no_writer() -> None:
    log = Log(A)
    assert log.do(DESTROY) == [OK, True]
    assert log.do(DESTROY) == [OK, False]
    assert log.do(APPEND, A, 0, [b"1"]) == [NOT_WRITER, 0]


def test_the_tail_has_a_bound_in_events_and_bytes() -> None:
    log = Log(A)
    for number in range(0, MAX_TAIL, MAX_BATCH):
        assert log.do(APPEND, A, number, [b""] * MAX_BATCH)[0] == OK
    assert log.do(APPEND, A, MAX_TAIL, [b""]) == [OVERLOADED, "events beside the snapshot", MAX_TAIL]
    log.do(SNAPSHOT, A, MAX_TAIL, b"s")
    half = bytes(MAX_TAIL_BYTES // 2)
    assert log.do(APPEND, A, MAX_TAIL, [half]) == [OK, MAX_TAIL + 1]
    assert log.do(APPEND, A, MAX_TAIL + 1, [half])[0] == OVERLOADED
    assert log.state is not None
    assert log.state.number == MAX_TAIL + 1


def test_a_page_has_one_event_at_least() -> None:
    log = Log(A)
    log.do(APPEND, A, 0, [b"12345", b"67890"])
    assert log.load(A, limit_bytes=0)[-1] == [b"12345"]
    assert log.load(A, limit_bytes=9)[-1] == [b"12345"]
    assert log.load(A, limit_bytes=10)[-1] == [b"12345", b"67890"]


@pytest.mark.parametrize(
    "command",
    [
        [OPEN, bytes(17)], [OPEN], [APPEND, A, 0, []], [APPEND, A, -1, [b""]], [APPEND, A, 0, [b""] * (MAX_BATCH + 1)],
        [APPEND, A, 0, ["text"]], [SNAPSHOT, A, 0, b""], [SNAPSHOT, A, 1, None],
    ],
)  # fmt: skip
def test_what_fits_no_shape_is_refused(command: list[Any]) -> None:
    with pytest.raises(ValueError):
        EVENT_LOGS.check(command)


def test_a_log_lies_in_the_slot_of_its_entity() -> None:
    home = Home("accounts", 7, "a-1", "a-1")
    assert home_of(log_name(home)) == home
    assert slot_of(EVENTS, log_name(home), 64) == slot_of_region("accounts", 7, 64)
    assert log_label(log_name(home)) == "accounts/a-1"
    assert log_label(log_name(home._replace(log_id="audit"))) == "accounts/a-1 'audit'"


@pytest.mark.parametrize(
    "name", [b"", b"x", pack(["r", -1, "e", "l"]), pack(["r", 2**70, "e", "l"]), pack([1])]
)
def test_other_names_lie_somewhere(name: bytes) -> None:
    assert home_of(name) is None
    assert 0 <= slot_of(EVENTS, name, 64) < 64
    assert log_label(name)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 3)),
        st.tuples(st.just("again"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("keep"), st.integers(0, 2), st.integers(0, 3)),
    ),
    max_size=60,
)


@given(_STEPS)
def test_every_writer_that_loads_finds_what_was_acknowledged(steps: list[tuple[str, int, int]]) -> None:
    """Three writers, each knows what it was told; the model is the plain list of what was acknowledged."""
    log, known, last = Log(), [0, 0, 0], [(0, [b""])] * 3
    events: list[bytes] = []
    writer = -1
    for step, who, number in steps:
        name = bytes((who,))
        if step == "open":
            known[who] = log.do(OPEN, name)[1]
            writer = who
        elif step == "append":
            batch = [b"%d-%d" % (who, len(events) + at) for at in range(number)]
            reply = log.do(APPEND, name, known[who], batch)
            assert (reply[0] == OK) == (who == writer), "only the writer knows the number"
            if reply[0] == OK:
                last[who] = (known[who], batch)
                events += batch
                known[who] = reply[1]
        elif step == "again":
            before = len(events)
            log.do(APPEND, name, *last[who])
            assert log.state is None or log.state.number == before or last[who][1] == [b""]
            if log.state is not None and log.state.number > before:
                events += last[who][1]
                known[who] = log.state.number
        else:
            at = len(events) - number
            if at > 0:
                log.do(SNAPSHOT, name, at, pack(events[:at]))
        if log.state is not None:
            _holds(log, bytes((writer,)), events)


def _holds(log: Log, writer: bytes, events: list[bytes]) -> None:
    state = log.state
    assert state is not None
    copy = EVENT_LOGS.load(unpack(pack(EVENT_LOGS.dump(state))))
    for one in (state, copy):
        assert one.number == len(events)
        before: Any = [] if one.snapshot is None else unpack(one.snapshot)
        assert len(before) == one.base
        assert [*before, *one.tail] == events
        assert EVENT_LOGS.weight(one) == EVENT_LOGS.weight(state)
    assert log.load(writer)[1] == len(events)
