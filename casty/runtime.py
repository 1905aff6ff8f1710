"""The doors: the only ways to time, entropy, network and disk, bundled in one `Runtime`.

Production uses `casty.realtime`; the simulator sets its own runtime in the context of each node, so the
same code runs in both. Nothing in the library asks which of the two it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from casty.events import Event
from casty.transport.base import Transport

__all__ = [
    "Clock",
    "Entropy",
    "GroupWrite",
    "Outlet",
    "Runtime",
    "Storage",
    "Timer",
    "current",
    "use",
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


class GroupWrite(Protocol):
    """What one group wants on disk before its messages leave; see `consensus`."""

    @property
    def group(self) -> int:
        """The group: 0 is the control group, slot s is s + 1."""
        ...


class Storage(Protocol):
    """Where a node keeps terms, votes and logs."""

    def persist(self, writes: Sequence[GroupWrite], done: Callable[[], None]) -> None:
        """Make one turn's writes of all groups durable together, then call `done` on the loop."""


class Outlet:
    """Where every interesting step goes. Falsy while nobody listens, so an event is built only for someone.

    Examples
    --------
    >>> outlet = Outlet()
    >>> bool(outlet)
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


@dataclass(frozen=True, slots=True)
class Runtime:
    """One node's or client's doors.

    Parameters
    ----------
    clock, entropy, transport, storage
        The doors.
    observe
        The outlet of events.
    memory_bytes
        What the process may use before the system refuses it memory or ends it.
    descriptors
        How many files and sockets the process may have open.
    buggify
        Says whether a named rare path is taken now; always False in production.
    """

    clock: Clock
    entropy: Entropy
    transport: Transport
    storage: Storage
    observe: Outlet
    memory_bytes: int = 1 << 33
    descriptors: int = 1 << 20
    buggify: Callable[[str], bool] = _never


_current: ContextVar[Runtime | None] = ContextVar("casty_runtime", default=None)


def current() -> Runtime:
    """Return the runtime of this context; the real one unless a simulated world set another."""
    runtime = _current.get()
    if runtime is not None:
        return runtime
    from casty import realtime  # the real doors import this module

    return realtime.default()


def use(runtime: Runtime) -> None:
    """Make `runtime` the one of this context and of everything started from it."""
    _current.set(runtime)
