"""What fails on the way out is told to whoever asked, at once, and hurts nobody else."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import ActorFailed
from casty.actor.mailbox import Mailbox
from casty.actor.system import ActorSystem
from casty.checks import shown
from casty.complaint import one_line
from casty.errors import AskFailed, EncodingError, NotStarted
from casty.wire.codec import Codec
from tests.unit.actor.probes import Recorder, listen, started


class Rude:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr for you")


async def test_an_ask_of_an_actor_that_is_gone_fails_at_once() -> None:
    async with ActorSystem("x") as system:
        gone = system.spawn(Behaviors.stopped(), "gone")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(AskFailed, match="gone"):
            await system.ask(gone, lambda reply: reply, timeout=60)


async def test_an_ask_of_an_actor_of_another_system_in_this_loop_fails_as_one_of_its_own() -> None:
    async def fails(ctx: Any, message: Any) -> None:
        raise ValueError("not today")

    async def never(ctx: Any, message: Any) -> None:
        await asyncio.Event().wait()

    async with ActorSystem("x") as asking:
        async with ActorSystem("y") as other:
            gone = other.spawn(Behaviors.stopped(), "gone")
            failing = other.spawn(Behaviors.receive(fails), "failing")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            with pytest.raises(AskFailed, match="gone"):
                await asking.ask(gone, lambda reply: reply, timeout=60)
            with pytest.raises(AskFailed, match="failed while it handled"):
                await asking.ask(failing, lambda reply: reply, timeout=60)
            asked = asyncio.create_task(
                asking.ask(other.spawn(Behaviors.receive(never), "n"), lambda reply: reply, timeout=60)
            )
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(AskFailed, match="was stopped while it handled"):
            await asyncio.wait_for(asked, 5)


async def test_an_ask_fails_with_its_handler() -> None:
    async def fails(ctx: Any, message: Any) -> None:
        raise ValueError(Rude())

    async with ActorSystem("x") as system:
        ref = system.spawn(Behaviors.receive(fails), "failing")
        with pytest.raises(AskFailed, match=r"failing.*failed while it handled"):
            await system.ask(ref, lambda reply: reply, timeout=60)


async def test_questions_behind_the_one_that_failed_are_told_too() -> None:
    async def fails(ctx: Any, message: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError("first")

    async with ActorSystem("x") as system:
        ref = system.spawn(Behaviors.receive(fails), "failing")
        asks = [asyncio.create_task(system.ask(ref, lambda reply: reply, timeout=60)) for _ in range(3)]
        results = await asyncio.gather(*asks, return_exceptions=True)
        assert [type(result) for result in results] == [AskFailed] * 3
        assert not system.core.replies._questions


async def test_who_answers_before_failing_has_answered() -> None:
    async def answers(ctx: Any, message: Any) -> None:
        message.tell(7)
        raise ValueError("afterwards")

    async with ActorSystem("x") as system:
        ref = system.spawn(Behaviors.receive(answers), "a")
        assert await system.ask(ref, lambda reply: reply, timeout=60) == 7


async def test_a_reply_may_come_from_somebody_else_after_the_handler_stopped() -> None:
    async with ActorSystem("x") as system:

        async def slow(ctx: Any, message: Any) -> None:
            await asyncio.sleep(0)
            message.tell("later")

        behind = system.spawn(Behaviors.receive(slow), "behind")

        async def forwards(ctx: Any, message: Any) -> Behavior[Any]:
            behind.tell(message)
            return Behaviors.stopped()

        ref = system.spawn(Behaviors.receive(forwards), "front")
        assert await system.ask(ref, lambda reply: reply, timeout=60) == "later"


async def test_an_ask_that_the_actor_says_it_does_not_handle_fails_at_once() -> None:
    async with ActorSystem("x") as system:
        ref = system.spawn(Behaviors.receive(lambda ctx, message: Behaviors.unhandled()), "a")
        with pytest.raises(AskFailed, match="a>: the actor does not handle such a message"):
            await system.ask(ref, lambda reply: reply, timeout=60)

        def answers(ctx: Any, message: Any) -> Behavior[Any]:
            message.tell("all the same")
            return Behaviors.unhandled()

        ref = system.spawn(Behaviors.receive(answers), "b")
        assert await system.ask(ref, lambda reply: reply, timeout=60) == "all the same"


async def test_a_tell_from_another_thread_is_refused() -> None:
    async with ActorSystem("x") as system:
        ref = system.spawn(Behaviors.ignore(), "a")
        errors: list[BaseException] = []

        def tell() -> None:
            try:
                ref.tell("hi")
            except NotStarted as error:
                errors.append(error)

        thread = threading.Thread(target=tell)
        thread.start()
        thread.join()
        assert "call_soon_threadsafe" in str(errors[0])


async def test_nothing_of_an_actor_is_changed_by_another_thread() -> None:
    async with ActorSystem("x") as system:
        found = asyncio.get_running_loop().create_future()
        mailbox = Mailbox[str]()

        async def start(ctx: ActorContext[Any]) -> Behavior[Any]:
            found.set_result(ctx)
            return Behaviors.ignore()

        ref = system.spawn(Behaviors.setup(start), "a", mailbox=mailbox)
        ctx = await found
        coroutine = asyncio.sleep(0)
        calls: list[tuple[str, Callable[[], object]]] = [
            ("spawn", lambda: system.spawn(Behaviors.ignore(), "b")),
            ("spawn", lambda: ctx.spawn(Behaviors.ignore(), "b")),
            ("ctx.stop", lambda: ctx.stop(ref)),
            ("ctx.watch", lambda: ctx.watch(ref)),
            ("ctx.unwatch", lambda: ctx.unwatch(ref)),
            ("ctx.pipe_to_self", lambda: ctx.pipe_to_self(coroutine)),
            ("tell", lambda: ctx.self.tell("hi")),
            ("mailbox", lambda: mailbox.put("hi")),
        ]
        for name, call in calls:
            with pytest.raises(NotStarted, match=f"{name}: .*event loop"):
                await asyncio.to_thread(call)
        await coroutine
        mailbox.put("here it is taken")
        assert system.lookup("a") is ref


async def test_what_an_actor_that_is_gone_does_not_get_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with ActorSystem("x") as system:
        ref = system.spawn(Behaviors.stopped(), "gone")
        await asyncio.sleep(0)
        while system.lookup("gone") is not None:
            await asyncio.sleep(0)
        for number in range(100):
            ref.tell(number)
    lines = [record for record in caplog.records if "dead letter" in record.getMessage()]
    assert [(record.levelname, record.getMessage()) for record in lines] == [
        ("INFO", "dead letter for gone: no such actor")
    ], "one line a second, and no warning of what is usual"


async def test_full_mailboxes_are_logged_once_with_a_count(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with ActorSystem("x") as system:
        ref = system.spawn(Behaviors.ignore(), "a", mailbox=Mailbox(capacity=1))
        for number in range(100):
            ref.tell(number)
        lines = [record.getMessage() for record in caplog.records if "full mailboxes" in record.getMessage()]
        assert lines == ["full mailboxes dropped 1 messages (a 1); slow the senders down or widen them"]
        system.core.full_mailboxes._say()
        lines = [record.getMessage() for record in caplog.records if "full mailboxes" in record.getMessage()]
        assert "98 messages" in lines[1]
        assert system.core.dead_letters == 99


def test_what_cannot_be_shown_is_named() -> None:
    assert shown(Rude()).endswith("Rude, whose repr raised RuntimeError>")
    assert shown("x" * 500, 20) == "'" + "x" * 19


@pytest.mark.parametrize("value", [Rude(), [Rude()], {"a": (1, Rude())}])
def test_a_value_that_cannot_be_shown_is_refused_like_any_other(value: Any) -> None:
    with pytest.raises(EncodingError):
        Codec().encode(value)


@pytest.mark.parametrize("value", [{Rude()}, [{Rude()}], {"a": {Rude(): 1}}], ids=["set", "in a list", "key"])
def test_members_and_keys_that_cannot_be_shown_are_named(value: Any) -> None:
    with pytest.raises(EncodingError, match=r"whose repr raised RuntimeError.*cannot travel"):
        Codec().encode(value)


async def test_a_pipe_of_what_is_cancelled_by_others_has_failed() -> None:
    async with ActorSystem("x") as system:
        result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        got: asyncio.Queue[object] = asyncio.Queue()

        def handle(ctx: Any, message: object) -> None:
            if message == "begin":
                ctx.pipe_to_self(result, on_failure=lambda error: error)
            got.put_nowait(message)

        system.spawn(Behaviors.receive(handle), "a").tell("begin")
        assert await asyncio.wait_for(got.get(), 5) == "begin"
        result.cancel()
        error = await asyncio.wait_for(got.get(), 5)
        assert isinstance(error, RuntimeError)
        assert "cancelled" in str(error)


async def test_what_a_hook_pipes_ends_with_its_actor() -> None:
    async with ActorSystem("x") as system:
        forever = asyncio.get_running_loop().create_future()

        def handle(ctx: Any, message: object) -> Behavior[Any]:
            ctx.on_stop(lambda: ctx.pipe_to_self(forever))
            return Behaviors.stopped()

        system.spawn(Behaviors.receive(handle), "a").tell("stop")
        async with asyncio.timeout(5):
            while system.lookup("a") is not None or is_running("pipe a"):
                await asyncio.sleep(0)


async def test_a_pipe_that_never_began_leaves_nothing_that_nobody_awaits() -> None:
    """Python would warn of it, and here a warning is an error."""

    async def compute() -> int:
        raise AssertionError("it began")

    async with ActorSystem("x") as system:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def handle(ctx: Any, message: object) -> Behavior[Any]:
            ctx.pipe_to_self(compute())
            ctx.pipe_to_self(future)
            return Behaviors.stopped()

        system.spawn(Behaviors.receive(handle), "a").tell("begin, and stop")
        async with asyncio.timeout(5):
            while not future.cancelled():
                await asyncio.sleep(0)
        gc.collect()


def is_running(name: str) -> bool:
    return any(task.get_name() == name for task in asyncio.all_tasks())


async def test_a_shutdown_from_another_loop_is_refused() -> None:
    async with ActorSystem("x") as system:
        ref = system.spawn(Behaviors.receive(lambda ctx, message: message.tell(1)), "a")
        with pytest.raises(NotStarted, match="shutdown: expected the event loop"):
            await asyncio.to_thread(asyncio.run, system.shutdown())
        assert await system.ask(ref, lambda reply: reply, timeout=5) == 1


def test_no_system_can_be_copied() -> None:
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="ActorSystem cannot be copied or pickled"):
            copying(ActorSystem("x"))


async def test_a_pipe_whose_on_failure_raises_is_logged_and_its_actor_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = Recorder()

    async def compute() -> int:
        raise ValueError("negative")

    def fails(error: Exception) -> object:
        raise KeyError("of on_failure") from error

    async def setup(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.pipe_to_self(compute(), on_failure=fails)
        ctx.pipe_to_self(asyncio.sleep(0, "after it"))
        return seen.behavior()

    async with started() as system:
        failed = listen(system, ActorFailed)
        ref = system.spawn(Behaviors.setup(setup), "pipes")
        assert await seen.until(1) == ["after it"]
        ref.tell("goes on")
        assert await seen.until(2) == ["after it", "goes on"]
        assert failed.values == []
    (record,) = [record for record in caplog.records if "on_failure" in record.getMessage()]
    assert record.exc_info is not None
    error = record.exc_info[1]
    assert isinstance(error, KeyError)
    assert isinstance(error.__cause__, ValueError), "what it was called for is shown with it"


@pytest.mark.parametrize("path", ["50%", "%s%d%(a)s", "a\nERROR b", "p" * 1000])
async def test_the_log_of_an_actor_names_it_whatever_it_is_called(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="casty.actor")

    async def handle(ctx: ActorContext[Any], message: Any) -> None:
        ctx.log.info("%s of 100%% and %d", "got", message)
        ctx.log.info("plain 50%")
        ctx.log.log(logging.DEBUG, "low %s", message)
        raise ValueError("over")

    async with ActorSystem("x") as system:
        failed = listen(system, ActorFailed)
        system.spawn(Behaviors.receive(handle), path).tell(7)
        await failed.until(1)
    lines = [record.getMessage() for record in caplog.records]
    name = one_line(path, 200)
    assert lines[:3] == [f"{name}: got of 100% and 7", f"{name}: plain 50%", f"{name}: low 7"]
    assert lines[3] == f"actor {name} failed and stops"
    assert {record.filename for record in caplog.records[:3]} == {"test_ways_out.py"}
    assert {record.funcName for record in caplog.records[:3]} == {"handle"}
