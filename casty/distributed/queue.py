"""Queue: the client class. What a slot does with its commands is in `machines/queue.py`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import EllipsisType
from typing import Any, Generic, TypeVar, cast

from casty.checks import check_count, check_timeout, milliseconds_of
from casty.distributed.dead_letters import DeadLetters
from casty.distributed.handle import Deadline, Handle
from casty.distributed.machines.base import OK, OVERLOADED, QUEUE, Command, Reply
from casty.distributed.machines.queue_shapes import (
    DEQUEUE,
    ENQUEUE,
    ENQUEUE_AS,
    GET,
    NACK,
    PEEK,
    PUT,
    PUT_BACK,
    RESERVE,
    RESERVED,
    SIZE,
)
from casty.distributed.port import EntityGateway, RegionRef
from casty.distributed.reservation import Reservation
from casty.errors import CastyError, QueueFull, Undecodable
from casty.limits import MAX_NUMBER

__all__ = ["Queue"]

V = TypeVar("V")

Timeout = float | EllipsisType | None


class Queue(Handle, Generic[V]):
    """A distributed queue, first in, first out by commit.

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
    maxsize
        How many items there may be, free or reserved, at least 1. It belongs to the queue from its first item on, until
        it is destroyed: another value is a `Mismatch` then. None means as it is recorded, and without a bound where
        nothing is.
    max_deliveries
        How often an item may be reserved, at least 1: one that comes back from so many reservations goes to
        `dead_letters`. It belongs to the queue as `maxsize` does; None means as it is recorded, or any number.

    Examples
    --------
    >>> async def work(d: Distributed) -> str | None:
    ...     jobs = d.queue[str]("jobs")
    ...     await jobs.enqueue("task-1")
    ...     return await jobs.dequeue()
    """

    __slots__ = ("_settings",)
    _kind = QUEUE

    def __init__(
        self,
        *,
        gateway: EntityGateway,
        region_ref: RegionRef | None,
        name: str,
        timeout: float | None = 5.0,
        maxsize: int | None = None,
        max_deliveries: int | None = None,
    ) -> None:
        super().__init__(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)
        bounds = {"maxsize": maxsize, "max_deliveries": max_deliveries}
        self._settings = [
            None if value is None else check_count(what, value, 1, MAX_NUMBER)
            for what, value in bounds.items()
        ]

    def _refused(self, reply: Reply) -> Any:
        if reply[0] == OVERLOADED and reply[1] == "maxsize":
            raise QueueFull(
                f"{self._label}: expected room for another item, found maxsize={reply[2]} of them; nothing was "
                "added: take some, or wait for room with put()"
            )
        return super()._refused(reply)

    def _encoded(self, value: V) -> bytes:
        if value is None:
            raise ValueError(
                f"{self._label}: expected a value, found None, which is how dequeue() says that the queue is "
                "empty; put it into a tuple or a message of your own"
            )
        return self._port.encode(value)

    async def enqueue(self, value: V) -> None:
        """Append a value, or say at once that there is no room for it.

        Raises
        ------
        QueueFull
            There are `maxsize` items; nothing was added.
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        Mismatch
            The queue exists with another `maxsize` or `max_deliveries`.
        EncodingError
            The value cannot be encoded; the text names the path of the field.
        ValueError
            The value is None, by which `dequeue` and `peek` say that the queue is empty.
        """
        data = self._encoded(value)
        has_settings = self._settings != [None, None]
        await self._command([ENQUEUE_AS, data, *self._settings] if has_settings else [ENQUEUE, data])

    async def put(self, value: V, *, timeout: Timeout = ...) -> None:
        """Append a value as soon as there is room, behind those who wait for that already.

        Parameters
        ----------
        value
            Not None.
        timeout
            How long to wait, in seconds; None for ever. The instance's unless it is given.

        Raises
        ------
        TimeoutError
            There was no room in time; the request is withdrawn.
        Destroyed
            The queue was destroyed meanwhile.
        Unavailable, OutcomeUnknown, Mismatch, EncodingError, ValueError
            As for `enqueue`.
        """
        await self._wait([PUT, self._encoded(value), *self._settings], timeout)

    async def dequeue(self) -> V | None:
        """Remove and return the first value.

        A lost reply is answered again with the same item: none is lost on the way, none goes to two callers. What a
        call took that is given up, by its deadline or by a cancellation, is put back into its order, unless its client
        ends or loses its session meanwhile: then it may be lost. Who cannot have that takes a `reserve`.

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
            The first value cannot be decoded here. It is where it was again: its class has to be on this side, or
            another consumer has to take it. With ``was_applied`` it could not be put back in time, and perhaps only
            the error has its bytes.
        """
        return await self._take([DEQUEUE])

    async def get(self, *, timeout: Timeout = ...) -> V:
        """Remove and return the first value, and wait for one if there is none: first come, first served.

        A call that times out or is cancelled leaves nothing behind, and takes nothing: what crosses it on the way is
        put back, as for `dequeue`.

        Parameters
        ----------
        timeout
            How long to wait, in seconds; None for ever. The instance's unless it is given.

        Raises
        ------
        TimeoutError
            There was nothing in time; the request is withdrawn.
        Destroyed
            The queue was destroyed meanwhile.
        Unavailable, OutcomeUnknown, Mismatch, Undecodable
            As for `dequeue` and `enqueue`.
        """
        timeout_s = self._limit(timeout)
        deadline = Deadline(timeout_s)
        reply, _ = await self._port.wait(QUEUE, self._entity, [GET, *self._settings], timeout_s=timeout_s)
        return cast(V, await self._taken(reply, deadline))

    async def reserve(self, visibility_s: float = 30.0, *, timeout: Timeout = ...) -> Reservation[V]:
        """Reserve the first value, and wait for one if there is none: first come, first served, as `get`.

        Nobody else gets it until the reservation ends: by `Reservation.ack`, and then it is gone; or by
        `Reservation.nack`, with the session of this client, or when this client had it for `visibility_s`, and then it
        is free again, in its order. A call that times out or is cancelled leaves nothing behind.

        Parameters
        ----------
        visibility_s
            How long the value is reserved at least, in seconds above 0. It may take a third of the session's time to
            live longer until it is free.
        timeout
            How long to wait for a value, in seconds; None for ever. The instance's unless it is given.

        Raises
        ------
        TimeoutError
            There was nothing in time; the request is withdrawn.
        Destroyed
            The queue was destroyed meanwhile.
        Undecodable
            The first value cannot be decoded here. It is free again, and that was a delivery.
        Unavailable, OutcomeUnknown, Mismatch
            As for `enqueue`.

        Examples
        --------
        >>> async def work(d: Distributed) -> None:
        ...     job = await d.queue[str]("jobs").reserve(visibility_s=60.0)
        ...     print(job.item, "for the first time" if job.deliveries == 1 else "again")
        ...     await job.ack()
        """
        reservation = await self._reserve(visibility_s, self._limit(timeout), may_wait=True)
        assert reservation is not None, "only a try finds nothing"
        return reservation

    async def try_reserve(self, visibility_s: float = 30.0) -> Reservation[V] | None:
        """Reserve the first value if there is one, else return None; the rest as for `reserve`."""
        return await self._reserve(visibility_s, self._timeout_s, may_wait=False)

    async def _reserve(
        self, visibility_s: float, timeout_s: float | None, *, may_wait: bool
    ) -> Reservation[V] | None:
        visibility_ms = milliseconds_of(visibility_s, "visibility_s")
        command = [RESERVE, visibility_ms, may_wait, *self._settings]
        port = self._port
        reply, grant = await port.wait(QUEUE, self._entity, command, timeout_s=timeout_s)
        if reply[0] != OK:
            self._refused(reply)
        if grant is None:
            return None
        try:
            value = cast(V, self._decoded(reply[2], was_applied=False))
        except Undecodable:
            giving = port.release(QUEUE, self._entity, grant, [NACK, grant.seq], timeout_s=timeout_s)
            with suppress(CastyError):
                # Cancelled it goes on. Not confirmed it ends as a withdrawal, which does the same.
                await _finished(asyncio.ensure_future(giving))
            raise
        return Reservation(self._port, self._entity, grant, value, reply[3], self._timeout_s)

    async def peek(self) -> V | None:
        """Return the first value that is free without removing it, or None if there is none.

        Raises
        ------
        Undecodable
            It cannot be decoded here.
        """
        return await self._look([PEEK])

    async def size(self) -> int:
        """Return the number of values that are free: neither reserved, nor dead letters."""
        size: int = await self._read([SIZE])
        return size

    async def reserved(self) -> int:
        """Return the number of values that are reserved."""
        count: int = await self._read([RESERVED])
        return count

    @property
    def dead_letters(self) -> DeadLetters[V]:
        """The values that came back from `max_deliveries` reservations, as a queue of their own."""
        return DeadLetters(repr(self), self._read, self._look, self._take, self._command)

    # -- what calls share

    async def _look(self, query: Command) -> V | None:
        data = await self._read(query)
        return None if data is None else cast(V, self._decoded(data, was_applied=False))

    def _limit(self, timeout: Timeout) -> float | None:
        if isinstance(timeout, EllipsisType):
            return self._timeout_s
        check_timeout(timeout)
        return timeout

    async def _wait(self, command: Command, timeout: Timeout) -> None:
        reply, _ = await self._port.wait(QUEUE, self._entity, command, timeout_s=self._limit(timeout))
        if reply[0] != OK:
            self._refused(reply)

    async def _take(self, command: Command) -> V | None:
        deadline = Deadline(self._timeout_s)
        reply = await self._port.command(QUEUE, self._entity, command, timeout_s=self._timeout_s)
        return await self._taken(reply, deadline)

    async def _taken(self, reply: Reply, deadline: Deadline) -> V | None:
        """Return the value that an answer has, or put its bytes back to where they were and say that."""
        if reply[0] != OK:
            self._refused(reply)
        if reply[1] is None:
            return None
        try:
            return cast(V, self._decoded(reply[1], was_applied=False))
        except Undecodable as error:
            giving = asyncio.ensure_future(
                self._port.command(QUEUE, self._entity, [PUT_BACK, *reply[1:6]], timeout_s=deadline.left_s())
            )
            # Cancelled it goes on: there is nobody else who has the item.
            try:
                await _finished(giving)
            except CastyError as lost:
                text = (
                    f"{self._label}: {lost}; an item that cannot be decoded here was taken and not put back"
                )
                raise Undecodable(f"{text}: `data` has its bytes", reply[1], was_applied=True) from error
            raise


async def _finished(giving: asyncio.Future[Reply]) -> None:
    """Wait for what has to go on also if the caller does not."""
    giving.add_done_callback(_seen)
    await asyncio.shield(giving)


def _seen(giving: asyncio.Future[Reply]) -> None:
    if not giving.cancelled():
        giving.exception()
