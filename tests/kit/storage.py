"""The storage of tests: durable when the test says so, or at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["ManualStorage"]


class ManualStorage:
    """Durable at once, but for `is_slow`: then at `release`. An `error` is raised by the next write."""

    def __init__(self) -> None:
        self.pending: list[Callable[[], None]] = []
        self.is_slow = False
        self.error: Exception | None = None

    def persist(self, writes: Iterable[Any], done: Callable[[], None]) -> None:
        del writes
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        if self.is_slow:
            self.pending.append(done)
        else:
            done()

    def release(self) -> None:
        while self.pending:
            self.pending.pop(0)()
