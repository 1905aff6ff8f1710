"""The end of a session that holds very much: in parts, each a bounded entry, one a turn, whoever leads meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from casty.cluster.multiraft.proposals import BUSY, EXPIRED
from casty.cluster.node.request_handler import RequestHandler
from casty.cluster.slots.machine import (
    END_PART,
    ENDED_AT_ONCE,
    MachineLimits,
    SlotMachine,
)
from casty.cluster.slots.questions import is_held, outcome_of
from casty.cluster.slots.schema import (
    CLOSE,
    COMMAND,
    EXPIRE,
    OPEN,
)
from casty.config import Settings
from casty.distributed.machines.base import LOCK, OK, QUEUED
from casty.distributed.machines.wait_queue import LineStructure
from casty.wire.pack import pack
from tests.kit.clock import ManualClock
from tests.kit.gateways import Answers
from tests.unit.cluster.replica_world import TTL_S, ReplicaWorld

ACQUIRE = 1
SECOND_NS = 1_000_000_000
MANY = 2 * END_PART + 5


class Slot:
    """A machine that is told entries; sessions 1 and 2."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1)
        self.index = 0
        for attempt in (b"1", b"2"):
            self.apply(OPEN, attempt, b"")

    def apply(self, *entry: Any) -> Any:
        self.index += 1
        return self.machine.apply(self.index, pack(list(entry)))

    def hold(self, session: int, count: int, *, is_one: bool = False) -> None:
        for seq in range(1, count + 1):
            name = b"one" if is_one else b"%d" % seq
            self.apply(COMMAND, session, seq, seq, 1, LOCK, name, [ACQUIRE])


def test_requests_that_wait_for_one_another_end_in_parts_as_well() -> None:
    slot = Slot()
    slot.hold(1, MANY, is_one=True)
    slot.hold(2, 2, is_one=True)
    effects, applied = list[Any](), None
    while applied is None or applied.reply == [QUEUED]:
        applied = slot.apply(CLOSE, 1)
        assert len(applied.effects) <= 1
        effects += applied.effects
    assert [(effect.session, effect.seq) for effect in effects] == [(2, 1)]
    assert slot.machine.numbers[2] == 1, "the second request of the other session waits for its first"


