"""The task runner, by name: an actor that runs coroutines for others."""

from __future__ import annotations

from casty.actor.task_running import (
    CancelTask,
    RunTask,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskResult,
    TaskRunnerMessage,
    task_runner,
)

__all__ = [
    "CancelTask", "RunTask", "TaskCancelled", "TaskCompleted", "TaskFailed", "TaskResult", "TaskRunnerMessage",
    "task_runner",
]  # fmt: skip
