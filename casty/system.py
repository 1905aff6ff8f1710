"""A member of a cluster: an actor system whose entities, structures and refs reach every other node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from casty import runtime as runtimes
from casty.actor.behavior import Behavior, ShardedBehavior
from casty.actor.local import LocalSystem, Origin
from casty.actor.mailbox import Mailbox
from casty.actor.ref import ActorRef
from casty.actor.services import Listing, ServiceKey
from casty.actor.sharding import ShardEnvelope
from casty.address import NodeAddress
from casty.cluster.actors import ClusterActors
from casty.cluster.node import Node, NodeOptions
from casty.cluster.state import ClusterState, MemberStatus, cluster_state
from casty.config import SECOND_NS, Settings
from casty.distributed.facade import Distributed
from casty.errors import NotStarted
from casty.tls import Config

if TYPE_CHECKING:
    from casty.distributed.port import Port

__all__ = ["ClusteredActorSystem"]

M = TypeVar("M")
R = TypeVar("R")
POLL_S = 0.02


class ClusteredActorSystem:
    """One node of a cluster.

    Parameters
    ----------
    name
        The cluster's name, equal on all nodes.
    host, port
        Where other nodes and clients reach this node; port 0 picks a free one.
    node_id
        The node's identity over restarts; None means ``host:port``.
    seed_nodes
        Addresses of nodes to found with or to join through; list all founders, this one may be among them.
    bind_host
        The interface to listen on, when it is not `host`.
    config
        Settings of the cluster; None means the defaults.
    tls
        Contexts for TLS in both directions; None means plain TCP.
    required_quorum
        How many seeds suffice to found, and how many members `async with` waits for; None means all seeds
        and one.

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
        seed_nodes: Sequence[tuple[str, int]] | None = None,
        bind_host: str | None = None,
        config: Settings | None = None,
        tls: Config | None = None,
        required_quorum: int | None = None,
    ) -> None:
        if not name or not host:
            raise ValueError("name and host: expected texts, found an empty one")
        if not 0 <= port <= 65535:
            raise ValueError(f"port: expected 0 to 65535, found {port}")
        self._settings = config or Settings()
        self._required = required_quorum or 1
        self._runtime = runtimes.current()
        self._node = Node(
            NodeOptions(
                name=name,
                host=host,
                port=port,
                node_id=node_id,
                bind_host=bind_host,
                seeds=tuple(NodeAddress(*seed) for seed in seed_nodes or ()),
                required_quorum=required_quorum,
                settings=self._settings,
                tls=tls,
            ),
            self._runtime,
        )
        self._name = name
        self._actors: ClusterActors | None = None

    # -- life

    async def __aenter__(self) -> ClusteredActorSystem:
        """Return when this node serves; raises `TimeoutError` with everything closed when it is too late."""
        await self._node.start()
        node = self._node
        local = LocalSystem(
            self._name,
            self._runtime,
            settings=self._settings,
            origin=Origin(node.address.host, node.address.port, node.node_id),
        )
        self._actors = ClusterActors.of_node(node, local)
        try:
            await self._until_serving()
        except BaseException:
            await self.abort()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()

    async def _until_serving(self) -> None:
        clock = self._runtime.clock
        until_ns = clock.now() + int(self._settings.start_timeout_s * SECOND_NS)
        while self._node.missing or self._members_up() < self._required:
            if clock.now() >= until_ns:
                missing = ", ".join(self._node.missing[:5]) or f"{self._required} members that are up"
                raise TimeoutError(
                    f"node {self._node.node_id} does not serve after "
                    f"{self._settings.start_timeout_s} s; missing: {missing}"
                )
            await clock.sleep(POLL_S)

    def _members_up(self) -> int:
        topology = self._node.topology()
        members = () if topology is None else topology.members.values()
        return sum(member.status == "up" for member in members)

    async def shutdown(self) -> None:
        """Stop: hand leaderships over, stop the actors, close the own sessions and every link."""
        if self._actors is not None:
            actors, self._actors = self._actors, None
            await actors.close()
            await self._node.stop()
            actors.finish()

    async def abort(self) -> None:
        """Stop at once, handing nothing over."""
        if self._actors is not None:
            actors, self._actors = self._actors, None
            await actors.close(is_forced=True)
            actors.finish()
        await self._node.abort()

    # -- who and where

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self._name

    @property
    def self_node(self) -> NodeAddress:
        """Where this node is reached."""
        return self._node.address

    @property
    def node_id(self) -> str:
        """This node's identity."""
        return self._node.node_id

    @property
    def structures(self) -> Port:
        """The private port of the structures."""
        self._started()
        return self._node.gateway

    def status(self) -> dict[str, object]:
        """Return what ``casty status --json`` prints."""
        return self._node.status()

    async def get_cluster_state(self, timeout: float = 5.0) -> ClusterState:
        """Return the members as this node knows them; waits at most `timeout` seconds for a topology."""
        self._started()
        clock = self._runtime.clock
        until_ns = clock.now() + int(timeout * SECOND_NS)
        while (topology := self._node.topology()) is None:
            if clock.now() >= until_ns:
                raise TimeoutError(f"no topology within {timeout} s")
            await clock.sleep(POLL_S)
        return cluster_state(
            topology, self._node.control_leader(), tuple(self._node.control_duties.unreachable)
        )

    async def wait_for(self, n: int, timeout: float = 60.0) -> ClusterState:
        """Return the cluster's state once `n` members are up; `TimeoutError` after `timeout` seconds."""
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

    def distributed(self) -> Distributed:
        """Return a facade for distributed structures; any number of them may be made."""
        self._started()
        return Distributed(self)

    # -- actors

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
        """Start an actor, or for ``Behaviors.sharded`` a region; see `ActorSystem.spawn`."""
        actors = self._started()
        if isinstance(behavior, ShardedBehavior):
            return actors.region_ref(name, behavior.entity_factory, num_shards=behavior.num_shards)
        return actors.spawn(behavior, name, mailbox=mailbox)

    @overload
    def lookup(self, target: str, *, node: NodeAddress | None = None) -> ActorRef[Any] | None: ...

    @overload
    def lookup(self, target: ServiceKey[M], *, timeout: float = 5.0) -> Awaitable[Listing[M]]: ...

    def lookup(
        self, target: str | ServiceKey[M], *, node: NodeAddress | None = None, timeout: float = 5.0
    ) -> ActorRef[Any] | Awaitable[Listing[M]] | None:
        """Return the ref at a path, here or on another node; for a service key, await its listing."""
        actors = self._started()
        if isinstance(target, str):
            return actors.lookup(target, node)
        return actors.find(target, timeout)

    @property
    def receptionist(self) -> ActorRef[Any]:
        """Takes `Register`, `Deregister`, `Subscribe` and `Find`."""
        return self._started().receptionist.ref

    @property
    def event_stream(self) -> ActorRef[Any]:
        """Takes `EventStreamSubscribe`, `EventStreamUnsubscribe` and `Publish`."""
        return self._started().local.event_stream

    async def ask_or_none(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0
    ) -> R | None:
        """Like `ask`, but return None when no reply came in time."""
        try:
            return await self.ask(ref, msg_factory, timeout=timeout)
        except TimeoutError:
            return None

    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0
    ) -> R:
        """Send a message that carries a reply reference, and return the reply; see `ActorSystem.ask`."""
        return await self._started().local.ask(ref, msg_factory, timeout=timeout)

    def region_ref(
        self, key: str, factory: Callable[[str], Behavior[Any]], *, num_shards: int
    ) -> ActorRef[ShardEnvelope[Any]]:
        """Return a ref that routes envelopes to the region `key`, which this node hosts from now on."""
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

    def _started(self) -> ClusterActors:
        if self._actors is None:
            raise NotStarted(
                "the system is not running; use it inside `async with ClusteredActorSystem(...)`"
            )
        return self._actors
