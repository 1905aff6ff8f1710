"""The actors of a node or client, wired to the cluster: remote refs, regions, services, membership events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from casty.actor.behavior import Behavior, Behaviors, ShardedBehavior
from casty.actor.context import ActorContext
from casty.actor.events import MemberLeft, MemberUp, ReachableMember, UnreachableMember
from casty.actor.local import LocalSystem
from casty.actor.mailbox import Mailbox
from casty.actor.ref import ActorRef
from casty.actor.services import Find, Listing, ServiceKey
from casty.actor.sharding import ShardEnvelope
from casty.address import ActorAddress, NodeAddress, peer_key
from casty.cluster.clients import ClientLinks
from casty.cluster.control import REGION
from casty.cluster.region_router import RegionRouter
from casty.cluster.regions import RegionHost
from casty.cluster.remote import MessageCodec, Remote
from casty.cluster.services import Receptionist
from casty.cluster.state import Member, MemberStatus, cluster_state
from casty.cluster.topology import Topology
from casty.config import SECOND_NS
from casty.errors import Mismatch, Unavailable
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.codec import Codec
from casty.wire.pack import pack
from casty.wire.serializer import Serializer

if TYPE_CHECKING:
    from casty.cluster.node import Node
    from casty.cluster.visitor import Visitor

__all__ = ["ClusterActors"]

M = TypeVar("M")

WRITE_TIMEOUT_S = 5.0


class ClusterActors:
    """Everything about actors that `ClusteredActorSystem` and `ClusterClient` share.

    Parameters
    ----------
    local, remote, router, receptionist
        The parts.
    host
        The entities of this node; None for a client.
    """

    def __init__(
        self,
        local: LocalSystem,
        remote: Remote,
        router: RegionRouter,
        receptionist: Receptionist,
        host: RegionHost | None,
    ) -> None:
        self.local = local
        self.remote = remote
        self.router = router
        self.receptionist = receptionist
        self.host = host
        self._members: dict[str, tuple[str, Member]] = {}
        self._registrar: ActorRef[tuple[str, int]] | None = None

    @classmethod
    def of_node(cls, node: Node, local: LocalSystem, serializer: Serializer | None = None) -> ClusterActors:
        """Wire the actors of a node that has started."""
        settings = node.settings
        clients = ClientLinks(node.links, local.node_lost)
        routes = _NodeRoutes(node, clients)
        remote = Remote(local, routes, _codec(local, serializer), node.key, settings.max_value_bytes)
        local.remote = remote
        host = RegionHost(
            local, remote, routes,
            lease_until_ns=_Leases(node).until_ns,
            margin_ns=int(settings.election_min_s * SECOND_NS / 10),
            max_entities=settings.max_entities,
        )  # fmt: skip
        router = RegionRouter(
            local, remote, routes,
            me=node.node_id, source=node.key, max_waiting=settings.max_mailbox, acceptor=host,
        )  # fmt: skip
        host.router = router
        receptionist = Receptionist(local, node.topology, node.control_calls.write, node.incarnation)
        actors = cls(local, remote, router, receptionist, host)
        actors._registrar = local.spawn_at("$regions", Behaviors.receive(_Registrar(node, host).handle)).ref
        node.extra_frames.update(
            {
                frames.ACTOR: lambda link, body: remote.on_actor(node.node_id, body),
                frames.RELAY: lambda link, body: remote.on_relay(
                    node.node_id, body, may_pass_on=link.remote.role == "client"
                ),
                frames.ENTITY: lambda link, body: router.on_entity(body),
                frames.ENTITY_REFUSED: lambda link, body: remote.on_refused(body),
                frames.CLIENTS: clients.on_clients,
            }
        )
        node.on_link.append(clients.changed)
        node.on_link.append(actors._link_changed)
        node.on_topology.append(actors.on_topology)
        node.slot_duties.may_transfer = host.hand_over
        return actors

    @classmethod
    def of_visitor(
        cls, visitor: Visitor, local: LocalSystem, serializer: Serializer | None = None
    ) -> ClusterActors:
        """Wire the actors of a client."""
        settings = visitor.settings
        source = peer_key(visitor.client_id, visitor.incarnation)
        routes = _VisitorRoutes(visitor)
        remote = Remote(local, routes, _codec(local, serializer), source, settings.max_value_bytes)
        local.remote = remote
        router = RegionRouter(local, remote, routes, me=None, source=source, max_waiting=settings.max_mailbox)
        receptionist = Receptionist(local, visitor.topology, None, visitor.incarnation)
        actors = cls(local, remote, router, receptionist, None)
        visitor.extra_frames.update(
            {
                frames.ACTOR: lambda link, body: remote.on_actor(visitor.client_id, body),
                frames.ENTITY_REFUSED: lambda link, body: remote.on_refused(body),
            }
        )
        visitor.on_topology.append(actors.on_topology)
        return actors

    # -- what the system and the client offer

    @overload
    def spawn(
        self, behavior: ShardedBehavior[M], name: str, *, mailbox: None = None
    ) -> ActorRef[ShardEnvelope[M]]: ...

    @overload
    def spawn(
        self, behavior: Behavior[M], name: str, *, mailbox: Mailbox[M] | None = None
    ) -> ActorRef[M]: ...

    def spawn(
        self, behavior: Behavior[M] | ShardedBehavior[M], name: str, *, mailbox: Mailbox[M] | None = None
    ) -> ActorRef[M] | ActorRef[ShardEnvelope[M]]:
        """Start an actor, or host a region under its name."""
        if isinstance(behavior, ShardedBehavior):
            return self.region_ref(name, behavior.entity_factory, num_shards=behavior.num_shards)
        return self.local.spawn(behavior, name, mailbox=mailbox)

    def region_ref(
        self, key: str, factory: Callable[[str], Behavior[Any]], *, num_shards: int
    ) -> ActorRef[ShardEnvelope[Any]]:
        """Host a region on this node, and return its ref; `Mismatch` for another shard count."""
        ref = self.router.ref(key, num_shards)
        if self.host is not None and self.host.register(key, factory, num_shards):
            assert self._registrar is not None, "a node has a registrar"
            self._registrar.tell((key, num_shards))
        return ref

    def entity_ref(self, shard_type: str, *, num_shards: int) -> ActorRef[ShardEnvelope[Any]]:
        """Return the ref of a region that others host; `Mismatch` for another shard count."""
        return self.router.ref(shard_type, num_shards)

    def listing(self, key: ServiceKey[M]) -> Listing[M]:
        """Return the present instances of a service."""
        return self.receptionist.listing(key)

    async def find(self, key: ServiceKey[M], timeout_s: float) -> Listing[M]:
        """Return the instances of a service; waits at most `timeout_s` seconds for the first topology."""
        receptionist: ActorRef[Find[M]] = self.receptionist.ref
        return await self.local.ask(receptionist, partial(Find, key), timeout=timeout_s)

    def lookup(self, path: str, node: NodeAddress | None = None) -> ActorRef[Any] | None:
        """Return a living actor of this process, or the ref of a path on another node, alive or not."""
        if node is None or node == self.local.address:
            return self.local.lookup(path)
        address = ActorAddress(self.local.name, f"/{path.strip('/')}", node.host, node.port)
        return self.local.make_ref(self.remote.resolve(address))

    async def close(self, *, is_forced: bool = False) -> None:
        """Stop the actors. Messages for entities elsewhere still go their way until `finish`."""
        await self.local.shutdown(is_forced=is_forced)

    def finish(self) -> None:
        """Give up what still waits for a leader: the links are gone."""
        self.router.close()
        if self.host is not None:
            self.host.close()

    # -- news

    def on_topology(self, topology: Topology) -> None:
        """A newer topology, or other leaders."""
        incarnations = {row.node_id: row.incarnation for row in topology.members.values()}
        for member in cluster_state(topology, None, ()).members:
            self._follow(member, incarnations[member.id])
        for node_id, (_, known) in list(self._members.items()):
            row = topology.members.get(node_id)
            if row is None or row.status == MemberStatus.removed.value:
                del self._members[node_id]
                self.local.node_lost(node_id)
                self.local.publish(MemberLeft(known))
        self.receptionist.on_topology(topology)
        self.router.retry()

    def _follow(self, member: Member, incarnation: str) -> None:
        """Publish how a member's status changed; a new process has none of its predecessor's actors."""
        known = self._members.get(member.id)
        self._members[member.id] = (incarnation, member)
        if known is not None and known[0] != incarnation:
            self.local.node_lost(member.id)
        before = None if known is None or known[0] != incarnation else known[1].status
        if before is member.status:
            return
        if member.status is MemberStatus.down:
            self.local.node_lost(member.id)
            self.local.publish(UnreachableMember(member))
        elif before is MemberStatus.down:
            self.local.publish(ReachableMember(member))
        elif member.status is MemberStatus.up:
            self.local.publish(MemberUp(member))

    def _link_changed(self, connection: Connection, is_up: bool) -> None:
        if is_up and connection.is_dialled:
            self.local.watching.node_found(connection.remote.node_id)


class _NodeRoutes:
    """A node's ways to other nodes and to clients."""

    def __init__(self, node: Node, clients: ClientLinks) -> None:
        self._node = node
        self._clients = clients
        self.topology = node.topology
        self.linked = node.linked

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for a node or a client of this node."""
        links = self._node.links
        return links.send_to_node(node_id, kind, body) or self._clients.send(node_id, kind, body)

    def relays_to(self, node_id: str) -> Sequence[str]:
        """Return the nodes that say they are linked with a client."""
        return self._clients.reached_by(node_id)


class _VisitorRoutes:
    """A client's ways: to nodes only, and through any node to whoever else."""

    def __init__(self, visitor: Visitor) -> None:
        self.topology = visitor.topology
        self.linked = visitor.linked
        self.send = visitor.send

    def relays_to(self, node_id: str) -> Sequence[str]:
        """Return the linked nodes."""
        return [linked for linked in self.linked() if linked != node_id]


