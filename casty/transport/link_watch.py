"""When one end of a link looks whether the other is still there. Pure.

A link is looked at more seldom while nothing is said on it (it *rests*), if there are many such links: most links
between the nodes of a large cluster say nothing, and each node has as many of them as there are nodes.

========  ==========================================  =====================================================
state     a look comes after                          becomes
========  ==========================================  =====================================================
awake     a third of `unreachable_after_s`            probing, if nothing was heard; resting, if the other
                                                      end was heard since something was said here
probing   the same, each time with a ping             awake or resting, when anything is heard; dead after
                                                      `MISSED_PINGS` looks
resting   `RestingLinks.pause_s`                      probing, if nothing was heard; else it goes on resting
          at once, when something is said here, or    awake
          a message has come
========  ==========================================  =====================================================

What is said on a link that is gone is therefore found as soon as on one that never rests: a rest ends with it. A link
that nobody uses, and whose other end vanished without a word, is found a rest later; what counts on less than that
calls `Connection.probe`. Pings and pongs wake nobody, so that two resting ends do not keep each other awake.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["MISSED_PINGS", "LinkWatch", "Look", "RestingLinks"]

MISSED_PINGS = 3
"""A link is looked at so many times in `Settings.unreachable_after_s`. One that was silent each of so many times in a
row, in spite of a ping after each, is half-open: the other end is gone or cannot hear us. So a link on which something
is said is given up that long after it was heard last, and at most a third later."""

LOOKS_PER_S = 16
"""Resting links of one process are looked at so often, all together, if a link that is awake is looked at every second.
So many rest no longer than that; more of them rest longer."""


class Look(IntEnum):
    """What follows from a look."""

    NOTHING = 0
    PING = 1
    DEAD = 2


class RestingLinks:
    """How many links of a process rest."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def pause_s(self, short_s: float) -> float:
        """Return how long a link rests, in seconds; `short_s` is the time between two looks at one that does not."""
        return short_s * max(1.0, self.count / LOOKS_PER_S)


class LinkWatch:
    """One end of a link.

    Attributes
    ----------
    is_resting
        Whether nothing was said here since the other end was heard; such a link is looked at rarely.
    has_said
        Whether something was said here since the last look, other than pings and pongs.
    """

    __slots__ = ("_is_owed", "_missed", "_resting", "has_said", "is_resting")

    def __init__(self) -> None:
        self._missed = 0
        self._is_owed = False
        """Whether the other end was not heard since something was said, as far as looks tell."""
        self._resting: RestingLinks | None = None
        self.is_resting = False
        self.has_said = False

    def may_rest(self, resting: RestingLinks | None) -> None:
        """Allow it to rest, counted there; None: it never does."""
        self._resting = resting

    def look(self, *, is_silent: bool, is_busy: bool) -> Look:
        """Take a look.

        Parameters
        ----------
        is_silent
            Nothing was heard since the last one.
        is_busy
            Something is to be said at the next one: it comes soon.
        """
        self._is_owed = self.has_said or (self._is_owed and is_silent)
        self.has_said = False
        self._missed = self._missed + 1 if is_silent else 0
        may_rest = self._resting is not None and not (self._is_owed or is_busy)
        self._rest(is_resting=may_rest and not self._missed)
        if self._missed >= MISSED_PINGS:
            return Look.DEAD
        return Look.PING if self._missed else Look.NOTHING

    def said(self) -> bool:
        """Note that something was said here; True when that ends a rest."""
        self.has_said = True
        return self.wake()

    def wake(self) -> bool:
        """End a rest; True when there was one."""
        was_resting = self.is_resting
        self._rest(is_resting=False)
        return was_resting

    def pause_s(self, unreachable_after_s: float) -> float:
        """Return how long after this look the next one comes, in seconds."""
        short_s = unreachable_after_s / MISSED_PINGS
        return self._resting.pause_s(short_s) if self.is_resting and self._resting is not None else short_s

    def _rest(self, *, is_resting: bool) -> None:
        if is_resting != self.is_resting and self._resting is not None:
            self._resting.count += 1 if is_resting else -1
        self.is_resting = is_resting
