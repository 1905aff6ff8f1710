"""A client's link that is made by hand: an ordinary handshake, and then whatever a test likes to send."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from casty.wire import frames
from casty.wire.document import Assembly
from casty.wire.framing import frame
from casty.wire.hello import Hello
from casty.wire.pack import Plain, pack, unpack

__all__ = ["HOST", "HandMade"]

HOST = "127.0.0.1"


class HandMade:
    """One link. It reads only what it is told to read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int, cluster: str, client_id: str = "by-hand") -> HandMade:
        """Dial a node as a client."""
        link = cls(*await asyncio.open_connection(HOST, port))
        link.send(frames.HELLO, None, Hello(cluster, "client", client_id, "1", HOST, 1, 2**24).encode())
        await link.next(frames.WELCOME)
        return link

    def send(self, kind: int, plain: Plain, body: bytes | None = None) -> None:
        """Write a frame with a plain value, or with any bytes, as its body."""
        self._writer.write(frame(kind, pack(plain) if body is None else body))

    def write(self, data: bytes) -> None:
        """Write any bytes at once."""
        self._writer.write(data)

    async def any(self) -> tuple[int, bytes]:
        """Return kind and body of the next frame."""
        size, kind = struct.unpack(">IB", await self._reader.readexactly(5))
        return kind, await self._reader.readexactly(size - 1)

    async def next(self, wanted: int) -> bytes:
        """Return the body of the next frame of a kind."""
        while True:
            kind, body = await self.any()
            if kind == wanted:
                return body

    async def topology(self) -> Any:
        """Return the topology's plain document."""
        self.send(frames.SUBSCRIBE, None, b"")
        assembly = Assembly()
        while True:
            document = assembly.take(await self.next(frames.TOPOLOGY))
            if document is not None:
                plain: Any = unpack(document)
                return plain[1]

    async def ask(self, rows: list[list[Any]]) -> dict[int, list[Any]]:
        """Send requests, and return the final reply to each call id."""
        self.send(frames.REQUEST, rows)
        replies: dict[int, list[Any]] = {}
        while len(replies) < len(rows):
            answered: Any = unpack(await self.next(frames.REPLY))
            replies.update(answered)
        return replies

    async def drain(self) -> None:
        """Read until the link ends, by whichever side."""
        try:
            while await self._reader.read(65_536):
                continue
        except ConnectionError:
            return

    def close(self) -> None:
        """End the link at once."""
        self._writer.transport.abort()
