"""Ways to wait for work that others began."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from casty.distributed.handle import Deadline
from casty.errors import CastyError

__all__ = ["LEFT_S", "Waits", "all_of", "end_of", "quietly", "seen"]

LEFT_S = 5.0
"""How long who has no deadline waits for a journal once the client or system is left: a sound one answers by then."""

T = TypeVar("T")


class Waits:
    """Waits for a journal, which is the user's and may never answer; each ends with its deadline.

    Who has none waits for ever, but no longer than `LEFT_S` once the client or system is left: what was called through
    it is over then.
    """

    def __init__(self, when_left: Callable[[Callable[[], None]], Callable[[], None]]) -> None:
        self._when_left = when_left
        self._take_back: Callable[[], None] | None = None
        """That it is left is asked for while somebody waits without a deadline: facades come and go."""
        self._endless: dict[asyncio.Future[None], Callable[[], None]] = {}
        """What ends each wait without a deadline; a row goes with its wait."""

    async def within(
        self, future: asyncio.Future[None], deadline: Deadline, late: Callable[[], Exception]
    ) -> None:
        """Wait for a future that nobody else waits for until a deadline, and raise what `late` makes then."""

        def end() -> None:
            if not future.done():
                future.set_exception(late())

        timer = deadline.call(end)
        if timer is None:
            self._endless[future] = end
            if self._take_back is None:
                self._take_back = self._when_left(self.left)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            elif (
                self._endless.pop(future, None) is not None
                and not self._endless
                and self._take_back is not None
            ):
                self._take_back()
                self._take_back = None

    def left(self) -> None:
        """The client or system is left."""
        Deadline(LEFT_S).call(self._end)

    def _end(self) -> None:
        for end in list(self._endless.values()):
            end()


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
