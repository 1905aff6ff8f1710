"""A process's clock: a straight line over world time, bent by offset, drift, steps and freezes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from casty.ports import Timer

__all__ = ["ClockHost", "NodeClock"]

_SECOND_NS = 1_000_000_000
_TRUE_RATE = 1_000_000_000
_PPB_PER_PPM = 1_000


class ClockHost(Protocol):
    """What a clock needs of the loop."""

    now_ns: int

    def timer_at(
        self, clock: NodeClock, when_ns: int, callback: Callable[..., object], args: tuple[object, ...]
    ) -> Timer:
        """Run a callback when the clock reaches `when_ns`."""
        ...

    def rearm(self, clock: NodeClock) -> None:
        """Move the timers of a clock that was changed."""


class NodeClock:
    """The clock of one machine; it survives a restart of the process. Implements `casty.ports.Clock`.

    Parameters
    ----------
    host
        The loop, which owns world time.
    offset_ns
        What it shows at world time 0.
    drift_ppm
        How much faster (positive) or slower it runs than world time.
    wall_s
        Whole seconds since the start of 2025 at world time 0.
    """

    __slots__ = ("_host", "_local_ns", "_rate", "_rate_before", "_wall_s", "_world_ns", "on_change")

    def __init__(self, host: ClockHost, *, offset_ns: int = 0, drift_ppm: int = 0, wall_s: int = 0) -> None:
        self._host = host
        self.on_change: Callable[[str, int], None] = _untold
        self._local_ns = offset_ns
        self._world_ns = 0
        self._rate = _TRUE_RATE + drift_ppm * _PPB_PER_PPM
        self._rate_before = self._rate
        self._wall_s = wall_s * _SECOND_NS - offset_ns

    def now(self) -> int:
        """Nanoseconds; monotonic unless a fault stepped the clock back."""
        passed_ns = self._host.now_ns - self._world_ns
        if self._rate == _TRUE_RATE:
            return self._local_ns + passed_ns
        return self._local_ns + passed_ns * self._rate // _TRUE_RATE

    def call_at(self, when_ns: int, callback: Callable[..., object], *args: object) -> Timer:
        """Run the callback in this clock's process when `now` reaches `when_ns`."""
        return self._host.timer_at(self, when_ns, callback, args)

    async def sleep(self, seconds: float) -> None:
        """Let others run for so long."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_at(self.now() + round(seconds * _SECOND_NS), _wake, future)
        try:
            await future
        finally:
            timer.cancel()

    def wall_s(self) -> int:
        """Whole seconds of civil time since the start of 2025."""
        return (self._wall_s + self.now()) // _SECOND_NS

    def world_ns_of(self, local_ns: int) -> int | None:
        """Return the world time at which the clock reaches `local_ns`; None while it is frozen before it."""
        left_ns = local_ns - self._local_ns
        if self._rate == _TRUE_RATE:
            return self._world_ns + left_ns
        if self._rate == 0:
            return self._host.now_ns if left_ns <= 0 else None
        return self._world_ns - (-left_ns * _TRUE_RATE // self._rate)

    def drift(self, ppm: int) -> None:
        """Run so much faster (or slower) than world time from now on."""
        self._bend(self.now(), _TRUE_RATE + ppm * _PPB_PER_PPM)
        self.on_change("drift", ppm)

    def step(self, seconds: float) -> None:
        """Jump; negative: back."""
        self._bend(self.now() + round(seconds * _SECOND_NS), self._rate)
        self.on_change("step", round(seconds * _SECOND_NS))

    def step_wall(self, seconds: int) -> None:
        """Set civil time forward or back; what is measured with `now` does not move."""
        self._wall_s += seconds * _SECOND_NS
        self.on_change("wall", seconds)

    def freeze(self) -> None:
        """Stand still."""
        if self._rate:
            self._rate_before = self._rate
        self._bend(self.now(), 0)
        self.on_change("freeze", 0)

    def thaw(self) -> None:
        """Run again; harmless when it runs."""
        if not self._rate:
            self._bend(self.now(), self._rate_before)
            self.on_change("thaw", 0)

    def _bend(self, local_ns: int, rate: int) -> None:
        assert rate >= 0, "a clock's rate cannot be negative"
        self._local_ns = local_ns
        self._world_ns = self._host.now_ns
        self._rate = rate
        self._host.rearm(self)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _untold(how: str, amount: int) -> None:
    del how, amount
