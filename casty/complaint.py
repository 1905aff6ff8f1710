"""A log line for something that may happen very often: at most one in so many seconds, with how often it was.

Whatever a link can cause is logged by this. What is left out is said with the next line, or alone when its pause is
over; and what came from outside is one line of printable characters: it can neither begin a line of its own, nor move a
terminal's cursor, nor turn the direction of what stands beside it.
"""

from __future__ import annotations

import asyncio
import logging

from casty.ports import Clock, Timer

__all__ = ["Complaint", "one_line", "report_lost"]

MOST_CHARS = 1_000
"""The longest line; what is cut off of a text is nobody's loss but its author's."""


def one_line(text: str, most: int = MOST_CHARS) -> str:
    """Return a text for a log: cut, and with whatever is not printable escaped.

    Examples
    --------
    >>> one_line("a" + chr(10) + chr(27) + "[31mb")
    'a\\\\n\\\\x1b[31mb'
    """
    cut = text[:most]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
    return cut if len(text) <= most else f"{cut}... ({len(text) - most} more characters)"


def report_lost(text: str, error: Exception) -> None:
    """Hand an error that nobody expected to the loop's handler, as asyncio does with those of its callbacks."""
    asyncio.get_running_loop().call_exception_handler({"message": text, "exception": error})


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

    __slots__ = ("_clock", "_last", "_level", "_log", "_next_ns", "_pause_ns", "_silenced", "_timer")

    def __init__(
        self, clock: Clock, log: logging.Logger, pause_ns: int, level: int = logging.WARNING
    ) -> None:
        self._clock = clock
        self._log = log
        self._pause_ns = pause_ns
        self._level = level
        self._next_ns: int | None = None
        self._silenced = 0
        self._last = ""
        self._timer: Timer | None = None
        """Set while something is left out: it is said then, if nothing follows."""

    def say(self, text: str, error: BaseException | None = None) -> bool:
        """Log it now, with the traceback of an error, or count it for the next time; say whether it was logged."""
        now_ns = self._clock.now()
        if self._next_ns is not None and now_ns < self._next_ns:
            self._silenced += 1
            self._last = text[: MOST_CHARS + 1]
            if self._timer is None:
                self._timer = self._clock.call_at(self._next_ns, self._say_rest)
            return False
        more = f" ({self._silenced} more since the last such line)" if self._silenced else ""
        self._write(now_ns, f"{one_line(text)}{more}", error)
        return True

    def _say_rest(self) -> None:
        self._timer = None
        if self._silenced:
            line = f"{one_line(self._last)} ({self._silenced} such since the last line)"
            self._write(self._clock.now(), line)

    def _write(self, now_ns: int, line: str, error: BaseException | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next_ns, self._silenced = now_ns + self._pause_ns, 0
        self._log.log(self._level, "%s", line, exc_info=error)
