"""Work of any length, a part of it in each turn of the loop: the first part at once, the others in turns of their own.

What is left when its part comes may be out of date: whoever does the work looks first whether it is still to be done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from casty.ports import Clock, Timer

__all__ = ["Parts"]

Row = TypeVar("Row")


class Parts(Generic[Row]):
    """Rows that are worked off in the order in which they were added, no more than `most` in one turn.

    Parameters
    ----------
    clock
        Begins the turns.
    work
        Does what is to be done for one row; it may add rows.
    most
        Rows in one turn, all additions of that turn together.

    Bounds: as many rows as were added and not worked off. The rows of an addition are asked for one by one.
    """

    __slots__ = ("_clock", "_is_working", "_left", "_most", "_rows", "_timer", "_work")

    def __init__(self, clock: Clock, work: Callable[[Row], None], most: int) -> None:
        self._clock = clock
        self._work = work
        self._most = self._left = most
        self._rows: deque[Iterator[Row]] = deque()
        self._timer: Timer | None = None
        self._is_working = False

    @property
    def is_done(self) -> bool:
        """Whether no row is left, as far as anybody looked."""
        return not self._rows

    def add(self, rows: Iterable[Row]) -> None:
        """Work off these rows, which nobody changes any more, after those that are left."""
        self._rows.append(iter(rows))
        if not self._is_working:
            self._go_on()

    def finish(self) -> None:
        """Work off what is left here and now, for whoever has no turn any more."""
        self._is_working = True
        try:
            while self._rows:
                for row in self._rows[0]:
                    self._work(row)
                self._rows.popleft()
        finally:
            self._is_working = False
        self.clear()

    def clear(self) -> None:
        """Work off nothing any more."""
        self._rows.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._left = self._most

    def _go_on(self) -> None:
        self._is_working = True
        try:
            while self._rows and self._left > 0:
                for row in self._rows[0]:
                    self._left -= 1
                    self._work(row)
                    break
                else:
                    self._rows.popleft()
        finally:
            self._is_working = False
            if self._left < self._most and self._timer is None:
                self._timer = self._clock.call_at(self._clock.now(), self._next_turn)

    def _next_turn(self) -> None:
        self._timer = None
        self._left = self._most
        self._go_on()
