"""The consuming side of a stream, as a value: what was asked for, what came, what was taken, and how it ends.

States::

    subscribing  --anything of the producer-->               open
    subscribing  --a tick-->                                 subscribing: said again
    open         --elements in order-->                      open
    open         --an element is missing-->                  ended: gap
    open         --the producer says its end-->              ended: as it says, or gap where elements are missing
    any          --the producer is gone or silent-->         ended: lost
    any          --the reader wants no more-->               ended: cancelled
    ended        --a tick-->                                 ended: said again, for the producer may not know
    ended        --the producer is gone-->                   settled

What came in order before the end can still be taken; the end comes behind it. Elements of other subscriptions are
ignored, and so is what came already. One that was not asked for is refused: the producer does not keep to the protocol,
and this side would have to keep more than it has room for.

Bounds: at most `window` elements came and were not taken, or are on the way.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from casty.actor.ref import ActorRef
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

__all__ = ["Asked", "Consuming"]

Asked = StreamSubscribe | StreamDemand | StreamCheck | StreamClose
"""What this side says to its producer."""


class Consuming:
    """One consumer's stream.

    Parameters
    ----------
    stream
        The subscription's token.
    consumer
        Where the producer sends to.
    window
        How many elements may be here or on the way, at least 1.
    patience
        After so many ticks without a word of the producer it is given up, at least 2.

    Attributes
    ----------
    received
        The number of the last element that came; the next one that counts is `received + 1`.
    taken
        The number of the last element that the reader took; never above `received`.
    until
        Up to which number was asked for; at most `taken + window`, and never falls.
    end
        How the stream ended on this side; None while it goes on.
    is_settled
        It ended, and the producer knows, is gone, or was told often enough.
    """

    __slots__ = (
        "_consumer", "_here", "_is_answered", "_is_wanted", "_patience", "_silent", "_window", "end", "is_settled",
        "received", "stream", "taken", "until",
    )  # fmt: skip

    def __init__(self, stream: str, consumer: ActorRef[Any], window: int, patience: int) -> None:
        self.stream = stream
        self.received = 0
        self.taken = 0
        self.until = 0
        self.end: StreamEnd | None = None
        self.is_settled = False
        self._consumer = consumer
        self._window = window
        self._patience = patience
        self._here: deque[Any] = deque()
        self._is_answered = False
        self._is_wanted = False
        """Whether there is a reader: before, nothing is asked for."""
        self._silent = 0
        """Ticks since the producer was heard."""

    # -- the producer

    def subscribe(self) -> Asked:
        """Return what begins the stream."""
        return StreamSubscribe(self.stream, self._consumer, self.until)

    def came(self, message: StreamElements) -> Asked | None:
        """Elements arrived."""
        if not self._is_mine(message.stream):
            return None
        last = message.first + len(message.elements) - 1
        if message.first > self.received + 1:
            return self._gap(message.first - 1)
        if last > self.until:
            reason = f"the producer sent element {last}, and was asked for {self.until} of them"
            return self._over(StreamEnd(Why.failed, reason))
        for element in message.elements[self.received + 1 - message.first :]:
            self._here.append(element)
            self.received += 1
        return None

    def progressed(self, message: StreamProgress) -> Asked | None:
        """The producer says how much it sent."""
        if not self._is_mine(message.stream):
            return None
        return self._gap(message.sent) if message.sent > self.received else None

    def ending(self, message: StreamEnding) -> Asked | None:
        """The producer ended the stream; it is told that this side knows, each time that it says so."""
        if message.stream != self.stream:
            return None
        if self.end is not None:
            return StreamClose(self.stream, self.end)
        if message.sent > self.received and message.end.why is Why.completed:
            return self._gap(message.sent)
        return self._over(StreamEnd(message.end.why, message.end.reason[:MAX_REASON]))

    def lost(self, reason: str) -> Asked | None:
        """The producer is gone."""
        self.is_settled = True
        return None if self.end is not None else self._over(StreamEnd(Why.lost, reason))

    def tick(self) -> Asked | None:
        """A second passed: ask again, and how far the producer is."""
        if self.is_settled:
            return None
        self._silent += 1
        if self.end is not None:
            self.is_settled = self._silent > self._patience
            return StreamClose(self.stream, self.end)
        if self._silent > self._patience:
            reason = f"nothing was heard of the producer for {self._patience} seconds"
            return self._over(StreamEnd(Why.lost, reason))
        return StreamCheck(self.stream, self.until) if self._is_answered else self.subscribe()

    def _is_mine(self, stream: str) -> bool:
        if stream != self.stream or self.end is not None:
            return False
        self._silent, self._is_answered = 0, True
        return True

    def _gap(self, sent: int) -> Asked:
        missing = (
            f"element {self.received + 1}" if sent == self.received + 1 else f"{self.received + 1} to {sent}"
        )
        return self._over(StreamEnd(Why.gap, f"expected every element, found that {missing} did not arrive"))

    def _over(self, end: StreamEnd) -> Asked:
        self.end, self._silent = end, 0
        self.is_settled = self.is_settled or end.why is Why.taken  # by one that goes on without this side
        return StreamClose(self.stream, end)

    # -- the reader

    def wanted(self) -> Asked | None:
        """There is a reader: ask for as much as there is room for."""
        self._is_wanted = True
        return self.more()

    @property
    def wants_more(self) -> bool:
        """Whether half of the room is free again: no message is sent for each element."""
        free = self.taken + self._window - self.until
        return self.end is None and self._is_wanted and 2 * free >= self._window

    def more(self) -> Asked | None:
        """Return what asks for more, where that is due."""
        if not self.wants_more:
            return None
        self.until = self.taken + self._window
        return StreamDemand(self.stream, self.until)

    @property
    def has_element(self) -> bool:
        """Whether one can be taken now."""
        return bool(self._here)

    def take(self) -> Any:
        """Return the next element; there has to be one."""
        self.taken += 1
        return self._here.popleft()

    def close(self, end: StreamEnd) -> Asked | None:
        """The reader wants no more, or cannot go on: what was not taken is dropped."""
        self._here.clear()
        self.taken = self.received
        return None if self.end is not None else self._over(StreamEnd(end.why, end.reason[:MAX_REASON]))
