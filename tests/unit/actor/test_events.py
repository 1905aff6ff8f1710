"""The event stream: what may subscribe, and that no handler harms whoever publishes."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import pytest

from casty.actor.behavior import Behaviors
from casty.actor.events import ActorStopped, EventStreamSubscribe, Publish
from casty.actor.system import ActorSystem
from tests.unit.actor.probes import Recorder, listen, started

pytestmark = pytest.mark.asyncio


class Shape(Protocol):
    """Not checkable at run time."""

    size: int


class TouchyMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        if instance is None:
            return False
        raise OSError("not today")


class Touchy(metaclass=TouchyMeta):
    """A type that cannot say what is of it."""


@pytest.mark.parametrize("kind", ["MemberUp", None, 5, list[int], Shape, ("a",)])
async def test_what_is_no_type_cannot_be_subscribed_to(kind: Any) -> None:
    with pytest.raises(TypeError, match="event_type: expected a type of events"):
        EventStreamSubscribe(kind, print)


@pytest.mark.parametrize("handler", [None, "print", 5])
async def test_what_cannot_be_called_is_no_handler(handler: Any) -> None:
    with pytest.raises(TypeError, match="handler: expected a function"):
        EventStreamSubscribe(ActorStopped, handler)


async def test_no_handler_and_no_type_harms_the_actors_that_publish(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def interrupt(event: object) -> None:
        raise asyncio.CancelledError

    async with started() as system:
        for kind, handler in ((Touchy, print), (object, interrupt)):
            system.event_stream.tell(EventStreamSubscribe[Any](kind, handler))
        stopped = listen(system, ActorStopped)
        for _ in range(2):
            ref = system.spawn(Behaviors.receive(lambda ctx, message: Behaviors.stopped()), "a")
            ref.tell("stop")
            await stopped.until(1)
            stopped.values.clear()
    assert "a handler of ActorStopped failed" in caplog.text


async def test_several_types_at_once() -> None:
    seen = Recorder()
    kinds: Any = str | int
    async with started() as system:
        system.event_stream.tell(EventStreamSubscribe(kinds, seen))
        for event in ("a", 1.0, 2):
            system.event_stream.tell(Publish(event))
    assert seen.values == ["a", 2]


@pytest.mark.parametrize("step", ["dead_letter", "unwatch", "remove", "tell_terminated", "publish"])
async def test_a_step_of_the_end_that_fails_ends_no_other(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(step)

    system = ActorSystem("frail")
    other = system.spawn(Behaviors.ignore(), "other")
    core = system.core
    ref = system.spawn(Behaviors.ignore(), "a")
    cell = core.cells["a"]
    core.watch(core.cells["other"], ref)
    core.watch(cell, other)
    cell.stop()
    monkeypatch.setattr(core, step, fail)
    async with asyncio.timeout(5):
        await system.shutdown()
    assert cell.stopped.is_set()


async def test_library_code_that_fails_in_mid_life_stops_the_actor() -> None:
    def fail(message: object) -> bool:
        raise OSError("guard")

    async with started() as system:
        stopped = listen(system, ActorStopped)
        ref = system.spawn(Behaviors.ignore(), "a")
        system.core.cells["a"].guard = fail
        ref.tell("x")
        await stopped.until(1)
        system.spawn(Behaviors.ignore(), "a")


async def test_a_hook_that_fails_before_it_can_be_awaited_frees_the_name() -> None:
    def plain(ctx: object) -> Any:
        raise OSError("post_stop")

    async with started() as system:
        stopped = listen(system, ActorStopped)
        behavior = Behaviors.with_lifecycle(
            Behaviors.receive(lambda ctx, message: Behaviors.stopped()), post_stop=plain
        )
        system.spawn(behavior, "a").tell("stop")
        await stopped.until(1)
        system.spawn(Behaviors.ignore(), "a")
