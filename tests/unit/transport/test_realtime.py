"""The real ports."""

from __future__ import annotations

import asyncio

from casty import realtime, runtime


def test_one_runtime_a_process() -> None:
    assert runtime.current() is realtime.default() is realtime.default()


async def test_timers_never_run_early() -> None:
    clock = realtime.SystemClock()
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    when_ns = clock.now() + 3_000_000
    clock.call_at(when_ns, lambda: done.set_result(clock.now()))
    assert await done >= when_ns


async def test_cancelled_timers_never_run() -> None:
    clock = realtime.SystemClock()
    ran: list[int] = []
    timer = clock.call_at(clock.now() - 1, ran.append, 1)
    timer.cancel()
    clock.call_at(clock.now() - 1, ran.append, 2)
    await clock.sleep(0.001)
    assert ran == [2]


def test_entropy() -> None:
    entropy = realtime.SystemEntropy()
    assert len(entropy.token("test", 16)) == 16
    assert entropy.token("test", 16) != entropy.token("test", 16)
    assert all(0 <= entropy.below("test", 3) < 3 for _ in range(50))


def test_the_clock_moves_on() -> None:
    clock = realtime.SystemClock()
    assert clock.now() <= clock.now()
    assert clock.wall_s() > 0
