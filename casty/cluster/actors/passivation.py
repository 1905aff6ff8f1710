"""Which entities of a node are unloaded: those that are idle, and where room is needed the one used least recently.

To unload is to drain: the entity reads its mail and stops, and what comes meanwhile waits for its next activation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple, Protocol

from casty.ports import Clock, Timer

__all__ = ["NO_LIMITS", "Passivation", "Recent", "RegionLimits"]


LOOKED_AT = 64
"""Of so many that were used least recently, the first that has nothing to do is unloaded."""


class RegionLimits(NamedTuple):
    """How long the entities of a region live on one node, and how many of them; 0 is no limit."""

    idle_ns: int = 0
    max_activations: int = 0


NO_LIMITS = RegionLimits()


class Unloadable(Protocol):
    """One activation."""

    is_draining: bool

    @property
    def is_at_work(self) -> bool:
        """Whether a message is in hand or unread."""
        ...

    @property
    def comes_back(self) -> bool | None:
        """Whether nothing is lost when it is unloaded; None while nobody knows yet."""
        ...

    def drain(self) -> None:
        """Let it stop behind its mail."""
        ...


class Recent:
    """The activations of one region on this node, the one that was used least recently first.

    Bounds: `_used` has a row per activation; `_wanted` one per entity that waits for room since an activation ended.
    """

    __slots__ = ("_ending", "_used", "_wanted", "limits")

    def __init__(self, limits: RegionLimits) -> None:
        self.limits = limits
        self._used: OrderedDict[str, tuple[Unloadable, int]] = OrderedDict()
        """By path; with the time of its last message."""
        self._wanted: dict[str, None] = {}
        self._ending: dict[str, None] = {}
        """Who was unloaded to make room and is not gone; all of them are in `_used`."""

    def used(self, path: str, activation: Unloadable, now_ns: int) -> None:
        """It was given a message."""
        self._used[path] = (activation, now_ns)
        self._used.move_to_end(path)

    def ended(self, path: str) -> None:
        """It is gone: whoever waits for room asks again."""
        self._used.pop(path, None)
        self._ending.pop(path, None)
        self._wanted.clear()

    def makes_room(self, path: str) -> bool | None:
        """Whether another entity may be activated now; if not it makes room, and returns None where it cannot."""
        if not 0 < self.limits.max_activations <= len(self._used):
            return True
        self._wanted[path] = None
        if not any(activation.comes_back is not False for activation, _ in self._used.values()):
            return None
        if len(self._ending) < len(self._wanted):
            self._unload_one()
        return False

    def _unload_one(self) -> None:
        living = (
            (path, one) for path, (one, _) in self._used.items() if one.comes_back and not one.is_draining
        )
        some = list(islice(living, LOOKED_AT))
        if some:
            path, activation = next((row for row in some if not row[1].is_at_work), some[0])
            self._ending[path] = None
            activation.drain()

    def drain_idle(self, now_ns: int) -> int | None:
        """Drain those that are idle; returns when the next one may be, None where none will be."""
        idle_ns = self.limits.idle_ns
        for path, (activation, used_ns) in list(self._used.items()):
            if used_ns + idle_ns > now_ns:
                return used_ns + idle_ns
            self.used(path, activation, now_ns)
            if not activation.is_at_work:
                activation.drain()
        return now_ns + idle_ns if self._used else None


class Passivation:
    """The timer behind the regions of a node that unload what is idle.

    Parameters
    ----------
    clock
        Whose time counts.
    regions
        Returns the activations of each such region.
    """

    __slots__ = ("_clock", "_regions", "_timer")

    def __init__(self, clock: Clock, regions: Callable[[], list[Recent]]) -> None:
        self._clock = clock
        self._regions = regions
        self._timer: Timer | None = None

    def began(self, limits: RegionLimits) -> None:
        """There is something that may become idle."""
        if limits.idle_ns and self._timer is None:
            self._timer = self._clock.call_at(self._clock.now() + limits.idle_ns, self._look)

    def _look(self) -> None:
        self._timer = None
        now_ns = self._clock.now()
        due = [recent.drain_idle(now_ns) for recent in self._regions() if recent.limits.idle_ns]
        soonest = min((when_ns for when_ns in due if when_ns is not None), default=None)
        if soonest is not None:
            self._timer = self._clock.call_at(soonest, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
