"""A log line for something that may happen very often: at most one in so many seconds, with how often it was."""

from __future__ import annotations

import logging

from casty.runtime import Clock

__all__ = ["Complaint"]


class Complaint:
    """One kind of complaint.

    Parameters
    ----------
    clock
        Tells how long ago the last line was.
    log
        Where the lines go.
    pause_ns
        The shortest time between two lines.
    level
        Of the lines.
    """

    __slots__ = ("_clock", "_level", "_log", "_next_ns", "_pause_ns", "_silenced")

    def __init__(
        self, clock: Clock, log: logging.Logger, pause_ns: int, level: int = logging.WARNING
    ) -> None:
        self._clock = clock
        self._log = log
        self._pause_ns = pause_ns
        self._level = level
        self._next_ns: int | None = None
        self._silenced = 0

    def say(self, text: str) -> None:
        """Log it now, or count it for the next time."""
        now_ns = self._clock.now()
        if self._next_ns is not None and now_ns < self._next_ns:
            self._silenced += 1
            return
        more = f" ({self._silenced} more since the last such line)" if self._silenced else ""
        self._next_ns, self._silenced = now_ns + self._pause_ns, 0
        self._log.log(self._level, "%s%s", text, more)
