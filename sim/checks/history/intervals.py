"""Small tools that the near-linear checkers share."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

__all__ = ["RunningMaximum", "RunningSum", "most_at_once"]


class RunningSum:
    """The sum of the amounts of all points before, or up to, a time."""

    def __init__(self, points: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(points)
        self._times = [time for time, _ in ordered]
        self._sums = [0, *accumulate(amount for _, amount in ordered)]

    def before(self, time: int) -> int:
        """Sum of what is strictly before."""
        return self._sums[bisect_left(self._times, time)]

    def until(self, time: int) -> int:
        """Sum of what is at or before."""
        return self._sums[bisect_right(self._times, time)]


class RunningMaximum:
    """The largest (value, tag) of all points strictly before a time."""

    def __init__(self, points: Iterable[tuple[int, int, int]]) -> None:
        ordered = sorted(points)
        self._times = [time for time, _, _ in ordered]
        self._best = list(accumulate(((value, tag) for _, value, tag in ordered), max))

    def before(self, time: int) -> tuple[int, int] | None:
        """Return (value, tag), or None when there is no point before."""
        at = bisect_left(self._times, time)
        return self._best[at - 1] if at else None


def most_at_once(intervals: Sequence[tuple[int, int, int, int]]) -> tuple[int, list[int]]:
    """Return the largest sum of amounts of intervals (from, to, amount, tag) that overlap, and their tags.

    An interval that ends when another one begins does not overlap it.
    """
    events = [(start, 1, amount, tag) for start, end, amount, tag in intervals if start < end]
    events += [(end, 0, -amount, tag) for start, end, amount, tag in intervals if start < end]
    open_tags: dict[int, None] = {}
    level = best = 0
    tags: list[int] = []
    for _, is_start, amount, tag in sorted(events):
        level += amount
        if is_start:
            open_tags[tag] = None
        else:
            del open_tags[tag]
        if level > best:
            best, tags = level, list(open_tags)
    return best, tags
