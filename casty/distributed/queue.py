"""Queue: the client class. What a slot does with its commands is in `machines/queue.py`."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from casty.distributed.handle import Handle
from casty.distributed.machines.base import QUEUE
from casty.distributed.machines.queue import DEQUEUE, ENQUEUE, PEEK, PUT_BACK, SIZE
from casty.distributed.port import EntityGateway, RegionRef
from casty.errors import CastyError, Undecodable

__all__ = ["Queue"]

V = TypeVar("V")


class Queue(Handle, Generic[V]):
    """A distributed queue, first in, first out by commit; unbounded.

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
    >>> async def work(d: Distributed) -> str | None:
    ...     jobs = d.queue[str]("jobs")
    ...     await jobs.enqueue("task-1")
    ...     return await jobs.dequeue()
    """

    __slots__ = ()
    _kind = QUEUE

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        super().__init__(gateway, region_ref, name, timeout)

    async def enqueue(self, value: V) -> None:
        """Append a value.

        Raises
        ------
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        EncodingError
            The value cannot be encoded; the text names the path of the field.
        ValueError
            The value is None, by which `dequeue` and `peek` say that the queue is empty.
        """
        if value is None:
            raise ValueError(
                f"queue {self._name!r}: expected a value, found None, which is how dequeue() says that the queue is "
                "empty; put it into a tuple or a message of your own"
            )
        await self._command([ENQUEUE, self._port.encode(value)])

    async def dequeue(self) -> V | None:
        """Remove and return the first value.

        A lost reply is answered again with the same item: none is lost on the way, none goes to two callers. A
        call that is given up, by its deadline or by a cancellation, may have taken an item, which then is lost.

        Returns
        -------
        V | None
            The value, or None if the queue is empty.

        Raises
        ------
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        Undecodable
            The first value cannot be decoded here. It is the first again: its class has to be on this side, or
            another consumer has to take it. With ``was_applied`` it could not be put back in time, and perhaps only
            the error has its bytes.
        """
        data = await self._command([DEQUEUE])
        if data is None:
            return None
        try:
            return cast(V, self._decoded(data, was_applied=False))
        except Undecodable as error:
            try:
                await self._command([PUT_BACK, data])
            except CastyError as lost:
                text = f"queue {self._name!r}: {lost}; an item that cannot be decoded here was taken and not put back"
                raise Undecodable(f"{text}: `data` has its bytes", data, was_applied=True) from error
            raise

    async def peek(self) -> V | None:
        """Return the first value without removing it, or None if the queue is empty.

        Raises
        ------
        Undecodable
            It cannot be decoded here.
        """
        data = await self._read([PEEK])
        return None if data is None else cast(V, self._decoded(data, was_applied=False))

    async def size(self) -> int:
        """Return the number of values."""
        size: int = await self._read([SIZE])
        return size
