"""Frames on a byte stream: a 4-byte big-endian length, a 1-byte kind, the body.

The length counts kind and body. It is judged as soon as its four bytes are there, before anything is buffered
for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from casty.errors import RemoteProtocolError

__all__ = ["APART_BYTES", "HEADER_BYTES", "FrameBuffer", "frame", "frame_header", "joined", "pack_header"]

HEADER_BYTES = 5
APART_BYTES = 64 * 1024
"""What is as long goes to the network in a piece of its own: to join it with others takes longer than another write."""
_LENGTH_BYTES = 4
_TLS_FIRST_BYTES = (0x15, 0x16)
_HEADER = Struct(">IB")
_read_header = _HEADER.unpack_from


def frame_header(kind: int, body_bytes: int) -> bytes:
    """Return the five bytes that stand before a body of so many bytes."""
    return _HEADER.pack(body_bytes + 1, kind)


pack_header = _HEADER.pack
"""``pack_header(body_bytes + 1, kind)`` returns the same, without a call of its own: each frame has one."""


def frame(kind: int, body: bytes) -> bytes:
    """Return one whole frame.

    Examples
    --------
    >>> frame(4, b"ab")
    b'\\x00\\x00\\x00\\x03\\x04ab'
    """
    return _HEADER.pack(len(body) + 1, kind) + body


def joined(parts: Sequence[bytes]) -> list[bytes]:
    """Return the same bytes in fewer pieces: what is short is joined, what is long stays as it is.

    Examples
    --------
    >>> long = bytes(APART_BYTES)
    >>> joined([b"a", b"b", long, b"c"]) == [b"ab", long, b"c"]
    True
    """
    found: list[bytes] = []
    begin = 0
    for at, part in enumerate(parts):
        if len(part) >= APART_BYTES:
            found += (b"".join(parts[begin:at]), part)
            begin = at + 1
    found.append(b"".join(parts[begin:]))
    return [part for part in found if part]


class FrameBuffer:
    """Cuts a byte stream into frames, however it is fragmented.

    Parameters
    ----------
    limit_bytes
        The longest frame (kind and body) that is accepted; may be raised between two calls.

    Examples
    --------
    >>> buffer = FrameBuffer(100)
    >>> buffer.feed(b"\\x00\\x00\\x00\\x02\\x04")
    []
    >>> buffer.feed(b"a\\x00")
    [(4, b'a')]
    """

    __slots__ = ("_chunks", "_held_bytes", "_needed_bytes", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._chunks: list[bytes] = []
        self._held_bytes = 0
        self._needed_bytes = 0  # nothing can be cut before so many bytes are held

    @property
    def held_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return self._held_bytes

    @property
    def missing_bytes(self) -> int:
        """Bytes that complete the frame which began to arrive; 0 where none did."""
        return self._needed_bytes - self._held_bytes if self._held_bytes else 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take the next bytes and return the frames that they complete.

        Raises
        ------
        RemoteProtocolError
            For an empty or oversized frame, and for TLS where plain frames were due.
        """
        if not self._chunks and len(data) >= HEADER_BYTES:
            length, kind = _read_header(data)
            if length == len(data) - _LENGTH_BYTES and 0 < length <= self.limit_bytes:
                # The usual case, exactly one frame: what `_cut` and `_hold` come to without a loop.
                self._held_bytes, self._needed_bytes = 0, _LENGTH_BYTES
                return [(kind, data[HEADER_BYTES:])]
        return self._cut(data, -1)

    def feed_one(self, data: bytes) -> tuple[int, bytes] | None:
        """Take the next bytes but cut one frame at most, as it may change the limit for those behind it."""
        found = self._cut(data, 1)
        return found[0] if found else None

    def _cut(self, data: bytes, most: int) -> list[tuple[int, bytes]]:
        if self._chunks:
            self._chunks.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._needed_bytes:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
        found: list[tuple[int, bytes]] = []
        start, end = 0, len(data)
        needed = HEADER_BYTES
        while end - start >= HEADER_BYTES and len(found) != most:
            length, kind = _read_header(data, start)
            if not 0 < length <= self.limit_bytes:
                raise self._illegal(length, data[start : start + HEADER_BYTES])
            needed = _LENGTH_BYTES + length
            if end - start < needed:
                break
            found.append((kind, data[start + HEADER_BYTES : start + needed]))
            start += needed
            needed = HEADER_BYTES
        self._hold(data[start:], needed)
        return found

    def _hold(self, rest: bytes, needed_bytes: int) -> None:
        self._held_bytes = len(rest)
        # A length is judged as soon as it is there, though its kind may still be missing.
        self._needed_bytes = needed_bytes if len(rest) >= _LENGTH_BYTES else _LENGTH_BYTES
        if rest:
            self._chunks.append(rest)
            if len(rest) == _LENGTH_BYTES:
                length = int.from_bytes(rest, "big")
                if not 0 < length <= self.limit_bytes:
                    raise self._illegal(length, rest)

    def _illegal(self, length: int, head: bytes) -> RemoteProtocolError:
        if head[0] in _TLS_FIRST_BYTES and head[1] == 0x03:
            return RemoteProtocolError(
                f"expected a plain casty frame, found TLS (first byte {head[0]:#04x}): "
                "give both ends a tls configuration, or neither"
            )
        if length == 0:
            return RemoteProtocolError("expected a frame with a kind, found one of length 0")
        return RemoteProtocolError(
            f"expected a frame of at most {self.limit_bytes} bytes, found one of {length} ({head!r}): "
            "is the other end casty, and is its max_frame_bytes the same?"
        )
