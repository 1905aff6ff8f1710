"""An actor that runs coroutines for others: it tells how each ended, and none of them outlives it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.ref import ActorRef
from casty.checks import check_callable, check_count, check_text, shown
from casty.errors import Overloaded

__all__ = [
    "CancelTask", "RunTask", "TaskCancelled", "TaskCompleted", "TaskFailed", "TaskResult", "TaskRunnerMessage",
    "task_runner",
]  # fmt: skip

MAX_TASKS = 1_000_000


@dataclass(frozen=True)
class TaskCompleted:
    """The task returned `result`."""

    key: str
    result: object = None


@dataclass(frozen=True)
class TaskFailed:
    """The task raised `exception`, or was not begun: then it is `Overloaded`."""

    key: str
    exception: Exception


@dataclass(frozen=True)
class TaskCancelled:
    """The task was cancelled: by `CancelTask`, by the end of the runner, or by itself."""

    key: str


TaskResult = TaskCompleted | TaskFailed | TaskCancelled


@dataclass(frozen=True)
class RunTask:
    """Run ``await fn(*args, **kwargs)`` beside the runner.

    It is for the runner's own process: functions do not travel.

    Parameters
    ----------
    fn
        A coroutine function, or a plain one, whose result is the task's.
    args, kwargs
        What it is called with; `kwargs` as pairs of name and value.
    reply_to
        Who is told how it ended; None: nobody, and a failure is logged.
    key
        A text that the result carries, and that `CancelTask` names; several tasks may have the same.

    Raises
    ------
    TypeError
        `fn` is no function, `key` no text.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    reply_to: ActorRef[TaskResult] | None = None
    key: str = ""

    def __post_init__(self) -> None:
        check_callable(self.fn, "fn")
        check_text(self.key, "key")


@dataclass(frozen=True)
class CancelTask:
    """Cancel all tasks of a key; harmless when there are none."""

    key: str


TaskRunnerMessage = RunTask | CancelTask


def task_runner(*, max_tasks: int = 10_000) -> Behavior[TaskRunnerMessage]:
    """An actor that runs coroutines, as a behaviour to spawn; when it stops it cancels them, and waits for their end.

    Parameters
    ----------
    max_tasks
        How many run at a time, 1 to 1,000,000; one more is not begun: `TaskFailed` with `Overloaded`.

    Raises
    ------
    TypeError, ValueError
        `max_tasks` is no such number.
    """
    most = check_count("max_tasks", max_tasks, 1, MAX_TASKS)

    async def start(ctx: ActorContext[TaskRunnerMessage]) -> Behavior[TaskRunnerMessage]:
        runner = _Runner(ctx, most)
        return Behaviors.receive(runner.receive)

    return Behaviors.setup(start)


class _Runner:
    """The tasks of one runner. Bounds: a row per task that runs, `max_tasks` at most."""

    def __init__(self, ctx: ActorContext[TaskRunnerMessage], max_tasks: int) -> None:
        self._ctx = ctx
        self._core = ctx.system.core
        self._max_tasks = max_tasks
        self._tasks: dict[asyncio.Task[Any], RunTask] = {}
        """In the order of their begin."""
        ctx.on_stop(self._stopped)

    def receive(
        self, ctx: ActorContext[TaskRunnerMessage], message: TaskRunnerMessage
    ) -> Behavior[TaskRunnerMessage]:
        """Take a message."""
        del ctx
        match message:
            case RunTask():
                self._begin(message)
            case CancelTask(key):
                for task, asked in list(self._tasks.items()):
                    if asked.key == key:
                        task.cancel()
            case _:
                return Behaviors.unhandled()
        return Behaviors.same()

    def _begin(self, asked: RunTask) -> None:
        if len(self._tasks) >= self._max_tasks:
            text = f"task {shown(asked.key)}: expected fewer than max_tasks = {self._max_tasks}, found that as many run"
            self._say(asked, TaskFailed(asked.key, Overloaded(text)))
            return
        work = _run(asked)
        task = asyncio.get_running_loop().create_task(work, name=f"task of {self._ctx.self.id}")
        self._tasks[task] = asked
        task.add_done_callback(partial(self._ended, asked))

    def _ended(self, asked: RunTask, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        if task.cancelled():
            self._say(asked, TaskCancelled(asked.key))
            return
        error = task.exception()
        if error is None:
            self._say(asked, TaskCompleted(asked.key, task.result()))
        elif isinstance(error, Exception):
            self._say(asked, TaskFailed(asked.key, error))

    def _say(self, asked: RunTask, result: TaskResult) -> None:
        if asked.reply_to is not None:
            self._core.tell(asked.reply_to, result)
        elif isinstance(result, TaskFailed):
            self._core.failures.say(
                f"task {shown(asked.key)} of {self._ctx.self.id} failed", result.exception
            )

    async def _stopped(self) -> None:
        """Cancel all that run, and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(asked: RunTask) -> Any:
    result = asked.fn(*asked.args, **dict(asked.kwargs))
    return await result if inspect.isawaitable(result) else result
