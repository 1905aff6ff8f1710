"""Clocks: every machine has its own, and timers of a process run by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from casty.runtime import current
from sim import World
from sim.world.process import Process

SECOND_NS = 1_000_000_000

Sleep = Callable[[float], Coroutine[Any, Any, None]]


async def idle(process: Process) -> None:
    return None


async def start_one(world: World) -> Process:
    process = world.add_node("a", idle)
    await world.start("a")
    return process


async def sleep_for(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def sleep_by_door(seconds: float) -> None:
    await current().clock.sleep(seconds)


@pytest.mark.parametrize("sleep", [sleep_for, sleep_by_door])
@pytest.mark.parametrize(
    ("ppm", "expected_ns"), [(0, 10_000_000_000), (250_000, 8_000_000_000), (-500_000, 20 * SECOND_NS)]
)
def test_sleep_runs_at_the_rate_of_the_clock(sleep: Sleep, ppm: int, expected_ns: int) -> None:
    async def main(world: World) -> int:
        process = await start_one(world)
        world.clock("a").drift(ppm)
        before_ns = world.now_ns
        await process.run(sleep(10))
        return world.now_ns - before_ns

    with World(1) as world:
        assert world.run(main(world)) == pytest.approx(expected_ns, abs=1000)


def test_timer_moves_when_the_clock_changes_under_it() -> None:
    async def main(world: World) -> list[int]:
        process = await start_one(world)
        began_ns = world.now_ns
        task = process.spawn(sleep_for(100))
        await asyncio.sleep(10)
        world.clock("a").step(50)
        await asyncio.sleep(1)
        world.clock("a").freeze()
        await asyncio.sleep(500)
        frozen = task.done()
        world.clock("a").thaw()
        await task
        return [frozen, world.now_ns - began_ns]

    with World(1) as world:
        frozen, took_ns = world.run(main(world))
        assert not frozen
        assert took_ns == pytest.approx((10 + 1 + 500 + 39) * SECOND_NS, abs=1000)


def test_step_back_delays_and_shows() -> None:
    async def main(world: World) -> None:
        process = await start_one(world)
        clock = world.clock("a")
        before_ns = clock.now()
        clock.step(-5)
        assert clock.now() == before_ns - 5 * SECOND_NS
        began_ns = world.now_ns
        clock_task = process.spawn(sleep_for(1))
        clock.step(-2)
        await clock_task
        # The task had not begun to sleep when the clock stepped.
        assert world.now_ns - began_ns == pytest.approx(SECOND_NS, abs=1000)

    with World(1) as world:
        world.run(main(world))


def test_civil_time_is_set_without_moving_the_clock() -> None:
    async def main(world: World) -> None:
        await start_one(world)
        clock = world.clock("a")
        before_ns, civil_s = clock.now(), clock.wall_s()
        clock.step_wall(-3600)
        assert (clock.now(), clock.wall_s()) == (before_ns, civil_s - 3600)
        clock.step_wall(60)
        assert (clock.now(), clock.wall_s()) == (before_ns, civil_s - 3540)

    with World(1) as world:
        world.run(main(world))


def test_cancelled_timer_never_runs_even_when_rearmed() -> None:
    async def main(world: World) -> list[str]:
        process = await start_one(world)
        fired: list[str] = []

        async def arm() -> None:
            clock = current().clock
            timer = clock.call_at(clock.now() + SECOND_NS, fired.append, "never")
            clock.call_at(clock.now() + 2 * SECOND_NS, fired.append, "once")
            timer.cancel()

        await process.run(arm())
        world.clock("a").drift(1000)
        world.clock("a").freeze()
        world.clock("a").thaw()
        await asyncio.sleep(10)
        return fired

    with World(1) as world:
        assert world.run(main(world)) == ["once"]


def test_loop_time_is_the_clock_of_the_process() -> None:
    async def main(world: World) -> None:
        process = await start_one(world)

        async def read() -> float:
            return asyncio.get_running_loop().time() - current().clock.now() / SECOND_NS

        assert await process.run(read()) == 0.0

    with World(1) as world:
        world.run(main(world))


def test_wall_clock_follows_and_survives_a_restart() -> None:
    async def main(world: World) -> None:
        await start_one(world)
        assert world.clock("a").wall_s() == 1000
        await asyncio.sleep(5)
        await world.restart("a")
        assert world.clock("a").wall_s() == 1005

    with World(1, wall_s=1000) as world:
        world.run(main(world))


def test_changes_are_in_the_trace() -> None:
    async def main(world: World) -> None:
        await start_one(world)
        clock = world.clock("a")
        clock.drift(10)
        clock.step(-1.5)
        clock.freeze()
        clock.thaw()
        clock.thaw()

    with World(1) as world:
        world.run(main(world))
        events = [tuple(entry.event) for entry in world.trace if entry.kind == "ClockChanged"]
        assert events == [("drift", 10), ("step", -1_500_000_000), ("freeze", 0), ("thaw", 0)]
