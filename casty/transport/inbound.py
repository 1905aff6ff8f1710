"""What all links that a node took hold of frames that are not complete yet: bounded together, not only each by itself.

A hundred ends that send all but the last byte of a frame would otherwise make a node hold a hundred frames.
"""

from __future__ import annotations

from typing import Protocol

from casty.wire.hello import Hello

__all__ = ["InboundBytes"]


class Holder(Protocol):
    """A link, as this sees it."""

    remote: Hello

    def abort(self, reason: str) -> None:
        """End it at once."""


class InboundBytes:
    """The unfinished frames of all links.

    Parameters
    ----------
    max_bytes
        How many bytes they may have together. Beyond that the link with the longest one is dropped, a client's
        or a stranger's before a member's.

    Attributes
    ----------
    total_bytes
        How many they have.
    dropped
        How many links were dropped.
    """

    __slots__ = ("_held", "_max_bytes", "dropped", "total_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: dict[Holder, int] = {}
        """By link, its bytes; a row goes with the last of them, or with the link."""
        self.total_bytes = 0
        self.dropped = 0

    def holds(self, link: Holder, size_bytes: int) -> None:
        """A link holds so many bytes of an unfinished frame now."""
        if not size_bytes and link not in self._held:
            return  # as nearly always: all that came was whole frames
        before = self._held.pop(link, 0)
        if size_bytes:
            self._held[link] = size_bytes
        self.total_bytes += size_bytes - before
        while self.total_bytes > self._max_bytes:
            self._drop()

    def _drop(self) -> None:
        link = max(self._held, key=lambda one: (one.remote.role != "node", self._held[one]))
        held_bytes = self._held.pop(link)
        self.total_bytes -= held_bytes
        self.dropped += 1
        link.abort(
            f"dropped with {held_bytes} bytes of an unfinished frame: those of all links exceeded "
            f"max_inbound_bytes ({self._max_bytes})"
        )
