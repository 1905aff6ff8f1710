"""The client: outside the cluster, yet every message goes straight to the node that owns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from casty import runtime as runtimes
from casty.actor.behavior import Behavior
from casty.actor.cluster_wide import ShardedBehavior
from casty.actor.local import LocalSystem, Origin
from casty.actor.mailbox import Mailbox
from casty.actor.ref import ActorRef, Question
from casty.actor.services import Listing, ServiceKey, check_key
from casty.actor.sharding import ShardEnvelope
from casty.actor.system import ActorSystem
from casty.address import NodeAddress, check_port, check_text
from casty.checks import check_seconds, check_ttl, shown
from casty.cluster.actors.wiring import ClusterActors
from casty.cluster.client import ClientCore
from casty.cluster.control.public_view import topology_snapshot
from casty.cluster.node.options import check_tls
from casty.config import Settings
from casty.discovery import Seeds, checked_contacts
from casty.distributed.facade import Distributed
from casty.errors import ConfigError, NotStarted
from casty.home_loop import HomeLoop
from casty.members import TopologySnapshot
from casty.secret import Secrets
from casty.tls import Config
from casty.wire.serializer import Serializer
from casty.wire.serializer_codec import check_serializer

if TYPE_CHECKING:
    from casty.distributed.port import Port

__all__ = ["ClusterClient"]

M = TypeVar("M")
R = TypeVar("R")


class ClusterClient:
    """An external client of a cluster: no member, no zero-th hop, no listening port.

    An instance is used for one ``async with``, and in the event loop in which that was entered.

    Parameters
    ----------
    contact_points
        Nodes to connect to; dialled again for ever, names resolved anew each time. As with `seed_nodes` of
        `ClusteredActorSystem` a host may be ``"dns://name"``, or a function says them: asked again and again, and at
        once when no node is reached any more.
    system_name
        The cluster's name.
    client_host, client_port
        What the cluster is told about this client; labels, nothing listens there.
    advertised_host, advertised_port
        The same labels where they differ from the former.
    address_map
        Applied to every address before it is dialled, contact points and learned nodes alike.
    serializer
        Encodes the messages of actors and the values of structures; None means the msgpack codec. See
        `ClusteredActorSystem`.
    tls
        Only its client context is used; None means plain TCP.
    secret
        The cluster's shared secret, or several; see `ClusteredActorSystem`.
    session_ttl_s
        How long what this client holds stays held, and what it waits for stays in line, when the cluster hears nothing
        of it any more: in seconds, within the bounds that the cluster was founded with (`min_session_ttl_s`,
        `max_session_ttl_s`), or calls raise `Mismatch`. A longer time outlives longer pauses of this process; a shorter
        one frees sooner what it held when it dies. None is the cluster's own (`session_ttl_s`, 15).

    Raises
    ------
    ConfigError
        No contact point, an empty name or host, a port that cannot be one, or a secret that is too short. It is a
        `ValueError`.
    TypeError
        A parameter is of another type.

    Examples
    --------
    >>> async def main() -> None:
    ...     async with ClusterClient(contact_points=[("10.0.1.10", 25520)], system_name="shop") as client:
    ...         await client.distributed().counter("visits").increment()
    """

    def __init__(
        self,
        *,
        contact_points: Seeds,
        system_name: str,
        client_host: str = "127.0.0.1",
        client_port: int = 0,
        advertised_host: str | None = None,
        advertised_port: int | None = None,
        address_map: Callable[[tuple[str, int]], tuple[str, int]] | None = None,
        serializer: Serializer | None = None,
        tls: Config | None = None,
        secret: str | Sequence[str] | Secrets | None = None,
        session_ttl_s: float | None = None,
    ) -> None:
        contacts = checked_contacts("contact_points", contact_points)
        if contacts.is_empty:
            raise ConfigError("contact_points: expected at least one (host, port), found none")
        check_text("system_name", system_name)
        label = _label(client_host, client_port, advertised_host, advertised_port)
        if address_map is not None and not callable(address_map):
            raise TypeError(f"address_map: expected a function or None, found {shown(address_map)}")
        check_tls(tls, is_node=False)
        check_serializer(serializer)
        self._runtime = runtimes.current()
        self.recorded_shards: dict[tuple[int, str], int] = {}
        """What facades of this client were told of each structure's number of shards; bounded by them."""
        self._client_core = ClientCore(
            self._runtime,
            Settings(),
            system_name,
            contacts,
            label,
            tls,
            address_map,
            Secrets.of("secret", secret),
        )
        if session_ttl_s is not None:
            self._client_core.gateway.lives(check_ttl(session_ttl_s))
        self._serializer = serializer
        self._system_name = system_name
        self._label = label
        self._actors: ClusterActors | None = None
        self._closing: asyncio.Task[None] | None = None
        self._home = HomeLoop("client")
        self._is_used = False

    def __reduce_ex__(self, protocol: object) -> Any:
        """Refuse to be copied or pickled."""
        raise TypeError(
            f"a {type(self).__name__} cannot be copied or pickled: its links and sessions are its own"
        )

    async def __aenter__(self) -> ClusterClient:
        """Begin to connect in the background and return at once."""
        if self._is_used:
            raise NotStarted("the client was used before; make a new one for another `async with`")
        self._is_used = True
        self._home.enter()
        origin = Origin(
            self._label.host, self._label.port, self._client_core.client_id, self._client_core.incarnation
        )
        local = LocalSystem(self._system_name, self._runtime, origin=origin)
        ActorSystem.over(local)
        self._actors = ClusterActors.of_client(self._client_core, local, self._serializer)
        try:
            self._client_core.start()
        except BaseException:  # what `address_map` raised
            await self._leave()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the sessions, so that everything held is free at once, and every link.

        Whoever waits here may be cancelled, and again: what was begun goes on without it.
        """
        await self._leave()

    async def _leave(self) -> None:
        if self._closing is None:
            if self._actors is None:
                return
            self._home.check()
            # A task of its own: a cancellation of the one that leaves ends its waiting, and nothing else.
            actors = self._actors
            self._closing = asyncio.get_running_loop().create_task(self._close(actors), name="leave")
            self._closing.add_done_callback(lambda _: self._end(actors))
        await asyncio.shield(self._closing)

    async def _close(self, actors: ClusterActors) -> None:
        try:
            await actors.close()
        finally:
            self._actors = None
            await self._client_core.close()

    def _end(self, actors: ClusterActors) -> None:
        """What has to be done however closing went: `asyncio.run` at its end cancels that task as well."""
        self._actors = None
        self._client_core.end()
        actors.finish()

    async def ready(self, timeout: float = 5.0) -> None:
        """Return when the topology is known.

        Raises
        ------
        Unavailable
            It is not within `timeout` seconds; the text says what each contact point answered.
        """
        self._started()
        check_seconds(timeout)
        await self._client_core.ready(timeout)

    def lookup(self, key: ServiceKey[M]) -> Listing[M]:
        """Return the service's instances from the cached topology, without a round trip.

        Parameters
        ----------
        key
            The service to search for.

        Returns
        -------
        Listing[M]
            Its instances; empty before the first topology arrived.

        Raises
        ------
        TypeError
            `key` is no `ServiceKey`.
        """
        actors = self._started()
        check_key(key)
        return actors.listing(key)

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
        """Start an actor of this client; the cluster reaches it over the client's own links.

        Its ``ctx.system`` is an `ActorSystem` of the client's actors: refs to the cluster work there, for the
        client's own methods hand the client to the actor.

        Parameters
        ----------
        behavior
            What it starts with. A client hosts no entities: for ``Behaviors.sharded`` this is `region_ref`.
        name
            Unique among the client's living actors.
        mailbox
            Its mailbox, used by no other actor; None takes one of the configured bound.

        Raises
        ------
        TypeError
            It is no behaviour, or one for nodes: a singleton, or broadcasted.
        ValueError
            The name is taken or illegal.
        """
        return self._started().spawn(behavior, name, mailbox=mailbox)

    def entity_ref(self, shard_type: str, *, num_shards: int) -> ActorRef[ShardEnvelope[Any]]:
        """Return the ref that routes envelopes to a region; the same ref for the same shard type.

        Parameters
        ----------
        shard_type
            The region's name in the cluster.
        num_shards
            Its number of shards; has to match the cluster's.
        """
        return self._started().entity_ref(shard_type, num_shards=num_shards)

    @overload
    async def ask(
        self,
        ref: ActorRef[ShardEnvelope[M]],
        msg_factory: Callable[[ActorRef[Any]], ShardEnvelope[Question[R]]],
        *,
        timeout: float = 5.0,
    ) -> R: ...

    @overload
    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[Any]], Question[R]], *, timeout: float = 5.0
    ) -> R: ...

    @overload
    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0
    ) -> R: ...

    async def ask(
        self, ref: ActorRef[Any], msg_factory: Callable[[ActorRef[Any]], Any], *, timeout: float = 5.0
    ) -> Any:
        """Send a message that carries a reply reference, and return the reply.

        Parameters
        ----------
        ref
            Who is asked.
        msg_factory
            Makes the message from the reference that takes the reply. Of a message whose field `reply_to` is that
            reference, type checkers know the type of the reply.
        timeout
            Seconds to wait.

        Raises
        ------
        Refused
            Every contact point refused this client, and no node was ever reached; both sides' values are named.
        TimeoutError
            No reply came in time; the text names who was asked and how far the question came.
        UnknownRegion
            The region is not hosted, or has another shard count.
        """
        return await self._started().local.ask(ref, msg_factory, timeout=timeout)

    def region_ref(
        self, key: str, factory: Callable[[str], Behavior[Any]], *, num_shards: int
    ) -> ActorRef[ShardEnvelope[Any]]:
        """Return `entity_ref` of the region; `factory` is for nodes, where the entities live."""
        del factory
        return self.entity_ref(key, num_shards=num_shards)

    async def entity_ask(
        self,
        ref: ActorRef[ShardEnvelope[M]],
        msg_factory: Callable[[ActorRef[R]], ShardEnvelope[M]],
        *,
        timeout: float,
    ) -> R:
        """Send a message to an entity and return its reply; see `ask`."""
        return await self.ask(ref, msg_factory, timeout=timeout)

    def distributed(self) -> Distributed:
        """Return a facade for distributed structures."""
        self._started()
        return Distributed(self)

    @property
    def topology(self) -> TopologySnapshot | None:
        """What this client knows of the cluster; None before it heard anything."""
        self._started()
        topology = self._client_core.topology()
        return None if topology is None else topology_snapshot(topology, None)

    @property
    def structures(self) -> Port:
        """The private port of the structures."""
        return self._started().structures

    def _started(self) -> ClusterActors:
        if self._actors is None:
            raise NotStarted("the client is not running; use it inside `async with ClusterClient(...)`")
        self._home.check()
        return self._actors


def _label(host: str, port: int, advertised_host: str | None, advertised_port: int | None) -> NodeAddress:
    check_text("client_host", host)
    check_port("client_port", port)
    if advertised_host is not None:
        check_text("advertised_host", advertised_host)
    if advertised_port is not None:
        check_port("advertised_port", advertised_port)
    return NodeAddress(advertised_host or host, port if advertised_port is None else advertised_port)
