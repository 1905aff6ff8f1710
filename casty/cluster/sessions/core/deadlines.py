"""Instants with a key each: one heap and one alarm however many there are."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from casty.cluster.sessions.core.effects import Alarm, Step

__all__ = ["MIN_SWEEP", "MOST_AT_ONCE", "RETRY", "Deadlines"]

RETRY = 0
"""The key that says that a slot's parked calls should be tried; call identities begin at 1."""

MIN_SWEEP = 1_024
SWEPT_AT_ONCE = 8
"""Entries that each new one looks at while the heap is swept."""
MOST_AT_ONCE = 512
"""Deadlines that are worked off in one turn of the loop: some milliseconds."""


class Deadlines:
    """Keys that are due at instants.

    Entries of ended calls are ignored, and swept out once they may be most of the heap: a call answered
    in a millisecond must not stay here for its minute. Each new entry sweeps a few: the last leaf of a heap can go
    without any other one moving, and what is live goes into the next heap.

    Parameters
    ----------
    step
        The step under way.
    is_live
        Says whether an entry, an instant and a key, still means anything.

    Bounds: three times as many entries as were live when it was swept last, or `MIN_SWEEP` and an eighth.
    """

    __slots__ = ("_heap", "_is_live", "_set_ns", "_step", "_sweep_at", "_swept")

    def __init__(self, step: Step, is_live: Callable[[int, int], bool]) -> None:
        self._step = step
        self._heap: list[tuple[int, int]] = []
        self._swept: list[tuple[int, int]] = []
        """The former heap, while it is swept."""
        self._is_live = is_live
        self._sweep_at = MIN_SWEEP
        self._set_ns: int | None = None
        """For when the alarm is set; it is never later than the first live entry."""

    def add(self, when_ns: int, key: int) -> None:
        """Let a key be due at an instant."""
        if self._swept:
            self._sweep()
        elif len(self._heap) >= self._sweep_at:
            self._heap, self._swept = [], self._heap
        heapq.heappush(self._heap, (when_ns, key))
        if self._set_ns is None or when_ns < self._set_ns:
            self._set()

    def close(self) -> None:
        """Let nothing be due any more."""
        self._heap.clear()
        self._swept.clear()
        self._set()

    def _sweep(self) -> None:
        swept, is_live = self._swept, self._is_live
        for _ in range(SWEPT_AT_ONCE):
            if not swept:
                break
            entry = swept.pop()
            if is_live(entry[0], entry[1]):
                heapq.heappush(self._heap, entry)
        if not swept:
            self._sweep_at = max(MIN_SWEEP, 2 * len(self._heap))

    def _next(self) -> list[tuple[int, int]]:
        """Return the heap that has the next entry; an empty one where neither has any."""
        heap, swept = self._heap, self._swept
        return swept if swept and (not heap or swept[0] < heap[0]) else heap

    def _set(self) -> None:
        heap = self._next()
        self._set_ns = heap[0][0] if heap else None
        self._step.wake(Alarm.CALLS, self._set_ns)

    def _set_if_unset(self) -> None:
        if self._set_ns is None and (self._heap or self._swept):
            self._set()

    def due(self) -> Iterator[int]:
        """Return the keys that are due, no more than `MOST_AT_ONCE`; the others follow in the next turn.

        `RETRY` does a turn's fill of work itself, so a turn has it once.
        """
        self._set_ns = None
        has_retried = False
        for _ in range(MOST_AT_ONCE):
            heap = self._next()
            if not heap or heap[0][0] > self._step.now_ns:
                break
            when_ns, key = heap[0]
            is_live = self._is_live(when_ns, key)
            if is_live and key == RETRY and has_retried:
                break
            heapq.heappop(heap)
            if is_live:
                has_retried = has_retried or key == RETRY
                yield key
        self._set_if_unset()
