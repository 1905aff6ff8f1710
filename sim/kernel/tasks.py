"""Tasks and futures whose hash is a creation counter.

asyncio keeps tasks in sets (`TaskGroup`, `wait`, `all_tasks`, `as_completed`). The default hash is the
address, so the order in which a group cancels its children follows the heap. A counter fixes it at no
measurable cost.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from contextvars import Context
from types import CodeType, FrameType
from typing import Any, TypeVar

__all__ = ["CounterFuture", "CounterTask", "is_inner"]

T = TypeVar("T")

_DEPTH = 5
_INNER_CODE: CodeType | None = asyncio.wait_for.__code__ if sys.version_info < (3, 12) else None


class CounterTask(asyncio.Task[T]):
    """A task that hashes as its number."""

    __slots__ = ("number",)

    def __init__(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        loop: asyncio.AbstractEventLoop,
        number: int,
        name: str,
        context: Context,
    ) -> None:
        self.number = number  # first: registering the task, inside, already hashes it
        super().__init__(coro, loop=loop, name=name, context=context)

    def silence(self) -> None:
        """Say nothing when this task is dropped before it is done."""
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        return f"<task {self.get_name()}>"


class CounterFuture(asyncio.Future[T]):
    """A future that hashes as its number."""

    __slots__ = ("number",)

    def __init__(self, *, loop: asyncio.AbstractEventLoop, number: int) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        return f"<future #{self.number}>"


def is_inner(frame: FrameType | None) -> bool:
    """Whether `asyncio.wait_for` is who called the function whose frame this is.

    Before 3.12 it makes a task and a future of its own. They are counted apart: otherwise the same program
    would number its other tasks, and so order its sets, differently on 3.11.
    """
    frame = frame and frame.f_back
    for _ in range(_DEPTH):
        if frame is None or _INNER_CODE is None:
            return False
        if frame.f_code is _INNER_CODE:
            return True
        if not frame.f_code.co_filename.endswith("tasks.py"):
            return False
        frame = frame.f_back
    return False
