"""The loop: order, time, tasks, generators."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from sim import DeadlockError, EscapeError, TimeLimitError, World


def timer_order(world: World) -> list[int]:
    fired: list[int] = []

    async def main() -> None:
        for index in range(10):
            asyncio.get_running_loop().call_later(0.5, fired.append, index)
        await asyncio.sleep(1)

    world.run(main())
    return fired


def test_equal_deadlines_fire_in_order_of_creation() -> None:
    with World(3) as world:
        assert timer_order(world) == list(range(10))


def test_search_mode_permutes_equal_deadlines() -> None:
    orders: list[list[int]] = []
    for seed in (3, 3, 4):
        with World(seed, is_shuffled=True) as world:
            orders.append(timer_order(world))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(10)) != orders[0]


def test_search_mode_permutes_task_steps_but_no_plain_callbacks() -> None:
    steps: list[int] = []
    plain: list[int] = []

    async def step(index: int) -> None:
        steps.append(index)

    async def main() -> None:
        tasks = [asyncio.create_task(step(index)) for index in range(10)]
        for index in range(10):
            asyncio.get_running_loop().call_soon(plain.append, index)
        await asyncio.gather(*tasks)

    with World(3, is_shuffled=True) as world:
        world.run(main())
    assert sorted(steps) == list(range(10)) != steps
    assert plain == list(range(10))


def test_orphans_are_never_collected() -> None:
    ended: list[int] = []

    async def orphan(index: int) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(index)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for index in range(3):
            loop.call_soon(loop.create_task, orphan(index))
        for _ in range(3_000):
            await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(1)

    with World(1) as world:
        world.run(main())
        assert ended == []
    assert ended == [0, 1, 2]


def test_generator_left_early_is_closed_by_its_process() -> None:
    closed: list[float] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(asyncio.get_running_loop().time())

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(0.1)
        assert len(closed) == 1

    with World(1) as world:
        world.run(main())


def test_waiting_for_nothing_is_a_deadlock_with_a_place() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with World(1) as world, pytest.raises(DeadlockError, match=r"test_sim_loop\.py:\d+"):
        world.run(main())


def test_limit_of_virtual_time() -> None:
    with World(1) as world:
        with pytest.raises(TimeLimitError):
            world.run(asyncio.sleep(100), limit_s=10)
        assert world.now_ns == 10_000_000_000


def test_spinning_costs_time_instead_of_hanging() -> None:
    async def main(world: World) -> None:
        flag: list[bool] = []
        asyncio.get_running_loop().call_later(0.05, flag.append, True)
        while not flag:
            await asyncio.sleep(0)

    with World(1) as world:
        world.run(main(world))
        assert world.now_ns >= 50_000_000


def test_executor_runs_inline() -> None:
    async def main() -> int:
        return await asyncio.to_thread(sum, [1, 2, 3])

    with World(1) as world:
        assert world.run(main()) == 6


def test_executor_passes_errors_on() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)

    with World(1) as world:
        world.run(main())


@pytest.mark.parametrize(
    "method", ["create_connection", "subprocess_exec", "add_signal_handler", "run_forever"]
)
def test_ways_out_of_the_loop_raise(method: str) -> None:
    async def main() -> None:
        with pytest.raises(EscapeError, match=f"loop.{method} would leave the simulation; "):
            getattr(asyncio.get_running_loop(), method)(1, 2)

    with World(1) as world:
        world.run(main())


def test_a_failing_callback_is_reported_and_the_world_goes_on() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(divmod, 1, 0)
        await asyncio.sleep(1)

    with World(1) as world:
        world.run(main())
        [(name, context)] = world.errors
        assert name == "test" and isinstance(context["exception"], ZeroDivisionError)


def test_a_world_runs_inside_a_real_loop() -> None:
    async def outer() -> float:
        with World(1) as world:
            world.run(asyncio.sleep(1000))
        return asyncio.get_running_loop().time()

    assert asyncio.run(outer()) > 0


def test_many_short_tasks_are_let_go() -> None:
    async def main(world: World) -> int:
        for _ in range(1000):
            await asyncio.create_task(asyncio.sleep(0))
        return len(world.test.incarnation.tasks)

    with World(1) as world:
        assert world.run(main(world)) < 200
