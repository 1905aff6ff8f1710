"""What the checks of read-write locks, elections and resized semaphores see in histories, and in the state of slots."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.slots.machine import MachineLimits
from casty.cluster.slots.schema import COMMAND, OPEN
from casty.distributed.machines.base import ELECTION, RW_LOCK, SEMAPHORE
from casty.distributed.machines.rw_lock import READ, WRITE
from casty.wire.pack import pack
from sim.checks.history.locks import check_election, check_rw_lock, check_semaphore
from sim.checks.step.slots import ShadowSlot
from sim.checks.violation import ViolationError
from sim.history import Operation
from tests.sim.checks.histories import Script

MODE = {"read": {"mode": "read"}, "write": {"mode": "write"}}


def side(script: Script, call: int, mode: str, token: int, until: int) -> Operation:
    return script.add(call, call + 1, "rw_lock.acquire", MODE[mode], token, until)


def term(script: Script, call: int, token: int, until: int) -> Operation:
    return script.add(call, call + 1, "election.acquire", {}, token, until)


def numbers(violations: list[Any]) -> list[int]:
    return [violation.number for violation in violations]


def test_readers_may_overlap_and_a_writer_may_not() -> None:
    script = Script("a")
    side(script, 0, "read", 1, 20)
    side(script, 5, "read", 2, 30)
    assert check_rw_lock("a", script.operations) == []
    side(script, 24, "write", 3, 40)
    assert numbers(check_rw_lock("a", script.operations)) == [23]


def test_tokens_of_a_read_write_lock_follow_requests() -> None:
    script = Script("a")
    side(script, 0, "read", 9, 2)
    side(script, 5, "read", 2, 30)
    assert numbers(check_rw_lock("a", script.operations)) == [21]


def test_two_that_lead_at_once_are_seen() -> None:
    script = Script("a")
    term(script, 0, 1, 20)
    term(script, 10, 2, 30)
    assert numbers(check_election("a", script.operations)) == [23, 21]


@pytest.mark.parametrize(
    ("call", "back", "value", "is_right"),
    [
        (5, 6, 1, True),
        (30, 31, 1, False),
        (21, 23, 0, True),
        (5, 6, 0, False),
        (19, 26, 2, True),
        (5, 6, 2, False),
    ],
)
def test_who_is_told_of_leads_meanwhile(call: int, back: int, value: int, is_right: bool) -> None:
    script = Script("a")
    hold = term(script, 0, 1, 18)
    script.add(18, 20, "election.release", {"token": 1, "grant": hold.number}, True)
    term(script, 24, 2, 40)
    script.add(call, back, "election.told", {}, value)
    assert numbers(check_election("a", script.operations)) == ([] if is_right else [1])


def test_whoever_led_what_was_destroyed_may_not_know() -> None:
    script = Script("a")
    term(script, 0, 1, 40)
    script.add(5, 8, "election.destroy", {}, True)
    script.add(10, 12, "election.told", {}, 0)
    assert check_election("a", script.operations) == []


def test_whoever_was_granted_what_was_destroyed_may_have_heard_of_it_afterwards() -> None:
    script = Script("a")
    script.add(4, 12, "election.acquire", {}, 1, 40)
    script.add(5, 8, "election.destroy", {}, True)
    told = script.add(15, 17, "election.told", {}, 0)
    assert check_election("a", script.operations) == []
    told.call_ns, told.return_ns = 30, 32
    assert check_election("a", script.operations) == []
    script = Script("a")
    script.add(5, 8, "election.destroy", {}, True)
    term(script, 10, 1, 40)
    script.add(15, 17, "election.told", {}, 0)
    assert numbers(check_election("a", script.operations)) == [1]


def test_permits_that_were_added_may_be_held() -> None:
    script = Script("a")
    for number in range(3):
        script.add(number, number + 1, "semaphore.acquire", {"permits": 2, "n": 1}, True, 30)
    assert numbers(check_semaphore("a", script.operations)) == [28]
    script.add(0, 1, "semaphore.resize", {"permits": 2, "to": 3}, 2)
    assert check_semaphore("a", script.operations) == []


class Shadow:
    """A shadow slot with three sessions."""

    def __init__(self) -> None:
        self.slot = ShadowSlot((1, 1), 1, {}, MachineLimits())
        self.index = 0
        for session in range(3):
            self.put([OPEN, b"%d" % session, b"g"])

    def put(self, entry: list[Any]) -> None:
        self.index += 1
        self.slot.apply(self.index, entry, pack(entry))

    def do(self, session: int, seq: int, kind: int, *command: Any) -> None:
        self.put([COMMAND, session, seq, 1, 1, kind, b"x", list(command)])

    def line(self, kind: int) -> Any:
        return self.slot.machine.entities[kind, b"x"]


def test_a_reader_beside_a_writer_is_seen_in_the_state() -> None:
    shadow = Shadow()
    shadow.do(1, 1, RW_LOCK, 1, WRITE)
    shadow.do(2, 1, RW_LOCK, 1, READ)
    line = shadow.line(RW_LOCK)
    line.grants = {
        key: share._replace(amount=1) for key, share in (*line.grants.items(), *line.waiters.items())
    }
    line.taken = 2
    line.waiters.clear()
    with pytest.raises(ViolationError, match="writes beside"):
        shadow.do(3, 1, RW_LOCK, 1, READ)


def test_a_watcher_that_was_not_told_is_seen() -> None:
    shadow = Shadow()
    shadow.do(1, 1, ELECTION, 5, 0)
    line = shadow.line(ELECTION)
    watchers, line.watchers = line.watchers, {}
    shadow.do(2, 1, ELECTION, 1, b"two")
    line.watchers = watchers
    (leader,) = line.grants.values()
    with pytest.raises(ViolationError, match="was not told"):
        shadow.do(3, 1, ELECTION, 5, leader.token)


def test_a_grant_beyond_what_is_left_after_a_resize_is_seen() -> None:
    shadow = Shadow()
    shadow.do(1, 1, SEMAPHORE, 1, 3, 2)
    shadow.do(1, 2, SEMAPHORE, 4, 3, 1)
    line = shadow.line(SEMAPHORE)
    line.taken -= 2
    with pytest.raises(ViolationError, match="of 1 are granted"):
        shadow.do(2, 1, SEMAPHORE, 1, 3, 1)


def test_a_resize_that_is_forgotten_is_seen() -> None:
    shadow = Shadow()
    shadow.do(1, 1, SEMAPHORE, 4, 3, 5)
    del shadow.slot.machine.entities[SEMAPHORE, b"x"]
    with pytest.raises(ViolationError, match="is gone"):
        shadow.do(2, 1, SEMAPHORE, 3, 9)
