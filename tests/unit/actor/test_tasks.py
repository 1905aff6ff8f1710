"""The task runner: how each task ended is told, bounds hold, and none outlives the runner."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from casty import ActorSystem, Behaviors
from casty.errors import Overloaded
from casty.tasks import CancelTask, RunTask, TaskCancelled, TaskCompleted, TaskFailed, task_runner
from casty.testing import TestProbe
from tests.unit.actor.test_scheduling import virtually


async def double(number: int, *, times: int = 2) -> int:
    await asyncio.sleep(0.1)
    return number * times


async def fail() -> None:
    raise ValueError("broken")


def test_results_failures_and_plain_functions_are_told_with_their_key() -> None:
    async def main(system: ActorSystem) -> None:
        runner = system.spawn(task_runner(), "tasks")
        probe: TestProbe[Any] = TestProbe(system)
        runner.tell(RunTask(double, (21,), (("times", 3),), reply_to=probe.ref, key="a"))
        assert await probe.expect(TaskCompleted) == TaskCompleted("a", 63)
        runner.tell(RunTask(fail, reply_to=probe.ref, key="b"))
        failed = await probe.expect(TaskFailed)
        assert (failed.key, str(failed.exception)) == ("b", "broken")
        runner.tell(RunTask(len, ("four",), reply_to=probe.ref, key="c"))
        assert await probe.expect(TaskCompleted) == TaskCompleted("c", 4)

    virtually(main)


def test_tasks_run_side_by_side_and_are_cancelled_by_key() -> None:
    async def main(system: ActorSystem) -> None:
        runner = system.spawn(task_runner(), "tasks")
        probe: TestProbe[Any] = TestProbe(system)
        for key in ("long", "long", "short"):
            runner.tell(RunTask(asyncio.sleep, (0.5 if key == "short" else 60,), reply_to=probe.ref, key=key))
        assert (await probe.expect(TaskCompleted)).key == "short"
        runner.tell(CancelTask("long"))
        runner.tell(CancelTask("nobody"))
        assert [await probe.expect(TaskCancelled) for _ in range(2)] == [TaskCancelled("long")] * 2

    virtually(main)


def test_one_task_more_than_may_run_is_not_begun() -> None:
    async def main(system: ActorSystem) -> None:
        runner = system.spawn(task_runner(max_tasks=1), "tasks")
        probe: TestProbe[Any] = TestProbe(system)
        runner.tell(RunTask(asyncio.sleep, (1,), reply_to=probe.ref, key="first"))
        runner.tell(RunTask(double, (1,), reply_to=probe.ref, key="second"))
        failed = await probe.expect(TaskFailed)
        assert failed.key == "second" and isinstance(failed.exception, Overloaded)
        assert (await probe.expect(TaskCompleted)).key == "first"
        runner.tell(RunTask(double, (1,), reply_to=probe.ref, key="third"))
        assert await probe.expect(TaskCompleted) == TaskCompleted("third", 2)

    virtually(main)


def test_the_end_of_the_runner_waits_for_the_end_of_its_tasks() -> None:
    async def main(system: ActorSystem) -> None:
        ended: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.2)
                ended.append("work")

        spawned: list[Any] = []

        async def start(ctx: Any) -> Any:
            spawned.append(ctx.spawn(task_runner(), "tasks"))
            return Behaviors.receive(lambda ctx, message: Behaviors.stopped())

        probe: TestProbe[Any] = TestProbe(system)
        parent = system.spawn(Behaviors.setup(start), "parent")
        await asyncio.sleep(0.1)
        spawned[0].tell(RunTask(work, reply_to=probe.ref, key="w"))
        await asyncio.sleep(0.1)
        parent.tell("stop")
        assert await probe.expect(TaskCancelled) == TaskCancelled("w")
        assert ended == ["work"]
        await asyncio.sleep(0.1)
        assert system.lookup("parent") is None

    virtually(main)


def test_a_failure_that_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main(system: ActorSystem) -> None:
        system.spawn(task_runner(), "tasks").tell(RunTask(fail, key="b"))
        await asyncio.sleep(0.1)

    with caplog.at_level(logging.WARNING, "casty.actor"):
        virtually(main)
    assert any("task 'b' of tasks failed" in record.getMessage() for record in caplog.records)


def test_bad_tasks_are_refused_where_they_are_made() -> None:
    with pytest.raises(TypeError, match="fn: expected a function"):
        RunTask(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="key: expected a text"):
        RunTask(fail, key=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_tasks: expected at least 1"):
        task_runner(max_tasks=0)
