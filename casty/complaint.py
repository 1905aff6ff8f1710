"""A log line for something that may happen very often: at most one in ten seconds, with how often it was."""

from __future__ import annotations

import logging

from casty.runtime import Clock

__all__ = ["Complaint"]

log = logging.getLogger("casty.transport")

PAUSE_NS = 10_000_000_000


class Complaint:
    """One kind of complaint."""

    __slots__ = ("_clock", "_next_ns", "_silenced")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_ns: int | None = None
        self._silenced = 0

    def say(self, text: str) -> None:
        """Log it now, or count it for the next time."""
        now_ns = self._clock.now()
        if self._next_ns is not None and now_ns < self._next_ns:
            self._silenced += 1
            return
        more = f" ({self._silenced} more since the last such line)" if self._silenced else ""
        self._next_ns, self._silenced = now_ns + PAUSE_NS, 0
        log.warning("%s%s", text, more)
