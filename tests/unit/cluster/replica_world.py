"""One slot, three nodes and some clients, without links, consensus or real time: the test is the network.

Requests, keep-alives and answers are under way until the test delivers, repeats or loses them. Requests may come
late, twice and in any order; the answers of one link come in order or are lost with it, as on TCP. What a leader
proposed is committed when the test says so; a change of leadership lets as much of it survive as the test wants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from casty.cluster.control.topology import LeaderTable, Topology
from casty.cluster.multiraft.memory_budget import MemoryBudget
from casty.cluster.sessions.gateway import Gateway
from casty.cluster.slots.node_memory import NodeMemory
from casty.cluster.slots.operations import OP_KEEPALIVE, OP_READ, OP_WRITE, RELAY
from casty.cluster.slots.replica import SlotReplica
from casty.config import SECOND_NS, Settings
from casty.consensus import Entry, NotLeading
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.gateways import Routes, nodes_up
from tests.kit.network import Flight
from tests.kit.world import World

TTL_S = 15.0
DRIFT = 0.01
NODES = ("a", "b", "c")


class SlotLog:
    offset = 0

    def __init__(self, world: ReplicaWorld) -> None:
        self.world = world

    def slice(self, first: int, last: int) -> list[Entry]:
        return [*self.world.log, *self.world.pending][first - 1 : last]


class SlotCore:
    """The part of a core that a slot's replica asks for."""

    def __init__(self, world: ReplicaWorld, node_id: str) -> None:
        self.world = world
        self.node_id = node_id
        self.log = SlotLog(world)
        self.peers = tuple(other for other in NODES if other != node_id)
        self.reads: list[int] = []
        self.has_lease = True

    @property
    def term(self) -> int:
        return self.world.term

    @property
    def last_index(self) -> int:
        return len(self.world.log) + len(self.world.pending)

    @property
    def applied(self) -> int:
        return len(self.world.log)

    @property
    def lead_index(self) -> int:
        return self.world.lead_index

    def lease_until_ns(self) -> int:
        return self.world.clock.now() + SECOND_NS if self.has_lease else 0

    def propose(self, data: bytes) -> int:
        if self.world.leader != self.node_id:
            raise NotLeading("another leads")
        self.world.pending.append(Entry(self.world.term, 0, data))
        return self.last_index

    def read(self, now_ns: int, token: int) -> None:
        self.reads.append(token)


class SlotGroup:
    def __init__(self, world: ReplicaWorld, node_id: str) -> None:
        self.world = world
        self.number = 1
        self.core = SlotCore(world, node_id)

    @property
    def epoch(self) -> int:
        return self.world.epoch

    @property
    def is_leading(self) -> bool:
        return self.world.leader == self.core.node_id

    @property
    def applied_index(self) -> int:
        return len(self.world.log)


class Frame(NamedTuple):
    """A request, a keep-alive, or what a node answers; the link that it goes over, and whose that is."""

    client: Client
    node_id: str
    link: int
    kind: int
    body: bytes
    to_node: bool


class LinkReplySink:
    """Answers leave one by one, in order, and there is always room for them."""

    is_full = False

    def __init__(self, world: ReplicaWorld, client: Client, node_id: str) -> None:
        self.world, self.client, self.node_id, self.link = (
            world,
            client,
            node_id,
            client.links.get(node_id, -1),
        )

    def put_off(self, serve: Callable[[], None]) -> None:
        raise AssertionError("it is never full")

    def add(self, call_id: int, reply: list[object]) -> None:
        if self.client.links.get(self.node_id) == self.link:
            body = pack([[call_id, reply]])
            self.client.answer(self.node_id, self.link, frames.REPLY, body)


