"""Where elements are put into a stream: whoever puts waits until there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar

from casty.actor.holding import HELD
from casty.actor.streams.messages import Why, error_of
from casty.actor.streams.producing import Producing
from casty.checks import check_text

__all__ = ["Feed", "SinkRef"]

E = TypeVar("E")


class Feed:
    """What the sink of a producer and its actor share.

    Parameters
    ----------
    stream
        The state.
    check_loop
        Raises for callers of another event loop or thread.
    call
        Tells the actor that there is something to do.

    Bounds: an element of each `put` that waits, which its caller holds anyway, and a row per `closed` that waits.
    """

    __slots__ = ("_call", "_check_loop", "_closing", "_count", "_is_called", "_putting", "stream")

    def __init__(
        self, stream: Producing, check_loop: Callable[[str], None], call: Callable[[], object]
    ) -> None:
        self.stream = stream
        self._check_loop = check_loop
        self._call = call
        self._is_called = False
        self._putting: dict[int, tuple[asyncio.Future[None], Any]] = {}
        """Who waits for room, in order, each with the element; a row goes with the end of its wait."""
        self._count = 0
        self._closing: list[asyncio.Future[None]] = []

    # -- for those who have the sink

    async def put(self, element: object) -> None:
        """See `SinkRef.put`."""
        self._check("sink.put")
        stream = self.stream
        if stream.end is not None:
            raise error_of(stream.end)
        if stream.has_room and not self._putting:
            stream.put(element)
            self.call()
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count = number = self._count + 1
        self._putting[number] = (waiter, element)
        try:
            await waiter
        finally:
            self._putting.pop(number, None)

    def finish(self, reason: str | None) -> None:
        """The stream is complete, or fails for a reason."""
        self._check("sink.complete" if reason is None else "sink.fail")
        if reason is None:
            self.stream.finish()
        else:
            self.stream.fail(reason)
        self.resolve_ended()
        self.call()

    async def closed(self) -> None:
        """See `SinkRef.closed`."""
        self._check_loop("sink.closed")
        if not self.stream.is_closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._closing.append(waiter)
            await waiter
        end = self.stream.end
        assert end is not None, "what is closed has ended"
        if end.why is not Why.completed:
            raise error_of(end)

    def call(self) -> None:
        """Wake up the actor, once until it has looked."""
        if not self._is_called:
            self._is_called = True
            self._call()

    def _check(self, call: str) -> None:
        self._check_loop(call)
        held = HELD.get()
        if held is not None and held.is_holding:
            raise RuntimeError(
                f"{call}: expected code that nothing holds back, found a command of an event-sourced actor whose "
                "events are not committed; do it with ctx.pipe_to_self, which waits for that"
            )

    # -- for the actor

    def looked(self) -> None:
        """The actor looks: whoever comes after this calls it again."""
        self._is_called = False

    def detach(self) -> None:
        """The actor is gone, and is called no more."""
        self._is_called = True

    def admit(self) -> None:
        """Take elements of those who wait, as many as there is room for."""
        while self._putting and self.stream.has_room:
            waiter, element = self._putting.pop(next(iter(self._putting)))
            if not waiter.done():
                self.stream.put(element)
                waiter.set_result(None)

    def resolve_ended(self) -> None:
        """If the stream ended, tell all who wait."""
        end = self.stream.end
        if end is None:
            return
        putting, self._putting = self._putting, {}
        for waiter, _ in putting.values():
            if not waiter.done():
                waiter.set_exception(error_of(end))
        if self.stream.is_closed:
            closing, self._closing = self._closing, []
            for waiter in closing:
                if not waiter.done():
                    waiter.set_result(None)


class SinkRef(Generic[E]):
    """Where elements are put into a stream, in the process of its producer. Ask the producer for it: `GetSink`.

    It cannot be sent to another process: back pressure is a coroutine that waits. All who ask have the same one.

    Examples
    --------
    >>> async def count(sink: SinkRef[int]) -> None:
    ...     for number in range(1000):
    ...         await sink.put(number)
    ...     await sink.complete()
    """

    __slots__ = ("_feed",)

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def put(self, element: E) -> None:
        """Put an element behind the others; waits while `buffer_size` of them wait to be sent.

        Those who wait have their turn in order. One that is cancelled while it waits has put nothing, unless its turn
        came in the same instant. That it returns does not say that the consumer has the element: `closed` says it.

        Raises
        ------
        StreamError
            The stream ended: `StreamClosed` when it was completed or nobody wants more, `StreamFailed`, `StreamGap`,
            `StreamLost`. The element is not sent.
        NotStarted
            It is called in another event loop or thread than the producer's.
        RuntimeError
            It is called by a command of an event-sourced actor before its events are committed.
        """
        await self._feed.put(element)

    async def complete(self) -> None:
        """There are no more elements. Returns at once; the consumer hears it behind the last element."""
        self._feed.finish(None)

    async def fail(self, reason: str) -> None:
        """The stream cannot go on: what was not sent is dropped, and the consumer gets `StreamFailed` with the reason.

        Parameters
        ----------
        reason
            A text; its first 500 characters are sent.
        """
        check_text(reason, "reason")
        self._feed.finish(reason)

    async def closed(self) -> None:
        """Wait until the stream is over; returns when the consumer has all of a completed one.

        Raises
        ------
        StreamError
            It ended in another way; see `put`. How much the consumer has is not known then.
        """
        await self._feed.closed()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled."""
        raise TypeError(
            "a SinkRef cannot be copied or sent: put elements in the process of the producer, and send its ref"
        )
