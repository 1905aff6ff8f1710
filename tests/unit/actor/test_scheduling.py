"""Messages that come later: by key, once or again and again, and never after the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from casty import (
    ActorSystem,
    Behavior,
    Behaviors,
    CancelSchedule,
    DeadLetter,
    EventStreamSubscribe,
    Mailbox,
    MailboxOverflowStrategy,
    ScheduleOnce,
    ScheduleTick,
    UnhandledMessage,
    scheduler,
)
from casty import runtime as runtimes
from sim import World


def virtually(main: Callable[[ActorSystem], Awaitable[None]], seed: int = 1) -> None:
    """Run with a system, in simulated time."""

    async def within(world: World) -> None:
        async with ActorSystem() as system:
            await main(system)

    with World(seed) as world:
        world.run(within(world), limit_s=1000)
        assert world.errors == []


class Inbox:
    """What an actor got, and when, in whole milliseconds since the inbox was made."""

    def __init__(self, system: ActorSystem, name: str = "inbox") -> None:
        self._began_ns = runtimes.current().clock.now()
        self.got: list[tuple[int, object]] = []
        self.ref: Any = system.spawn(Behaviors.receive(self._take), name)

    def _take(self, ctx: object, message: object) -> Behavior[Any] | None:
        at_ms = (runtimes.current().clock.now() - self._began_ns) // 1_000_000
        self.got.append((at_ms, message))
        return Behaviors.stopped() if message == "stop" else None


def test_once_comes_once_and_a_tick_after_each_interval() -> None:
    async def main(system: ActorSystem) -> None:
        inbox = Inbox(system)
        system.scheduler.tell(ScheduleOnce("o", inbox.ref, "once", 0.25))
        system.scheduler.tell(ScheduleTick("t", inbox.ref, "tick", 0.1))
        await asyncio.sleep(0.35)
        assert inbox.got == [(100, "tick"), (200, "tick"), (250, "once"), (300, "tick")]

    virtually(main)


@pytest.mark.parametrize("own", [False, True])
def test_a_key_is_replaced_and_cancelled(own: bool) -> None:
    async def main(system: ActorSystem) -> None:
        inbox = Inbox(system)
        ref: Any = system.spawn(scheduler(), "mine") if own else system.scheduler
        ref.tell(ScheduleTick("k", inbox.ref, "a", 0.1))
        ref.tell(ScheduleOnce("k", inbox.ref, "b", 0.15))
        ref.tell(ScheduleTick("gone", inbox.ref, "c", 0.1))
        await asyncio.sleep(0.05)
        ref.tell(CancelSchedule("gone"))
        ref.tell(CancelSchedule("never"))
        await asyncio.sleep(1)
        assert [message for _, message in inbox.got] == ["b"]

    virtually(main)


def test_ticks_end_with_their_target() -> None:
    async def main(system: ActorSystem) -> None:
        letters: list[DeadLetter] = []
        system.event_stream.tell(EventStreamSubscribe(DeadLetter, letters.append))
        inbox = Inbox(system)
        system.scheduler.tell(ScheduleTick("t", inbox.ref, "tick", 0.1))
        system.scheduler.tell(ScheduleOnce("o", inbox.ref, "stop", 0.25))
        await asyncio.sleep(2)
        assert [at for at, _ in inbox.got] == [100, 200, 250]
        assert letters == []
        assert system.core._scheduler.schedules._timers == {}
        Inbox(system, "inbox")  # another life under that name

    virtually(main)


def test_what_a_pause_made_late_is_left_out() -> None:
    async def pausing(world: World) -> None:
        got: list[int] = []

        async def setup(process: Any) -> Any:
            system = ActorSystem()
            ref: Any = system.spawn(
                Behaviors.receive(lambda ctx, message: got.append(world.now_ns // 1_000_000)), "a"
            )
            system.scheduler.tell(ScheduleTick("t", ref, "tick", 0.1))
            return system

        world.add_node("n", setup)
        await world.start("n")
        began_ms = world.now_ns // 1_000_000
        await asyncio.sleep(0.25)
        world.pause("n", 1.0)
        await asyncio.sleep(1.56)
        assert [at - began_ms for at in got] == [100, 200, 1250, 1300, 1400, 1500, 1600, 1700, 1800]

    with World(1) as world:
        world.run(pausing(world), limit_s=100)


def test_a_scheduler_that_stops_sends_nothing_more() -> None:
    async def main(system: ActorSystem) -> None:
        inbox = Inbox(system)

        async def start(ctx: Any) -> Behavior[Any]:
            child = ctx.spawn(scheduler(), "scheduler")
            child.tell(ScheduleTick("t", inbox.ref, "tick", 0.1))
            return Behaviors.receive(lambda ctx, message: Behaviors.stopped())

        parent: Any = system.spawn(Behaviors.setup(start), "parent")
        await asyncio.sleep(0.25)
        parent.tell("stop")
        await asyncio.sleep(1)
        assert len(inbox.got) == 2

    virtually(main)


@pytest.mark.parametrize("how", ["stop", "restart"])
def test_an_actors_own_messages_end_with_its_incarnation(how: str) -> None:
    async def main(system: ActorSystem) -> None:
        letters: list[DeadLetter] = []
        system.event_stream.tell(EventStreamSubscribe(DeadLetter, letters.append))
        got: list[object] = []
        starts: list[int] = []

        def handle(ctx: Any, message: object) -> Behavior[Any] | None:
            got.append(message)
            if message == "end":
                return Behaviors.stopped() if how == "stop" else Behaviors.restart()
            return None

        async def start(ctx: Any) -> Behavior[Any]:
            starts.append(1)
            if len(starts) == 1:
                ctx.schedule("tick", interval=0.1)
                ctx.schedule("end", delay=0.25)
                ctx.schedule("late", delay=0.3)
                ctx.schedule("replaced", delay=0.1, key="k")
                ctx.schedule("kept", delay=0.15, key="k")
                ctx.schedule("cancelled", delay=0.1).cancel()
                ctx.on_stop(lambda: ctx.schedule("after the end", delay=0.0) and None)
            return Behaviors.receive(handle)

        system.spawn(Behaviors.setup(start), "a")
        await asyncio.sleep(2)
        expected = ["tick", "kept", "tick", "end"]
        assert got == (expected if how == "stop" else [*expected, "after the end"])
        assert letters == []

    virtually(main)


def test_a_full_mailbox_makes_a_dead_letter_of_what_is_due() -> None:
    async def main(system: ActorSystem) -> None:
        letters: list[DeadLetter] = []
        system.event_stream.tell(EventStreamSubscribe(DeadLetter, letters.append))

        async def start(ctx: Any) -> Behavior[Any]:
            ctx.schedule("own", interval=0.1)

            async def handle(ctx: Any, message: object) -> None:
                await asyncio.sleep(10)

            return Behaviors.receive(handle)

        mailbox: Mailbox[Any] = Mailbox(1, MailboxOverflowStrategy.reject)
        ref: Any = system.spawn(Behaviors.setup(start), "a", mailbox=mailbox)
        system.scheduler.tell(ScheduleTick("t", ref, "others", 0.1))
        await asyncio.sleep(0.45)
        assert {letter.message for letter in letters} == {"own", "others"}

    virtually(main)


def test_what_is_no_message_of_a_scheduler_is_unhandled() -> None:
    async def main(system: ActorSystem) -> None:
        unhandled: list[UnhandledMessage] = []
        system.event_stream.tell(EventStreamSubscribe(UnhandledMessage, unhandled.append))
        own: Any = system.spawn(scheduler(), "mine")
        anything: Any = system.scheduler
        anything.tell("what")
        own.tell("what")
        await asyncio.sleep(0.1)
        assert [event.ref for event in unhandled] == [system.scheduler, own]

    virtually(main)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda ref: ScheduleTick("k", ref, 1, 0.0), ValueError),
        (lambda ref: ScheduleTick("k", ref, 1, "1"), TypeError),
        (lambda ref: ScheduleTick([], ref, 1, 1.0), TypeError),
        (lambda ref: ScheduleOnce("k", None, 1, 1.0), TypeError),
        (lambda ref: ScheduleOnce("k", ref, 1, -1.0), ValueError),
    ],
)
async def test_bad_arguments_are_refused(make: Callable[[Any], object], error: type[Exception]) -> None:
    async with ActorSystem() as system:
        with pytest.raises(error):
            make(system.spawn(Behaviors.ignore(), "a"))


@pytest.mark.parametrize(
    "arguments", [{}, {"delay": 1.0, "interval": 1.0}, {"delay": -1.0}, {"interval": 0.0}, {"interval": "1"}]
)
async def test_bad_arguments_of_a_context_are_refused(arguments: dict[str, Any]) -> None:
    raised: list[Exception] = []

    async def start(ctx: Any) -> Behavior[Any]:
        try:
            ctx.schedule("m", **arguments)
        except (TypeError, ValueError) as error:
            raised.append(error)
        return Behaviors.stopped()

    async with ActorSystem() as system:
        system.spawn(Behaviors.setup(start), "a")
        while not raised:
            await asyncio.sleep(0)
