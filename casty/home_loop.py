"""The event loop in which a client or system was entered: its links, timers and calls live there alone."""

from __future__ import annotations

import asyncio

from casty.errors import NotStarted

__all__ = ["HomeLoop"]


class HomeLoop:
    """Refuses what another loop asks.

    A call made there would wait for an answer that wakes up nobody, and for a deadline that never fires.

    Parameters
    ----------
    what
        What was entered, for the text of the error.
    """

    __slots__ = ("_loop", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self) -> None:
        """The running loop is the one."""
        self._loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Raise `NotStarted` in any other loop. Where none runs, nothing can be waited for either."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if loop is not self._loop and self._loop is not None:
            self._refuse(self._loop)

    def _refuse(self, home: asyncio.AbstractEventLoop) -> None:
        state = (
            "closed since" if home.is_closed() else "still open" if not home.is_running() else "still running"
        )
        raise NotStarted(
            f"the {self._what} was entered in another event loop, which is {state}, and works only there; "
            "use it inside the `async with`, under the same asyncio.run(), or from another thread with "
            "asyncio.run_coroutine_threadsafe(..., loop)"
        )
