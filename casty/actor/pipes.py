"""Coroutines that run beside an actor until it stops."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Coroutine
from typing import Any

from casty.actor.lease import Lease, Leased, LeaseEnded

__all__ = ["Pipes", "discard"]


class Pipes:
    """The pipes of one actor.

    Parameters
    ----------
    path
        The actor's path.
    lease
        How long they may act; None without end.

    Bounds: `_running` has a row per coroutine that runs. The user's actor decides how many that are.
    """

    __slots__ = ("_lease", "_path", "_running")

    def __init__(self, path: str, lease: Lease | None) -> None:
        self._path = path
        self._lease = lease
        self._running: dict[asyncio.Task[None], tuple[Coroutine[Any, Any, None], Awaitable[object]]] = {}

    def begin(self, work: Coroutine[Any, Any, None], awaitable: Awaitable[object]) -> None:
        """Run work, which waits for an awaitable."""
        leased = work if self._lease is None else _leased(work, self._lease)
        task = asyncio.get_running_loop().create_task(leased, name=f"pipe {self._path}")
        self._running[task] = (work, awaitable)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Cancel all that run."""
        for task in list(self._running):
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        # Where the actor stopped before the pipe began nobody awaited either, and Python would say so.
        for awaitable in self._running.pop(task):
            discard(awaitable)


async def _leased(work: Coroutine[Any, Any, None], lease: Lease) -> None:
    """Run a pipe; where its lease ended nobody misses its result."""
    with contextlib.suppress(LeaseEnded):
        await Leased(work, lease)


def discard(awaitable: Awaitable[object]) -> None:
    """End something that nobody waits for any more; where it never began Python would complain."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
    elif isinstance(awaitable, asyncio.Future):
        awaitable.cancel()
