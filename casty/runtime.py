"""Which runtime counts where code runs: the real one, unless a simulated world set another in this context."""

from __future__ import annotations

from contextvars import ContextVar

from casty import realtime
from casty.ports import Runtime

__all__ = ["current", "use"]

_current: ContextVar[Runtime | None] = ContextVar("casty_runtime", default=None)


def current() -> Runtime:
    """Return the runtime of this context; the real one unless a simulated world set another."""
    runtime = _current.get()
    if runtime is not None:
        return runtime
    return realtime.default()


def use(runtime: Runtime) -> None:
    """Make `runtime` the one of this context and of everything started from it."""
    _current.set(runtime)