class Client(Routes):
    """A gateway and its way to the nodes."""

    def __init__(self, world: ReplicaWorld, name: str, **settings: Any) -> None:
        self.world = world
        self.name = name
        self.links: dict[str, int] = {}
        self.leaders = LeaderTable()
        self.has_topology = True
        self.is_hinted = False
        ports = world.ports(is_observed=True)
        self.events = ports.events
        self.gateway = Gateway(ports.runtime, self, Settings(slots=1, **settings), name.encode())
        for node_id in NODES:
            self.link_up(node_id)

    # -- routes

    def topology(self) -> Topology | None:
        if not self.has_topology:
            return None
        world = self.world
        return Topology(
            7, world.cluster_id, world.version, TTL_S, DRIFT, nodes_up(NODES),
            ((world.epoch, NODES),) * world.slots, {}, {}, self.leaders,
        )  # fmt: skip

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        link = self.links.get(node_id)
        if link is None:
            return False
        return self.world.network.send(
            self.name, node_id, Frame(self, node_id, link, kind, body, to_node=True)
        )

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        self.is_hinted = self.leaders.learn(slot, self.world.epoch, term, leader) or self.is_hinted

    def linked(self) -> Sequence[str]:
        return list(self.links)

    # -- what happens to it

    def answer(self, node_id: str, link: int, kind: int, body: bytes) -> None:
        """A node answers."""
        frame = Frame(self, node_id, link, kind, body, to_node=False)
        self.world.network.send(node_id, self.name, frame)

    def frames_sent(self) -> list[tuple[str, int]]:
        """Return what it sent: to whom and of what kind."""
        sent = [flight.message for flight in self.world.network.sent]
        return [(one.node_id, one.kind) for one in sent if one.client is self and one.to_node]

    def link_up(self, node_id: str) -> None:
        if node_id not in self.links:
            self.world.links += 1
            self.links[node_id] = self.world.links
            self.gateway.on_link_up(node_id)

    def link_down(self, node_id: str) -> None:
        """The link ends; its answers are lost, its requests may still come."""
        if self.links.pop(node_id, None) is not None:
            self.world.network.lose(
                lambda one: (
                    not one.message.to_node and one.message.client is self and one.message.node_id == node_id
                )
            )
            self.gateway.on_link_down(node_id)

    def hear(self) -> None:
        """The topology feed says who leads."""
        for slot in range(self.world.slots):
            self.leaders.learn(slot, self.world.epoch, self.world.term, self.world.leader)
        self.gateway.on_topology()


