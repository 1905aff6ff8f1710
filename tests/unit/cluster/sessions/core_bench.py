"""A `SessionCore` alone: its surroundings as plain fields, its alarms as timers, its effects as a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from casty.cluster.control.topology import LeaderTable, Topology
from casty.cluster.sessions.core import effects as out
from casty.cluster.sessions.core import inputs
from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.effects import Alarm, Effect
from casty.cluster.sessions.core.session_core import SessionCore
from casty.cluster.slots.operations import OP_READ, OP_WRITE
from casty.config import SECOND_NS, Settings
from casty.distributed.machines.base import Reply
from casty.errors import Refused
from casty.wire.pack import pack
from tests.kit.clock import ManualClock, ManualTimer
from tests.kit.gateways import Routes, nodes_up

__all__ = ["DRIFT", "NODES", "TTL_S", "Bench", "Place", "is_send"]

NODES = ("a", "b", "c")
TTL_S = 6.0
DRIFT = 0.1
MOST_STEPS = 100_000


def is_send(effect: Effect) -> TypeGuard[out.Send]:
    """Whether it is a request for a node: named tuples are the other effects."""
    return type(effect) is tuple


class Place(Routes):
    """The surroundings of a core: one slot by default, led by whom a test says."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self.epoch = 1
        self.cluster_id = "cluster"
        self.leaders = LeaderTable()
        self.terms = [0] * slots
        self.is_known = True
        self.refused: Refused | None = None
        self.links: list[str] = list(NODES)
        for slot in range(slots):
            self.elect("a", slot)

    def elect(self, node_id: str | None, slot: int = 0) -> None:
        """Another term begins, and everybody knows who leads in it."""
        self.terms[slot] += 1
        self.leaders.learn(slot, self.epoch, self.terms[slot], node_id)

    def topology(self) -> Topology | None:
        slots = tuple((self.epoch, NODES) for _ in range(self.slots))
        if not self.is_known:
            return None
        return Topology(1, self.cluster_id, 1, TTL_S, DRIFT, nodes_up(NODES), slots, {}, {}, self.leaders)

    def linked(self) -> Sequence[str]:
        return self.links

    def refusal(self) -> Refused | None:
        return self.refused


class Bench:
    """What drives the core: instants are chosen, and what it does is kept for a test to look at."""

    def __init__(self, slots: int = 1, settings: Settings | None = None) -> None:
        self.place = Place(slots)
        self.clock = ManualClock()
        self.drawn = 0
        self.timers: dict[Alarm, ManualTimer] = {}
        self.effects: list[Effect] = []
        self.core = SessionCore(self.place, settings or Settings(), b"bench", self._attempt, lambda count: 0)

    def _attempt(self) -> bytes:
        self.drawn += 1
        return b"proof %d" % self.drawn

    def give(self, one: inputs.Input) -> list[Effect]:
        """Take a step, and those that follow from it at once; return what they came to but for alarms."""
        found = []
        queue: list[inputs.Input] = [one]
        while queue:
            for effect in self.core.step(self.clock.now(), queue.pop(0)):
                if isinstance(effect, out.WakeAt):
                    self._set(effect)
                elif isinstance(effect, out.Hint):
                    self.place.leaders.learn(effect.slot, self.place.epoch, effect.term, effect.leader)
                    queue.append(inputs.Hinted(effect.slot, effect.leader, effect.call_id))
                else:
                    found.append(effect)
        self.effects += found
        return found

    def _set(self, one: out.WakeAt) -> None:
        timer = self.timers.pop(one.alarm, None)
        if timer is not None:
            timer.cancel()
        if one.when_ns is not None:
            self.timers[one.alarm] = self.clock.call_at(one.when_ns, self._wake, one.alarm)

    def _wake(self, alarm: Alarm) -> None:
        del self.timers[alarm]
        self.give(inputs.Woken(alarm))

    def advance(self, seconds: float) -> list[Effect]:
        """Let time pass, with every alarm at its instant."""
        return self.advance_to(self.clock.now() + int(seconds * SECOND_NS))

    def advance_to(self, until_ns: int) -> list[Effect]:
        """Let time pass until an instant."""
        before = len(self.effects)
        for count, _ in enumerate(self.clock.instants(until_ns)):
            assert count < MOST_STEPS, "the alarms never end"
        return self.effects[before:]

    # -- calls

    def write(
        self, kind: int, command: list[object], timeout_s: float | None = None, entity: bytes = b"it"
    ) -> Call:
        """Return a new command; it is still to begin."""
        timeout_ns = None if timeout_s is None else int(timeout_s * SECOND_NS)
        call = Call(OP_WRITE, (kind, entity), self.clock.now(), timeout_ns)
        call.command = command
        return call

    def read(self, kind: int, query: list[object], timeout_s: float | None = None) -> Call:
        """Return a new question; it is still to begin."""
        timeout_ns = None if timeout_s is None else int(timeout_s * SECOND_NS)
        call = Call(OP_READ, (kind, b"it"), self.clock.now(), timeout_ns)
        call.payload = pack([kind, b"it", query])
        return call

    def begin(self, call: Call) -> list[Effect]:
        return self.give(call)

    def reply(self, call_id: int, reply: Reply) -> list[Effect]:
        return self.give([call_id, reply])
