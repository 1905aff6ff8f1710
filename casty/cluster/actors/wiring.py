"""The actors of a node or client, wired to the cluster: remote refs, regions, services, membership events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from casty.actor.base import BaseBehavior, check_behavior
from casty.actor.behavior import Behavior, Behaviors
from casty.actor.cluster_refs import BroadcastRef, SingletonRef
from casty.actor.cluster_wide import BroadcastedBehavior, MarkedBehavior, ShardedBehavior, SingletonBehavior
from casty.actor.context import ActorContext
from casty.actor.local import LocalSystem
from casty.actor.mailbox import Mailbox
from casty.actor.ref import ActorRef
from casty.actor.services import Deregister, Find, Listing, Register, ServiceKey, Subscribe
from casty.actor.sharding import ShardEnvelope
from casty.address import ActorAddress, NodeAddress, node_id_of, peer_key
from casty.checks import check_callable
from casty.cluster.actors.bundles import Bundles
from casty.cluster.actors.client_links import ClientLinks
from casty.cluster.actors.entity_log import Appender, SlotLog
from casty.cluster.actors.hosted_regions import Hosted
from casty.cluster.actors.member_events import Membership
from casty.cluster.actors.passivation import NO_LIMITS, RegionLimits
from casty.cluster.actors.presence import ClientPresence, NodeCompany
from casty.cluster.actors.receptionist import Receptionist
from casty.cluster.actors.region_host import RegionHost
from casty.cluster.actors.region_router import RegionRouter, check_region
from casty.cluster.actors.remote import Remote
from casty.cluster.actors.singletons import Singletons, factory_of
from casty.cluster.control.schema import REGION
from casty.cluster.control.topology import Topology
from casty.cluster.node.actor_hooks import ActorHooks
from casty.complaint import Complaint
from casty.config import SECOND_NS
from casty.distributed.port import Port
from casty.distributed.value_port import ValuePort
from casty.errors import CastyError, Unavailable
from casty.transport.connection import Connection
from casty.transport.losses import Losses
from casty.wire import frames
from casty.wire.pack import pack
from casty.wire.serializer import Serializer
from casty.wire.serializer_codec import codec_of

if TYPE_CHECKING:
    from casty.cluster.client import ClientCore
    from casty.cluster.node.node import Node

__all__ = ["ClusterActors", "Leases", "NodeRoutes"]

M = TypeVar("M")

WRITE_TIMEOUT_S = 30.0

OWN_MESSAGES = (Deregister, Find, Listing, Register, Subscribe)
"""What the library's own actors say to each other; a user's serializer never sees it."""


class ClusterActors:
    """Everything about actors that `ClusteredActorSystem` and `ClusterClient` share.

    Parameters
    ----------
    local, remote, router, receptionist
        The parts.
    structures
        The way to structures, with this process's encoding of values.
    host
        The entities of this node; None for a client.
    """

    def __init__(
        self,
        local: LocalSystem,
        remote: Remote,
        router: RegionRouter,
        receptionist: Receptionist,
        structures: Port,
        host: RegionHost | None,
    ) -> None:
        self.local = local
        self.remote = remote
        self.router = router
        self.receptionist = receptionist
        self.structures = structures
        self.host = host
        self.membership = Membership(local)
        self._losses = Losses(local.runtime.clock)
        self._behaviors: Hosted | None = None
        self._followed: Topology | None = None
        self._status: str | None = None
        """This node's own, in that topology."""
        self._registrar: ActorRef[Registered] | None = None
        self._singletons = None if host is None else Singletons(local, host)

    @classmethod
    def of_node(cls, node: Node, local: LocalSystem, serializer: Serializer | None = None) -> ClusterActors:
        """Wire the actors of a node that has started."""
        settings = node.settings
        clients = ClientLinks(node.links, local.watching.table.look, node.boundary.is_member)
        routes = NodeRoutes(node, clients)
        codec = codec_of(serializer, local.make_ref, OWN_MESSAGES)
        remote = Remote(local, routes, codec, node.key, settings.max_value_bytes)
        local.remote = remote
        local.watching.join(NodeCompany(node, clients, remote))
        structures = ValuePort(node.gateway, codec)
        host = RegionHost(
            local, remote, routes,
            lease_until_ns=Leases(node).until_ns,
            margin_ns=int(settings.election_min_s * SECOND_NS / 10),
            max_entities=settings.max_entities,
            logs=partial(SlotLog, structures, node.runtime, Appender(node.requests.append)),
        )  # fmt: skip
        router = RegionRouter(
            local, remote, routes,
            me=node.node_id, source=node.key, max_waiting=settings.max_mailbox, acceptor=host,
        )  # fmt: skip
        host.router = router
        host.served_since_ns = Serving(node).since_ns
        receptionist = Receptionist(local, node.topology, node.control_calls.write, node.incarnation)
        actors = cls(local, remote, router, receptionist, structures, host)
        actors._registrar = local.spawn_at("$regions", Behaviors.receive(_Registrar(node, host).handle)).ref
        actors._losses = node.losses
        complaint = Complaint(local.runtime.clock, local.log, SECOND_NS, logging.ERROR)
        actors._behaviors = hosted = Hosted(node.links, host.names, complaint.say)
        node.attach(
            ActorHooks(
                handlers={**_handlers_of(node, remote, router, clients), frames.REGIONS: hosted.on_regions},
                on_topology=(lambda topology: clients.members_changed(), actors.on_topology),
                on_link=(hosted.changed, clients.changed, actors._link_changed),
                flaw_of_client=clients.flaw_of,
                may_transfer=host.hand_over,
                messages_lost=local.counts,
                on_lost=local.lost,
                on_unconfirmed=local.unconfirmed,
                is_there=routes.is_there,
            )
        )
        return actors

    @classmethod
    def of_client(
        cls, client_core: ClientCore, local: LocalSystem, serializer: Serializer | None = None
    ) -> ClusterActors:
        """Wire the actors of a client."""
        source = peer_key(client_core.client_id, client_core.incarnation)
        routes = _ClientRoutes(client_core)
        codec = codec_of(serializer, local.make_ref, OWN_MESSAGES)
        remote = Remote(local, routes, codec, source, None)
        local.remote = remote
        local.watching.join(ClientPresence(client_core, remote))
        max_waiting = client_core.settings.max_mailbox
        router = RegionRouter(local, remote, routes, me=None, source=source, max_waiting=max_waiting)
        router.refusal = client_core.refusal
        receptionist = Receptionist(local, client_core.topology, None, client_core.incarnation)
        actors = cls(local, remote, router, receptionist, ValuePort(client_core.gateway, codec), None)
        client_core.extra_frames.update(
            {
                frames.ACTOR: lambda link, body: remote.on_actor(client_core.client_id, body),
                frames.WATCH: lambda link, body: remote.on_watch(client_core.client_id, body),
                frames.ENTITY_REFUSED: lambda link, body: remote.on_refused(body),
                frames.BUNDLE: Bundles(
                    {frames.ACTOR: partial(remote.on_row, client_core.client_id)},
                    _believed,
                    client_core.carried,
                ).on_bundle,
            }
        )
        losses = actors._losses = client_core.losses
        losses.tell(local.lost, local.unconfirmed, local.runtime.observe, routes.is_there)
        client_core.on_topology.append(actors.on_topology)
        client_core.on_link.append(partial(actors._client_link_up, client_core))
        client_core.on_limits.append(remote.limited)
        return actors

    # -- what the system and the client offer

    def spawn(
        self, behavior: BaseBehavior[Any] | MarkedBehavior, name: str, *, mailbox: Mailbox[Any] | None
    ) -> ActorRef[Any]:
        """Start an actor, or what a marked behaviour stands for; on a client that is a region's ref alone."""
        if self.host is None and not isinstance(behavior, ShardedBehavior):
            check_behavior(behavior)
        if isinstance(behavior, BroadcastedBehavior):
            self.local.spawn(behavior.behavior, name, mailbox=mailbox)
            return BroadcastRef(name, partial(self._everywhere, name))
        if isinstance(behavior, (ShardedBehavior, SingletonBehavior)) and mailbox is not None:
            raise TypeError(f"mailbox: expected None for the region {name!r}: each entity has its own")
        if isinstance(behavior, ShardedBehavior):
            limits = RegionLimits(
                int((behavior.idle_timeout or 0) * SECOND_NS), behavior.max_activations or 0
            )
            return self._host_region(
                name, behavior.entity_factory, behavior.num_shards, limits, behavior.role
            )
        if isinstance(behavior, SingletonBehavior):
            factory = factory_of(behavior.factory)
            ref = SingletonRef[Any](name, self.region_ref(name, factory, num_shards=1, role=behavior.role))
            assert self._singletons is not None, "a node"
            self._singletons.add(name)
            return ref
        return self.local.spawn(behavior, name, mailbox=mailbox)

    def _everywhere(self, name: str) -> list[ActorRef[Any]]:
        """Return the refs of a path on this node and on all other members that are up, by their ids."""
        local, known = self.local, {} if self._followed is None else self._followed.members
        assert local.origin is not None, "a node"
        refs = {local.origin.node_id: local.own_ref(name)}
        for node_id, member in known.items():
            if member.status == "up" and node_id not in refs:
                address = ActorAddress(local.name, f"/{name}", member.host, member.port, node_id)
                refs[node_id] = local.make_ref(address)
        return [refs[node_id] for node_id in sorted(refs)]

    def region_ref(
        self, key: str, factory: Callable[[str], Behavior[Any]], *, num_shards: int, role: str | None = None
    ) -> ActorRef[ShardEnvelope[Any]]:
        """Host a region on this node, and return its ref; `Mismatch` for another shard count or role."""
        return self._host_region(key, factory, num_shards, NO_LIMITS, role)

    def _host_region(
        self,
        key: str,
        factory: Callable[[str], Behavior[Any]],
        num_shards: int,
        limits: RegionLimits,
        role: str | None,
    ) -> ActorRef[ShardEnvelope[Any]]:
        check_region(key, num_shards)
        if self.host is not None:
            check_callable(factory, "factory")
        if self.host is not None and self.host.register(key, factory, num_shards, limits, role):
            assert self._registrar is not None, "a node has a registrar"
            self._registrar.tell((key, num_shards, role))
            assert self._behaviors is not None, "a node tells others what it hosts"
            self._behaviors.began(key)
        return self.router.ref(key, num_shards)

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
        """Return a living actor or hosted region of this process, or the ref of a path on another node, alive or not.

        An actor goes before a region of the same name.
        """
        if node is None or node == self.local.address:
            return self.local.lookup(path) or self._hosted(path.strip("/"))
        address = ActorAddress(self.local.name, f"/{path.strip('/')}", *node)
        return self.local.make_ref(self.remote.resolve(address))

    def _hosted(self, name: str) -> ActorRef[Any] | None:
        num_shards = None if self.host is None else self.host.shards_of(name)
        return None if num_shards is None else self.router.ref(name, num_shards)

    async def close(self, *, is_forced: bool = False) -> None:
        """Stop the actors, unlisted before. Messages for entities elsewhere still go their way until `finish`."""
        if not is_forced:
            await self.receptionist.withdraw()
        await self.local.shutdown(is_forced=is_forced)
        self.local.watching.table.flush()  # the links may end in this turn

    def finish(self) -> None:
        """Give up what still waits for a leader: the links are gone."""
        self.router.close()
        self.remote.senders.close()
        self._losses.close()
        self.local.watching.close()
        if self.host is not None:
            self.host.close()

    # -- news

    def on_topology(self, topology: Topology) -> None:
        """A newer topology, or other leaders."""
        if topology is not self._followed:
            self._followed = topology
            self.membership.follow(topology)
            self.local.watching.table.look()
            self._look_at_itself(topology)
        self.receptionist.on_topology(topology)
        self.router.retry()

    def _look_at_itself(self, topology: Topology) -> None:
        """Others may have forgotten a node that was not up: it says again what it watches."""
        assert self.local.origin is not None, "it has others"
        me = topology.members.get(self.local.origin.node_id)
        status = None if me is None else me.status
        if status != self._status and status == "up":
            self.local.watching.table.news_of(lambda node_id: True)
        self._status = status

    def _link_changed(self, connection: Connection, is_up: bool) -> None:
        table, node_id = self.local.watching.table, connection.remote.node_id
        table.look(node_id)
        if is_up:
            table.news_of(lambda other: other == node_id)

    def _client_link_up(self, client_core: ClientCore, node_id: str) -> None:
        """There is a way to that node, and to whoever is reached through it."""
        self.local.watching.table.news_of(lambda other: other == node_id or not client_core.is_linked(other))


