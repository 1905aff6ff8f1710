"""Actors of one process: behaviours, life, supervision, watching, mailboxes, events."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass
from typing import Any

import pytest

from casty.actor.behavior import Behavior, Behaviors, Signal
from casty.actor.context import ActorContext
from casty.actor.events import (
    ActorFailed,
    ActorRestarted,
    ActorStarted,
    ActorStopped,
    DeadLetter,
    EventStreamSubscribe,
    EventStreamUnsubscribe,
    Publish,
    Terminated,
    UnhandledMessage,
)
from casty.actor.mailbox import Mailbox, MailboxOverflowStrategy
from casty.actor.ref import ActorRef
from casty.actor.spawnable import event_stream_actor
from casty.actor.system import ActorSystem
from casty.config import Settings
from casty.errors import AskFailed
from tests.unit.actor.probes import Recorder, listen, started

pytestmark = pytest.mark.asyncio


@dataclass(frozen=True)
class Get:
    reply_to: ActorRef[int]


def counter(count: int = 0) -> Behavior[Get | int]:
    async def handle(ctx: ActorContext[Get | int], message: Get | int) -> Behavior[Get | int]:
        match message:
            case Get(reply_to):
                reply_to.tell(count)
                return Behaviors.same()
            case int():
                return counter(count + message)

    return Behaviors.receive(handle)


async def test_tell_and_ask_keep_order_and_state() -> None:
    async with started() as system:
        ref = system.spawn(counter(), "counter")
        for amount in (1, 2, 3):
            ref.tell(amount)
        assert await system.ask(ref, Get) == 6
        assert ref.id == "counter"


async def test_one_message_at_a_time() -> None:
    running = 0
    seen = Recorder()

    async def handle(ctx: ActorContext[int], message: int) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        seen(message)

    async with started() as system:
        ref = system.spawn(Behaviors.receive(handle), "one")
        for number in range(20):
            ref.tell(number)
        assert await seen.until(20) == list(range(20))


async def test_ask_times_out_with_the_name_of_the_actor() -> None:
    async with started() as system:
        ref: ActorRef[Any] = system.spawn(Behaviors.ignore(), "silent")
        with pytest.raises(TimeoutError, match="silent"):
            await system.ask(ref, Get, timeout=0.01)
        assert await system.ask_or_none(ref, Get, timeout=0.01) is None
        assert not system.core.endpoints.keys() - {"$events", "$scheduler"}


async def test_a_question_that_failed_while_it_was_sent_leaves_no_error_behind() -> None:
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))

    async with started() as system:

        def broken(reply_to: ActorRef[int]) -> Get:
            system.core.replies.fail(reply_to.id, LookupError("refused"))
            raise KeyError("factory")

        ref: ActorRef[Any] = system.spawn(Behaviors.ignore(), "silent")
        with pytest.raises(KeyError, match="factory"):
            await system.ask(ref, broken)
        gc.collect()
        await asyncio.sleep(0)
        assert lost == []


async def test_a_late_reply_is_a_dead_letter() -> None:
    refs = Recorder()
    async with started() as system:
        letters = listen(system, DeadLetter)
        ref = system.spawn(refs.behavior(), "late")
        await system.ask_or_none(ref, Get, timeout=0.01)
        refs.values[0].reply_to.tell(1)
        assert letters.values[0].message == 1


async def test_names_are_unique_free_after_stop_and_checked() -> None:
    async with started() as system:
        stopped = listen(system, ActorStopped)
        ref = system.spawn(Behaviors.receive(lambda ctx, message: Behaviors.stopped()), "name")
        with pytest.raises(ValueError, match="alive"):
            system.spawn(Behaviors.ignore(), "name")
        for bad in ("", "a/b", "$x"):
            with pytest.raises(ValueError, match="name"):
                system.spawn(Behaviors.ignore(), bad)
        ref.tell("stop")
        await stopped.until(1)
        system.spawn(Behaviors.ignore(), "name")


async def test_lookup_finds_the_same_object_nested_with_and_without_slash() -> None:
    refs = Recorder()

    async def parent(ctx: ActorContext[Any]) -> Behavior[Any]:
        refs(ctx.spawn(Behaviors.ignore(), "child"))
        with pytest.raises(ValueError, match="alive"):
            ctx.spawn(Behaviors.ignore(), "child")
        return Behaviors.ignore()

    async with started() as system:
        ref = system.spawn(Behaviors.setup(parent), "parent")
        await refs.until(1)
        assert system.lookup("parent") is ref is system.lookup("/parent")
        assert system.lookup("parent/child") is refs.values[0]
        assert refs.values[0].id == "parent/child"
        assert system.lookup("nobody") is None


async def test_a_failing_setup_frees_the_name_and_is_an_event() -> None:
    async def broken(ctx: ActorContext[Any]) -> Behavior[Any]:
        raise LookupError("no")

    async with started() as system:
        events = listen(system, ActorFailed, ActorStopped, ActorStarted, DeadLetter)
        ref = system.spawn(Behaviors.setup(broken), "broken")
        ref.tell("unread")
        await events.until(3)
        assert [type(event) for event in events.values] == [ActorFailed, DeadLetter, ActorStopped]
        system.spawn(Behaviors.ignore(), "broken")


async def test_setups_may_nest_and_must_not_end_in_same() -> None:
    async def inner(ctx: ActorContext[Get | int]) -> Behavior[Get | int]:
        return counter(5)

    async def outer(ctx: ActorContext[Get | int]) -> Behavior[Get | int]:
        return Behaviors.setup(inner)

    async def nothing(ctx: ActorContext[Any]) -> Behavior[Any]:
        return Behaviors.same()

    async with started() as system:
        failed = listen(system, ActorFailed)
        assert await system.ask(system.spawn(Behaviors.setup(outer), "nested"), Get) == 5
        system.spawn(Behaviors.setup(nothing), "nothing")
        assert "same" in str((await failed.until(1))[0].exception)


async def test_an_exception_stops_the_actor_and_its_mail_is_dead() -> None:
    def explode(ctx: ActorContext[str], message: str) -> None:
        raise RuntimeError(message)

    async with started() as system:
        events = listen(system, ActorFailed, DeadLetter, ActorStopped)
        ref = system.spawn(Behaviors.receive(explode), "bomb")
        ref.tell("bang")
        ref.tell("unread")
        await events.until(3)
        assert [type(event) for event in events.values] == [ActorFailed, DeadLetter, ActorStopped]
        ref.tell("after")
        assert events.values[-1] == DeadLetter("after", ref) or events.values[-1].message == "after"
        assert system.core.dead_letters == 2


async def test_a_cancellation_inside_a_handler_is_a_failure_of_that_actor() -> None:
    async def wait(ctx: ActorContext[str], message: str) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with started() as system:
        failed = listen(system, ActorFailed)
        system.spawn(Behaviors.receive(wait), "waiter").tell("go")
        assert isinstance((await failed.until(1))[0].exception, asyncio.CancelledError)


async def test_unhandled_and_restart_are_published() -> None:
    starts = Recorder()

    async def setup(ctx: ActorContext[str]) -> Behavior[str]:
        starts("start")
        return Behaviors.receive(handle)

    def handle(ctx: ActorContext[str], message: str) -> Behavior[str]:
        return Behaviors.restart() if message == "restart" else Behaviors.unhandled()

    async with started() as system:
        events = listen(system, UnhandledMessage, ActorRestarted)
        ref = system.spawn(Behaviors.setup(setup), "moody")
        ref.tell("what")
        ref.tell("restart")
        ref.tell("again")
        await events.until(3)
        assert [type(e) for e in events.values] == [UnhandledMessage, ActorRestarted, UnhandledMessage]
        assert len(starts.values) == 2


async def test_restart_ends_children_first_and_keeps_mail() -> None:
    steps = Recorder()

    async def setup(ctx: ActorContext[str]) -> Behavior[str]:
        steps("setup")
        child = Behaviors.with_lifecycle(Behaviors.ignore(), pre_start=note_begin, post_stop=note_end)
        ctx.spawn(child, "child")  # the name is free again
        ctx.on_stop(lambda: steps("hook"))
        return Behaviors.receive(handle)

    async def note_begin(ctx: ActorContext[str]) -> None:
        steps("child began")

    async def note_end(ctx: ActorContext[str]) -> None:
        steps("child ended")

    async def note_restart(ctx: ActorContext[str], error: Exception | None) -> None:
        steps("pre_restart")

    def handle(ctx: ActorContext[str], message: str) -> Behavior[str] | None:
        steps(message)
        return Behaviors.restart() if message == "restart" else None

    async with started() as system:
        behavior = Behaviors.with_lifecycle(Behaviors.setup(setup), pre_restart=note_restart)
        ref = system.spawn(behavior, "parent")
        await steps.until(2)
        ref.tell("restart")
        ref.tell("mail")
        seen = await steps.until(9)
        assert seen[:7] == [
            "setup", "child began", "restart", "pre_restart", "child ended", "hook", "setup",
        ]  # fmt: skip
        assert sorted(seen[7:]) == ["child began", "mail"]
        assert system.lookup("parent/child") is not None


async def test_lifecycle_hooks_surround_each_incarnation() -> None:
    steps = Recorder()

    async def step(ctx: ActorContext[str], name: str) -> None:
        steps(name)

    def handle(ctx: ActorContext[str], message: str) -> Behavior[str]:
        steps(message)
        return Behaviors.restart() if message == "restart" else Behaviors.stopped()

    behavior = Behaviors.with_lifecycle(
        Behaviors.receive(handle),
        pre_start=lambda ctx: step(ctx, "pre_start"),
        post_stop=lambda ctx: step(ctx, "post_stop"),
        pre_restart=lambda ctx, error: step(ctx, f"pre_restart {error}"),
        post_restart=lambda ctx: step(ctx, "post_restart"),
    )
    assert behavior.on_setup is not None
    async with started() as system:
        ref = system.spawn(behavior, "life")
        ref.tell("restart")
        ref.tell("stop")
        await steps.until(8)
    assert steps.values == [
        "pre_start", "restart", "pre_restart None", "post_stop",
        "pre_start", "post_restart", "stop", "post_stop",
    ]  # fmt: skip


async def test_shutdown_stops_by_force_what_does_not_end_and_still_runs_the_hooks() -> None:
    steps = Recorder()

    async def hang(ctx: ActorContext[str], message: str) -> None:
        steps("hang")
        await asyncio.get_running_loop().create_future()

    async def post_stop(ctx: ActorContext[str]) -> None:
        steps("post_stop")

    async with started() as system:
        stopped = listen(system, ActorStopped)
        system.spawn(Behaviors.with_lifecycle(Behaviors.receive(hang), post_stop=post_stop), "stuck").tell(
            "x"
        )
        await steps.until(1)
        cell = system.core.cells["stuck"]
        cell.stop(is_forced=True)
        await stopped.until(1)
    assert steps.values == ["hang", "post_stop"]


async def test_stop_order() -> None:
    order = Recorder()

    async def child(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.on_stop(lambda: order("child callback"))
        return Behaviors.ignore()

    async def parent(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.spawn(Behaviors.setup(child), "child")
        ctx.on_stop(lambda: order("parent callback"))
        return Behaviors.receive(lambda ctx, message: Behaviors.stopped())

    async def watcher(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.watch(ref)
        return Behaviors.receive(lambda ctx, message: order(f"told {message.ref.id}"))

    async with started() as system:
        ref = system.spawn(Behaviors.setup(parent), "parent")
        started_events = listen(system, ActorStarted)
        system.spawn(Behaviors.setup(watcher), "watcher")
        system.event_stream.tell(EventStreamSubscribe(ActorStopped, lambda event: order(event.ref.id)))
        await started_events.until(2)
        ref.tell("stop")
        await order.until(5)
    assert order.values[:5] == [
        "child callback", "parent/child", "parent callback", "parent", "told parent",
    ]  # fmt: skip


async def test_watch_of_a_stopped_actor_answers_at_once_and_unwatch_silences() -> None:
    seen = Recorder()

    async def watcher(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.watch(gone)
        ctx.watch(other)
        ctx.unwatch(other)
        return seen.behavior()

    async with started() as system:
        stopped = listen(system, ActorStopped)
        gone = system.spawn(Behaviors.stopped(), "gone")
        other = system.spawn(Behaviors.receive(lambda ctx, message: Behaviors.stopped()), "other")
        await stopped.until(1)
        probe = system.spawn(Behaviors.setup(watcher), "watcher")
        assert await seen.until(1) == [Terminated(gone)]
        other.tell("stop")
        await stopped.until(2)
        probe.tell("last")
        assert (await seen.until(2))[1] == "last"


async def test_ctx_stop_only_reaches_children_and_self() -> None:
    seen = Recorder()

    async def parent(ctx: ActorContext[Any]) -> Behavior[Any]:
        child = ctx.spawn(Behaviors.ignore(), "child")
        ctx.watch(child)
        with pytest.raises(ValueError, match="children"):
            ctx.stop(stranger)
        ctx.stop(child)
        ctx.stop(child)
        return seen.behavior()

    async with started() as system:
        stranger = system.spawn(Behaviors.ignore(), "stranger")
        system.spawn(Behaviors.setup(parent), "parent")
        assert (await seen.until(1))[0].ref.id == "parent/child"


async def test_interceptors_consume() -> None:
    seen = Recorder()

    async def setup(ctx: ActorContext[int]) -> Behavior[int]:
        ctx.register_interceptor(lambda message: message % 2 == 0)
        return seen.behavior()

    async with started() as system:
        ref = system.spawn(Behaviors.setup(setup), "odd")
        for number in range(4):
            ref.tell(number)
        assert await seen.until(2) == [1, 3]


async def test_pipe_to_self(caplog: pytest.LogCaptureFixture) -> None:
    seen = Recorder()

    async def compute(value: int) -> int:
        if value < 0:
            raise ValueError("negative")
        return value

    async def setup(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.pipe_to_self(compute(1), mapper=str)
        ctx.pipe_to_self(compute(2))
        ctx.pipe_to_self(compute(-1), on_failure=repr)
        ctx.pipe_to_self(compute(-2))
        return seen.behavior()

    async with started() as system:
        system.spawn(Behaviors.setup(setup), "pipes")
        assert await seen.until(3) == ["1", 2, "ValueError('negative')"]
        await system.ask_or_none(system.spawn(Behaviors.ignore(), "pause"), Get, timeout=0.01)
    assert "pipe_to_self failed" in caplog.text


async def test_full_mailboxes() -> None:
    async with started() as system:
        letters = listen(system, DeadLetter)
        cases = {
            MailboxOverflowStrategy.drop_new: [2],
            MailboxOverflowStrategy.drop_oldest: [1],
        }
        for overflow, dropped in cases.items():
            ref = system.spawn(Behaviors.ignore(), overflow.name, mailbox=Mailbox(1, overflow))
            ref.tell(1)
            ref.tell(2)
            assert [letter.message for letter in letters.values] == dropped
            letters.values.clear()
        strict = system.spawn(
            Behaviors.ignore(), "strict", mailbox=Mailbox(1, MailboxOverflowStrategy.reject)
        )
        strict.tell(1)
        with pytest.raises(asyncio.QueueFull):
            strict.tell(2)


async def test_the_configured_bound_holds_for_plain_mailboxes() -> None:
    async with ActorSystem("small", config=Settings(max_mailbox=2)) as system:
        letters = listen(system, DeadLetter)
        ref = system.spawn(Behaviors.ignore(), "small")
        for number in range(3):
            ref.tell(number)
        assert [letter.message for letter in letters.values] == [2]


async def test_event_stream_takes_plain_and_coroutine_handlers_and_unsubscribes() -> None:
    seen = Recorder()

    async def slow(event: object) -> None:
        await asyncio.sleep(0)
        seen(("slow", event))

    async with started() as system:
        stream = system.event_stream
        stream.tell(EventStreamSubscribe(str, seen))
        stream.tell(EventStreamSubscribe(object, slow))
        stream.tell(Publish("a"))
        assert await seen.until(2) == ["a", ("slow", "a")]
        stream.tell(EventStreamUnsubscribe(str, seen))
        stream.tell(Publish("b"))
        assert await seen.until(3) == ["a", ("slow", "a"), ("slow", "b")]
        own = system.spawn(event_stream_actor(), "own")
        own.tell(EventStreamSubscribe(int, seen))
        own.tell(Publish(7))
        assert (await seen.until(4))[3] == 7


async def test_after_shutdown_nothing_runs_and_spawn_refuses() -> None:
    system = ActorSystem("done")
    ref: ActorRef[Any] = system.spawn(Behaviors.ignore(), "x")
    asking = asyncio.ensure_future(system.ask(ref, Get))
    await asyncio.sleep(0)
    await system.shutdown()
    with pytest.raises(AskFailed, match="shut down"):
        await asking
    with pytest.raises(RuntimeError, match="stopping"):
        system.spawn(Behaviors.ignore(), "y")
    assert len(asyncio.all_tasks()) == 1


async def test_a_behavior_is_exactly_one_thing() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Behavior[int]()
    with pytest.raises(ValueError, match="exactly one"):
        Behavior[int](signal=Signal.same, on_receive=lambda ctx, message: None)
    with pytest.raises(ValueError, match="num_shards"):
        Behaviors.sharded(lambda entity_id: Behaviors.ignore(), num_shards=0)