class ReplicaWorld(World[Frame]):
    """The slot, its replicas and their clients."""

    turns = 6
    tick_ns = SECOND_NS // 4

    def __init__(self, **settings: Any) -> None:
        super().__init__(1_000 * SECOND_NS, wall_s=7)
        self.epoch = 1
        self.version = 1
        self.cluster_id = "x"
        self.slots = 1
        self.term = 1
        self.lead_index = 0
        self.links = 0
        self.leader: str | None = "a"
        self.log: list[Entry] = []
        self.pending: list[Entry] = []
        self.clients: list[Client] = []
        self.settings = settings
        self.replicas: dict[str, SlotReplica] = {}
        self.groups = {node_id: SlotGroup(self, node_id) for node_id in NODES}
        host: Any = None
        self.memory = NodeMemory(MemoryBudget(1 << 40), "a", host, {}, lambda: 0)
        self.make_replicas()

    def make_replicas(self) -> None:
        runtime = self.ports().runtime
        settings = Settings(slots=1, **self.settings)
        names = ("max_waiters", "max_entities", "max_sessions")
        agreed = {name: getattr(settings, name) for name in names}
        cluster: dict[str, float] = {"session_ttl_s": TTL_S, "drift": DRIFT, **agreed}
        for node_id in NODES:
            replica = SlotReplica(0, runtime, settings, 7, cluster, lambda group: None, self.memory)
            replica.on_over = partial(self._end_part, replica, self.groups[node_id])
            self.replicas[node_id] = replica
            replica.role_changed(cast(Any, self.groups[node_id]))

    def _end_part(self, replica: SlotReplica, group: SlotGroup, slot: int) -> None:
        """The end of a session goes on in a turn of its own."""
        assert slot == 0
        self.clock.call_at(self.clock.now(), replica.propose_part, group, self.clock.now())

    @property
    def machine(self) -> Any:
        return self.replicas["a"].machine

    def client(self, name: str = "c", **settings: Any) -> Client:
        client = Client(self, name, **{**self.settings, **settings})
        self.clients.append(client)
        client.hear()
        return client

    # -- the log

    def commit(self, count: int | None = None) -> None:
        """Commit the first of what was proposed."""
        for _ in range(len(self.pending) if count is None else min(count, len(self.pending))):
            entry = self.pending.pop(0)
            self.log.append(entry)
            for replica in self.replicas.values():
                replica.apply(len(self.log), entry)

    def elect(self, node_id: str | None, survivors: int = 0) -> None:
        """Another leads; of what was proposed only the first `survivors` entries will be committed."""
        former, self.leader = self.leader, node_id
        self.term += 1
        del self.pending[survivors:]
        self.lead_index = len(self.log) + len(self.pending)
        for name in NODES:
            if name in (former, node_id):
                self._refuse_reads(name)
                self.replicas[name].role_changed(cast(Any, self.groups[name]))
        if former == node_id and node_id is not None:
            # The same node in another term: it stepped down in between.
            self.leader = None
            self.replicas[node_id].role_changed(cast(Any, self.groups[node_id]))
            self.leader = node_id
            self.replicas[node_id].role_changed(cast(Any, self.groups[node_id]))

    def _refuse_reads(self, node_id: str) -> None:
        core = self.groups[node_id].core
        reads, core.reads = core.reads, []
        for token in reads:
            self.replicas[node_id].refuse_read(token)

    def serve_reads(self) -> None:
        if self.leader is not None:
            core = self.groups[self.leader].core
            reads, core.reads = core.reads, []
            for token in reads:
                self.replicas[self.leader].serve_read(token)

    def start_anew(self) -> None:
        """The slot begins empty under another epoch."""
        self.epoch += 1
        self.log, self.pending = [], []
        self.make_replicas()

    # -- the network

    def arrive(self, flight: Flight[Frame], *, again: bool = False) -> None:
        """Let a frame arrive; `again` leaves a copy of a request under way."""
        frame = flight.message
        if not frame.to_node:
            flight = next(
                one for one in self.network.flights
                if not one.message.to_node
                and one.message.client is frame.client and one.message.node_id == frame.node_id
            )  # fmt: skip
        self.network.arrive(flight, again=again and frame.to_node)

    def receive(self, sender: str, to: str, message: Frame) -> None:
        gateway = message.client.gateway
        if message.kind == frames.REQUEST:
            self._request(message)
        elif message.kind == frames.KEEPALIVE:
            self._keep_alive(message)
        elif message.client.links.get(message.node_id) == message.link:
            if message.kind == frames.REPLY:
                gateway.on_reply(message.body)
            else:
                gateway.on_keepalive_ack(message.body)
        for client in self.clients:
            if client.is_hinted:
                client.is_hinted = False
                client.gateway.on_topology()

    def _request(self, frame: Frame) -> None:
        answers = LinkReplySink(self, frame.client, frame.node_id)
        items: Any = unpack(frame.body)
        for call_id, _, epoch, operation, payload, proof in items:
            node_id = frame.node_id
            if operation & RELAY and self.leader is not None:
                node_id = self.leader
            replica, group = self.replicas[node_id], cast(Any, self.groups[node_id])
            if not group.is_leading or group.epoch != epoch:
                answers.add(call_id, [17, self.leader, self.term])
            elif operation & ~RELAY == OP_WRITE:
                replica.write(group, payload, proof, answers, call_id)
            elif operation & ~RELAY == OP_KEEPALIVE:
                answers.add(call_id, [0, replica.keep_alive(group, unpack(payload))])
            else:
                assert operation & ~RELAY == OP_READ
                replica.read(group, payload, answers, call_id)

    def _keep_alive(self, frame: Frame) -> None:
        nonce, rows = cast(Any, unpack(frame.body))
        group = cast(Any, self.groups[frame.node_id])
        answers = [
            self.replicas[frame.node_id].keep_alive(group, row) if group.is_leading and group.epoch == row[1]
            else [row[0], 17, [], [], [], self.leader, self.term]
            for row in rows
        ]  # fmt: skip
        if frame.client.links.get(frame.node_id) == frame.link:
            body = pack([nonce, answers])
            frame.client.answer(frame.node_id, frame.link, frames.KEEPALIVE_ACK, body)

    # -- turns and time

    def tick(self) -> None:
        """A heartbeat of the leader."""
        if self.leader is not None:
            self.replicas[self.leader].tick(cast(Any, self.groups[self.leader]), self.clock.now())

    def step(self) -> bool:
        """Deliver, then commit, then serve what was asked."""
        if super().step():
            return True
        if self.leader is None:
            return False
        if self.pending:
            self.commit()
            return True
        has_reads = bool(self.groups[self.leader].core.reads)
        self.serve_reads()
        return has_reads
