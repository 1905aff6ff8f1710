"""A member of a cluster: an actor system whose entities, structures and refs reach every other node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from casty import runtime as runtimes
from casty.actor.base import BaseBehavior
from casty.actor.behavior import Behavior
from casty.actor.cluster_refs import BroadcastRef
from casty.actor.cluster_wide import BroadcastedBehavior, MarkedBehavior, ShardedBehavior, SingletonBehavior
from casty.actor.local import LocalSystem, Origin
from casty.actor.mailbox import Mailbox
from casty.actor.ref import ActorRef
from casty.actor.services import Listing, ServiceKey, check_key
from casty.actor.sharding import ShardEnvelope
from casty.actor.system import ActorSystem
from casty.address import NodeAddress
from casty.checks import check_count, check_seconds
from casty.cluster.actors.wiring import ClusterActors
from casty.cluster.control.public_view import cluster_state, topology_snapshot
from casty.cluster.node.node import Node
from casty.cluster.node.options import (
    HasPath,
    NodeOptions,
    check_place,
    check_quorum,
    check_settings,
    check_tls,
    checked_data_dir,
    options_of,
)
from casty.cluster.node.start import make_node
from casty.complaint import one_line
from casty.config import SECOND_NS, CastyConfig, Settings
from casty.discovery import AUTO, Seeds, checked_contacts
from casty.distributed.facade import Distributed
from casty.errors import NotStarted
from casty.home_loop import HomeLoop
from casty.journal.base import EventJournal
from casty.members import ClusterState, MemberStatus, TopologySnapshot
from casty.secret import Secrets
from casty.tls import Config
from casty.traits import USUAL_WEIGHT, checked_traits
from casty.wire.serializer import Serializer
from casty.wire.serializer_codec import check_serializer

if TYPE_CHECKING:
    from casty.distributed.port import Port

__all__ = ["ClusteredActorSystem"]

M = TypeVar("M")
R = TypeVar("R")
POLL_S = 0.02
LEAVE_AGAIN_S = 30.0
"""How often it is said why a node that is drained has not left."""

log = logging.getLogger("casty.node")


class ClusteredActorSystem(ActorSystem):
    """One node of a cluster; what its actors see as ``ctx.system``.

    An instance is used for one ``async with``, and in the event loop in which that was entered: a process that
    comes back is a new one.

    Parameters
    ----------
    name
        The cluster's name, equal on all nodes.
    host, port
        Where other nodes and clients reach this node; port 0 picks a free one. As `host`, ``"auto"`` is the address by
        which this machine reaches the seeds.
    node_id
        The node's identity over restarts; None means ``host:port``.
    seed_nodes
        Addresses of nodes to found with or to join through; list all founders, this one may be among them. A host
        ``"dns://name"`` stands for all addresses of that name; a function, which may be a coroutine function, says
        addresses each time it is called. Both are asked again and again, and need `required_quorum`.
    roles
        What this node is for, at most 16 words; `Behaviors.sharded` and `Behaviors.singleton` can be limited to a role.
    zone
        What this node fails together with, such as a rack or a data center: the replicas of a slot are spread over
        zones as far as there are members. None when that is not known: then it counts as by itself.
    weight
        How much this node takes to what others do, of places and of leaderships: 1 to 10000, where 100 is usual.
    bind_host
        The interface to listen on, when it is not `host`.
    config
        Settings of the cluster; None means the defaults.
    tls
        Contexts for TLS in both directions; None means plain TCP.
    required_quorum
        How many seeds suffice to found, at least a majority of them, and for how many members that are up
        `async with` of a founder waits; None means all seeds, and one member. Where the seeds are no fixed list it has
        to be more than half of all nodes that are started before there is a cluster.
    serializer
        Encodes the messages of actors and the values of structures; None means the msgpack codec. Keys of
        maps and members of sets are the codec's in any case, so that all processes agree on what is equal.
    data_dir
        A directory of this node's own, made where there is none: replicas are kept there, and a process that is
        started with it again goes on with them. None keeps them in memory: then the other replicas are the durability.
    secret
        What all processes of the cluster share, of at least 16 bytes: with it this node links only with whoever proves
        that it has it too. A list while it is replaced: the first one proves, any of them is accepted. It is never
        sent, and encrypts nothing.
    suppress_dead_letters_on_shutdown
        Whether messages that find nobody since this system began to stop are only counted, not logged and not
        published as `DeadLetter`.

    Raises
    ------
    ConfigError
        A name or host is empty, a port cannot be one, `required_quorum` is less than a majority, `secret` is too
        short, or a role, zone or weight cannot be one. It is a `ValueError`.
    TypeError
        A parameter is of another type.

    Examples
    --------
    >>> async def main() -> None:
    ...     async with ClusteredActorSystem(name="shop", host="127.0.0.1", port=25520) as system:
    ...         await system.distributed().counter("visits").increment()
    """

    def __init__(
        self,
        *,
        name: str,
        host: str,
        port: int,
        node_id: str | None = None,
        seed_nodes: Seeds | None = None,
        roles: frozenset[str] = frozenset(),
        bind_host: str | None = None,
        config: Settings | None = None,
        tls: Config | None = None,
        required_quorum: int | None = None,
        serializer: Serializer | None = None,
        data_dir: str | HasPath | None = None,
        secret: str | Sequence[str] | Secrets | None = None,
        zone: str | None = None,
        weight: int = USUAL_WEIGHT,
        suppress_dead_letters_on_shutdown: bool = False,
    ) -> None:
        check_place(name, host, port, node_id, bind_host)
        contacts = checked_contacts("seed_nodes", seed_nodes or ())
        if host != AUTO:  # else it is looked at when the address is known
            check_quorum(required_quorum, contacts, NodeAddress(host, port))
        traits = checked_traits(zone, weight, roles)
        check_settings(config)
        check_tls(tls, is_node=True)
        check_serializer(serializer)
        self._serializer = serializer
        self._is_quiet_at_the_end = suppress_dead_letters_on_shutdown
        self._settings = config or Settings()
        self._required = required_quorum or 1
        self._runtime = runtimes.current()
        self._options = NodeOptions(
            name=name,
            host=host,
            port=port,
            node_id=node_id,
            bind_host=bind_host,
            contacts=contacts,
            required_quorum=required_quorum,
            settings=self._settings,
            data_dir=checked_data_dir(data_dir),
            tls=tls,
            secrets=Secrets.of("secret", secret),
            traits=traits,
        )
        self._node: Node | None = None
        """None until it listens; then it is complete, and it is never another one."""
        self._name = name
        self.recorded_shards: dict[tuple[int, str], int] = {}
        """What facades of this system were told of each structure's number of shards; bounded by them."""
        self._actors: ClusterActors | None = None
        self._closing: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._aborting: asyncio.Task[None] | None = None
        self._home = HomeLoop("system")
        self._is_used = False
        self._is_listening = False
        self._is_leaving = False
        """Somebody asked for it; once true it stays so."""

    @classmethod
    def from_config(cls, config: CastyConfig, **overrides: object) -> ClusteredActorSystem:
        """Make the node that a configuration describes.

        Parameters
        ----------
        config
            What `load_config` read; its ``[cluster]``, ``[tls]``, ``[settings]`` and name are used.
        overrides
            Parameters of the class; each replaces what the configuration says.

        Raises
        ------
        ConfigError
            The configuration has no section ``[cluster]``. It is a `ValueError`.

        Examples
        --------
        >>> from casty.config import load_config
        >>> config = load_config(environ={"CASTY_CLUSTER_PORT": "25520"})
        >>> ClusteredActorSystem.from_config(config, host="10.0.0.1").self_node.port
        25520
        """
        options = options_of(config, has_tls="tls" in overrides)
        options.update(overrides)
        return cls(**options)

    # -- life

    async def __aenter__(self) -> ClusteredActorSystem:
        """Return when this node serves; raises `TimeoutError` with everything closed when it is too late."""
        if self._is_used:
            raise NotStarted(
                "the system was started before; a process that comes back is a new one: make one"
            )
        self._is_used = True
        self._home.enter()
        node = self._node = await make_node(
            self._options, self._runtime, on_asked_to_leave=self._asked_to_leave, on_ended=self._ended
        )
        await node.start()
        self._is_listening = True
        local = LocalSystem(
            self._name,
            self._runtime,
            settings=self._settings,
            origin=Origin(node.address.host, node.address.port, node.node_id, node.incarnation),
            unread=node.memory.budget.unread,
            mail_refusal=node.memory.mail_refusal,
        )
        local.system = self
        local.is_quiet_at_the_end = self._is_quiet_at_the_end
        self._actors = ClusterActors.of_node(node, local, self._serializer)
        try:
            await self._until_serving(node)
        except BaseException:
            await self.abort()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()

    async def _until_serving(self, node: Node) -> None:
        clock = self._runtime.clock
        until_ns = clock.now() + int(self._settings.start_timeout_s * SECOND_NS)
        while node.missing or (node.control_group.has_founded and _members_up(node) < self._required):
            node.succession.check()
            if clock.now() >= until_ns:
                raise TimeoutError(
                    f"node {node.node_id} does not serve after "
                    f"{self._settings.start_timeout_s} s; missing: {self._what_is_missing(node)}"
                )
            await clock.sleep(POLL_S)

    def _what_is_missing(self, node: Node) -> str:
        if not node.control.machine.is_founded:
            return node.bootstrap.describe()
        missing = (
            ", ".join([*node.missing[:5], *node.group_health.texts])
            or f"{self._required} members that are up"
        )
        return missing + "".join(f"; {trouble}" for trouble in node.links.troubles())

    async def shutdown(self) -> None:
        """Stop: stop the actors, hand leaderships over, close the own sessions and every link.

        An actor may call it too; what is awaited of it there ends with that actor, the rest goes on.
        """
        self._home.check()
        if self._closing is None:
            if self._actors is None:
                return
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="shutdown")
            actors = self._actors
            self._closing.add_done_callback(lambda _: self._end(actors))
        await asyncio.shield(self._closing)

    async def leave(self, timeout: float = 60.0) -> None:
        """Leave the cluster for good, and stop.

        The node's replicas and its vote go to other members first, so nothing is lost and the groups are as small as
        they should be without it. A node that is only to stop for a while calls `shutdown`, and gets its places back.

        Parameters
        ----------
        timeout
            Seconds that handing everything over may take; stopping comes after that.

        Raises
        ------
        TimeoutError
            It took longer: some group has no majority, or nobody can take its place. The node serves and goes on
            leaving; call again to wait on, or `shutdown` to stop all the same.
        """
        self._started()
        check_seconds(timeout)
        self._is_leaving = True
        await self._node_there().leaving.leave(timeout)
        await self.shutdown()

    async def wait_stopped(self) -> None:
        """Return when the system has stopped, whoever told it to: this program, or an operator who drains its node."""
        self._started()
        await self._stopped.wait()

    def _asked_to_leave(self) -> None:
        """An operator drains this node: it leaves, however long that takes, and stops."""
        if not self._is_listening or self._is_leaving:
            return
        self._is_leaving = True
        if self._leaving is None and self._closing is None:
            self._leaving = asyncio.get_running_loop().create_task(self._leave_for_good(), name="leave")

    async def _leave_for_good(self) -> None:
        while self._closing is None:
            try:
                await self.leave(LEAVE_AGAIN_S)
            except TimeoutError as error:
                log.warning("%s", one_line(str(error)))
            except NotStarted:
                return

    async def _close(self) -> None:
        try:
            await self._started().close()
            self._actors = None
            await self._node_there().stop()
        finally:
            self._actors = None
            await self._node_there().abort()

    def _end(self, actors: ClusterActors) -> None:
        """What has to be done however stopping went: `asyncio.run` at its end cancels that task as well."""
        self._actors = None
        self._stopped.set()
        self._node_there().end()
        actors.finish()

    @property
    def is_superseded(self) -> bool:
        """Whether the system stopped because another generation was recovered from its cluster."""
        return self._node is not None and self._node.succession.successor is not None

    def _ended(self) -> None:
        if self._is_listening and self._aborting is None:  # before, whoever starts it finds that
            self._aborting = asyncio.get_running_loop().create_task(self._abort(), name="abort")

    async def abort(self) -> None:
        """Stop at once, handing nothing over; harmless before the start and after the end.

        Whoever waits here may be cancelled, and again: what was begun goes on without it.
        """
        self._home.check()
        if not self._is_listening:
            return
        if self._aborting is None:
            self._aborting = asyncio.get_running_loop().create_task(self._abort(), name="abort")
        await asyncio.shield(self._aborting)

    async def _abort(self) -> None:
        for task in (self._closing, self._leaving):
            if task is not None:
                task.cancel()
        actors, self._actors = self._actors, None
        try:
            if actors is not None:
                await actors.close(is_forced=True)
                actors.finish()
        finally:
            self._stopped.set()
            await self._node_there().abort()

    # -- who and where

    @property
    def core(self) -> LocalSystem:
        """What runs the actors; for whoever embeds a system, and for tests."""
        return self._started().local

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self._name

    @property
    def self_node(self) -> NodeAddress:
        """Where this node is reached."""
        if self._node is None:
            return NodeAddress(self._options.host, self._options.port)
        return self._node.address

    @property
    def node_id(self) -> str:
        """This node's identity."""
        if self._node is None:
            return self._options.node_id or str(self.self_node)
        return self._node.node_id

    @property
    def structures(self) -> Port:
        """The private port of the structures."""
        return self._started().structures

    @property
    def topology(self) -> TopologySnapshot | None:
        """What this node knows of the cluster; None before it knows anything."""
        self._started()
        node = self._node_there()
        topology = node.topology()
        return None if topology is None else topology_snapshot(topology, node.control_leader())

    def status(self) -> dict[str, object]:
        """Return what ``casty status --json`` prints."""
        self._started()
        return self._node_there().status()

    async def get_cluster_state(self, timeout: float = 5.0) -> ClusterState:
        """Return the members as this node knows them; waits at most `timeout` seconds for a topology."""
        self._started()
        check_seconds(timeout)
        clock, node = self._runtime.clock, self._node_there()
        until_ns = clock.now() + int(timeout * SECOND_NS)
        while (topology := node.topology()) is None:
            if clock.now() >= until_ns:
                raise TimeoutError(f"no topology within {timeout} s")
            await clock.sleep(POLL_S)
        return cluster_state(topology, node.control_leader())

    async def wait_for(self, n: int, timeout: float = 60.0) -> ClusterState:
        """Return the cluster's state once `n` members are up; `TimeoutError` after `timeout` seconds."""
        self._started()
        check_count("n", n, 0)
        check_seconds(timeout)
        clock = self._runtime.clock
        until_ns = clock.now() + int(timeout * SECOND_NS)
        while True:
            state = await self.get_cluster_state(timeout)
            up = sum(member.status is MemberStatus.up for member in state.members)
            if up >= n:
                return state
            if clock.now() >= until_ns:
                raise TimeoutError(f"expected {n} members up within {timeout} s, found {up}")
            await clock.sleep(POLL_S)

    async def barrier(self, name: str, n: int, timeout: float = 60.0) -> None:
        """Wait until `n` nodes are at the barrier `name`."""
        await self.distributed().barrier(name, timeout=timeout).arrive(n)

    def distributed(self, *, journal: EventJournal | None = None) -> Distributed:
        """Return a facade for distributed structures, any number of them; see there for `journal`."""
        self._started()
        return Distributed(self, journal=journal)

    # -- actors

    @overload
    def spawn(
        self, behavior: ShardedBehavior[M], name: str, *, mailbox: None = None
    ) -> ActorRef[ShardEnvelope[M]]: ...

    @overload
    def spawn(
        self, behavior: BroadcastedBehavior[M], name: str, *, mailbox: Mailbox[M] | None = None
    ) -> BroadcastRef[M]: ...

    @overload
    def spawn(
        self,
        behavior: BaseBehavior[M] | SingletonBehavior[M],
        name: str,
        *,
        mailbox: Mailbox[M] | None = None,
    ) -> ActorRef[M]: ...

    def spawn(
        self, behavior: BaseBehavior[Any] | MarkedBehavior, name: str, *, mailbox: Mailbox[Any] | None = None
    ) -> ActorRef[Any]:
        """Start an actor, or what `Behaviors.sharded`, `singleton` and `broadcasted` stand for.

        See `ActorSystem.spawn`.

        Raises
        ------
        Mismatch
            The region has another shard count, here or in the cluster.
        TypeError
            A mailbox was given for a region or a singleton.
        """
        return self._started().spawn(behavior, name, mailbox=mailbox)

    @overload
    def lookup(self, path: str, *, node: NodeAddress | None = None) -> ActorRef[Any] | None: ...

    @overload
    def lookup(self, path: ServiceKey[M], /, *, timeout: float = 5.0) -> Awaitable[Listing[M]]: ...

    def lookup(
        self, path: str | ServiceKey[M], *, node: NodeAddress | None = None, timeout: float = 5.0
    ) -> ActorRef[Any] | Awaitable[Listing[M]] | None:
        """Return the ref at a path, or for a service key what to await for its listing.

        Parameters
        ----------
        path
            A path on `node`, or a `ServiceKey`.
        node
            Where the path is; None is here, where living actors and hosted regions are found. On another node the ref
            is made without asking whether anybody lives there.
        timeout
            Seconds to wait for the first topology, for a service key.

        Raises
        ------
        TypeError
            `path` is neither of the two.
        """
        actors = self._started()
        if isinstance(path, str):
            return actors.lookup(path, node)
        check_key(path)
        return actors.find(path, timeout)

    @property
    def receptionist(self) -> ActorRef[Any]:
        """Takes `Register`, `Deregister`, `Subscribe` and `Find`."""
        return self._started().receptionist.ref

    def region_ref(
        self, key: str, factory: Callable[[str], Behavior[Any]], *, num_shards: int
    ) -> ActorRef[ShardEnvelope[Any]]:
        """Return a ref that routes envelopes to the region `key`, which this node hosts from now on.

        Called again it returns the same ref and keeps the first factory; `Mismatch` for another shard count.
        """
        return self._started().region_ref(key, factory, num_shards=num_shards)

    async def entity_ask(
        self,
        ref: ActorRef[ShardEnvelope[M]],
        msg_factory: Callable[[ActorRef[R]], ShardEnvelope[M]],
        *,
        timeout: float,
    ) -> R:
        """Send a message to an entity and return its reply."""
        return await self.ask(ref, msg_factory, timeout=timeout)

    def _node_there(self) -> Node:
        assert self._node is not None, "nobody calls this before it listens"
        return self._node

    def _started(self) -> ClusterActors:
        if self._actors is None:
            raise NotStarted(
                "the system is not running; use it inside `async with ClusteredActorSystem(...)`"
            )
        self._home.check()
        return self._actors


def _members_up(node: Node) -> int:
    topology = node.topology()
    members = () if topology is None else topology.members.values()
    return sum(member.status == "up" for member in members)
