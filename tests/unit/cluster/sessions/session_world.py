"""A gateway, and nodes that lead one real slot machine each, on wires that lose, repeat and hold back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from casty.cluster.control.placement import slot_of
from casty.cluster.control.topology import LeaderTable, Topology
from casty.cluster.sessions.gateway import Gateway
from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import (
    ABANDON,
    CANCEL,
    COMMAND,
    OPEN,
    check_entry,
    check_read,
)
from casty.config import SECOND_NS, Settings
from casty.distributed.machines.base import NOT_LEADER, OK, QUEUED, WITHDRAWN
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.clock import ManualClock, settle
from tests.kit.entropy import CountedEntropy, lowest
from tests.kit.gateways import Routes, nodes_up
from tests.kit.ports import Ports

TTL_S = 6.0
NODES = ("a", "b")
NAME = b"it"


class Wire:
    """What stands between the slot and the gateway: `ReplySink` that send one reply a frame."""

    def __init__(self, world: World, node_id: str) -> None:
        self.world = world
        self.node_id = node_id

    def add(self, call_id: int, reply: list[Any]) -> None:
        self.world.answer(self.node_id, call_id, reply)


class World(Routes):
    """One slot that commits at once, its leader, one gateway; it is also the gateway's `Routes`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.clock = ManualClock()
        self.leaders = LeaderTable()
        self.limits = MachineLimits()
        self.machine = SlotMachine(self.limits, 1)
        self.index = 0
        self.term = 0
        self.leader = ""
        self.soft: SlotLeader
        self.down: dict[str, None] = {}
        self.eaten_requests = 0
        self.eaten_replies = 0
        self.copies = 1
        self.is_holding_back = False
        self.held_back: list[tuple[str, int, list[Any]]] = []
        self.is_keepalive_lost = False
        self.sent: list[tuple[str, int, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.is_known = True
        self.elect("a")
        ports = Ports(self.clock, CountedEntropy(lowest))
        self.gateway = Gateway(ports.runtime, self, settings or Settings(), b"test")

    # -- the gateway's routes

    def topology(self) -> Topology | None:
        if not self.is_known:
            return None
        slots = ((1, NODES),)
        return Topology(1, "cluster", 1, TTL_S, 0.1, nodes_up(NODES), slots, {}, {}, self.leaders)

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        if node_id in self.down:
            return False
        self.sent.append((node_id, kind, unpack(body)))
        asyncio.get_running_loop().call_soon(self._arrive, node_id, kind, body)
        return True

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        self.leaders.learn(slot, 1, term, leader)

    def linked(self) -> Sequence[str]:
        return [node for node in NODES if node not in self.down]

    # -- the nodes

    def elect(self, node_id: str, *, is_told: bool = True) -> None:
        """Another leadership begins; the machine is a loaded copy, and nobody knows who waits."""
        dumped, self.machine = self.machine.dump(), SlotMachine(self.limits, 1)
        self.machine.load(dumped)
        self.term += 1
        self.leader = node_id
        self.soft = SlotLeader(self.machine, int(TTL_S * SECOND_NS), self.clock.now())
        if is_told:
            self.leaders.learn(0, 1, self.term, node_id)

    def _arrive(self, node_id: str, kind: int, body: bytes) -> None:
        plain: Any = unpack(body)
        if kind == frames.KEEPALIVE:
            if not self.is_keepalive_lost:
                self._keep_alive(node_id, plain)
            return
        for call_id, slot, epoch, operation, payload, _ in plain:
            assert (slot, epoch) == (0, 1)
            if self.eaten_requests:
                self.eaten_requests -= 1
                continue
            for _ in range(self.copies):
                self._request(node_id, call_id, operation, payload)

    def _request(self, node_id: str, call_id: int, operation: int, payload: bytes) -> None:
        wire = Wire(self, node_id)
        if node_id != self.leader:
            wire.add(call_id, [NOT_LEADER, self.leader, self.term])
        elif operation == 2:
            kind, entity, query = check_read(unpack(payload))
            wire.add(call_id, self.machine.query(kind, entity, query))
        else:
            entry = check_entry(payload)
            reply = self.apply(payload)
            wire.add(call_id, reply)
            if entry[0] == COMMAND and reply == [QUEUED]:
                self.soft.wait(entry[1], entry[2], wire, call_id)

    def apply(self, payload: bytes) -> list[Any]:
        self.index += 1
        applied = self.machine.apply(self.index, payload)
        entry: Any = unpack(payload)
        self.soft.resolve(applied.effects)
        if applied.ended is not None:
            self.soft.ended(applied.ended)
        if entry[0] == OPEN and applied.reply[0] == OK:
            self.soft.opened(applied.reply[1], self.clock.now())
        elif entry[0] == CANCEL and applied.reply[0] == WITHDRAWN:
            self.soft.withdraw(entry[1], entry[2])
        elif entry[0] == ABANDON:
            for row in entry[3]:
                self.soft.withdraw(entry[1], row[0])
        return applied.reply

    def _keep_alive(self, node_id: str, plain: Any) -> None:
        rows = []
        for row in plain[1]:
            if node_id != self.leader:
                rows.append([0, NOT_LEADER, [], [], [], self.leader, self.term])
                continue
            answer, entry = self.soft.keep_alive(row, self.clock.now())
            rows.append([0, *answer, None, self.term])
            if entry is not None:
                self.apply(entry)
        self.gateway.on_keepalive_ack(pack([plain[0], rows]))

    def answer(self, node_id: str, call_id: int, reply: list[Any]) -> None:
        if self.eaten_replies and call_id:
            self.eaten_replies -= 1
        elif self.is_holding_back:
            self.held_back.append((node_id, call_id, reply))
        else:
            for _ in range(self.copies):
                self.gateway.on_reply(pack([[call_id, reply]]))

    def let_go(self) -> None:
        """Deliver what was held back."""
        self.is_holding_back = False
        held_back, self.held_back = self.held_back, []
        for item in held_back:
            self.answer(*item)

    # -- what tests do

    def cut(self, node_id: str, *, has_failed: bool = False) -> None:
        self.down[node_id] = None
        self.gateway.on_link_down(node_id, has_failed=has_failed)

    def mend(self, node_id: str) -> None:
        del self.down[node_id]
        self.gateway.on_link_up(node_id)

    async def output(self) -> None:
        await settle(40)

    async def advance(self, seconds: float, step_s: float = 0.05) -> None:
        """Let time pass; the slot's leader looks for dead sessions as it goes."""
        until_ns = self.clock.now() + int(seconds * SECOND_NS)
        await self.output()
        while self.clock.now() < until_ns:
            self.clock.advance(min(step_s, (until_ns - self.clock.now()) / SECOND_NS))
            for entry in self.soft.due(self.clock.now()):
                self.apply(entry)
            await self.output()

    def other_session(self, attempt: bytes = b"other") -> int:
        """A session of somebody else."""
        number = self.apply(pack([OPEN, attempt, b"other"]))[1]
        assert isinstance(number, int)
        return number

    def command(self, session: int, seq: int, kind: int, command: list[Any]) -> list[Any]:
        """What somebody else does."""
        return self.apply(pack([COMMAND, session, seq, 1, 1, kind, NAME, command]))


assert slot_of(1, NAME, 1) == 0
