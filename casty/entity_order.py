"""The names of a slot's entities of one kind in order, so that a page of them costs what is on it. Pure.

Runs of names, each sorted, and together in order. A name that comes or goes moves those behind it in its run, one
memory move of some kilobytes; a run that became long is cut in two. Never are all names sorted at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice

__all__ = ["RUN", "EntityOrder"]

RUN = 512
"""Names at which a run is cut in two."""

FREED = 32
"""Names that one step of `discard` frees."""


class EntityOrder:
    """Names, sorted by their bytes.

    Bounds: `runs` has every name once, at least one in a run; `_lasts` one per run.
    """

    __slots__ = ("_lasts", "runs")

    def __init__(self) -> None:
        self.runs: list[list[bytes]] = []
        """The names in order, cut where they are many."""
        self._lasts: list[bytes] = []
        """No less than the last name of each run, and less than the first one of the next."""

    def add(self, name: bytes) -> None:
        """Take in a name that is not there."""
        lasts = self._lasts
        at = bisect_left(lasts, name)
        if at == len(lasts):
            if not lasts:
                self.runs.append([name])
                lasts.append(name)
                return
            at -= 1
            lasts[at] = name
        run = self.runs[at]
        insort(run, name)
        if len(run) >= RUN:
            half = run[: RUN // 2]
            del run[: RUN // 2]
            self.runs.insert(at, half)
            lasts.insert(at, half[-1])

    def remove(self, name: bytes) -> None:
        """Take out a name that is there."""
        at = bisect_left(self._lasts, name)
        run = self.runs[at]
        del run[bisect_left(run, name)]
        if not run:
            del self.runs[at], self._lasts[at]

    def since(self, name: bytes) -> Iterator[bytes]:
        """Return `name`, if it is there, and the names above it, in order; nothing may change meanwhile."""
        first = bisect_left(self._lasts, name)
        for at in range(first, len(self.runs)):
            run = self.runs[at]
            yield from run[bisect_left(run, name) :] if at == first else run

    def after(self, name: bytes | None, most: int) -> list[bytes]:
        """Return the next names above `name`, or the first ones where that is None; empty when there are no more."""
        names = self.since(name or b"")
        return list(islice((one for one in names if one != name), most))

    def page(self, prefix: bytes, after: bytes, most: int, limit_bytes: int) -> tuple[list[bytes], bool]:
        """Return names with a prefix above `after`, so many or so long, at least one; and if there are more."""
        page: list[bytes] = []
        size_bytes = 0
        for name in self.since(max(prefix, after)):
            if not name.startswith(prefix):
                break
            if name == after:
                continue
            size_bytes += len(name)
            if len(page) >= most or (page and size_bytes > limit_bytes):
                return page, True
            page.append(name)
        return page, False

    def discard(self) -> Iterator[None]:
        """Free the names of an order that nobody uses any more, step by step; each step costs some microseconds."""
        self._lasts.clear()
        while self.runs:
            run = self.runs[-1]
            while run:
                del run[-FREED:]
                yield
            self.runs.pop()
