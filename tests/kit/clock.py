"""The clocks of tests: one that only a test moves, and one that skips what others would wait for."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from casty.config import SECOND_NS
from casty.ports import Clock, Timer

__all__ = ["ManualClock", "ManualTimer", "SkippingClock", "settle"]


class ManualTimer:
    """A timer of `ManualClock`; `callback` is None once it is cancelled."""

    def __init__(self, when_ns: int, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        self.when_ns = when_ns
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        self.callback = None

    def run(self) -> None:
        if self.callback is not None:
            self.callback(*self.args)


class ManualClock:
    """A clock that stands still until a test moves it. Setting `now_ns` skips timers, as a suspended machine does."""

    def __init__(self, now_ns: int = SECOND_NS, wall_s: int = 1) -> None:
        self.now_ns = now_ns
        self.wall = wall_s
        self._timers: list[tuple[int, int, ManualTimer]] = []
        self._count = 0

    def now(self) -> int:
        return self.now_ns

    def call_at(self, when_ns: int, callback: Callable[..., object], *args: object) -> ManualTimer:
        timer = ManualTimer(when_ns, callback, args)
        self._count += 1
        heapq.heappush(self._timers, (when_ns, self._count, timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")

    def wall_s(self) -> int:
        return self.wall

    def due(self) -> list[int]:
        """When the timers run that are not cancelled, in order."""
        return sorted(when_ns for when_ns, _, timer in self._timers if timer.callback is not None)

    def live(self) -> int:
        """How many timers are armed."""
        return len(self.due())

    def next_ns(self) -> int | None:
        """When the next armed timer runs; None without one."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def run_next(self) -> int:
        """Run the next armed timer, early if it is not due; return the instant it was armed for."""
        when_ns = self.next_ns()
        assert when_ns is not None, "a timer is armed"
        heapq.heappop(self._timers)[2].run()
        return when_ns

    def run_due(self) -> None:
        """Run what is due now, but nothing that this arms: one turn of a loop."""
        due = [
            heapq.heappop(self._timers)[2] for _ in range(sum(row[0] <= self.now_ns for row in self._timers))
        ]
        for timer in due:
            timer.run()

    def advance(self, seconds: float) -> None:
        """Let so much time pass, every timer at its instant."""
        self.advance_to(self.now_ns + int(seconds * SECOND_NS))

    def advance_to(self, until_ns: int) -> None:
        """Let time pass until an instant, every timer at its own; those that timers arm on the way as well."""
        assert until_ns >= self.now_ns, "clocks do not go back"
        while (when_ns := self.next_ns()) is not None and when_ns <= until_ns:
            self.now_ns = max(self.now_ns, when_ns)
            self.run_next()
        self.now_ns = until_ns


class SkippingClock:
    """The clock of a running loop on which every timer is due at once: what it skips is counted as passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.skipped_ns = 0

    def now(self) -> int:
        return self._clock.now() + self.skipped_ns

    def call_at(self, when_ns: int, callback: Callable[..., object], *args: object) -> Timer:
        return self._clock.call_at(self._clock.now(), self._skip_to, when_ns, callback, args)

    def _skip_to(self, when_ns: int, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        self.skipped_ns += max(0, when_ns - self.now())
        callback(*args)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")

    def wall_s(self) -> int:
        return 1


async def settle(turns: int = 50) -> None:
    """Let every task run until it waits for something that is not the loop's next turn."""
    for _ in range(turns):
        await asyncio.sleep(0)
