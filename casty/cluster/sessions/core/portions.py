"""Work of any length, a part of it in each step; the pure counterpart of `casty.parts`.

What is left when its part comes may be out of date: whoever does the work looks first whether it is still to be done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from casty.cluster.sessions.core.effects import Alarm, Step

__all__ = ["Portions"]

Row = TypeVar("Row")


class Portions(Generic[Row]):
    """Rows in the order in which they were added, no more than `most` from one alarm to the next.

    Parameters
    ----------
    step
        The step under way.
    alarm
        Says when the next part may be taken.
    most
        Rows of one part, all additions until the alarm together.

    Bounds: as many rows as were added and not taken. The rows of an addition are asked for one by one.
    """

    __slots__ = ("_alarm", "_is_set", "_left", "_most", "_rows", "_step")

    def __init__(self, step: Step, alarm: Alarm, most: int) -> None:
        self._step = step
        self._alarm = alarm
        self._most = self._left = most
        """`_left` is what may still be taken until the alarm; never above `_most`, which never changes."""
        self._rows: deque[Iterator[Row]] = deque()
        """One iterator per addition; the first may be begun, and goes when it is found to be empty."""
        self._is_set = False
        """Whether the alarm is set. While it is, `_left` does not grow: a step that adds in turns takes one part."""

    @property
    def is_done(self) -> bool:
        """Whether no row is left, as far as anybody looked."""
        return not self._rows

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, which nobody changes any more, after those that are left; `take` follows."""
        self._rows.append(iter(rows))

    def clear(self) -> None:
        """Drop what is left."""
        self._rows.clear()
        if self._is_set:
            self._is_set = False
            self._left = self._most
            self._step.wake(self._alarm, None)

    def rest(self) -> Iterator[Row]:
        """Return all that is left, for whoever takes no part any more."""
        while self._rows:
            yield from self._rows[0]
            self._rows.popleft()
        self.clear()

    def woken(self) -> None:
        """The alarm came: the next part may be taken."""
        self._is_set = False
        self._left = self._most

    def take(self) -> Iterator[Row]:
        """Return what may be worked off by now; rows that are added meanwhile are among it."""
        try:
            while self._rows and self._left > 0:
                for row in self._rows[0]:
                    self._left -= 1
                    yield row
                    break
                else:
                    self._rows.popleft()
        finally:
            if self._left < self._most and not self._is_set:
                self._is_set = True
                self._step.wake(self._alarm, self._step.now_ns)
