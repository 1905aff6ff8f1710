"""Fence: a register that accepts only tokens not lower than the highest it has seen.

After M. Kleppmann, "How to do distributed locking" (2016): the resource itself has to refuse a holder whose
hold ended without its knowing. This is such a resource, and a stand-in for those that cannot compare tokens.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from casty.checks import check_count
from casty.distributed.core import (
    COUNT,
    DESTROY,
    FENCE,
    NO_FIELDS,
    OK,
    Command,
    Context,
    Decision,
    Frozen,
    Reply,
    Shapes,
    Structure,
)
from casty.distributed.handle import Handle
from casty.distributed.port import EntityGateway, RegionRef
from casty.limits import MAX_NUMBER
from casty.schema import Data, Row

__all__ = ["FENCES", "Fence"]

WRITE, CHECK = 1, 2
READ = 1


class Register(NamedTuple):
    """The state: the highest token seen and the encoded value, None before the first write."""

    token: int
    value: bytes | None


class FenceStructure(Structure[Register]):
    """A fence that does not exist has seen token 0."""

    __slots__ = ()
    kind = FENCE
    name = "fence"
    stores_values = True
    shapes: ClassVar[Shapes] = {DESTROY: NO_FIELDS, WRITE: Row((COUNT, Data())), CHECK: Row((COUNT,))}
    query_shapes: ClassVar[Shapes] = {READ: NO_FIELDS}

    def decide(self, state: Register | None, command: Command, ctx: Context) -> Decision:
        """WRITE and CHECK answer whether the token was accepted; an accepted one has been seen."""
        operation = command[0]
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        token = command[1]
        if state is not None and token < state.token:
            return Decision(state, [OK, False])
        if operation == WRITE:
            return Decision(Register(token, command[2]), [OK, True])
        return Decision(Register(token, None if state is None else state.value), [OK, True])

    def query(self, state: Register | None, query: Command) -> Reply:
        """Answer value and token."""
        return [OK, [None, 0] if state is None else [state.value, state.token]]

    def weight(self, state: Register) -> int:
        """Return the bytes of token and value."""
        return 128 + (0 if state.value is None else len(state.value))

    def grows(self, state: Register | None, command: Command) -> bool:
        """A write grows unless it is no longer than what it replaces."""
        if command[0] != WRITE:
            return state is None and command[0] != DESTROY
        return state is None or state.value is None or len(command[2]) > len(state.value)

    def freeze(self, state: Register) -> Frozen:
        """See `Structure.freeze`."""
        return Frozen(list(state))

    def begin(self, head: Any) -> Register:
        """See `Structure.begin`."""
        return Register(*head)


FENCES = FenceStructure()


V = TypeVar("V")


class Fence(Handle, Generic[V]):
    """A register that accepts only fencing tokens not lower than the highest it has seen.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` that is neither; otherwise None.
    name
        The name, not empty. The same name in another kind is another structure.
    timeout
        Deadline of each call, in seconds; None waits for ever.

    Examples
    --------
    >>> async def store(d: Distributed, lock: Lock) -> bool:
    ...     fence = d.fence("settings")
    ...     async with lock:
    ...         assert lock.token is not None
    ...         return await fence.write(lock.token, "value")
    """

    __slots__ = ()
    _kind = FENCE

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        super().__init__(gateway, region_ref, name, timeout)

    async def write(self, token: int, value: V) -> bool:
        """Store a value under the token of a hold.

        Parameters
        ----------
        token
            `Lock.token` or a token of the same origin; at least 0.
        value
            Anything that can be encoded.

        Returns
        -------
        bool
            True if stored, False if a higher token was seen before.

        Raises
        ------
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        """
        command = [WRITE, check_count("token", token, 0, MAX_NUMBER), self._port.encode(value)]
        return bool(await self._command(command))

    async def check(self, token: int) -> bool:
        """Return whether the token is not lower than any seen before; from then on it has been seen."""
        return bool(await self._command([CHECK, check_count("token", token, 0, MAX_NUMBER)]))

    async def read(self) -> tuple[V | None, int]:
        """Return the value, None before the first, and the highest token seen, 0 before the first.

        Raises
        ------
        Undecodable
            The value cannot be decoded here.
        """
        data, token = await self._read([READ])
        return (None if data is None else cast(V, self._decoded(data, was_applied=False))), token
