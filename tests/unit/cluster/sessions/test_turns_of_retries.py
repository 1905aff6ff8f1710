"""One turn of the loop sends one fill of parked calls, whatever was planned before and however many slots wait."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from casty.cluster.control.topology import LeaderTable, Topology
from casty.cluster.sessions.core import retries as sending
from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.call_table import CallTable
from casty.cluster.sessions.core.deadlines import RETRY
from casty.cluster.sessions.core.effects import Alarm, Step, WakeAt
from casty.cluster.sessions.gateway import Gateway
from casty.cluster.slots.operations import OP_READ
from casty.config import Settings
from casty.distributed.machines.base import COUNTER, OK
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.clock import ManualClock
from tests.kit.gateways import Routes, nodes_up
from tests.kit.network import soon
from tests.kit.world import World

SLOTS = 64

Frame = tuple[int, bytes]
"""A kind and a body."""


class Retries:
    """A table whose parked call is tried in a chosen way."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.heard: list[int] = []
        self.is_refused_again = False
        self.step = Step()
        self.timer: Any = None
        self.table = CallTable(self.step)
        call = Call(OP_READ, (COUNTER, b"it"), 0, None)
        call.slot, call.payload = 1, b"read"
        self.table.add(call)
        self.table.park(call)
        self.set()

    def set(self) -> None:
        """Set the alarm as the table wants it."""
        effects, self.step.effects = self.step.effects, []
        for effect in effects:
            assert isinstance(effect, WakeAt) and effect.alarm is Alarm.CALLS
            if self.timer is not None:
                self.timer.cancel()
            self.timer = None if effect.when_ns is None else self.clock.call_at(effect.when_ns, self._ring)

    def retry_now(self) -> None:
        self.step.now_ns = self.clock.now()
        self.table.retry_now(1)
        self.set()

    def _ring(self) -> None:
        self.timer = None
        self.step.now_ns = self.clock.now()
        for key in self.table.deadlines.due():
            assert key == RETRY
            self.heard.append(self.clock.now_ns)
            for slot, *_ in self.table.due():
                if self.is_refused_again:
                    self.table.retry_now(slot)
                else:
                    self.table.retry_later(slot)
        self.set()


async def test_what_was_planned_and_took_place_sooner_is_not_done_again() -> None:
    retries = Retries()
    for _ in range(5):
        # Each time a later try is planned, and something lets it happen now.
        retries.retry_now()
        retries.clock.advance(0.001)
    retries.retry_now()
    retries.clock.advance(0.001)
    before = len(retries.heard)
    assert before == 6
    retries.clock.advance(3.0)
    pauses = [after - at for at, after in pairwise(retries.heard[5:])]
    assert pauses and pauses == sorted(pauses), "one try at a time, each after a pause"


async def test_a_turn_has_one_try_also_where_another_is_due_at_once() -> None:
    retries = Retries()
    retries.is_refused_again = True
    retries.retry_now()
    retries.clock.run_due()
    assert len(retries.heard) == 1
    assert retries.clock.live(), "the next turn goes on"


class SlotsWorld(World[Frame], Routes):
    """The routes of a gateway to one node that leads many slots, and opens sessions and takes all else in silence."""

    turns = 6

    def __init__(self) -> None:
        super().__init__(carry=soon)
        self.commands = 0
        self.is_up = False
        leaders = LeaderTable()
        for slot in range(SLOTS):
            leaders.learn(slot, 1, 1, "a")
        slots = tuple((1, ("a",)) for _ in range(SLOTS))
        self.known = Topology(1, "c", 1, 15.0, 0.01, nodes_up("a"), slots, {}, {}, leaders)
        self.gateway = Gateway(self.ports().runtime, self, Settings(max_window_replies=4096), b"test")

    def topology(self) -> Topology:
        return self.known

    def linked(self) -> list[str]:
        return ["a"] if self.is_up else []

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        assert node_id == "a"
        if kind == frames.REQUEST:
            rows: Any = unpack(body)
            entries: Any = [unpack(row[4]) for row in rows]
            opened = [[row[0], [OK, 1]] for row, entry in zip(rows, entries, strict=True) if entry[0] == 1]
            self.commands += len(rows) - len(opened)
            if opened:
                self.network.send(node_id, "gateway", (frames.REPLY, pack(opened)))
        return True

    def receive(self, sender: str, to: str, message: Frame) -> None:
        self.gateway.on_reply(message[1])

    async def turn(self) -> int:
        """Run what is due, but nothing that this makes due; return how many commands went on their way."""
        attempts = self.gateway.core.attempts
        self.clock.run_due()
        sent = self.gateway.core.attempts - attempts
        await self.settle()
        return sent


async def test_calls_of_many_slots_are_let_into_their_sessions_by_turns() -> None:
    slots = SlotsWorld()
    calls = [
        asyncio.ensure_future(slots.gateway.command(COUNTER, b"%d" % number, [1, 1], timeout_s=None))
        for number in range(100 * SLOTS)
    ]
    await asyncio.sleep(0)
    slots.is_up = True
    slots.gateway.on_link_up("a")
    await slots.settle()
    sent, began = [], [len(slots.gateway.core.table.parked)]
    while slots.commands < len(calls):
        sent.append(await slots.turn())
        began.append(sum(session.next_seq > 17 for session in slots.gateway.sessions_by_slot.values()))
        assert len(sent) < 200
    assert max(sent) <= sending.BATCH + 16
    assert began[6] == SLOTS, "no slot waits until another one is done"
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
