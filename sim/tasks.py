"""Tasks and futures whose hash is a creation counter.

asyncio keeps tasks in sets (`TaskGroup`, `wait`, `all_tasks`, `as_completed`). The default hash is the address,
so the order in which a group cancels its children follows the heap. A counter fixes it at no measurable cost.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from contextvars import Context
from types import CodeType, FrameType
from typing import Any, TypeVar

__all__ = ["CounterFuture", "CounterTask", "is_inner", "new_future", "new_task"]

T = TypeVar("T")

_DEPTH = 5
_INNER_CODE: CodeType | None = asyncio.wait_for.__code__ if sys.version_info < (3, 12) else None


class CounterTask(asyncio.Task[T]):
    """A task that hashes as its number."""

    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        return f"<task {self.get_name()}>"


class CounterFuture(asyncio.Future[T]):
    """A future that hashes as its number."""

    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        return f"<future #{self.number}>"


def new_task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
    number: int,
    name: str,
    context: Context,
) -> CounterTask[T]:
    """Make a task; the number is there before `__init__`, which already hashes the task to register it."""
    task: CounterTask[T] = CounterTask.__new__(CounterTask)
    task.number = number
    task.__init__(coro, loop=loop, name=name, context=context)  # type: ignore[misc]
    return task


def new_future(loop: asyncio.AbstractEventLoop, number: int) -> CounterFuture[Any]:
    """Make a future."""
    future: CounterFuture[Any] = CounterFuture(loop=loop)
    future.number = number
    return future


def is_inner(frame: FrameType | None) -> bool:
    """Whether `asyncio.wait_for` asks, below `frame`.

    Before 3.12 it makes a task and a future of its own. They are counted apart: otherwise the same program
    would number its other tasks, and so order its sets, differently on 3.11.
    """
    for _ in range(_DEPTH):
        if frame is None or _INNER_CODE is None:
            return False
        if frame.f_code is _INNER_CODE:
            return True
        if not frame.f_code.co_filename.endswith("tasks.py"):
            return False
        frame = frame.f_back
    return False
