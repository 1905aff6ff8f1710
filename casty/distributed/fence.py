"""Fence: the client class. What a slot does with its commands is in `machines/fence.py`."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from casty.checks import check_count
from casty.distributed.handle import Handle
from casty.distributed.machines.base import FENCE
from casty.distributed.machines.fence import CHECK, READ, WRITE
from casty.limits import MAX_NUMBER

__all__ = ["Fence"]

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
