"""Set: the client class. What a slot does with its commands is in `machines/set.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar, cast

from casty.distributed.handle import Handle
from casty.distributed.machines.base import SET
from casty.distributed.machines.set import ADD, CONTAINS, ITEMS, REMOVE, SIZE

__all__ = ["Set"]

V = TypeVar("V")


class Set(Handle, Generic[V]):
    """A distributed set. Members are the same when their canonical bytes are: 1, 1.0, True and "1" are four.

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
    >>> async def tag(d: Distributed) -> bool:
    ...     tags = d.set[str]("tags")
    ...     await tags.add("python")
    ...     return await tags.contains("python")
    """

    __slots__ = ()
    _kind = SET

    async def add(self, value: V) -> bool:
        """Add a member.

        Returns
        -------
        bool
            True if added, False if it was there already.

        Raises
        ------
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        EncodingError
            The value cannot be encoded; the text names the path of the field.
        """
        return bool(await self._command([ADD, self._port.canonical(value)]))

    async def remove(self, value: V) -> bool:
        """Remove a member; True if removed, False if it was not there. Errors as for `add`."""
        return bool(await self._command([REMOVE, self._port.canonical(value)]))

    async def contains(self, value: V) -> bool:
        """Return whether the value is a member."""
        return bool(await self._read([CONTAINS, self._port.canonical(value)]))

    async def size(self) -> int:
        """Return the number of members."""
        size: int = await self._read([SIZE])
        return size

    async def items(self) -> AsyncIterator[V]:
        """Yield the members in the order of their canonical bytes; each page of them is asked for when it is due.

        Not atomic: a member that is there all the time comes once, one that is added or removed meanwhile may come, and
        none comes twice. A page has up to 1,024 members or 32 KiB. Each page has the instance's deadline.

        Raises
        ------
        Unavailable
            No quorum until a page's deadline.
        Undecodable
            A member cannot be decoded here; those before it were yielded.

        Examples
        --------
        >>> async def show(d: Distributed) -> None:
        ...     async for tag in d.set[str]("tags").items():
        ...         print(tag)
        """
        after, is_more = b"", True
        while is_more:
            page, is_more = await self._read([ITEMS, after])
            for member in page:
                yield cast(V, self._decoded(member, was_applied=False))
            after = page[-1] if page else b""
