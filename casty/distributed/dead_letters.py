"""The dead letters of a queue, seen as a queue of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from casty.checks import check_count
from casty.distributed.handle import partly
from casty.distributed.machines.base import Command
from casty.distributed.machines.queue_shapes import DEAD_PEEK, DEAD_SIZE, MAX_REQUEUED, REQUEUE, TAKE_DEAD
from casty.errors import CastyError, OutcomeUnknown

__all__ = ["DeadLetters"]

V = TypeVar("V")


class DeadLetters(Generic[V]):
    """What came back from `max_deliveries` reservations, in the order in which it was given up.

    Examples
    --------
    >>> async def look(d: Distributed) -> int:
    ...     dead = d.queue[str]("jobs", max_deliveries=3).dead_letters
    ...     return await dead.requeue() if await dead.peek() == "repaired" else await dead.size()
    """

    __slots__ = ("_command", "_look", "_of", "_read", "_take")

    def __init__(
        self,
        of: str,
        read: Callable[[Command], Awaitable[Any]],
        look: Callable[[Command], Awaitable[V | None]],
        take: Callable[[Command], Awaitable[V | None]],
        command: Callable[[Command], Awaitable[Any]],
    ) -> None:
        # Calls of the queue, which has their deadlines and errors.
        self._of = of
        self._read = read
        self._look = look
        self._take = take
        self._command = command

    def __repr__(self) -> str:
        return f"<DeadLetters of {self._of}>"

    async def size(self) -> int:
        """Return how many there are."""
        size: int = await self._read([DEAD_SIZE])
        return size

    async def peek(self) -> V | None:
        """Return the oldest one without removing it, or None if there is none; errors as for `Queue.peek`."""
        return await self._look([DEAD_PEEK])

    async def dequeue(self) -> V | None:
        """Remove and return the oldest one, or None if there is none; errors and the rest as for `Queue.dequeue`."""
        return await self._take([TAKE_DEAD])

    async def requeue(self, most: int | None = None) -> int:
        """Append them to the queue again, the oldest first, as new items: their deliveries begin anew.

        Parameters
        ----------
        most
            How many, at least 1; None for all that there are when it comes to them. No more than there is room for, and
            none while others wait for room. Not atomic: it takes a call for each 128.

        Returns
        -------
        int
            How many were appended.

        Raises
        ------
        Unavailable
            No quorum until the deadline; none was appended.
        OutcomeUnknown
            Some are appended, or may be, and others are not.
        """
        left = await self.size() if most is None else check_count("most", most, 1)
        count = 0
        while left > count:
            wanted = min(MAX_REQUEUED, left - count)
            try:
                moved: int = await self._command([REQUEUE, wanted])
            except CastyError as error:
                if not count or isinstance(error, OutcomeUnknown):
                    raise
                raise partly(
                    f"{self!r}: {count} were appended to the queue, the others are not", error
                ) from error
            count += moved
            if moved < wanted:
                break
        return count
