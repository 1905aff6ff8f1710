"""The private port through which the structures' client classes reach the cluster."""

from __future__ import annotations

from typing import Protocol

from casty.distributed.core import Command, Reply

__all__ = ["Grant", "Port"]


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

    async def wait_lost(self) -> str:
        """Wait until the hold ended other than by its release, and return why. Several may wait."""
        ...


class Port(Protocol):
    """Exactly-once access to entities. Errors of the way are raised, what the entity answered is returned.

    Every method raises `Unavailable` when the request provably was not applied and `OutcomeUnknown` when it may have
    been; ``timeout_s=None`` waits for ever. A status other than those a structure answers never comes out of here.
    """

    @property
    def host_label(self) -> str | None:
        """``host:port`` of a member, the default party of a barrier; None for a client."""
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

        There is a grant if and only if `kind` is a lock or a semaphore and the reply is ``[OK, token]`` with a token
        that is not None. Cancellation and timeout withdraw the request and give a crossing grant back; a confirmed
        withdrawal at the deadline is the builtin `TimeoutError`.
        """
        ...

    async def release(
        self, kind: int, entity: bytes, grant: Grant, command: Command, *, timeout_s: float | None
    ) -> Reply:
        """Apply the command that ends a hold; the gateway stops keeping the hold alive at once."""
        ...

    async def scan(self, kind: int, prefix: bytes, *, timeout_s: float | None) -> list[bytes]:
        """Return the entities of a kind that begin with `prefix`, asking every slot; not atomic, in no promised order."""
        ...
