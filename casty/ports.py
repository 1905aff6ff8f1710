"""The ports: the only ways to time, entropy, network and disk, bundled in one `Runtime`.

`casty.realtime` implements them for production, the simulator for each of its nodes; `casty.runtime` says which ones
count where code runs. Nothing in the library asks which of the two it has.

The seam of the network is ordered byte streams: framing, handshake and limits live above it. Everything that moves
bytes implements `Transport`, `Listener` and `Link` and nothing else, so the simulated network and real TCP run the same
code above the seam and pass the same conformance tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from casty.errors import DiskError
from casty.events import Event
from casty.tls import Config

__all__ = [
    "Clock",
    "Device",
    "Entropy",
    "EventSink",
    "GroupWrite",
    "Link",
    "LinkFactory",
    "LinkHandler",
    "Listener",
    "Runtime",
    "Storage",
    "Timer",
    "Transport",
]


class Timer(Protocol):
    """A callback that has not run yet."""

    def cancel(self) -> None:
        """Make sure that the callback never runs; harmless when it already has."""


class Clock(Protocol):
    """A node's own clock, never below 0. Only the rate is trusted (within `drift`), never the absolute value."""

    def now(self) -> int:
        """Nanoseconds, monotonic, counting on while the machine is suspended where it can."""
        ...

    def call_at(self, when_ns: int, callback: Callable[..., object], *args: object) -> Timer:
        """Run ``callback(*args)`` on the running loop when `now` reaches `when_ns`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let others run for so long."""

    def wall_s(self) -> int:
        """Whole seconds of civil time since the start of 2025; for the generation number only."""
        ...


class Entropy(Protocol):
    """Randomness. `purpose` names the use: simulated draws are keyed by it, never by their order."""

    def token(self, purpose: str, size: int) -> bytes:
        """So many unpredictable bytes."""
        ...

    def below(self, purpose: str, bound: int) -> int:
        """A uniform integer, 0 <= n < bound."""
        ...


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

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Queue bytes in pieces, the same as if they were joined, where joining them would take long."""

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


class GroupWrite(Protocol):
    """What one group wants on disk before its messages leave; see `consensus`."""

    @property
    def group(self) -> int:
        """The group: 0 is the control group, slot s is s + 1."""
        ...


class Storage(Protocol):
    """Where a node keeps terms, votes and logs."""

    def persist(self, writes: Iterable[GroupWrite], done: Callable[[], None]) -> None:
        """Make one turn's writes of all groups durable together, then call `done` on the loop.

        The writes may be walked as often as is needed, and are the same each time.
        """


class Device(Protocol):
    """One data directory, as an ordered map of bytes to bytes. One process has it at a time.

    Whatever is asked of it is done in the order in which it was asked.
    """

    async def open(self) -> None:
        """Take the directory; raises `DiskError` when it is in use, or cannot be used."""

    def commit(
        self, changes: Sequence[tuple[bytes, bytes | None, bytes]], done: Callable[[DiskError | None], None]
    ) -> None:
        """Make changes durable, all or none of them, then call `done` on the loop, in a later turn.

        ``(key, None, value)`` puts a record in; ``(key, behind, b"")`` removes all from `key` on that stand before
        `behind`. After an error nothing that follows is done either, until it is opened again.
        """

    async def read(self, first: bytes, behind: bytes, most: int = 0) -> list[tuple[bytes, bytes]]:
        """Return the records from `first` on that stand before `behind`, in order; `most` of them, 0 for all."""
        ...

    def close(self) -> None:
        """Let the directory go, after what was asked before; harmless when it is not open."""


class EventSink:
    """Where every interesting step goes. Falsy while nobody listens, so an event is built only for someone.

    Examples
    --------
    >>> event_sink = EventSink()
    >>> bool(event_sink)
    False
    """

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[Event], None], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def __call__(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Hear every event from now on."""
        self._listeners = (*self._listeners, listener)

    def unsubscribe(self, listener: Callable[[Event], None]) -> None:
        """Hear nothing more; harmless when `listener` never subscribed."""
        self._listeners = tuple(known for known in self._listeners if known is not listener)


def _never(name: str) -> bool:
    del name
    return False


def _no_device(path: str) -> Device:
    raise DiskError(f"data_dir: this runtime has no disk, so nothing can be kept in {path!r}")


async def _no_names(name: str) -> list[str]:
    raise OSError(f"this runtime looks up no names, and was asked for {name!r}")


async def _no_way_out(host: str | None) -> str:
    raise OSError(f"this runtime has no network, and was asked for the way to {host!r}")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One node's or client's ports.

    Parameters
    ----------
    clock, entropy, transport, storage
        The ports.
    observe
        The event_sink of events.
    memory_bytes
        What the process may use before the system refuses it memory or ends it.
    descriptors
        How many files and sockets the process may have open.
    device
        Returns the device of a data directory, which is not open yet.
    resolve
        Returns all addresses of a name, sorted; raises `OSError` when there are none or nobody says.
    outward
        Returns the address of this machine by which it reaches a host, or, for None, all others; raises `OSError` when
        it has none.
    buggify
        Says whether a named rare path is taken now; always False in production.
    """

    clock: Clock
    entropy: Entropy
    transport: Transport
    storage: Storage
    observe: EventSink
    memory_bytes: int = 1 << 33
    descriptors: int = 1 << 20
    device: Callable[[str], Device] = _no_device
    resolve: Callable[[str], Awaitable[list[str]]] = _no_names
    outward: Callable[[str | None], Awaitable[str]] = _no_way_out
    buggify: Callable[[str], bool] = _never
