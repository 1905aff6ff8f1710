"""TCP: the seam's links over asyncio protocols. With a `Config`, TLS runs between the socket and the link."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import cast

from casty.forks import keep_from_children
from casty.ports import Link, LinkFactory, LinkHandler, Listener
from casty.tls import Config
from casty.transport.accepting import Accepting
from casty.transport.tls import TlsLink

__all__ = ["TcpTransport"]

BACKLOG = 1024
"""Links that the system completes while the loop is busy; a burst of clients after a restart fits."""

LEAST_READ_BYTES = 8 * 1024
"""What is read in one turn of the loop: some hundred small messages, which cost milliseconds to work off. Whatever else
arrived waits in the system, and what does not fit there with its sender."""

MOST_READ_BYTES = 256 * 1024
"""What is read at once of a single long frame."""


class TcpLink(asyncio.BufferedProtocol):
    """One socket."""

    __slots__ = (
        "_buffer", "_is_full", "_on_drained", "_on_link", "_read_bytes", "_transport", "handler", "peer",
    )  # fmt: skip

    def __init__(self, on_link: LinkFactory) -> None:
        self._on_link = on_link
        self._buffer = bytearray()
        self._read_bytes = LEAST_READ_BYTES
        self._is_full = False  # asyncio's own mark: more is queued than the system takes soon
        self._on_drained: Callable[[], None] | None = None
        self.handler: LinkHandler
        self._transport: asyncio.Transport
        self.peer: tuple[str, int] = ("", 0)

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self._transport = cast(asyncio.Transport, transport)
        keep_from_children(transport.get_extra_info("socket").fileno())
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple) and len(name) >= 2:
            self.peer = (str(name[0]), int(name[1]))
        self.handler = self._on_link(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Say where to put what arrived, and with that how much is read."""
        del sizehint
        self._buffer = bytearray(self._read_bytes)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes arrived."""
        data, self._buffer = bytes(memoryview(self._buffer)[:nbytes]), bytearray()
        missing = self.handler.data_received(data)
        self._read_bytes = min(max(missing or 0, LEAST_READ_BYTES), MOST_READ_BYTES)

    def pause_writing(self) -> None:
        """Much is queued."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Little is queued again."""
        self._is_full = False
        callback, self._on_drained = self._on_drained, None
        if callback is not None:
            # asyncio calls this amid a write; whoever waited may want to write as well.
            asyncio.get_running_loop().call_soon(callback)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._on_drained = None
        self.handler.link_lost(exc)

    # -- what the owner calls

    @property
    def buffered_bytes(self) -> int:
        """Bytes that the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    def proves(self, host: str) -> bool:
        """Nobody proves anything without TLS."""
        del host
        return True

    def write(self, data: bytes) -> None:
        """Queue bytes."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Queue pieces."""
        for part in parts:
            self.write(part)

    def close(self) -> None:
        """Send what is queued, then end."""
        self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Leave what arrives with the system."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back when little is queued."""
        if self._is_full:
            self._on_drained = callback
        else:
            asyncio.get_running_loop().call_soon(callback)


class TcpListener:
    """Bound sockets: one, or one for each family that a name stands for."""

    def __init__(self, sockets: list[socket.socket], make: Callable[[], asyncio.BaseProtocol]) -> None:
        name = sockets[0].getsockname()
        self.address: tuple[str, int] = (str(name[0]), int(name[1]))
        self._accepting = [Accepting(one, make) for one in sockets]

    async def close(self) -> None:
        """Take no more links."""
        for accepting in self._accepting:
            accepting.close()


class TcpTransport:
    """The real network."""

    async def listen(
        self, host: str, port: int, on_link: LinkFactory, *, tls: Config | None = None
    ) -> Listener:
        """Bind and take links; raises `OSError` when the address cannot be bound."""
        loop = asyncio.get_running_loop()
        # With TLS the link is handed over before its handshake, so that its owner can bound unfinished ones.
        factory = on_link if tls is None else _accept_tls(tls, on_link)
        if host == "::":
            # asyncio would bind that to IPv6 alone; whoever says it means every interface.
            both = socket.create_server(
                (host, port),
                family=socket.AF_INET6,
                backlog=BACKLOG,
                dualstack_ipv6=socket.has_dualstack_ipv6(),
            )
            return TcpListener([both], lambda: TcpLink(factory))
        # asyncio binds, with all its care for names and families, and gives the sockets up before it accepts.
        server = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
        sockets = [socket.socket(fileno=os.dup(one.fileno())) for one in server.sockets]
        server.close()
        for one in sockets:
            one.listen(BACKLOG)
        return TcpListener(sockets, lambda: TcpLink(factory))

    async def dial(self, host: str, port: int, on_link: LinkFactory, *, tls: Config | None = None) -> Link:
        """Make one link; raises `OSError` when there is no answer.

        A TLS handshake goes on after the return; its failure is the reason with which the link is lost.
        """
        loop = asyncio.get_running_loop()
        if tls is None:
            _, plain = await loop.create_connection(lambda: TcpLink(on_link), host, port)
            return plain
        context = tls.client_context
        _, raw = await loop.create_connection(
            lambda: TcpLink(lambda raw: TlsLink(raw, context, on_link, hostname=host)), host, port
        )
        link = raw.handler
        assert isinstance(link, TlsLink), "the factory above made it"
        link.start()
        return link


def _accept_tls(tls: Config, on_link: LinkFactory) -> LinkFactory:
    context = tls.server_context
    assert context is not None, "a node was checked to have one"
    return lambda raw: TlsLink(raw, context, on_link, hostname=None)
