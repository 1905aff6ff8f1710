"""The clock of tests: it moves when a test says so, or skips what a running loop would wait for."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator

from casty.config import SECOND_NS

__all__ = ["ManualClock", "ManualTimer", "settle"]


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
    """A clock that stands still until a test moves it.

    Parameters
    ----------
    now_ns
        Where it stands at first.
    wall_s
        The time of day, which does not move.
    is_hasty
        Whether the running loop moves it to the next timer, in the turn after one was armed: nobody waits in vain.
    """

    def __init__(self, now_ns: int = SECOND_NS, wall_s: int = 1, *, is_hasty: bool = False) -> None:
        self.now_ns = now_ns
        self.wall = wall_s
        self.is_hasty = is_hasty
        self._timers: list[tuple[int, int, ManualTimer]] = []
        self._count = 0

    def now(self) -> int:
        return self.now_ns

    def call_at(self, when_ns: int, callback: Callable[..., object], *args: object) -> ManualTimer:
        timer = ManualTimer(when_ns, callback, args)
        self._count += 1
        heapq.heappush(self._timers, (when_ns, self._count, timer))
        if self.is_hasty:
            asyncio.get_running_loop().call_soon(self._hurry)
        return timer

    def _hurry(self) -> None:
        when_ns = self.next_ns()
        if when_ns is not None:
            self.advance_to(max(self.now_ns, when_ns))

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
        for _ in self.instants(until_ns):
            pass

    def instants(self, until_ns: int, tick_ns: int = 0) -> Iterator[bool]:
        """Let time pass until an instant and stop on the way: after each timer, and at each tick if there are any.

        Yields whether it is a tick. Of what is due at one instant the timers come first.
        """
        assert until_ns >= self.now_ns, "clocks do not go back"
        next_tick_ns = self.now_ns + tick_ns
        while True:
            timer_ns = self.next_ns()
            last_ns = min(until_ns, next_tick_ns) if tick_ns else until_ns
            if timer_ns is not None and timer_ns <= last_ns:
                self.now_ns = max(self.now_ns, timer_ns)
                self.run_next()
                yield False
            elif tick_ns and next_tick_ns <= until_ns:
                self.now_ns = max(self.now_ns, next_tick_ns)
                next_tick_ns += tick_ns
                yield True
            else:
                break
        self.now_ns = until_ns

    def skip(self, seconds: float) -> None:
        """Let time pass in which nothing runs, as on a suspended machine: what came due meanwhile is late."""
        self.skip_to(self.now_ns + round(seconds * SECOND_NS))

    def skip_to(self, until_ns: int) -> None:
        """Let time pass until an instant, and nothing run."""
        assert until_ns >= self.now_ns, "clocks do not go back"
        self.now_ns = until_ns


async def settle(turns: int = 50) -> None:
    """Let every task run until it waits for something that is not the loop's next turn."""
    for _ in range(turns):
        await asyncio.sleep(0)
