"""A few processes with actors on an instant wire and a clock that only tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from casty import runtime
from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.event_store import EventStore, JournalStore
from casty.actor.events import DeadLetter, EventStreamSubscribe
from casty.actor.local import LocalSystem, Origin
from casty.actor.ref import ActorRef
from casty.actor.standing import Standing
from casty.address import NodeAddress, node_id_of
from casty.cluster.actors.region_host import RegionHost
from casty.cluster.actors.region_router import RegionRouter
from casty.cluster.actors.remote import Remote
from casty.cluster.authority import CLIENT, MEMBER, Speaker
from casty.cluster.control.topology import LeaderTable, Topology
from casty.distributed.machines.events import Home
from casty.journal.memory import InMemoryJournal
from casty.ports import Runtime
from casty.wire import frames
from casty.wire.codec import Codec
from tests.kit.gateways import nodes_up
from tests.kit.network import at_once
from tests.kit.world import World

SLOTS = 4
MARGIN_NS = 100_000_000


@dataclass(frozen=True)
class Get:
    reply_to: ActorRef[Any]


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Stop:
    pass


def counter(entity_id: str) -> Behavior[Any]:
    return _Counter(entity_id).behavior


class _Counter:
    def __init__(self, entity_id: str) -> None:
        self.entity_id = entity_id
        self.count = 0
        self.behavior: Behavior[Any] = Behaviors.receive(self.handle)

    def handle(self, ctx: ActorContext[Any], message: Any) -> Behavior[Any] | None:
        match message:
            case Add(amount):
                self.count += amount
            case Get(reply_to):
                reply_to.tell((self.entity_id, self.count))
            case Stop():
                return Behaviors.stopped()
            case _:
                return Behaviors.unhandled()
        return None


Frame = tuple[int, bytes]
"""A kind and a body."""


class RegionWorld(World[Frame]):
    """Processes by id; a link exists unless it is cut, and nothing is under way but what is held back."""

    def __init__(self, nodes: Sequence[str], clients: Sequence[str] = ()) -> None:
        super().__init__(carry=at_once, knows_cuts=True)
        self.runtime: Runtime = replace(runtime.current(), clock=self.clock)
        self.leaders = LeaderTable()
        members = nodes_up(nodes)
        slots = tuple((1, tuple(nodes)) for _ in range(SLOTS))
        self.topology: Topology | None = Topology(1, "c", 1, 15.0, 0.01, members, slots, {}, {}, self.leaders)
        self.leases: dict[tuple[str, int], int] = {}
        self.gone: dict[str, None] = {}
        """Peer keys of processes that are known to have ended."""
        self.journal = InMemoryJournal()
        """The logs of event-sourced entities: here no slot has any."""
        self.processes = {name: Process(self, name, is_node=name in nodes) for name in (*nodes, *clients)}
        self.term = 0

    def lead(self, node_id: str, lease_s: float = 1000.0) -> None:
        """Make one node the leader of every slot, with a lease of so many seconds from now."""
        self.term += 1
        for slot in range(SLOTS):
            self.leaders.learn(slot, 1, self.term, node_id)
            for other in self.processes:
                self.leases.pop((other, slot), None)
            self.leases[node_id, slot] = self.clock.now() + int(lease_s * 1e9)

    def send(self, source: str, target: str, kind: int, body: bytes) -> bool:
        if target not in self.processes:
            return False
        if not (self.processes[source].is_node or self.processes[target].is_node):
            return False
        return self.network.send(source, target, (kind, body))

    def receive(self, sender: str, to: str, message: Frame) -> None:
        self.processes[to].take(sender, *message)

    async def close(self) -> None:
        for process in self.processes.values():
            closing = asyncio.ensure_future(process.local.shutdown())
            while not closing.done():
                await asyncio.sleep(0)
            process.router.close()
            process.remote.senders.close()
            process.local.watching.close()
            if process.host is not None:
                process.host.close()


class Process:
    """One node or client."""

    def __init__(self, world: RegionWorld, name: str, *, is_node: bool) -> None:
        self.world = world
        self.name = name
        self.is_node = is_node
        self.local = LocalSystem("test", world.runtime, origin=Origin(name, 1, name))
        self.letters: list[DeadLetter] = []
        self.local.event_stream.tell(EventStreamSubscribe(DeadLetter, self.letters.append))
        self.remote = Remote(self.local, self, Codec(ref_factory=self.local.make_ref), f"{name}#1", 1_000)
        self.local.remote = self.remote
        self.local.watching.join(Neighbours(self))
        self.host = self._make_host() if is_node else None
        self.router = RegionRouter(
            self.local, self.remote, self, me=name if is_node else None, source=f"{name}#1", max_waiting=5,
            acceptor=self.host,
        )  # fmt: skip
        if self.host is not None:
            self.host.router = self.router

    def _make_host(self) -> RegionHost:
        return RegionHost(
            self.local,
            self.remote,
            self,
            lease_until_ns=self._lease_until_ns,
            margin_ns=MARGIN_NS,
            max_entities=3,
            logs=self._log,
        )

    def _log(self, home: Home) -> EventStore:
        return JournalStore(self.world.journal, "/".join(map(str, home)))

    def _lease_until_ns(self, slot: int, after_ns: int) -> int:
        del after_ns
        return self.world.leases.get((self.name, slot), 0)

    def topology(self) -> Topology | None:
        return self.world.topology

    def linked(self) -> Sequence[str]:
        return [
            name
            for name, process in self.world.processes.items()
            if process.is_node and name != self.name and not self.world.network.is_cut(self.name, name)
        ]

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        return self.world.send(self.name, node_id, kind, body)

    def relays_to(self, node_id: str) -> Sequence[str]:
        return [
            name for name in self.linked() if name != node_id and not self.world.network.is_cut(name, node_id)
        ]

    relay_paths_to = relays_to

    def address_of(self, key: str) -> NodeAddress | None:
        process = self.world.processes.get(node_id_of(key))
        return NodeAddress(process.name, 1) if process is not None and process.is_node else None

    def is_there(self, key: str) -> bool:
        return key not in self.world.gone

    def _is_node(self, name: str) -> bool:
        return name in self.world.processes and self.world.processes[name].is_node

    def take(self, source: str, kind: int, body: bytes) -> None:
        match kind:
            case frames.ACTOR:
                self.remote.on_actor(self.name, body)
            case frames.WATCH:
                there = self.world.processes[source]
                speaker = Speaker(MEMBER if there.is_node else CLIENT, f"{source}#1", self._is_node)
                self.remote.on_watch(
                    self.name, body, speaker if self.is_node else None, may_pass_on=not there.is_node
                )
            case frames.RELAY:
                self.remote.on_relay(self.name, body, not self.world.processes[source].is_node)
            case frames.ENTITY:
                self.router.on_entity(body)
            case frames.ENTITY_REFUSED:
                self.remote.on_refused(body)
            case _:
                raise AssertionError(kind)


class Neighbours:
    """Who is there, as one process of such a world sees it."""

    judges = True
    grace_ns = 15_000_000_000

    def __init__(self, process: Process) -> None:
        self._world = process.world
        self.node_at = process.remote.node_at
        self.say = process.remote.say

    def standing(self, node_id: str, incarnation: str) -> Standing:
        world = self._world
        if node_id not in world.processes or f"{node_id}#1" in world.gone or incarnation not in ("", "1"):
            return Standing.UNKNOWN
        return Standing.MEMBER if world.processes[node_id].is_node else Standing.LINKED

    def is_sighted(self) -> bool:
        return True

    def guardian(self) -> str | None:
        return None
