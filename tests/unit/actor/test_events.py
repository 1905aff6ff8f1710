"""The event stream: what may subscribe, and that no handler harms whoever publishes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Protocol

import pytest

from casty.actor.behavior import Behaviors
from casty.actor.cell import Cell
from casty.actor.events import (
    ActorStopped,
    DeadLetter,
    EventStreamSubscribe,
    EventStreamUnsubscribe,
    Publish,
)
from casty.actor.spawnable import event_stream_actor
from casty.actor.system import ActorSystem
from tests.kit.clock import ManualClock
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


class Patient:
    """A coroutine handler that does not end of itself; it may ignore how often it is told to."""

    def __init__(self, ignored: int = 0) -> None:
        self.ignored = ignored
        self.is_running = asyncio.Event()
        self.calls = 0

    async def handle(self, event: object) -> None:
        self.calls += 1
        self.is_running.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if self.ignored == 0:
                    raise
                self.ignored -= 1


def fast_system() -> ActorSystem:
    system = ActorSystem("fast")
    known = system.core.runtime
    system.core.runtime = replace(known, clock=ManualClock(is_hasty=True))
    return system


@pytest.mark.parametrize(("ignored", "text"), [(0, "is cancelled"), (1, "is left to itself")])
async def test_a_shutdown_waits_for_a_handler_so_long_and_no_longer(
    ignored: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    system = fast_system()
    patient = Patient(ignored)
    system.event_stream.tell(EventStreamSubscribe(str, patient.handle))
    for event in ("a", "b"):
        system.event_stream.tell(Publish(event))
    await patient.is_running.wait()
    async with asyncio.timeout(5):
        await system.shutdown()
    assert patient.calls == 1
    assert text in caplog.text
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_a_handler_may_shut_its_system_down() -> None:
    system = ActorSystem("over")
    done = asyncio.Event()

    async def end(event: str) -> None:
        await system.shutdown()
        done.set()

    system.spawn(Behaviors.ignore(), "a")
    system.event_stream.tell(EventStreamSubscribe(str, end))
    system.event_stream.tell(Publish("bye"))
    async with asyncio.timeout(5):
        await done.wait()
        await system.shutdown()


async def test_a_handler_whose_future_is_cancelled_hides_nothing_from_the_next() -> None:
    seen = Recorder()

    async def wait(event: str) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def tell(event: str) -> None:
        seen(event)

    async with started() as system:
        for handler in (wait, tell):
            system.event_stream.tell(EventStreamSubscribe(str, handler))
        system.event_stream.tell(Publish("a"))
        assert await seen.until(1) == ["a"]


async def test_a_stream_of_ones_own_ends_though_its_handler_does_not() -> None:
    system = fast_system()
    patient = Patient(ignored=1_000_000)
    stream = system.spawn(event_stream_actor(), "own")
    stream.tell(EventStreamSubscribe(str, patient.handle))
    stream.tell(Publish("a"))
    await patient.is_running.wait()
    async with asyncio.timeout(5):
        await system.shutdown()
    patient.ignored = 0
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@pytest.mark.parametrize("step", ["dead_letter", "unwatch", "remove", "ended", "publish"])
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
    monkeypatch.setattr(core.watching if step == "ended" else core, step, fail)
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


async def test_an_actor_hears_events_by_its_ref_until_it_stops() -> None:
    async with started() as system:
        heard = Recorder()
        ref = system.spawn(heard.behavior(), "listener")
        system.event_stream.tell(EventStreamSubscribe(str, ref))
        system.event_stream.tell(Publish("a"))
        await heard.until(1)
        system.event_stream.tell(EventStreamUnsubscribe(str, ref))
        system.event_stream.tell(Publish("b"))
        system.event_stream.tell(EventStreamSubscribe(str, ref))
        system.event_stream.tell(Publish("c"))
        assert await heard.until(2) == ["a", "c"]
        stopped = listen(system, ActorStopped)
        letters = listen(system, DeadLetter)
        await _stop(system, "listener").stopped.wait()
        await stopped.until(1)
        system.event_stream.tell(Publish("d"))
        assert letters.values == []


def _stop(system: ActorSystem, name: str) -> Cell:
    cell = system.core.cells[name]
    cell.stop()
    return cell


async def test_refs_that_nobody_is_behind_do_not_beget_dead_letters_for_ever() -> None:
    async with started() as system:
        letters = listen(system, DeadLetter)
        for name in ("x", "y"):
            gone = system.spawn(Behaviors.ignore(), name)
            await _stop(system, name).stopped.wait()
            system.event_stream.tell(EventStreamSubscribe(DeadLetter, gone))
        gone.tell("lost")
        assert [letter.message for letter in letters.values].count("lost") == 1
        assert len(letters.values) == 3
