"""The producing side of a stream, as a value: what is put, what may be sent, what was sent, and how it ends.

States::

    waiting   --a consumer subscribes-->                      open
    waiting   --finish-->                                     waiting, with an end: whoever subscribes gets it
    open      --finish, and nothing is left to be sent-->     ending: the end is said, again with each check
    open      --fail-->                                       ending: what was not sent is dropped
    any       --the consumer closes, is gone or is silent-->  closed
    ending    --the consumer closes-->                        closed: it has the end

What may be lost on the way, and what becomes of it: a subscription is repeated by the consumer, and a known one is
answered like a check; demand is absolute, and every check has it; elements are not sent again - the consumer sees by
the next number, by an answer to a check or by the end that it lacks some, and closes with a gap; an end is said again
with each check; a close that is lost leaves the consumer's end silent, or gone, and that ends this side too.

Bounds: `size` elements that wait to be sent. Of those on the way there are as many as the consumer allowed.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from casty.actor.streams.messages import (
    MAX_REASON,
    StreamCheck,
    StreamClose,
    StreamDemand,
    StreamElements,
    StreamEnd,
    StreamEnding,
    StreamProgress,
    StreamSubscribe,
    Why,
)

__all__ = ["MAX_BATCH", "Producing", "Said"]

MAX_BATCH = 256
"""Elements in one message; what makes more of them too large is sent in several."""

Said = StreamElements | StreamProgress | StreamEnding
"""What this side says to its consumer."""


class Producing:
    """One producer's stream.

    Parameters
    ----------
    size
        How many elements may wait to be sent, at least 1.
    patience
        After so many ticks without a word of the consumer it is given up, at least 2.

    Attributes
    ----------
    stream
        The subscription it serves; None before there is one. It never serves another.
    sent
        The number of the last element that was sent; never above `until`.
    until
        Up to which number the consumer allows to send; never falls.
    end
        How the stream ends on this side: nothing can be put any more. None while it goes on.
    is_closed
        Nothing is said any more.
    """

    __slots__ = (
        "_is_ending", "_patience", "_silent", "_waiting", "end", "is_closed", "sent", "size", "stream", "until",
    )  # fmt: skip

    def __init__(self, size: int, patience: int) -> None:
        self.size = size
        self.stream: str | None = None
        self.sent = 0
        self.until = 0
        self.end: StreamEnd | None = None
        self.is_closed = False
        self._waiting: deque[Any] = deque()
        self._patience = patience
        self._silent = 0
        """Ticks since the consumer was heard."""
        self._is_ending = False
        """Whether the end was said."""

    # -- whoever has the elements

    @property
    def has_room(self) -> bool:
        """Whether an element can be put now."""
        return self.end is None and len(self._waiting) < self.size

    @property
    def waiting(self) -> int:
        """How many elements were put and not sent."""
        return len(self._waiting)

    def put(self, element: object) -> None:
        """Take an element; there has to be room."""
        assert self.has_room, "whoever puts has asked"
        self._waiting.append(element)

    def finish(self) -> None:
        """There are no more elements; harmless when it ended already."""
        if self.end is None:
            self.end = StreamEnd(Why.completed, "the stream is complete")

    def fail(self, reason: str, why: Why = Why.failed) -> None:
        """The stream cannot go on: what was not sent is dropped; harmless when the consumer closed."""
        if not self.is_closed and not self._is_ending:
            self.end = StreamEnd(why, reason[:MAX_REASON])
            self._waiting.clear()

    # -- what is due

    def due(self, most: int = MAX_BATCH) -> Said | None:
        """Return what is to be said now, one message of at most so many elements; None when nothing is."""
        if self.stream is None or self.is_closed:
            return None
        count = min(len(self._waiting), self.until - self.sent, most)
        if count > 0:
            elements = tuple(self._waiting.popleft() for _ in range(count))
            first, self.sent = self.sent + 1, self.sent + count
            return StreamElements(self.stream, first, elements)
        if self.end is not None and not self._waiting and not self._is_ending:
            self._is_ending = True
            return StreamEnding(self.stream, self.sent, self.end)
        return None

    # -- the consumer

    def subscribed(self, message: StreamSubscribe) -> Said | None:
        """A consumer wants the stream; return what that one is to be told at once."""
        if self.stream is None and not self.is_closed:
            self.stream = message.stream
        elif self.stream != message.stream or self.is_closed:
            reason = "the producer has another consumer" if not self.is_closed else "the stream is over"
            return StreamEnding(message.stream, 0, StreamEnd(Why.taken, reason))
        return self._heard(message.until)

    def demanded(self, message: StreamDemand | StreamCheck) -> Said | None:
        """The consumer allows more, or asks how far this side is; return what it is told at once."""
        if message.stream != self.stream or self.is_closed:
            return None
        answer = self._heard(message.until)
        return answer if isinstance(message, StreamCheck) else None

    def _heard(self, until: int) -> Said:
        assert self.stream is not None
        self._silent = 0
        self.until = max(self.until, until)
        if self._is_ending and self.end is not None:
            return StreamEnding(self.stream, self.sent, self.end)
        return StreamProgress(self.stream, self.sent)

    def closed(self, message: StreamClose) -> None:
        """The consumer is done."""
        if message.stream == self.stream:
            self._close(message.end)

    def lost(self, reason: str) -> None:
        """The consumer is gone."""
        if self.stream is not None:
            self._close(StreamEnd(Why.lost, reason))

    def stop(self, reason: str) -> Said | None:
        """This side is over, whatever the consumer has; return what that one is told, once."""
        if self.is_closed:
            return None
        self.fail(reason, Why.lost)
        said = self.due()
        self._close(StreamEnd(Why.lost, reason))
        return said

    def _close(self, end: StreamEnd) -> None:
        """Nothing more is said. How the consumer ended counts, unless it has all and this side failed all the same."""
        if self.is_closed:
            return
        self.is_closed = True
        self._waiting.clear()
        if self.end is None or self.end.why is Why.completed:
            self.end = end

    def tick(self) -> None:
        """A second passed: whoever subscribed has to be heard now and then."""
        if self.stream is None or self.is_closed:
            return
        self._silent += 1
        if self._silent > self._patience:
            self._close(
                StreamEnd(Why.lost, f"nothing was heard of the consumer for {self._patience} seconds")
            )
