"""The network seam: ordered byte streams. Framing, handshake and limits live above it.

Everything that moves bytes implements these four protocols and nothing else, so the simulated network
and real TCP run the same code above the seam and pass the same conformance tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from casty.tls import Config

__all__ = ["Link", "LinkFactory", "LinkHandler", "Listener", "Transport"]


class LinkHandler(Protocol):
    """What a link calls. No method may raise; all run on the owner's event loop."""

    def data_received(self, data: bytes) -> int | None:
        """Take the next bytes, in order, of any size from 1 upwards.

        Returns
        -------
        int | None
            How many more bytes complete what began to arrive: a hint how much to read at once. None for no idea.
        """

    def link_lost(self, reason: BaseException | None) -> None:
        """Learn, exactly once, that the link is gone; None means the other side ended it cleanly."""


class Link(Protocol):
    """One ordered, reliable byte stream between two processes."""

    @property
    def peer(self) -> tuple[str, int]:
        """The other end as (host, port); a label for messages, not an identity."""
        ...

    @property
    def buffered_bytes(self) -> int:
        """Bytes given to `write` that the network has not taken yet."""
        ...

    def proves(self, host: str) -> bool:
        """Whether the other end may say that `host` is where it is reached, once it has said anything at all.

        With TLS its certificate has to name the host; without, nobody proves anything, and everybody may.
        """
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes without blocking; on a lost or closing link they vanish."""

    def close(self) -> None:
        """Send what is queued, then end the stream; `link_lost` follows."""

    def abort(self) -> None:
        """Drop what is queued and end the stream at once; `link_lost` follows."""

    def pause_reading(self) -> None:
        """Hand on nothing more until `resume_reading`; the other end waits once what lies between is full.

        The clean end of the stream waits behind what was sent before it. Harmless when reading is paused.
        """

    def resume_reading(self) -> None:
        """Hand on what arrived, in later turns; harmless when reading is not paused."""

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once, in a later turn, when the network has taken nearly all that was written.

        One callback at a time; a link that ends first forgets it.
        """


LinkFactory = Callable[[Link], LinkHandler]
"""Called once for each new link, before its first byte; returns who hears it."""


class Listener(Protocol):
    """A bound address that takes links."""

    @property
    def address(self) -> tuple[str, int]:
        """The bound (host, port); the port is the real one when 0 was asked for."""
        ...

    async def close(self) -> None:
        """Take no more links. Links already made stay open."""


class Transport(Protocol):
    """Makes links."""

    async def listen(
        self, host: str, port: int, on_link: LinkFactory, *, tls: Config | None = None
    ) -> Listener:
        """Bind and take links; raises `OSError` when the address cannot be bound."""
        ...

    async def dial(self, host: str, port: int, on_link: LinkFactory, *, tls: Config | None = None) -> Link:
        """Make one link; raises `OSError` when there is no answer."""
        ...
