"""Who waits for a journal without a deadline, and what is left of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from casty.distributed.handle import Deadline
from casty.distributed.recording.waits import Waits


class Way:
    """A way to a cluster that may be left."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []

    def when_left(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.asked.append(callback)
        return lambda: self.asked.remove(callback)


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_whether_the_client_is_left_is_asked_only_while_somebody_waits_for_ever(
    is_cancelled: bool,
) -> None:
    """Facades are made and dropped by the thousand, each with its own waits."""
    way = Way()
    waits = Waits(way.when_left)
    futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
    tasks = [asyncio.ensure_future(waits.within(future, Deadline(None), RuntimeError)) for future in futures]
    limited = asyncio.ensure_future(waits.within(asyncio.Future(), Deadline(60.0), RuntimeError))
    await asyncio.sleep(0)
    assert len(way.asked) == 1
    for task, future in zip(tasks, futures, strict=True):
        assert len(way.asked) == 1
        if is_cancelled:
            task.cancel()
        else:
            future.set_result(None)
        await asyncio.wait([task])
    assert way.asked == [], "one with a deadline needs nothing"
    limited.cancel()
    await asyncio.wait([limited])
