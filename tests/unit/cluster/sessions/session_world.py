"""A gateway, and nodes that lead one real slot machine each, on wires that lose, repeat and hold back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from tests.kit.entropy import lowest
from tests.kit.gateways import Routes, nodes_up
from tests.kit.network import Flight, at_once, soon
from tests.kit.world import World

TTL_S = 6.0
NODES = ("a", "b")
NAME = b"it"


GATEWAY = "gateway"

Frame = tuple[int, bytes]
"""A kind and a body."""


def is_request(flight: Flight[Frame]) -> bool:
    return flight.message[0] == frames.REQUEST


def is_keepalive(flight: Flight[Frame]) -> bool:
    return flight.message[0] == frames.KEEPALIVE


def is_answer(flight: Flight[Frame]) -> bool:
    return flight.message[0] == frames.REPLY


def carry(flight: Flight[Frame], arrive: Callable[[], None]) -> None:
    """Let requests come in the next turn, answers at once."""
    (at_once if flight.to == GATEWAY else soon)(flight, arrive)


class Wire:
    """What stands between the slot and the gateway: `ReplySink` that send one reply a frame."""

    def __init__(self, world: SessionWorld, node_id: str) -> None:
        self.world = world
        self.node_id = node_id

    def add(self, call_id: int, reply: list[Any]) -> None:
        self.world.network.send(self.node_id, GATEWAY, (frames.REPLY, pack([[call_id, reply]])))


class SessionWorld(World[Frame], Routes):
    """One slot that commits at once, its leader, one gateway; it is also the gateway's `Routes`."""

    turns = 40
    tick_ns = SECOND_NS // 20

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(choose=lowest, carry=carry, knows_cuts=True)
        self.leaders = LeaderTable()
        self.limits = MachineLimits()
        self.machine = SlotMachine(self.limits, 1)
        self.index = 0
        self.term = 0
        self.leader = ""
        self.soft: SlotLeader
        self.is_known = True
        self.elect("a")
        self.gateway = Gateway(self.ports().runtime, self, settings or Settings(), b"test")

    # -- the gateway's routes

    def topology(self) -> Topology | None:
        if not self.is_known:
            return None
        slots = ((1, NODES),)
        return Topology(1, "cluster", 1, TTL_S, 0.1, nodes_up(NODES), slots, {}, {}, self.leaders)

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        return self.network.send(GATEWAY, node_id, (kind, body))

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        self.leaders.learn(slot, 1, term, leader)

    def linked(self) -> Sequence[str]:
        return [node for node in NODES if not self.network.is_cut(GATEWAY, node)]

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

    def receive(self, sender: str, to: str, message: Frame) -> None:
        kind, body = message
        plain: Any = unpack(body)
        if kind == frames.REPLY:
            self.gateway.on_reply(body)
        elif kind == frames.KEEPALIVE_ACK:
            self.gateway.on_keepalive_ack(body)
        elif kind == frames.KEEPALIVE:
            self._keep_alive(to, plain)
        else:
            for call_id, slot, epoch, operation, payload, _ in plain:
                assert (slot, epoch) == (0, 1)
                self._request(to, call_id, operation, payload)

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
        self.network.send(node_id, GATEWAY, (frames.KEEPALIVE_ACK, pack([plain[0], rows])))

    def tick(self) -> None:
        """The slot's leader looks for dead sessions."""
        for entry in self.soft.due(self.clock.now()):
            self.apply(entry)

    # -- what tests do

    def link_down(self, node_id: str, *, has_failed: bool = False) -> None:
        """The link ends, and the gateway knows it."""
        self.network.cut(f"{GATEWAY}>{node_id}")
        self.gateway.on_link_down(node_id, has_failed=has_failed)

    def link_up(self, node_id: str) -> None:
        self.network.mend(f"{GATEWAY}>{node_id}")
        self.gateway.on_link_up(node_id)

    def hold_answers(self) -> None:
        """Hold back what nodes answer to calls."""
        self.network.holds = is_answer

    def held_calls(self) -> list[int]:
        """Return the calls whose answers are held back."""
        held: list[Any] = [unpack(flight.message[1]) for flight in self.network.held]
        return [rows[0][0] for rows in held]

    def sent(self) -> list[tuple[str, int, Any]]:
        """Return what the gateway sent: to whom, of what kind, unpacked."""
        return [(to, kind, unpack(body)) for _, to, (kind, body) in self.network.sent if to != GATEWAY]

    def other_session(self, attempt: bytes = b"other") -> int:
        """A session of somebody else."""
        number = self.apply(pack([OPEN, attempt, b"other"]))[1]
        assert isinstance(number, int)
        return number

    def command(self, session: int, seq: int, kind: int, command: list[Any]) -> list[Any]:
        """What somebody else does."""
        return self.apply(pack([COMMAND, session, seq, 1, 1, kind, NAME, command]))


assert slot_of(1, NAME, 1) == 0
