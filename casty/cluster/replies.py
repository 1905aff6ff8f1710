"""Reply batches: answers for one link in one turn leave together, at most `AT_ONCE` in a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from casty.cluster.operations import AT_ONCE
from casty.distributed.core import TOO_LARGE
from casty.errors import MessageTooLarge
from casty.wire import frames
from casty.wire.pack import pack

__all__ = ["LinkAnswers", "LocalAnswers", "Outbound"]


class Outbound(Protocol):
    """What a batch is sent on."""

    def send(self, kind: int, body: bytes) -> bool:
        """Stage a frame; False when the link cannot take it. Raises `MessageTooLarge`."""
        ...

    def close(self, reason: str) -> None:
        """End the link."""


class LinkAnswers:
    """Collects the replies for one connection. One that does not fit the outbound queue closes the link."""

    __slots__ = ("_dirty", "_items", "_link")

    def __init__(self, link: Outbound, dirty: list[LinkAnswers | LocalAnswers]) -> None:
        self._link = link
        self._items: list[list[object]] = []
        self._dirty = dirty

    def add(self, call_id: int, reply: list[object]) -> None:
        """Answer a call at the end of this turn."""
        if not self._items:
            self._dirty.append(self)
        self._items.append([call_id, reply])

    def flush(self) -> None:
        """Send what was collected."""
        items, self._items = self._items, []
        for first in range(0, len(items), AT_ONCE):
            self._send(items[first : first + AT_ONCE])

    def _send(self, items: list[list[object]]) -> None:
        try:
            if not self._link.send(frames.REPLY, pack(items)):
                self._link.close("the outbound queue is full: the other side does not read its replies")
        except MessageTooLarge as error:
            half = len(items) // 2
            if half:
                self._send(items[:half])
                self._send(items[half:])
            else:
                self._send([[items[0][0], [TOO_LARGE, str(error)]]])


class LocalAnswers:
    """The same for this node's own gateway."""

    __slots__ = ("_deliver", "_dirty", "_items")

    def __init__(self, deliver: Callable[[bytes], None], dirty: list[LinkAnswers | LocalAnswers]) -> None:
        self._deliver = deliver
        self._items: list[list[object]] = []
        self._dirty = dirty

    def add(self, call_id: int, reply: list[object]) -> None:
        """Answer a call at the end of this turn."""
        if not self._items:
            self._dirty.append(self)
        self._items.append([call_id, reply])

    def flush(self) -> None:
        """Hand over what was collected."""
        items, self._items = self._items, []
        if items:
            self._deliver(pack(items))