def _handlers_of(
    node: Node, remote: Remote, router: RegionRouter, clients: ClientLinks
) -> dict[int, Callable[[Connection, bytes], None]]:
    """Return what takes the frames between the actors of processes, at a node."""
    boundary = node.boundary
    bundles = Bundles(
        {frames.ACTOR: partial(remote.on_row, node.node_id), frames.ENTITY: router.on_row},
        boundary.speaker,
        lambda link, error: boundary.carried(link, error, boundary.role_of(link)),
    )
    return {
        frames.ACTOR: lambda link, body: remote.on_actor(node.node_id, body, node.boundary.speaker(link)),
        frames.WATCH: lambda link, body: remote.on_watch(
            node.node_id, body, node.boundary.speaker(link), may_pass_on=link.remote.role == "client"
        ),
        frames.RELAY: lambda link, body: remote.on_relay(
            node.node_id, body, link.remote.role == "client", node.boundary.speaker(link)
        ),
        frames.ENTITY: lambda link, body: router.on_entity(body, node.boundary.speaker(link)),
        frames.ENTITY_REFUSED: lambda link, body: remote.on_refused(body),
        frames.BUNDLE: bundles.on_bundle,
        frames.CLIENTS: clients.on_clients,
    }


def _believed(link: Connection) -> None:
    """A client believes the nodes that it dialled."""
    del link


