"""Where the elements of a stream are taken: one reader, at its own pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from casty.actor.streams.consuming import Asked, Consuming
from casty.actor.streams.messages import StreamEnd, Why, error_of
from casty.checks import check_text

__all__ = ["Flow", "SourceRef"]

E = TypeVar("E")

_NO_MORE = "the reader wants no more"


class Flow:
    """What the source of a consumer and its actor share.

    Parameters
    ----------
    stream
        The state.
    check_loop
        Raises for callers of another event loop or thread.
    call
        Tells the actor that there is something to do.
    """

    __slots__ = (
        "_call",
        "_check_loop",
        "_closing",
        "_is_called",
        "_waiter",
        "is_drained",
        "is_read",
        "stream",
    )

    def __init__(
        self, stream: Consuming, check_loop: Callable[[str], None], call: Callable[[], object]
    ) -> None:
        self.stream = stream
        self.is_read = False
        """Whether somebody reads, or has read."""
        self.is_drained = False
        """Whether the reader has had the end, or wants no more."""
        self._check_loop = check_loop
        self._call = call
        self._is_called = False
        self._waiter: asyncio.Future[None] | None = None
        self._closing: list[Asked] = []
        """What the reader has the actor say; at most the one close."""

    # -- for the reader

    async def next(self) -> tuple[Any, ...]:
        """Return the next element alone in a tuple, and an empty one at the end of a completed stream."""
        stream = self.stream
        while True:
            if stream.has_element:
                element = stream.take()
                if stream.wants_more:
                    self.call()
                return (element,)
            if stream.end is not None:
                self.is_drained = True
                self.call()
                if stream.end.why is not Why.completed:
                    raise error_of(stream.end)
                return ()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def begin(self) -> None:
        """Somebody reads from now on; there is one who does."""
        self._check_loop("source")
        if self.is_read:
            raise RuntimeError(
                "source: expected one reader, found that somebody reads it already, or has read it"
            )
        self.is_read = True

    def close(self, end: StreamEnd) -> None:
        """The reader wants no more, or cannot go on; harmless when it had the end."""
        if self.is_drained:
            return
        self._check_loop("source")
        self.is_read = self.is_drained = True
        said = self.stream.close(end)
        if said is not None:
            self._closing.append(said)
        self.wake()
        self.call()

    def call(self) -> None:
        """Wake up the actor, once until it has looked."""
        if not self._is_called:
            self._is_called = True
            self._call()

    # -- for the actor

    def looked(self) -> list[Asked]:
        """The actor looks; return what the reader has it say."""
        self._is_called = False
        said, self._closing = self._closing, []
        return said

    def detach(self) -> None:
        """The actor is gone, and is called no more."""
        self._is_called = True

    def wake(self) -> None:
        """Something came, or the stream ended."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class SourceRef(Generic[E]):
    """Where the elements of a stream are taken, in the process of its consumer. Ask the consumer for it: `GetSource`.

    ``async for`` gives the elements, in order and each at most once, and ends with a completed stream; any other end is
    a `StreamError`, raised behind the last element that came. There is one reader. Who leaves the loop before the end
    cancels the stream; ``async with`` does so at once, without waiting for Python to notice that nobody reads any more.

    Examples
    --------
    >>> async def first(source: SourceRef[int], most: int) -> list[int]:
    ...     found: list[int] = []
    ...     async with source:
    ...         async for number in source:
    ...             found.append(number)
    ...             if len(found) == most:
    ...                 break
    ...     return found
    """

    __slots__ = ("_flow",)

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def __aiter__(self) -> AsyncGenerator[E, None]:
        self._flow.begin()
        return self._elements()

    async def _elements(self) -> AsyncGenerator[E, None]:
        try:
            while found := await self._flow.next():
                yield found[0]
        finally:
            self._flow.close(StreamEnd(Why.cancelled, _NO_MORE))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Want no more: what was not taken is dropped, and whoever puts gets `StreamClosed`. Harmless at the end."""
        self._flow.close(StreamEnd(Why.cancelled, _NO_MORE))

    def fail(self, reason: str) -> None:
        """Tell the producing side that this one cannot go on: whoever puts gets `StreamFailed` with the reason.

        Parameters
        ----------
        reason
            A text; its first 500 characters are sent.
        """
        check_text(reason, "reason")
        self._flow.close(StreamEnd(Why.failed, reason))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled."""
        raise TypeError(
            "a SourceRef cannot be copied or sent: spawn a consumer where the elements are to be taken"
        )
