"""Ways to wait for work that others began."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from casty.errors import CastyError

__all__ = ["all_of", "end_of", "quietly", "seen"]

T = TypeVar("T")


def end_of(task: asyncio.Task[Any]) -> asyncio.Future[None]:
    """Return a future that is done with the task, whatever comes of it, and of which the task knows nothing."""
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(_: asyncio.Task[Any]) -> None:
        if not end.done():
            end.set_result(None)

    task.add_done_callback(done)
    return end


def seen(task: asyncio.Task[None]) -> None:
    """Take note of how a restoration ended that nobody may wait for any more."""
    if not task.cancelled():
        task.exception()


async def all_of(work: Sequence[Awaitable[T]]) -> list[T]:
    """Wait for all of them, and raise the first error then."""
    results = await asyncio.gather(*work, return_exceptions=True)
    found: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        found.append(result)
    return found


async def quietly(work: Awaitable[object]) -> None:
    """Wait for what may fail as any call may: whoever asked for it is gone."""
    try:
        await work
    except CastyError:
        return
