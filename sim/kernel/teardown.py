"""The end of a world: unfinished coroutines are closed in order, and what they still do has no effect."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable
from typing import Any

from .incarnation import Incarnation
from .loop import SimLoop
from .tasks import CounterTask

__all__ = ["discard"]


def discard(loop: SimLoop, dead: list[Incarnation]) -> None:
    """Close what the dead left, oldest first.

    Dropping a suspended coroutine runs its ``finally`` blocks, and Python reports whatever goes wrong in
    them. The world is over by now: the loop runs nothing more, the network carries nothing, and nobody is
    told.
    """
    loop.close()
    hook: Callable[[Any], object] = sys.unraisablehook
    sys.unraisablehook = _swallow
    try:
        with warnings.catch_warnings():
            # Also a coroutine that was to be awaited by one that never began.
            warnings.simplefilter("ignore", RuntimeWarning)
            for incarnation in dead:
                for task in incarnation.live_tasks():
                    _close(task)
                incarnation.tasks.clear()
                incarnation.ready.clear()
    finally:
        sys.unraisablehook = hook


def _close(task: asyncio.Task[Any]) -> None:
    if isinstance(task, CounterTask):
        task.silence()
    coro = task.get_coro()
    try:
        coro.close()
    except BaseException:  # the process is dead; what its clean-up raises concerns nobody
        return


def _swallow(report: Any) -> None:
    del report
