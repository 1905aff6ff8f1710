"""What a connection tells: its owner of frames and of its end, and the handshake that it plays."""

from __future__ import annotations

from typing import Protocol, TypeVar

__all__ = ["HandlerOf", "HandshakeOf"]

C_contra = TypeVar("C_contra", contravariant=True)
"""The connection."""


class HandlerOf(Protocol[C_contra]):
    """What the owner of connections hears; everything runs inside a turn of that owner."""

    def on_open(self, connection: C_contra) -> None:
        """Learn that a handshake succeeded; `connection.remote` says with whom."""

    def on_frame(self, connection: C_contra, kind: int, body: bytes) -> None:
        """Take one frame. A `ProtocolError`, `EncodingError` or `MessageTooLarge` raised here closes the link."""

    def on_closed(self, connection: C_contra, reason: str) -> None:
        """Learn, once for each `on_open`, that the connection is over."""


class HandshakeOf(Protocol[C_contra]):
    """The half of the handshake that a connection plays, and who follows its life."""

    def begin(self, connection: C_contra) -> None:
        """The link is there; nothing was received yet."""

    def on_frame(self, connection: C_contra, kind: int, body: bytes) -> None:
        """Take a frame: go on, call `Connection.opened` or `close`, or raise a `ProtocolError`."""

    def failed(self, connection: C_contra, reason: str) -> None:
        """The handshake broke off because of the other end; the connection closes after this."""

    def late(self, connection: C_contra, reason: str) -> None:
        """The handshake took too long, which says nothing about the other end; the connection closes after this."""

    def ended(self, connection: C_contra, reason: str) -> None:
        """The connection is over, whether it ever was open or not."""
