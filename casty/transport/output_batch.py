"""One loop turn: whatever its frames caused is worked off at its end, and each link is written once.

A turn is what happens between the arrival of bytes (or a timer) and the return to the event loop. Flushing
at its end rather than in a later callback saves a trip through the loop for each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from casty.ports import Runtime
from casty.transport.link_watch import RestingLinks

__all__ = ["MAX_PASSES", "OutputBatch", "TurnOverran"]

MAX_PASSES = 64
"""How often hooks and links may cause each other work within one turn before others get a chance to run."""


class Flushable(Protocol):
    """What can be marked."""

    def flush(self) -> None:
        """Hand everything staged to the network."""


class TurnOverran(NamedTuple):
    """A turn still had work after `MAX_PASSES` passes and went on in the next."""

    passes: int


class OutputBatch:
    """Batches the output of one loop turn.

    Parameters
    ----------
    runtime
        Where an overrun is reported.
    call_soon
        Runs a callback in a later turn; None: the running loop's.

    Attributes
    ----------
    resting
        The links with nodes that rest; None where none does, as in clients, who have few.

    Notes
    -----
    Inside ``begin`` and ``end`` (which nest) everything is left to the outermost `end`. A mark outside of
    them schedules one.
    """

    __slots__ = ("_call_soon", "_depth", "_is_scheduled", "_marked", "_observe", "hooks", "resting")

    def __init__(
        self, runtime: Runtime, call_soon: Callable[[Callable[[], None]], object] | None = None
    ) -> None:
        self.hooks: list[Callable[[], None]] = []
        self.resting: RestingLinks | None = None
        self._observe = runtime.observe
        self._call_soon = call_soon
        self._depth = 0
        self._is_scheduled = False
        self._marked: list[Flushable] = []

    def begin(self) -> None:
        """Enter the turn."""
        self._depth += 1

    def end(self) -> None:
        """Leave the turn; the outermost call runs the hooks and flushes what is marked."""
        if self._depth == 1:
            try:
                self._settle()
            finally:
                self._depth -= 1
        else:
            self._depth -= 1

    def run(self, work: Callable[[], None]) -> None:
        """Do something as a turn of its own."""
        self.begin()
        try:
            work()
        finally:
            self.end()

    def mark(self, link: Flushable) -> None:
        """Flush `link` at the end of the turn. A link marks itself once, when it stages the first frame."""
        self._marked.append(link)
        if not self._depth:
            self.mark_due()

    def mark_due(self) -> None:
        """Make sure that the hooks run: at the end of this turn, or of one scheduled now."""
        if not self._depth and not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._is_scheduled = True
        call_soon = self._call_soon or asyncio.get_running_loop().call_soon
        call_soon(self._run_scheduled)

    def _run_scheduled(self) -> None:
        self._is_scheduled = False
        self.begin()
        self.end()

    def _settle(self) -> None:
        for _ in range(MAX_PASSES):
            for hook in self.hooks:
                hook()
            if not self._marked:
                return
            marked, self._marked = self._marked, []
            for link in marked:
                link.flush()
            # A written link cannot cause work at once: only links marked meanwhile need another pass.
            if not self._marked:
                return
        if self._observe:
            self._observe(TurnOverran(MAX_PASSES))
        if not self._is_scheduled:
            self._schedule()
