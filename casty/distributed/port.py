"""The private port through which the structures' client classes reach the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from casty.actor.behavior import Behavior
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope
from casty.distributed.machines.base import LOST_DESTROYED, LOST_EXPIRED, LOST_VISIBILITY, Command, Reply

__all__ = ["LOST_DESTROYED", "LOST_EXPIRED", "LOST_VISIBILITY", "EntityGateway", "Grant", "Port", "RegionRef"]

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
    """One hold of a lock, of permits or of an item, kept alive by the gateway until it is released or lost."""

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

    def when_left(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when the system or client begins to be left, at once where it did; returns what takes that back."""
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

    def command(
        self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None
    ) -> Coroutine[Any, Any, Reply]:
        """Apply a command once."""
        ...

    def read(
        self, kind: int, entity: bytes, query: Command, *, timeout_s: float | None
    ) -> Coroutine[Any, Any, Reply]:
        """Answer a query, linearizably."""
        ...

    def wait(
        self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None
    ) -> Coroutine[Any, Any, tuple[Reply, Grant | None]]:
        """Apply a command that may wait or grant, and return its final outcome.

        There is a grant if and only if `kind` is one of `HOLDING_KINDS` or a queue and the reply is ``[OK,
        token, ...]`` with a number as its token. Cancellation and timeout withdraw the request and give a crossing
        grant or item back; a confirmed withdrawal at the deadline is the builtin `TimeoutError`.
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

    def pages(
        self, kind: int, prefix: bytes, *, with_values: bool, timeout_s: float | None
    ) -> AsyncIterator[list[tuple[bytes, bytes | None]]]:
        """Go through the entities of a kind that begin with `prefix`, slot by slot, a page at a time; not atomic.

        With the values of keys of a map, or with None beside each. Each page has `timeout_s` of its own.
        """
        ...

    async def slot_count(self, *, timeout_s: float | None) -> int:
        """Return how many slots structures are in: those of all nodes."""
        ...

    def slot_of(self, kind: int, entity: bytes) -> int | None:
        """Return the slot of an entity; None while the cluster is not known."""
        ...

    async def read_at(
        self, slot: int | None, kind: int, prefix: bytes, query: Command, *, timeout_s: float | None
    ) -> Reply:
        """Answer a query about all entities of a slot that begin with `prefix`; None is the slot of that one entity."""
        ...
