"""What the actor tests share: recorders that are awaited, never slept for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import EventStreamSubscribe
from casty.actor.system import ActorSystem


class Recorder:
    """Collects values; `until` waits for so many of them."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._changed = asyncio.Event()

    def __call__(self, value: Any) -> None:
        self.values.append(value)
        self._changed.set()

    async def until(self, count: int) -> list[Any]:
        async with asyncio.timeout(5):
            while len(self.values) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.values

    def behavior(self) -> Behavior[Any]:
        return Behaviors.receive(self._receive)

    def _receive(self, ctx: ActorContext[Any], message: Any) -> None:
        self(message)


@asynccontextmanager
async def started() -> AsyncGenerator[ActorSystem]:
    async with ActorSystem("test") as system:
        yield system


def listen(system: ActorSystem, *kinds: type[object]) -> Recorder:
    recorder = Recorder()
    for kind in kinds:
        system.event_stream.tell(EventStreamSubscribe(kind, recorder))
    return recorder
