"""Ends that were told and wait in the mailbox: whoever watches does not know of them yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from casty import (
    ActorContext,
    ActorRef,
    ActorSystem,
    Behaviors,
    Mailbox,
    MailboxOverflowStrategy,
    Terminated,
)

pytestmark = pytest.mark.asyncio

Deed = Callable[[ActorContext[Any], ActorRef[Any]], None]


def watch_again(ctx: ActorContext[Any], target: ActorRef[Any]) -> None:
    ctx.watch(target)


def unwatch(ctx: ActorContext[Any], target: ActorRef[Any]) -> None:
    ctx.unwatch(target)


def unwatch_and_watch(ctx: ActorContext[Any], target: ActorRef[Any]) -> None:
    ctx.unwatch(target)
    ctx.watch(target)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("deed", "times"),
    [(watch_again, 1), (unwatch, 0), (unwatch_and_watch, 1)],
    ids=["watch again", "unwatch", "unwatch and watch"],
)
async def test_what_is_done_about_a_watch_before_its_end_is_read(deed: Deed, times: int) -> None:
    """The end waits in the mailbox when the handler that watched goes on."""
    async with ActorSystem("x") as system:
        heard: list[object] = []
        go = asyncio.Event()
        target = system.spawn(Behaviors.receive(lambda ctx, message: Behaviors.stopped()), "target")

        async def handle(ctx: ActorContext[Any], message: object) -> None:
            heard.append(message)
            if message == "watch":
                ctx.watch(target)
                target.tell("stop")
                await go.wait()
                deed(ctx, target)
            elif message == "watch again":
                ctx.watch(target)

        watcher = system.spawn(Behaviors.receive(handle), "watcher")
        watcher.tell("watch")
        await until(lambda: system.lookup("target") is None)
        go.set()
        watcher.tell("next")
        await until(lambda: "next" in heard)
        watcher.tell("last")
        await until(lambda: "last" in heard)
        assert [message for message in heard if message == Terminated(target)] == times * [Terminated(target)]
        watcher.tell("watch again")
        await until(lambda: heard[-1] == Terminated(target))
        assert heard.count(Terminated(target)) == times + 1, "what was read is over, and a new watch is told"


async def test_an_end_that_a_full_mailbox_drops_is_told_to_who_watches_again() -> None:
    async with ActorSystem("x") as system:
        heard: list[object] = []
        go = asyncio.Event()
        target = system.spawn(Behaviors.receive(lambda ctx, message: Behaviors.stopped()), "target")

        async def handle(ctx: ActorContext[Any], message: object) -> None:
            heard.append(message)
            if message == "watch":
                ctx.watch(target)
                target.tell("stop")
                await go.wait()
                ctx.watch(target)

        mailbox = Mailbox[object](capacity=1, overflow=MailboxOverflowStrategy.drop_oldest)
        watcher = system.spawn(Behaviors.receive(handle), "watcher", mailbox=mailbox)
        watcher.tell("watch")
        await until(lambda: system.lookup("target") is None)
        watcher.tell("instead")
        go.set()
        await until(lambda: len(heard) == 3)
        assert heard == ["watch", "instead", Terminated(target)]


async def test_an_end_that_another_actor_passes_on_ends_no_watch() -> None:
    async with ActorSystem("x") as system:
        heard: list[object] = []
        target = system.spawn(Behaviors.receive(lambda ctx, message: Behaviors.stopped()), "target")

        async def handle(ctx: ActorContext[Any], message: object) -> None:
            heard.append(message)
            if message == "watch":
                ctx.watch(target)

        watcher = system.spawn(Behaviors.receive(handle), "watcher")
        watcher.tell("watch")
        watcher.tell(Terminated(target))
        await until(lambda: len(heard) == 2)
        target.tell("stop")
        await until(lambda: len(heard) == 3)
        assert heard[1:] == 2 * [Terminated(target)]
        heard.clear()
        target = system.spawn(Behaviors.ignore(), "target")
        watcher.tell("watch")
        watcher.tell(Terminated("nobody"))  # type: ignore[arg-type]
        watcher.tell("last")
        await until(lambda: "last" in heard)
        assert heard == ["watch", Terminated("nobody"), "last"]  # type: ignore[arg-type]