class NodeRoutes:
    """A node's ways to other nodes and to clients."""

    def __init__(self, node: Node, clients: ClientLinks) -> None:
        self._node = node
        self._clients = clients
        self._relay_path = 0
        """How often others were asked to pass something on; each time it is another one's turn."""
        self.topology = node.topology
        self.linked = node.linked

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for a node or a client of this node."""
        links = self._node.links
        return links.send_to_node(node_id, kind, body) or self._clients.send(node_id, kind, body)

    def relays_to(self, node_id: str) -> Sequence[str]:
        """Return the nodes that say they are linked with a client."""
        return self._clients.reached_by(node_id)

    def relay_paths_to(self, node_id: str) -> Sequence[str]:
        """Return for a client whom a message to it goes through, for a member without a link every other one, in turn.

        Nobody says which members have a link to that one. A link that has no room is waited for: what was said before
        is in it, and an end comes behind that.
        """
        topology = self.topology()
        if topology is None or node_id not in topology.members:
            return self.relays_to(node_id)
        if node_id in self._node.links.nodes:
            return ()
        others = [linked for linked in self.linked() if linked not in (node_id, self._node.node_id)]
        self._relay_path += 1
        first = self._relay_path % max(1, len(others))
        return [*others[first:], *others[:first]]

    def is_there(self, key: str) -> bool:
        """Whether a process is a member, or a client that some node is linked with."""
        return _is_member(self.topology(), key) or self._clients.is_linked(node_id_of(key))

    def address_of(self, key: str) -> NodeAddress | None:
        """Return where a node is that is known, by its peer key."""
        return self._node.boundary.address_of(key)


class _ClientRoutes:
    """A client's ways: to nodes only, and through any node to whoever else."""

    def __init__(self, client_core: ClientCore) -> None:
        self.topology = client_core.topology
        self.linked = client_core.linked
        self.send = client_core.send

    def relays_to(self, node_id: str) -> Sequence[str]:
        """Return the linked nodes."""
        return [linked for linked in self.linked() if linked != node_id]

    relay_paths_to = relays_to

    def is_there(self, key: str) -> bool:
        """Whether a process is a member; nobody tells a client of other clients."""
        return _is_member(self.topology(), key)

    def address_of(self, key: str) -> NodeAddress | None:
        """Return where a member is, by its peer key."""
        topology = self.topology()
        member = None if topology is None else topology.members.get(node_id_of(key))
        return NodeAddress(member.host, member.port) if _is_member(topology, key) and member else None


