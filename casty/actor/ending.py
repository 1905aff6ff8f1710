"""The end of actors that were told to stop: in their own time, then by force, then without them.

States of each::

    asked     --its handler and its hooks ended-->      gone
    asked     --the grace passed-->                     forced: what it waits for is cancelled
    forced    --the grace passed-->                     forced again: one hook more had its turn
    forced    --after FORCES graces-->                  evicted: its name is free, its watchers are told

All that stop together share the grace, however many they are and however deep they are nested. Entities that others
wake up in their own time are put behind the others, into the same list.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from casty.actor.cell import Cell
from casty.checks import shown
from casty.config import SECOND_NS
from casty.ports import Clock

__all__ = ["FORCES", "STOP_GRACE_NS", "until_stopped"]

STOP_GRACE_NS = SECOND_NS
"""What a handler has to end before it is cancelled, and what it has afterwards to clean up."""

FORCES = 2
"""How often the code of an actor is cancelled, a grace each, before it is left to itself."""

NAMED = 5
"""How many actors the line about those that do not yield names."""


async def until_stopped(clock: Clock, roots: Sequence[Cell], log: logging.Logger) -> None:
    """Wait for the end of actors that were told to stop, and of all below them; see the head of this module."""
    grace = _Grace(clock, roots, log)
    try:
        for cell in roots:
            await cell.stopped.wait()
    finally:
        grace.cancel()


class _Grace:
    """Goes one step further each time the grace has passed.

    A cancelled hook lets the next hook have its turn, so who has several may need more than one force. Actors whose
    children do not yield are not to blame: with the children evicted they get one grace more for their own hooks.
    """

    def __init__(self, clock: Clock, roots: Sequence[Cell], log: logging.Logger) -> None:
        self._clock = clock
        self._roots = roots
        self._log = log
        self._forces = 0
        self._timer = clock.call_at(clock.now() + STOP_GRACE_NS, self._passed)

    def _passed(self) -> None:
        self._forces += 1
        left = [cell for cell in self._left() if self._forces > FORCES + 1 or not cell.awaits_children]
        if self._forces > FORCES and left:
            self._evict(left)
        for cell in self._roots:
            if not cell.stopped.is_set():
                cell.stop(is_forced=True)
        self._timer = self._clock.call_at(self._clock.now() + STOP_GRACE_NS, self._passed)

    def _left(self) -> Iterator[Cell]:
        """Yield the living ones, children before their parents."""
        below = [cell for cell in self._roots if not cell.stopped.is_set()]
        found: list[Cell] = []
        while below:
            cell = below.pop()
            found.append(cell)
            below.extend(cell.children.values())
        return reversed(found)

    def _evict(self, left: Sequence[Cell]) -> None:
        names = ", ".join(shown(cell.path, 80) for cell in left[:NAMED])
        self._log.error(
            "%s actors did not end within %s s after their cancellation and are left to themselves: %s%s",
            len(left), FORCES * STOP_GRACE_NS // SECOND_NS, names, ", ..." if len(left) > NAMED else "",
        )  # fmt: skip
        for cell in left:
            cell.evict()

    def cancel(self) -> None:
        """All of them stopped."""
        self._timer.cancel()
