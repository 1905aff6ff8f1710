"""What one link sends at the end of a turn: frames in their order, messages that follow each other as one of them.

``BUNDLE`` body: ``[kind, [body, ...]]``, where each body is what the body of a frame of that kind would be. Whoever
takes it does with each what it would have done with that frame.
"""

from __future__ import annotations

from struct import Struct

from casty.limits import MAX_BUNDLE
from casty.wire import frames
from casty.wire.framing import HEADER_BYTES, pack_header

__all__ = ["BUNDLED", "Staging"]

BUNDLED = (frames.ACTOR, frames.ENTITY)
"""Kinds of which several go in one frame: those that come in numbers."""

_LIST_OF_TWO, _LIST = 0x92, 0xDC
_envelope = Struct(">IBBBBH")
"""The header of a frame, and what stands before the first message in it: two lists, the kind between them."""
ENVELOPE_BYTES = _envelope.size - HEADER_BYTES


class Staging:
    """Frames that wait for the end of the turn."""

    __slots__ = ("_at", "_bytes", "_count", "_kind", "_room_bytes", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        """Headers and bodies, in pieces; what `take` returns."""
        self._at = 0
        self._kind = self._count = self._bytes = self._room_bytes = 0
        """Of the messages that were staged last, one after the other: their kind, how many, the bytes of their bodies,
        what another one has to be shorter than, and where the header is that stands before the first one."""

    def add(self, kind: int, body: bytes, tail: bytes, most_bytes: int) -> int:
        """Stage a frame, with the rest of its body in `tail`, or a message with those before it.

        Parameters
        ----------
        most_bytes
            A body is shorter than that.

        Returns
        -------
        int
            How many bytes more will be sent; at most those of a frame of its own.
        """
        size_bytes = len(body)
        if kind == self._kind and not tail and size_bytes < self._room_bytes and self._count < MAX_BUNDLE:
            self.parts.append(body)
            self._bytes += size_bytes
            self._room_bytes -= size_bytes
            self._count += 1
            return size_bytes if self._count > 2 else size_bytes + ENVELOPE_BYTES
        if self._count > 1:
            self._close()
        if kind in BUNDLED:
            self._begin(kind, size_bytes, most_bytes)
        else:
            self._kind = self._count = 0
        size_bytes += len(tail)
        self.parts.append(pack_header(size_bytes + 1, kind))
        self.parts.append(body)
        if tail:
            self._kind = self._count = 0
            self.parts.append(tail)
        return size_bytes + HEADER_BYTES

    def _begin(self, kind: int, size_bytes: int, most_bytes: int) -> None:
        self._kind, self._count, self._bytes, self._at = kind, 1, size_bytes, len(self.parts)
        self._room_bytes = most_bytes - ENVELOPE_BYTES - size_bytes

    def _close(self) -> None:
        """Put what stands before a bundle in the place of the first one's header."""
        size_bytes = ENVELOPE_BYTES + self._bytes
        self.parts[self._at] = _envelope.pack(
            size_bytes + 1, frames.BUNDLE, _LIST_OF_TWO, self._kind, _LIST, self._count
        )

    def take(self) -> list[bytes]:
        """Return everything that was staged; nothing is any more."""
        if self._count > 1:
            self._close()
        self._kind = self._count = 0
        parts, self.parts = self.parts, []
        return parts
