"""Observers see what an actor handled, after it handled it, and change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from casty import ActorSystem, Behavior, Behaviors, OneForOneStrategy, SpyEvent, Terminated
from tests.kit.clock import settle


def counter(total: int) -> Behavior[Any]:
    """Add up by changing its behaviour, with a setup in between."""

    async def handle(ctx: Any, message: int) -> Behavior[Any]:
        if message == 0:
            return Behaviors.stopped()
        if message < 0:
            raise ValueError("negative")

        async def again(ctx: Any) -> Behavior[Any]:
            return counter(total + message)

        return Behaviors.setup(again)

    return Behaviors.receive(handle)


async def test_each_handled_message_and_the_end_are_seen() -> None:
    seen: list[SpyEvent] = []
    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.spy(counter(0), seen.append), "a")
        for message in (1, 2, 0):
            ref.tell(message)
        await settle()
        assert [event.event for event in seen] == [1, 2, 0, Terminated(ref)]
        assert {event.actor_path for event in seen} == {"a"}
        assert sorted(event.timestamp for event in seen) == [event.timestamp for event in seen]


async def test_an_observer_may_be_an_actor_and_may_fail() -> None:
    got: list[Any] = []

    def fail(event: SpyEvent) -> None:
        raise RuntimeError("observer")

    async with ActorSystem() as system:
        observer: Any = system.spawn(
            Behaviors.receive(lambda ctx, event: got.append(event.event)), "observer"
        )
        ref = system.spawn(Behaviors.spy(Behaviors.spy(counter(0), fail), observer), "a")
        ref.tell(5)
        ref.tell(6)
        await settle()
        assert got == [5, 6]
        assert system.lookup("a") is not None


async def test_a_message_that_was_not_handled_is_not_seen_and_a_restart_is_no_end() -> None:
    seen: list[SpyEvent] = []
    async with ActorSystem() as system:
        spied = Behaviors.spy(counter(0), seen.append)
        ref = system.spawn(Behaviors.supervise(spied, OneForOneStrategy()), "a")
        for message in (1, -1, 2):
            ref.tell(message)
        await settle()
        assert [event.event for event in seen] == [1, 2]


@pytest.mark.parametrize("spy_children", [False, True])
async def test_children_are_spied_on_where_that_is_asked_for(spy_children: bool) -> None:
    seen: list[SpyEvent] = []

    def parent(depth: int) -> Behavior[Any]:
        async def start(ctx: Any) -> Behavior[Any]:
            if depth:
                ctx.spawn(parent(depth - 1), "child").tell(depth)
            return Behaviors.ignore()

        return Behaviors.setup(start)

    async with ActorSystem() as system:
        system.spawn(Behaviors.spy(parent(2), seen.append, spy_children=spy_children), "a").tell("root")
        await settle()
        paths = {event.actor_path for event in seen}
        assert paths == ({"a", "a/child", "a/child/child"} if spy_children else {"a"})


async def test_a_watched_end_is_a_message_like_others() -> None:
    seen: list[SpyEvent] = []
    async with ActorSystem() as system:
        target = system.spawn(counter(0), "target")

        async def start(ctx: Any) -> Behavior[Any]:
            ctx.watch(target)
            return Behaviors.ignore()

        system.spawn(Behaviors.spy(Behaviors.setup(start), seen.append), "a")
        await settle()
        target.tell(0)
        await settle()
        assert [event.event for event in seen] == [Terminated(target)]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="observer"):
        Behaviors.spy(Behaviors.ignore(), 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="behavior"):
        Behaviors.spy(5, print)  # type: ignore[arg-type]
