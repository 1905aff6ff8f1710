"""A document of any size as frames of one link: cut into parts, and put together again. Pure.

Parts of a document follow each other on their link, which keeps their order; the first part of another document takes
the place of one that was not finished.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from casty.errors import RemoteProtocolError
from casty.wire.pack import pack, unpack

__all__ = ["MAX_DOCUMENT_BYTES", "Assembly", "parts_of"]

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""What a link may make us hold of a document: many times what the bounds of members, slots and services allow."""

PART_BYTES = 256 * 1024
HEAD_BYTES = 64
"""Room for the numbers of a part."""


def parts_of(document: bytes, max_frame_bytes: int) -> Iterator[bytes]:
    """Yield the bodies of frames, each shorter than `max_frame_bytes`."""
    size = min(PART_BYTES, max_frame_bytes // 2 - HEAD_BYTES)
    count = max(1, -(-len(document) // size))
    for number in range(count):
        yield pack([number, count, document[number * size : (number + 1) * size]])


class Assembly:
    """The parts that came of a document; they go with its last one, at most `MAX_DOCUMENT_BYTES`."""

    __slots__ = ("_parts", "_size_bytes")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def take(self, body: bytes) -> bytes | None:
        """Take one part; returns the document with its last one.

        Raises
        ------
        RemoteProtocolError
            It is no part, not the next one, or the document is longer than `MAX_DOCUMENT_BYTES`.
        """
        number, count, part = _checked(unpack(body))
        if number == 0:
            self._parts, self._size_bytes = [], 0
        if number != len(self._parts):
            raise RemoteProtocolError(f"document: expected part {len(self._parts)}, found {number}")
        self._parts.append(part)
        self._size_bytes += len(part)
        if self._size_bytes > MAX_DOCUMENT_BYTES:
            raise RemoteProtocolError(
                f"document: expected at most {MAX_DOCUMENT_BYTES} bytes, found {self._size_bytes}"
            )
        if number + 1 < count:
            return None
        whole, self._parts, self._size_bytes = b"".join(self._parts), [], 0
        return whole


def _checked(plain: Any) -> tuple[int, int, bytes]:
    is_part = isinstance(plain, list) and [type(field) for field in plain] == [int, int, bytes]
    if not is_part or not 0 <= plain[0] < plain[1]:
        raise RemoteProtocolError("document: expected [number, count, bytes] of a part")
    return plain[0], plain[1], plain[2]
