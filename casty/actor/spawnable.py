"""A scheduler and an event stream of one's own, as behaviours to spawn."""

from __future__ import annotations

import asyncio

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import EventStream, EventStreamMessage
from casty.actor.scheduling import Scheduler, SchedulerMessage

__all__ = ["event_stream_actor", "scheduler"]


def scheduler() -> Behavior[SchedulerMessage]:
    """A scheduler of one's own, as a behaviour to spawn; what it has to send ends with the actor."""
    return Behaviors.setup(_start)


async def _start(ctx: ActorContext[SchedulerMessage]) -> Behavior[SchedulerMessage]:
    inner = Scheduler(ctx.system.core)
    ctx.on_stop(inner.schedules.cancel_all)

    def handle(ctx: ActorContext[SchedulerMessage], message: SchedulerMessage) -> Behavior[SchedulerMessage]:
        del ctx
        return Behaviors.same() if inner.receive(message) else Behaviors.unhandled()

    return Behaviors.receive(handle)


def event_stream_actor() -> Behavior[EventStreamMessage]:
    """An event stream of one's own, as a behaviour to spawn."""
    return Behaviors.setup(_start_stream)


async def _start_stream(ctx: ActorContext[EventStreamMessage]) -> Behavior[EventStreamMessage]:
    del ctx
    return Behaviors.receive(_StreamHandler(EventStream()).handle)


class _StreamHandler:
    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    async def handle(self, ctx: ActorContext[EventStreamMessage], message: EventStreamMessage) -> None:
        """Take one message; coroutine handlers have ended before the next one."""
        del ctx
        self._stream.receive(message)
        try:
            await self._stream.until_idle()
        except asyncio.CancelledError:
            self._stream.give_up()  # the actor is stopped by force
            raise
