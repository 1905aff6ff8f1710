"""The private port through which the structures' client classes reach the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from casty.actor.behavior import Behavior
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope
from casty.distributed.machines.base import LOST_DESTROYED, LOST_EXPIRED, Command, Reply

__all__ = ["LOST_DESTROYED", "LOST_EXPIRED", "EntityGateway", "Grant", "Port", "RegionRef"]

RegionRef = ActorRef[ShardEnvelope[Any]]
"""Routes envelopes to a region's entities."""


class EntityGateway(Protocol):
    """A way to sharded entities. `ClusteredActorSystem` and `ClusterClient` satisfy it, as others may.

    Examples
    --------
    >>> async def visits(gateway: EntityGateway) -> int:
    ...     return await Distributed(gateway).counter("visits").increment()
    """

    def region_ref(self, key: str, factory: Callable[[str], Behavior[Any]], *, num_shards: int) -> RegionRef:
        """Return a ref that routes `ShardEnvelope` to the named region.

        Parameters
        ----------
        key
            The region's name.
        factory
            Makes the behaviour of one entity from its id.
        num_shards
            At least 1; the same at every caller.
        """
        ...

    async def entity_ask(
        self,
        ref: RegionRef,
        msg_factory: Callable[[ActorRef[Any]], ShardEnvelope[Any]],
        *,
        timeout: float,
    ) -> Any:
        """Send the message that `msg_factory` makes of a reply ref, and return the reply.

        Raises
        ------
        TimeoutError
            No reply came within `timeout` seconds.
        """
        ...


class Grant(Protocol):
    """One hold of a lock or of permits, kept alive by the gateway until it is released or lost."""

    @property
    def token(self) -> int:
        """Its fencing token."""
        ...

    @property
    def seq(self) -> int:
        """The sequence number of the request that was granted: with the session, the name of the hold."""
        ...

    @property
    def is_valid(self) -> bool:
        """True only while no other can have been granted what this holds. Once False, False for good."""
        ...

    @property
    def lost(self) -> asyncio.Future[str]:
        """Done, with the reason, when the hold ended other than by its release; never after a release.

        The reason is `LOST_EXPIRED`, `LOST_DESTROYED` or a text of the same kind.
        A future and not a coroutine: hearing of a loss costs no task per hold. Only the gateway completes it.
        """
        ...


class Port(Protocol):
    """Exactly-once access to entities. Errors of the way are raised, what the entity answered is returned.

    Every method raises `Unavailable` when the request provably was not applied and `OutcomeUnknown` when it
    may have been; ``timeout_s=None`` waits for ever. A status other than those a structure answers never
    comes out of here.
    """

    @property
    def host_label(self) -> str | None:
        """``host:port`` of a member, the default party of a barrier; None for a client."""
        ...

    @property
    def cluster(self) -> tuple[int, str] | None:
        """Generation and id of the cluster that is used now; None while none is known."""
        ...

    def encode(self, value: object) -> bytes:
        """Return the bytes of a user's value."""
        ...

    def decode(self, data: bytes) -> object:
        """Return the value that `encode` gave as `data`."""
        ...

    def canonical(self, value: object) -> bytes:
        """Return the bytes that decide whether two keys or members are the same."""
        ...

    async def command(self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None) -> Reply:
        """Apply a command once."""
        ...

    async def read(self, kind: int, entity: bytes, query: Command, *, timeout_s: float | None) -> Reply:
        """Answer a query, linearizably."""
        ...

    async def wait(
        self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None
    ) -> tuple[Reply, Grant | None]:
        """Apply a command that may wait or grant, and return its final outcome.

        There is a grant if and only if `kind` is a lock or a semaphore and the reply is ``[OK, token]`` with
        a token that is not None. Cancellation and timeout withdraw the request and give a crossing grant
        back; a confirmed withdrawal at the deadline is the builtin `TimeoutError`.
        """
        ...

    async def release(
        self, kind: int, entity: bytes, grant: Grant, command: Command, *, timeout_s: float | None
    ) -> Reply:
        """Apply the command that ends a hold; the gateway stops keeping the hold alive at once."""
        ...

    async def scan(self, kind: int, prefix: bytes, *, timeout_s: float | None) -> list[bytes]:
        """Return the entities of a kind that begin with `prefix`, asking every slot; not atomic."""
        ...
