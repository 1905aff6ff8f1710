"""What one entry decides for very many requests is told in parts: each is told once, and none costs a long turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from casty.cluster.multiraft.proposals import NOT_LEADER
from casty.cluster.slots.machine import Applied, MachineLimits, SlotMachine
from casty.cluster.slots.schema import CANCEL, CLOSE, COMMAND, OPEN, PAY, check_entry
from casty.distributed.machines import election, lock, rw_lock, semaphore
from casty.distributed.machines.barrier import ARRIVE
from casty.distributed.machines.base import (
    BARRIER,
    DESTROY,
    DESTROYED,
    ELECTION,
    LOCK,
    MISMATCH,
    OK,
    PAID_AT_ONCE,
    QUEUE,
    QUEUED,
    RELEASE,
    RESIZE,
    RW_LOCK,
    SEMAPHORE,
    WITHDRAWN,
    Effect,
)
from casty.distributed.machines.queue_shapes import GET, PUT
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack
from tests.kit.gateways import Answers
from tests.unit.cluster.replica_world import ReplicaWorld

MANY = 3 * PAID_AT_ONCE + 7
NAME = b"name"
PROOF = b"sixteen bytes it"


class Slot:
    """A machine, and one that is loaded from its dump before each part."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1)
        self.index = 0
        self.first = self.open()
        self.many = [self.open() for _ in range(3)]
        self.seqs = dict.fromkeys((self.first, *self.many), 0)

    def open(self) -> int:
        number: int = self.apply(OPEN, b"%d" % self.index, b"").reply[1]
        return number

    def apply(self, *entry: object) -> Applied:
        self.index += 1
        return self.machine.apply(self.index, pack(list(entry)))

    def do(self, session: int, kind: int, *command: object) -> Applied:
        self.seqs[session] += 1
        return self.apply(COMMAND, session, self.seqs[session], 0, 0, kind, NAME, list(command))

    def crowd(self, kind: int, *command: object) -> None:
        """Let many requests of three sessions wait."""
        for number in range(MANY):
            assert self.do(self.many[number % 3], kind, *command).reply == [QUEUED]

    def pay(self, effects: list[Effect]) -> list[Effect]:
        """Apply parts until nothing is owed; each in a machine that was loaded from the one before, as well."""
        told = list(effects)
        while self.machine.debts:
            key = self.machine.debts.first()
            assert key is not None
            twin = SlotMachine(MachineLimits(), 1)
            twin.load(self.machine.dump())
            assert key in twin.debts, "it follows from the state"
            applied = self.apply(PAY, *key)
            assert twin.apply(self.index, pack([PAY, *key])) == applied
            assert twin.dump() == self.machine.dump()
            assert len(applied.effects) <= PAID_AT_ONCE
            told += applied.effects
        assert self.apply(PAY, kind_of(told, self), NAME) == Applied([OK]), "a part too many is nothing"
        return told


def kind_of(_told: list[Effect], slot: Slot) -> int:
    """Return the kind that is used here, or any where nothing is left of it."""
    return next((kind for kind, _ in slot.machine.entities), LOCK)


def destroyed(kind: int, taking: list[Any], waiting: list[Any]) -> Callable[[Slot], Applied]:
    def decide(slot: Slot) -> Applied:
        slot.do(slot.first, kind, *taking)
        slot.crowd(kind, *waiting)
        return slot.do(slot.first, kind, DESTROY)

    return decide


def released(kind: int, taking: list[Any], waiting: list[Any]) -> Callable[[Slot], Applied]:
    def decide(slot: Slot) -> Applied:
        slot.do(slot.first, kind, *taking)
        slot.crowd(kind, *waiting)
        return slot.do(slot.first, kind, RELEASE, 1)

    return decide


def resized_down(slot: Slot) -> Applied:
    slot.do(slot.first, SEMAPHORE, semaphore.ACQUIRE, 9, 9)
    slot.crowd(SEMAPHORE, semaphore.ACQUIRE, 9, 5)
    return slot.do(slot.first, SEMAPHORE, RESIZE, 9, 4)