@pytest.mark.parametrize("kind", [CLOSE, EXPIRE])
def test_no_entry_ends_more_than_a_part(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot()
    slot.hold(1, MANY)
    slot.hold(2, MANY)
    ended = [0]
    right = LineStructure.abandon

    def counted(structure: LineStructure, *rest: Any) -> Any:
        ended[0] += 1
        return right(structure, *rest)

    monkeypatch.setattr(LineStructure, "abandon", counted)
    work, granted, applied = list[int](), list[int](), None
    while applied is None or applied.reply == [QUEUED]:
        ended[0] = 0
        applied = slot.apply(kind, 1)
        work.append(ended[0])
        granted += [effect.seq for effect in applied.effects]
    assert work == [0, END_PART, END_PART, MANY - 2 * END_PART]
    assert granted == list(range(MANY, 0, -1)), "each is granted to who waited for it, once"
    assert (applied.reply, applied.ended) == ([OK], 1)
    assert slot.apply(kind, 1).reply == [EXPIRED]
    assert list(slot.machine.sessions) == [2] and slot.machine.numbers[2] == 0


def test_few_end_at_once() -> None:
    slot = Slot()
    slot.hold(1, ENDED_AT_ONCE)
    assert slot.apply(CLOSE, 1).ended == 1
    assert not slot.machine.entities


def test_what_is_over_takes_part_in_nothing_and_holds_until_its_part() -> None:
    slot = Slot()
    slot.hold(1, MANY)
    assert slot.apply(CLOSE, 1).reply == [QUEUED]
    assert slot.apply(COMMAND, 1, MANY + 1, 1, 1, LOCK, b"new", [ACQUIRE]).reply == [EXPIRED]
    assert slot.apply(COMMAND, 1, 1, 1, 1, LOCK, b"1", [ACQUIRE]).reply == [EXPIRED]
    assert outcome_of(slot.machine, 1, 1) == [EXPIRED] and not is_held(slot.machine, 1, 1)
    assert slot.apply(COMMAND, 2, 1, 1, 1, LOCK, b"%d" % MANY, [ACQUIRE]).reply == [QUEUED]
    assert slot.apply(OPEN, b"1", b"").reply == [OK, 1], "its opening is no other one until nothing is left"


def test_a_restored_machine_goes_on_with_the_same_parts() -> None:
    slot, other = Slot(), Slot()
    slot.hold(1, MANY)
    slot.hold(2, MANY)
    for _ in range(2):
        slot.apply(CLOSE, 1)
    other.machine.load(slot.machine.dump())
    other.index = slot.index
    while slot.machine.sessions.get(1):
        assert slot.apply(CLOSE, 1) == other.apply(CLOSE, 1)
        assert slot.machine.dump() == other.machine.dump()


class Led:
    """A replicated slot with one session that holds many locks, written to directly."""

    def __init__(self) -> None:
        self.world = ReplicaWorld()
        self.answers = Answers()
        self.write(OPEN, b"attempt", b"gateway")
        self.number = self.answers.replies.pop()[1]
        for seq in range(1, MANY + 1):
            self.write(COMMAND, self.number, seq, seq, 1, LOCK, b"%d" % seq, [ACQUIRE])
        self.answers.replies.clear()

    def write(self, *entry: object) -> None:
        node = cast(str, self.world.leader)
        group = cast(Any, self.world.groups[node])
        self.world.replicas[node].write(group, pack(list(entry)), b"attempt", self.answers, 1)
        self.world.commit()

    def is_free(self) -> bool:
        return not any(replica.machine.entities for replica in self.world.replicas.values())


async def test_who_closes_is_told_when_nothing_is_left() -> None:
    led = Led()
    led.write(CLOSE, led.number)
    assert led.answers.replies == [] and not led.is_free()
    await led.world.advance(0.01)
    assert led.answers.replies == [[OK]] and led.is_free()


async def test_a_call_that_closes_again_replaces_the_former_one() -> None:
    led = Led()
    led.write(CLOSE, led.number)
    led.write(CLOSE, led.number)
    assert [reply[0] for reply in led.answers.replies] == [BUSY]
    await led.world.advance(0.01)
    assert led.answers.replies[1:] == [[OK]]


async def test_the_next_leader_finds_what_is_over_and_goes_on() -> None:
    led = Led()
    led.write(CLOSE, led.number)
    led.world.elect("b")
    assert [reply[0] for reply in led.answers.replies] == [17], "the answer comes from the next leader"
    await led.world.advance(0.3)
    assert led.is_free() and not led.world.replicas["b"].machine.sessions


async def test_an_expired_session_ends_in_parts_and_is_covered_by_nobody_meanwhile() -> None:
    led = Led()
    group = cast(Any, led.world.groups["a"])
    led.world.clock.skip(TTL_S + 1)
    led.world.tick()
    led.world.commit()
    row = [0, 1, led.number, [], [[1, LOCK, b"1"]], [], 1, b"attempt"]
    assert led.world.replicas["a"].keep_alive(group, row)[1] == EXPIRED
    assert not led.is_free()
    await led.world.advance(0.01)
    assert led.is_free() and not led.world.machine.sessions
    leader = led.world.replicas["a"].leader
    assert leader is not None and not leader._over and not leader._expiring and not leader._closing


async def test_a_part_that_was_not_proposed_is_found_by_the_next_heartbeat() -> None:
    led = Led()
    led.write(CLOSE, led.number)
    group = cast(Any, led.world.groups["a"])
    group.core.has_lease = False
    await led.world.advance(0.01)
    assert not led.is_free()
    group.core.has_lease = True
    await led.world.advance(0.3)
    assert led.is_free() and led.answers.replies == [[OK]]


def test_one_part_a_turn_whatever_slots_they_are_of() -> None:
    clock, turns = ManualClock(), list[int]()
    output = SimpleNamespace(begin=lambda: None, end=lambda: None)
    host = SimpleNamespace(
        groups={slot + 1: SimpleNamespace(is_leading=slot != 2) for slot in range(3)}, mark=lambda group: None
    )
    node: Any = SimpleNamespace(
        runtime=SimpleNamespace(clock=clock),
        settings=Settings(slots=3),
        output=output,
        host=host,
        gateway=None,
    )
    requests = RequestHandler(node)
    left = {0: 2, 1: 3, 2: 9}

    def part(slot: int) -> bool:
        turns.append(slot)
        left[slot] -= 1
        return left[slot] > 0

    requests.slots = {
        slot: cast(Any, SimpleNamespace(propose_part=lambda group, now_ns, slot=slot: part(slot)))
        for slot in left
    }
    for slot in left:
        requests._over(slot)
    fired = 0
    while clock.live():
        clock.run_next()
        fired += 1
        assert len(turns) <= fired, "one part in one turn"
        assert clock.live() <= 1
    assert turns == [0, 1, 0, 1, 1], "in turns; a slot that is not led here any more is left alone"