class _Leases:
    """Until when a node leads each slot alone."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def until_ns(self, slot: int) -> int:
        """Return the end of the slot's lease on this node's clock; 0 without one."""
        group = self._node.host.groups.get(slot + 1)
        return 0 if group is None else group.core.lease_until_ns()


class _Registrar:
    """Writes this node's regions to the control group, one by one, until each is confirmed or refused."""

    def __init__(self, node: Node, host: RegionHost) -> None:
        self._node = node
        self._host = host

    async def handle(self, ctx: ActorContext[tuple[str, int]], region: tuple[str, int]) -> None:
        """Write one region."""
        shard_type, num_shards = region
        while True:
            topology = self._node.topology()
            if topology is not None and topology.regions.get(shard_type) == num_shards:
                return
            try:
                await self._node.control_calls.write(pack([REGION, shard_type, num_shards]), WRITE_TIMEOUT_S)
                return
            except Unavailable:
                ctx.log.warning(
                    "the control group does not answer; region %r is not registered yet", shard_type
                )
            except Mismatch as error:
                ctx.log.error("region %r: %s", shard_type, error)
                self._host.refused(shard_type, error)
                return


class _Serialized:
    """A user's serializer as the codec of messages."""

    def __init__(self, serializer: Serializer, local: LocalSystem) -> None:
        self._local = local
        self._serializer = serializer

    def encode(self, value: object) -> bytes:
        """Return the bytes of a message."""
        return self._serializer.serialize(value)

    def decode(self, data: bytes) -> object:
        """Return the message of bytes."""
        return self._serializer.deserialize(data, ref_factory=self._local.make_ref)


def _codec(local: LocalSystem, serializer: Serializer | None) -> MessageCodec:
    if serializer is None:
        return Codec(ref_factory=local.make_ref)
    return _Serialized(serializer, local)
