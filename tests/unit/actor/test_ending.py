"""The end of actors: one grace for all, then force, then without those that do not yield; and what is no Exception."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from casty import ActorSystem
from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.ending import FORCES, STOP_GRACE_NS
from casty.actor.events import ActorFailed, EventStreamSubscribe, Publish, Terminated
from casty.actor.mailbox import Mailbox, MailboxOverflowStrategy
from casty.errors import AskFailed, NotStarted, Overloaded
from sim import World
from tests.unit.actor.probes import Recorder, listen, started


def in_virtual_time(main: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    with World(1) as world:
        world.run(main(world), limit_s=60)


async def _never(ctx: ActorContext[Any], message: Any) -> None:
    await asyncio.get_running_loop().create_future()


async def _stubborn(ctx: ActorContext[Any], message: Any) -> None:
    """Does not yield: whatever cancels it is caught, and it waits anew."""
    while message.yields is False:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            message.cancelled += 1


class Hold:
    """The message of a handler that holds on until the test is over."""

    def __init__(self) -> None:
        self.yields = False
        self.cancelled = 0


def test_busy_actors_share_one_grace() -> None:
    async def main(world: World) -> None:
        system = ActorSystem("busy")
        for number in range(15):
            system.spawn(Behaviors.receive(_never), f"a{number}").tell("go")
        await asyncio.sleep(0.1)
        before_ns = world.now_ns
        await system.shutdown()
        assert world.now_ns - before_ns <= STOP_GRACE_NS + 1_000_000

    in_virtual_time(main)


def _level(below: int, ready: asyncio.Event) -> Behavior[Any]:
    async def setup(ctx: ActorContext[Any]) -> Behavior[Any]:
        if below:
            ctx.spawn(_level(below - 1, ready), "c")
        else:
            ready.set()
        return Behaviors.receive(_never)

    return Behaviors.setup(setup)


@pytest.mark.parametrize("is_forced", [False, True])
def test_nesting_has_no_depth_at_which_a_shutdown_fails(is_forced: bool) -> None:
    async def main(world: World) -> None:
        system, ready = ActorSystem("deep"), asyncio.Event()
        system.spawn(_level(1_000, ready), "c")
        await ready.wait()
        deepest = max(system.core.cells, key=len)
        system.core.cells[deepest].ref.tell("go")
        await asyncio.sleep(0.1)
        before_ns = world.now_ns
        await system.core.shutdown(is_forced=is_forced)
        assert not system.core.cells
        assert world.now_ns - before_ns <= STOP_GRACE_NS + 1_000_000

    in_virtual_time(main)


def test_who_does_not_yield_is_left_to_itself_and_its_parent_ends_as_it_should(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(world: World) -> None:
        system, hold, steps = ActorSystem("stubborn"), Hold(), Recorder()

        async def parent(ctx: ActorContext[Any]) -> Behavior[Any]:
            ctx.spawn(Behaviors.receive(_stubborn), "child").tell(hold)
            ctx.on_stop(lambda: steps("parent's hook"))
            return Behaviors.ignore()

        system.spawn(Behaviors.setup(parent), "parent")
        stopped = listen(system, Terminated)
        await asyncio.sleep(0.1)
        before_ns = world.now_ns
        with caplog.at_level(logging.ERROR, "casty.actor"):
            await system.shutdown()
        assert world.now_ns - before_ns <= (FORCES + 2) * STOP_GRACE_NS
        assert hold.cancelled == FORCES
        assert steps.values == ["parent's hook"]
        assert not system.core.cells
        lines = [
            record.getMessage() for record in caplog.records if "left to themselves" in record.getMessage()
        ]
        assert lines == [
            "1 actors did not end within 2 s after their cancellation and are left to themselves: 'parent/child'"
        ]
        assert stopped.values == []
        hold.yields = True
        for task in asyncio.all_tasks():
            if "parent/child" in task.get_name():
                task.cancel()
        await asyncio.sleep(0.1)  # what it does later frees no name twice

    in_virtual_time(main)


async def test_who_begins_while_the_system_stops_fails_by_nothing_that_it_does() -> None:
    """A child that was spawned shortly before begins once its parent, and the system, were told to stop."""
    system = ActorSystem("late")
    failed = listen(system, ActorFailed)
    grown: list[str] = []

    def tree(depth: int) -> Behavior[Any]:
        async def setup(ctx: ActorContext[Any]) -> Behavior[Any]:
            grown.append(ctx.self.id)
            if depth:
                ctx.spawn(tree(depth - 1), "c")
            return Behaviors.ignore()

        return Behaviors.setup(setup)

    system.spawn(tree(2), "root")
    await asyncio.sleep(0)
    assert len(grown) == 1, "its child has not begun"
    await system.shutdown()
    assert failed.values == []
    assert not system.core.cells


async def test_what_is_no_exception_ends_the_actor_as_an_exception_does() -> None:
    class Outcome(BaseException):
        """As test runners raise it."""

    def boom(ctx: ActorContext[Any], message: Any) -> None:
        raise Outcome(message)

    async with started() as system:
        failed, heard = listen(system, ActorFailed), Recorder()
        target = system.spawn(Behaviors.receive(boom), "a")

        async def watch(ctx: ActorContext[Any]) -> Behavior[Any]:
            ctx.watch(target)
            return heard.behavior()

        system.spawn(Behaviors.setup(watch), "watcher")
        await asyncio.sleep(0)
        target.tell("x")
        await heard.until(1)
        assert [type(message) for message in heard.values] == [Terminated]
        assert isinstance(failed.values[0].exception, Outcome)
        system.spawn(Behaviors.ignore(), "a")


PROGRAM = """
import asyncio, sys
from casty import ActorSystem, Behaviors

