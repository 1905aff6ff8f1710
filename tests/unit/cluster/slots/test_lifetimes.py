"""Sessions with a time to live of their own: in the machine, at its leader, and who holds for how long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.lifetimes import Heard, Lifetimes
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import COMMAND, EXPIRE, OPEN, OPEN_FOR
from casty.distributed.machines.base import LOCK, MISMATCH, OK, QUEUED
from casty.distributed.machines.wait_queue import INFO
from casty.wire.pack import pack, unpack

MS = 1_000_000
BOUNDS = Lifetimes(1_000, 60_000)
NAME = b"it"


class Slot:
    """A machine that takes entries one by one."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1, BOUNDS)
        self.index = 0

    def apply(self, *entry: Any) -> Any:
        self.index += 1
        return self.machine.apply(self.index, pack(list(entry))).reply

    def lock(self, session: int, seq: int, command: list[Any]) -> Any:
        return self.apply(COMMAND, session, seq, 1, 1, LOCK, NAME, command)


def due(leader: SlotLeader, at_ms: int) -> list[int]:
    """Return the sessions that are given up at an instant, and what says so."""
    entries: list[Any] = [unpack(entry) for entry in leader.due(at_ms * MS)]
    assert all(entry[0] == EXPIRE for entry in entries)
    return [entry[1] for entry in entries]


@pytest.mark.parametrize("ttl_ms", [1, 999, 60_001])
def test_what_is_out_of_bounds_opens_nothing(ttl_ms: int) -> None:
    slot = Slot()
    assert slot.apply(OPEN_FOR, b"a", b"g", ttl_ms) == [MISMATCH, "session_ttl_s", 1_000, 60_000, ttl_ms]
    assert not slot.machine.sessions and not slot.machine.attempts


def test_an_opening_that_is_repeated_keeps_its_first_time() -> None:
    slot = Slot()
    assert slot.apply(OPEN_FOR, b"a", b"g", 2_000) == slot.apply(OPEN_FOR, b"a", b"g", 3_000) == [OK, 1]
    assert slot.machine.sessions[1].ttl_ms == 2_000
    assert slot.apply(OPEN, b"b", b"g") == [OK, 3]
    assert slot.machine.sessions[3].ttl_ms == 0


def test_a_snapshot_has_the_times() -> None:
    slot, other = Slot(), Slot()
    slot.apply(OPEN_FOR, b"a", b"g", 2_000)
    other.machine.load(slot.machine.dump())
    assert other.machine.sessions[1].ttl_ms == 2_000
    assert other.machine.lifetimes == BOUNDS


def test_each_session_is_due_after_its_own_time() -> None:
    slot = Slot()
    for attempt, ttl_ms in ((b"a", 40_000), (b"b", 1_000)):
        slot.apply(OPEN_FOR, attempt, b"g", ttl_ms)
    slot.apply(OPEN, b"c", b"g")
    leader = SlotLeader(slot.machine, 15_000 * MS, 0)

    assert due(leader, 1_000) == []
    assert due(leader, 1_050) == [2]
    assert due(leader, 15_000) == []
    assert leader.longest_silence_ns(15_000 * MS) == 15_000 * MS
    assert due(leader, 15_001) == [3]
    assert due(leader, 40_000) == []
    assert due(leader, 41_300) == [1]


def test_hearing_of_one_moves_nobody_else() -> None:
    slot = Slot()
    for number in range(4):
        slot.apply(OPEN_FOR, b"%d" % number, b"g", (2_000, 4_000)[number % 2])
    leader = SlotLeader(slot.machine, 15_000 * MS, 0)
    assert leader.due(0) == []
    leader.opened(1, 1_500 * MS)
    assert due(leader, 2_100) == [3]
    assert sorted(due(leader, 4_200)) == [1, 2, 4]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 300_000), st.integers(0, 2_000)), max_size=60))
def test_nobody_is_overdue_before_its_time_nor_long_after(steps: list[tuple[int, int, int]]) -> None:
    heard, model, now_ms = Heard(15_000 * MS), dict[int, tuple[int, int]](), 0
    for session, ttl_ms, passes_ms in steps:
        now_ms += passes_ms
        ttl_ms = model[session][0] if session in model else ttl_ms
        heard.hear(session, ttl_ms, now_ms * MS)
        model[session] = (ttl_ms, now_ms)
    assert len(heard) == len(model)
    for at_ms in (now_ms, now_ms + 1_000, now_ms + 400_000):
        overdue = []
        for session in heard.overdue(at_ms * MS):
            heard.forget(session)
            overdue.append(session)
        for session in overdue:
            ttl_ms, heard_ms = model.pop(session)
            assert at_ms - heard_ms > ttl_ms
        for ttl_ms, heard_ms in model.values():
            assert at_ms - heard_ms <= ttl_ms + ttl_ms // 32 + 1
    assert not model and len(heard) == 0


def test_times_that_clients_ask_for_make_few_tables() -> None:
    heard = Heard(15_000 * MS)
    for ttl_ms in range(1_000, 300_000, 7):
        heard.hear(ttl_ms, ttl_ms, 0)
    assert heard.count_tables() <= 32 * 9


def test_info_names_the_holder_and_for_how_long() -> None:
    slot = Slot()
    slot.apply(OPEN, b"a", b"client-a#1")
    slot.apply(OPEN, b"b", b"client-b#1")
    assert slot.machine.query(LOCK, NAME, [INFO]) == [OK, [None, 0, 0]]
    slot.machine.times.now_ns = 1_000 * MS
    token = slot.lock(1, 1, [1])[1]
    assert slot.lock(2, 1, [1]) == [QUEUED]
    slot.machine.times.now_ns = 3_500 * MS
    assert slot.machine.query(LOCK, NAME, [INFO]) == [OK, [[b"client-a#1", token, b"", 1, 2_500], 1, 1]]
    slot.lock(1, 2, [3, token])
    slot.machine.times.now_ns = 3_600 * MS
    holder, grants, waiters = slot.machine.query(LOCK, NAME, [INFO])[1]
    assert (holder[0], holder[4], grants, waiters) == (b"client-b#1", 100, 1, 0)


def test_what_came_with_a_snapshot_counts_from_then() -> None:
    slot, other = Slot(), Slot()
    slot.apply(OPEN, b"a", b"g")
    slot.machine.times.now_ns = 1_000 * MS
    slot.lock(1, 1, [1])
    other.machine.times.now_ns = 5_000 * MS
    other.machine.load(slot.machine.dump())
    other.machine.times.now_ns = 5_700 * MS
    assert other.machine.query(LOCK, NAME, [INFO])[1][0][4] == 700
    assert other.machine.dump() == slot.machine.dump(), "it is no part of the state"