def _is_member(topology: Topology | None, key: str) -> bool:
    member = None if topology is None else topology.members.get(node_id_of(key))
    return member is not None and peer_key(member.node_id, member.incarnation) == key


class Leases:
    """Until when a node leads each slot alone."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def until_ns(self, slot: int, after_ns: int) -> int:
        """Return the end of the slot's lease on this node's clock, or an earlier instant after `after_ns`; 0: none.

        There is none before the slot has begun, see `SlotRow.is_beginning`, and none for a group in whose place another
        one began.
        """
        group = self._node.host.groups.get(slot + 1)  # as `group_of`: each step of an entity asks
        if group is None:
            return 0
        slots = self._node.control.machine.slots
        if slot < len(slots):
            row = slots[slot]
            if not row.held or row.epoch != group.epoch:
                return 0
        core = group.core
        known_ns = core.lease_known_ns  # as `lease_beyond_ns` begins
        return known_ns if known_ns > after_ns else core.lease_beyond_ns(after_ns)


class Serving:
    """Since when a node serves. It may lead slots before: those that its disk has, and those of its role."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._since_ns: int | None = None

    def since_ns(self) -> int:
        """Return since when; now, if it does not."""
        now_ns = self._node.runtime.clock.now()
        if self._since_ns is None and not self._node.missing:
            self._since_ns = now_ns
        return now_ns if self._since_ns is None else self._since_ns


Registered = tuple[str, int, str | None]
"""A region, its number of shards, and its role."""


def _is_recorded(topology: Topology, region: Registered) -> bool:
    shard_type, num_shards, role = region
    return (topology.regions.get(shard_type), topology.region_roles.get(shard_type)) == (num_shards, role)


class _Registrar:
    """Writes this node's regions to the control group, one by one, until each is confirmed or refused."""

    def __init__(self, node: Node, host: RegionHost) -> None:
        self._node = node
        self._host = host

    async def handle(self, ctx: ActorContext[Registered], region: Registered) -> None:
        """Write one region."""
        shard_type, num_shards, role = region
        entry = pack([REGION, shard_type, num_shards, role])
        while True:
            topology = self._node.topology()
            if topology is not None and _is_recorded(topology, region):
                return
            try:
                await self._node.control_calls.write(entry, WRITE_TIMEOUT_S)
                return
            except Unavailable:
                ctx.log.warning(
                    "the control group does not answer; region %r is not registered yet", shard_type
                )
            except CastyError as error:
                ctx.log.error("region %r: %s", shard_type, error)
                self._host.refused(shard_type, error)
                return