def boom(ctx, message):
    raise {error}

async def main():
    async with ActorSystem() as system:
        async def setup(ctx):
            ctx.on_stop(lambda: print("hook", flush=True))
            return Behaviors.receive(boom)
        system.spawn(Behaviors.setup(setup), "a").tell("now")
        await asyncio.sleep(60)
    print("not here")

asyncio.run(main())
"""


@pytest.mark.parametrize(("error", "code"), [("SystemExit(3)", 3), ("KeyboardInterrupt()", -2)])
def test_what_is_meant_for_the_process_ends_the_process(error: str, code: int) -> None:
    program = PROGRAM.format(error=error)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert done.stdout == "hook\n"


async def test_an_ask_that_finds_a_full_mailbox_is_told_so_at_once() -> None:
    async with started() as system:
        ref = system.spawn(Behaviors.receive(_never), "busy", mailbox=Mailbox[Any](1))
        ref.tell("in hand")
        await asyncio.sleep(0)
        ref.tell("unread")
        with pytest.raises(Overloaded, match="the mailbox is full"):
            await system.ask(ref, lambda reply: ("question", reply), timeout=60)


async def test_a_question_that_makes_room_for_another_message_is_told_so() -> None:
    async with started() as system:
        mailbox = Mailbox[Any](1, MailboxOverflowStrategy.drop_oldest)
        ref = system.spawn(Behaviors.receive(_never), "busy", mailbox=mailbox)
        ref.tell("in hand")
        await asyncio.sleep(0)
        question = asyncio.ensure_future(system.ask(ref, lambda reply: ("question", reply), timeout=60))
        await asyncio.sleep(0)
        ref.tell("newer")
        with pytest.raises(Overloaded):
            await question


async def test_after_a_shutdown_a_question_is_refused_at_once() -> None:
    system = ActorSystem("over")
    ref = system.spawn(Behaviors.ignore(), "a")
    pending = asyncio.ensure_future(system.ask(ref, lambda reply: reply, timeout=60))
    await asyncio.sleep(0)
    await system.shutdown()
    with pytest.raises(AskFailed):
        await pending
    with pytest.raises(NotStarted):
        await system.ask(ref, lambda reply: reply, timeout=60)


async def test_a_slow_subscriber_costs_a_bound_and_what_it_misses_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    system = ActorSystem("slow")
    go, heard, at_once = asyncio.Event(), Recorder(), Recorder()

    async def slow(event: str) -> None:
        await go.wait()
        heard(event)

    system.event_stream.tell(EventStreamSubscribe(str, slow))
    system.event_stream.tell(EventStreamSubscribe(str, at_once))
    bound = system.core.max_mailbox
    for number in range(bound + 500):
        system.event_stream.tell(Publish(str(number)))
    assert system.core.events.dropped == 500
    assert len(at_once.values) == bound + 500
    go.set()
    await heard.until(bound)
    assert heard.values == [str(number) for number in range(bound)]
    await system.core.events.until_idle()
    system.event_stream.tell(Publish("again"))
    await heard.until(bound + 1)
    lines = [record.getMessage() for record in caplog.records if "event stream" in record.getMessage()]
    assert len(lines) == 2
    assert "500 calls were dropped so far" in lines[1]
    await system.shutdown()