def tripped(slot: Slot) -> Applied:
    for number in range(MANY):
        reply = slot.do(slot.many[number % 3], BARRIER, ARRIVE, f"n{number}", MANY + 1).reply
        assert reply == [QUEUED]
    return slot.do(slot.first, BARRIER, ARRIVE, "last", MANY + 1)


def dismissed_barrier(slot: Slot) -> Applied:
    for number in range(MANY):
        slot.do(slot.many[number % 3], BARRIER, ARRIVE, f"n{number}", MANY + 1)
    return slot.do(slot.first, BARRIER, DESTROY)


def led(slot: Slot) -> Applied:
    slot.crowd(ELECTION, election.WATCH, 0)
    return slot.do(slot.first, ELECTION, election.CAMPAIGN, b"me")


ACQUIRED = [SEMAPHORE, [semaphore.ACQUIRE, 10_000, 10_000], [semaphore.ACQUIRE, 10_000, 1]]
CASES: dict[str, tuple[Callable[[Slot], Applied], int]] = {
    "lock destroyed": (destroyed(LOCK, [lock.ACQUIRE], [lock.ACQUIRE]), DESTROYED),
    "election destroyed": (destroyed(ELECTION, [election.CAMPAIGN, b"a"], [election.CAMPAIGN, b"b"]), DESTROYED),
    "queue destroyed": (destroyed(QUEUE, [PUT, b"x", 1, None], [PUT, b"y", 1, None]), DESTROYED),
    "getters dismissed": (destroyed(QUEUE, [GET, None, None], [GET, None, None]), DESTROYED),
    "permits released": (released(*cast(Any, ACQUIRED)), OK),
    "readers let in": (released(RW_LOCK, [rw_lock.ACQUIRE, rw_lock.WRITE], [rw_lock.ACQUIRE, rw_lock.READ]), OK),
    "too large for what is left": (resized_down, MISMATCH),
    "barrier tripped": (tripped, OK),
    "barrier destroyed": (dismissed_barrier, DESTROYED),
    "leader elected": (led, OK),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_many_are_told_in_parts_each_once(case: str) -> None:
    slot = Slot()
    decide, status = CASES[case]
    if case == "getters dismissed":
        slot.do(
            slot.first, QUEUE, PUT, b"x", None, None
        )  # so that there is a queue; the first getter takes it
    decided = decide(slot)
    assert decided.reply[0] == OK
    assert 0 < len(decided.effects) <= PAID_AT_ONCE and slot.machine.debts
    told = slot.pay(list(decided.effects))
    of_many = [effect for effect in told if effect.session in slot.many]
    assert len(of_many) == MANY == len({effect[:2] for effect in of_many})
    assert {effect.reply[0] for effect in of_many} == {status}
    order = [(seq, session) for session, seq, _ in of_many]
    assert order == sorted(order), "in the order of the requests"
    assert slot.machine.numbers[2] == 0, "nobody waits"


def test_who_is_not_told_yet_still_waits_and_can_be_withdrawn() -> None:
    slot = Slot()
    decided = CASES["lock destroyed"][0](slot)
    last, seq = slot.many[(MANY - 1) % 3], slot.seqs[slot.many[(MANY - 1) % 3]]
    assert slot.machine.known(slot.machine.sessions[last], last, seq) == [QUEUED]
    assert slot.apply(CANCEL, last, seq, LOCK, NAME).reply == [WITHDRAWN]
    gone = slot.many[0]
    while slot.apply(CLOSE, gone).reply == [QUEUED]:
        pass
    assert gone not in slot.machine.sessions
    assert slot.do(slot.first, LOCK, lock.TRY_ACQUIRE).reply == [OK, None], (
        "the hold that was destroyed is not confirmed"
    )
    told = slot.pay(list(decided.effects))
    assert (last, seq) not in [effect[:2] for effect in told]
    assert slot.machine.numbers[2] == 0


def test_a_lock_that_is_destroyed_serves_anew_before_all_were_told() -> None:
    slot = Slot()
    token = slot.do(slot.first, LOCK, lock.ACQUIRE).reply[1]
    slot.crowd(LOCK, lock.ACQUIRE)
    slot.do(slot.first, LOCK, DESTROY)
    slot.do(slot.first, LOCK, RELEASE, token)
    assert slot.do(slot.many[1], LOCK, DESTROY).reply == [OK, False]
    assert slot.do(slot.many[1], LOCK, lock.ACQUIRE).reply[0] == OK
    assert len(slot.pay([])) > PAID_AT_ONCE


def test_a_watch_whose_leader_leads_again_before_it_was_told_waits_on() -> None:
    slot = Slot()
    slot.crowd(ELECTION, election.WATCH, 0)
    campaign = slot.do(slot.first, ELECTION, election.CAMPAIGN, b"me")
    left = MANY - len(campaign.effects)
    slot.do(slot.first, ELECTION, RELEASE, slot.seqs[slot.first])
    assert slot.pay([]) == [], "nobody leads, as they know"
    assert slot.machine.numbers[2] == left
    assert len(slot.pay(list(slot.do(slot.first, ELECTION, election.CAMPAIGN, b"me").effects))) == left


def test_only_a_leader_pays() -> None:
    with pytest.raises(RemoteProtocolError, match="pays"):
        check_entry(pack([PAY, LOCK, NAME]))


class Led:
    """A lock with many waiters, on three replicas without links."""

    def __init__(self) -> None:
        self.world = ReplicaWorld()
        self.turns: list[str] = []
        for name, replica in self.world.replicas.items():
            replica.on_over = lambda _slot, name=name: self.turns.append(name)
        self.answers = Answers()
        self.number = self.write("a", 0, OPEN, PROOF, b"gateway")[1]

    def write(self, node: str, call_id: int, *entry: object) -> list[Any]:
        group = cast(Any, self.world.groups[node])
        self.world.replicas[node].write(group, pack(list(entry)), PROOF, cast(Any, self.answers), call_id)
        self.world.commit()
        return self.answers.latest[call_id]

    def command(self, node: str, seq: int, *command: object) -> list[Any]:
        return self.write(node, seq, COMMAND, self.number, seq, 1, 1, LOCK, NAME, list(command))

    def destroy(self) -> None:
        for seq in range(1, MANY + 1):
            self.command("a", seq, lock.ACQUIRE)
        self.turns.clear()
        assert self.command("a", MANY + 1, DESTROY) == [OK, True]

    def told(self) -> int:
        return sum(reply == [DESTROYED] for reply in self.answers.latest.values())

    def turn(self) -> None:
        node = self.turns.pop(0)
        self.world.replicas[node].propose_part(cast(Any, self.world.groups[node]), self.world.clock.now())
        self.world.commit()


def test_a_leader_proposes_one_part_after_the_other_in_turns_of_their_own() -> None:
    led = Led()
    led.destroy()
    parts = 0
    while led.turns:
        assert led.turns == ["a"], "one turn at a time"
        before = led.told()
        led.turn()
        assert led.told() - before <= PAID_AT_ONCE
        parts += 1
    assert led.told() == MANY - 1 and parts == MANY // PAID_AT_ONCE


def test_the_next_leader_goes_on() -> None:
    led = Led()
    led.destroy()
    led.world.elect("b")
    late = [call for call, reply in led.answers.latest.items() if reply[0] == NOT_LEADER]
    assert len(late) == MANY - 1 - PAID_AT_ONCE
    led.turns.clear()
    replica, group = led.world.replicas["b"], cast(Any, led.world.groups["b"])
    replica.tick(group, led.world.clock.now())
    assert led.turns == ["b"]
    while led.turns:
        led.turn()
    assert not replica.machine.debts
    assert led.command("b", late[-1], lock.ACQUIRE) == [DESTROYED], "who asks again hears the outcome"
