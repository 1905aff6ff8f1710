"""What every measurement shares: callers in a closed loop, and how a result reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

__all__ = ["Result", "measure", "median", "quantile", "table"]

WARM_UP_S = 0.5

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement: calls a second over all callers, and how long one call took."""

    name: str
    callers: int
    per_second: float
    median_ms: float
    p99_ms: float


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return quantile(values, 0.5)


async def measure(name: str, calls: Sequence[Call], seconds: float) -> Result:
    """Let each caller call again as soon as it is answered.

    Parameters
    ----------
    name
        For the table.
    calls
        One call for each caller.
    seconds
        How long, after a warm-up.
    """
    await _run(calls, WARM_UP_S)
    began_s = time.perf_counter()
    times_s = await _run(calls, seconds)
    elapsed_s = time.perf_counter() - began_s
    return Result(
        name, len(calls), len(times_s) / elapsed_s, median(times_s) * 1e3, quantile(times_s, 0.99) * 1e3
    )


async def _run(calls: Sequence[Call], seconds: float) -> list[float]:
    until_s = time.perf_counter() + seconds
    times_s: list[float] = []
    await asyncio.gather(*(_loop(call, until_s, times_s) for call in calls))
    return times_s


async def _loop(call: Call, until_s: float, times_s: list[float]) -> None:
    now_s = time.perf_counter()
    while now_s < until_s:
        began_s = now_s
        await call()
        now_s = time.perf_counter()
        times_s.append(now_s - began_s)


def table(results: Sequence[Result]) -> str:
    """Return the results for people."""
    lines = [f"{'':<36} {'callers':>7} {'per second':>11} {'median ms':>10} {'p99 ms':>8}"]
    lines += [
        f"{result.name:<36} {result.callers:>7} {result.per_second:>11,.0f} "
        f"{result.median_ms:>10.3f} {result.p99_ms:>8.2f}"
        for result in results
    ]
    return "\n".join(lines)
