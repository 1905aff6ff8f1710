"""What a connection tells: its owner of frames and of its end, and the handshake that it plays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from casty.transport.connection import Connection

__all__ = ["ConnectionHandler", "Handshake"]


class ConnectionHandler(Protocol):
    """What the owner of connections hears; everything runs inside a turn of that owner."""

    def on_open(self, connection: Connection) -> None:
        """Learn that a handshake succeeded; `connection.remote` says with whom."""

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        """Take one frame. A `ProtocolError`, `EncodingError` or `MessageTooLarge` raised here closes the link."""

    def on_closed(self, connection: Connection, reason: str) -> None:
        """Learn, once for each `on_open`, that the connection is over."""


class Handshake(Protocol):
    """The half of the handshake that a connection plays, and who follows its life."""

    def begin(self, connection: Connection) -> None:
        """The link is there; nothing was received yet."""

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        """Take a frame: go on, call `Connection.opened` or `close`, or raise a `ProtocolError`."""

    def failed(self, connection: Connection, reason: str) -> None:
        """The handshake broke off because of the other end; the connection closes after this."""

    def late(self, connection: Connection, reason: str) -> None:
        """The handshake took too long, which says nothing about the other end; the connection closes after this."""

    def ended(self, connection: Connection, reason: str) -> None:
        """The connection is over, whether it ever was open or not."""
