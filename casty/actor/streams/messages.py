"""What the two ends of a stream say to each other, and how a stream ends.

A stream is one subscription of one consumer, named by a token that the consumer drew. Elements are numbered from 1.
What is said of numbers is absolute - "up to number 40", "32 were sent" - so that it can be said again: it heals what
was lost, and does no harm when it comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from casty.actor.ref import ActorRef
from casty.checks import check_count, check_text, shown
from casty.errors import StreamClosed, StreamError, StreamFailed, StreamGap, StreamLost, StreamTaken
from casty.limits import MAX_NUMBER
from casty.wire.registry import message

__all__ = [
    "MAX_REASON",
    "StreamCheck",
    "StreamClose",
    "StreamDemand",
    "StreamElements",
    "StreamEnd",
    "StreamEnding",
    "StreamProgress",
    "StreamSubscribe",
    "Why",
    "error_of",
]

MAX_REASON = 500
"""Characters of a reason that are told to the other side."""


@message(name="casty.stream.why")
class Why(Enum):
    """How a stream ended."""

    completed = "completed"
    """The producer said that this is all, and the consumer has it all."""
    failed = "failed"
    """The producing or the consuming side said that it cannot go on."""
    cancelled = "cancelled"
    """The consuming side does not want more."""
    gap = "gap"
    """An element was lost on the way."""
    lost = "lost"
    """The other side is gone, or was not heard for too long."""
    taken = "taken"
    """The producer has another consumer, or had one."""


_ERRORS: dict[Why, type[StreamError]] = {
    Why.completed: StreamClosed,
    Why.failed: StreamFailed,
    Why.cancelled: StreamClosed,
    Why.gap: StreamGap,
    Why.lost: StreamLost,
    Why.taken: StreamTaken,
}


@message(name="casty.stream.end")
@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended, and why, in words."""

    why: Why
    reason: str

    def __post_init__(self) -> None:
        _check_kind(self.why, Why, "why")
        check_text(self.reason, "reason")


def error_of(end: StreamEnd) -> StreamError:
    """Return what whoever still wants something of the stream is told."""
    return _ERRORS[end.why](end.reason)


# -- the consumer says


@message(name="casty.stream.subscribe")
@dataclass(frozen=True, slots=True)
class StreamSubscribe:
    """Send me the stream, elements up to number `until` at first; repeated until something comes back."""

    stream: str
    consumer: ActorRef[Any]
    until: int

    def __post_init__(self) -> None:
        check_text(self.stream, "stream")
        _check_number(self.until, "until")
        if not callable(getattr(self.consumer, "tell", None)):
            raise TypeError(f"consumer: expected a ref, found {shown(self.consumer)}")


@message(name="casty.stream.demand")
@dataclass(frozen=True, slots=True)
class StreamDemand:
    """Elements up to number `until` may be sent."""

    stream: str
    until: int

    def __post_init__(self) -> None:
        _check_number(self.until, "until")


@message(name="casty.stream.check")
@dataclass(frozen=True, slots=True)
class StreamCheck:
    """The same as `StreamDemand`, and say how far you are; sent once a second."""

    stream: str
    until: int

    def __post_init__(self) -> None:
        _check_number(self.until, "until")


@message(name="casty.stream.close")
@dataclass(frozen=True, slots=True)
class StreamClose:
    """The stream is over for the consumer; the producer says nothing more of it."""

    stream: str
    end: StreamEnd

    def __post_init__(self) -> None:
        _check_kind(self.end, StreamEnd, "end")


# -- the producer says


@message(name="casty.stream.elements")
@dataclass(frozen=True, slots=True)
class StreamElements:
    """Elements in order; `first` is the number of the first."""

    stream: str
    first: int
    elements: tuple[Any, ...]

    def __post_init__(self) -> None:
        _check_number(self.first, "first", 1)
        _check_kind(self.elements, tuple, "elements")
        if not self.elements:
            raise ValueError("elements: expected at least one, found none")


@message(name="casty.stream.progress")
@dataclass(frozen=True, slots=True)
class StreamProgress:
    """Elements up to number `sent` were sent, all before this: whoever lacks one will never have it."""

    stream: str
    sent: int

    def __post_init__(self) -> None:
        _check_number(self.sent, "sent")


@message(name="casty.stream.ending")
@dataclass(frozen=True, slots=True)
class StreamEnding:
    """There are no elements behind number `sent`; said again with each check, until the consumer closes."""

    stream: str
    sent: int
    end: StreamEnd

    def __post_init__(self) -> None:
        _check_number(self.sent, "sent")
        _check_kind(self.end, StreamEnd, "end")


def _check_number(number: int, name: str, least: int = 0) -> None:
    check_count(name, number, least, MAX_NUMBER)


def _check_kind(value: object, kind: type, name: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a {kind.__name__}, found {shown(value)}")
