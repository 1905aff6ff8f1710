"""What becomes of actors whose code raises, by their strategies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import (
    ActorRestarted,
    ActorStopped,
    ActorSystem,
    Behavior,
    Behaviors,
    DeadLetter,
    Directive,
    EventStreamSubscribe,
    OneForOneStrategy,
    Terminated,
)
from casty.errors import AskFailed
from sim import World
from tests.kit.clock import settle


class Heard:
    """What a system published."""

    def __init__(self, system: ActorSystem) -> None:
        self.events: list[object] = []
        for kind in (ActorRestarted, ActorStopped, DeadLetter):
            system.event_stream.tell(EventStreamSubscribe(kind, self.events.append))

    def count(self, kind: type[object]) -> int:
        """Return how many events of a type there were."""
        return sum(isinstance(event, kind) for event in self.events)


def counting(seen: list[object], starts: list[int]) -> Behavior[Any]:
    """Keep messages, and raise those that are exceptions."""

    def handle(ctx: Any, message: Any) -> None:
        seen.append(message)
        if isinstance(message, Exception):
            raise message
        if callable(getattr(message, "tell", None)):
            message.tell(len(starts))

    async def start(ctx: Any) -> Behavior[Any]:
        starts.append(len(starts))
        return Behaviors.receive(handle)

    return Behaviors.setup(start)


async def test_a_restart_keeps_the_mail_and_loses_the_message_in_hand() -> None:
    seen: list[object] = []
    starts: list[int] = []
    async with ActorSystem() as system:
        heard = Heard(system)
        ref = system.spawn(Behaviors.supervise(counting(seen, starts), OneForOneStrategy()), "a")
        for message in (1, ValueError("x"), 2):
            ref.tell(message)
        await settle()
        assert [message for message in seen if isinstance(message, int)] == [1, 2]
        assert (len(starts), heard.count(ActorRestarted), heard.count(ActorStopped)) == (2, 1, 0)
        (restarted,) = [event for event in heard.events if isinstance(event, ActorRestarted)]
        assert isinstance(restarted.exception, ValueError)


@pytest.mark.parametrize(("allowed", "starts_in_all"), [(0, 1), (2, 3)])
async def test_who_fails_too_often_stops(allowed: int, starts_in_all: int) -> None:
    starts: list[int] = []
    async with ActorSystem() as system:
        heard = Heard(system)
        strategy = OneForOneStrategy(max_restarts=allowed)
        ref = system.spawn(Behaviors.supervise(counting([], starts), strategy), "a")
        for _ in range(allowed + 1):
            ref.tell(ValueError("x"))
        await settle()
        assert (len(starts), heard.count(ActorStopped)) == (starts_in_all, 1)
        assert system.lookup("a") is None


def test_restarts_are_counted_within_a_time() -> None:
    starts: list[int] = []

    async def main(world: World) -> None:
        async with ActorSystem() as system:
            strategy = OneForOneStrategy(max_restarts=1, within=10.0)
            ref = system.spawn(Behaviors.supervise(counting([], starts), strategy), "a")
            for _ in range(5):
                ref.tell(ValueError("x"))
                await asyncio.sleep(11)
            assert (len(starts), system.lookup("a") is None) == (6, False)
            ref.tell(ValueError("x"))
            ref.tell(ValueError("y"))
            await asyncio.sleep(1)
            assert system.lookup("a") is None

    with World(1) as world:
        world.run(main(world), limit_s=100)


def test_what_a_strategy_remembers_goes_with_its_time() -> None:
    async def main(world: World) -> None:
        strategy = OneForOneStrategy(max_restarts=3, within=1.0)
        for number in range(50):
            strategy.decide(ValueError(), child_id=f"entity-{number}")
            await asyncio.sleep(0.1)
        assert len(strategy._restarts_ns) <= 11

    with World(1) as world:
        world.run(main(world), limit_s=100)


async def test_each_actor_is_counted_apart() -> None:
    starts: list[int] = []
    async with ActorSystem() as system:
        strategy = OneForOneStrategy(max_restarts=1)
        refs = [system.spawn(Behaviors.supervise(counting([], starts), strategy), f"a{n}") for n in range(3)]
        for ref in refs:
            ref.tell(ValueError("x"))
        await settle()
        assert len(starts) == 6
        assert all(system.lookup(f"a{n}") is not None for n in range(3))


async def test_a_setup_that_raises_is_supervised_too() -> None:
    tries: list[int] = []

    async def start(ctx: Any) -> Behavior[Any]:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("not yet")
        return Behaviors.ignore()

    async with ActorSystem() as system:
        system.spawn(Behaviors.supervise(Behaviors.setup(start), OneForOneStrategy()), "a")
        await settle()
        assert len(tries) == 3
        assert system.lookup("a") is not None


async def test_a_decider_tells_exceptions_apart() -> None:
    def decide(error: Exception) -> Directive:
        return Directive.restart if isinstance(error, OSError) else Directive.stop

    starts: list[int] = []
    async with ActorSystem() as system:
        strategy = OneForOneStrategy(decider=decide)
        ref = system.spawn(Behaviors.supervise(counting([], starts), strategy), "a")
        ref.tell(OSError("again"))
        await settle()
        assert len(starts) == 2
        ref.tell(ValueError("no"))
        await settle()
        assert (len(starts), system.lookup("a")) == (2, None)


async def test_the_inner_strategy_is_asked_first_and_may_escalate_to_the_outer_one() -> None:
    asked: list[str] = []

    class Named:
        def __init__(self, name: str, directive: Directive) -> None:
            self.name, self.directive = name, directive

        def decide(self, exception: Exception, *, child_id: str) -> Directive:
            asked.append(f"{self.name} of {child_id}")
            return self.directive

    starts: list[int] = []
    inner = Behaviors.supervise(counting([], starts), Named("inner", Directive.escalate))
    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.supervise(inner, Named("outer", Directive.restart)), "a")
        ref.tell(ValueError("x"))
        await settle()
        assert (asked, len(starts)) == (["inner of a", "outer of a"], 2)


def family(seen: list[object], starts: list[int], child: Behavior[Any]) -> Behavior[Any]:
    """Spawn a child at each start, and pass on to it whatever comes."""

    async def start(ctx: Any) -> Behavior[Any]:
        starts.append(len(starts))
        ref = ctx.spawn(child, "child")

        def handle(ctx: Any, message: Any) -> None:
            seen.append(message)
            ref.tell(message)

        return Behaviors.receive(handle)

    return Behaviors.setup(start)


async def test_what_nobody_decides_makes_the_parent_fail() -> None:
    seen: list[object] = []
    starts: list[int] = []
    escalating = OneForOneStrategy(decider=lambda _: Directive.escalate)
    child = Behaviors.supervise(counting([], []), escalating)
    async with ActorSystem() as system:
        heard = Heard(system)
        parent = family(seen, starts, child)
        ref = system.spawn(Behaviors.supervise(parent, OneForOneStrategy(max_restarts=1)), "parent")
        ref.tell(ValueError("x"))
        await settle(60)
        assert (len(starts), heard.count(ActorRestarted)) == (2, 1)
        assert system.lookup("parent/child") is not None
        ref.tell(ValueError("y"))
        await settle(60)
        assert system.lookup("parent") is None
        assert system.lookup("parent/child") is None
        assert not [event for event in heard.events if isinstance(event, DeadLetter)]


async def test_an_unsupervised_parent_stops_with_the_child_that_escalates() -> None:
    escalating = OneForOneStrategy(decider=lambda _: Directive.escalate)
    child = Behaviors.supervise(counting([], []), escalating)
    async with ActorSystem() as system:
        ref = system.spawn(family([], [], child), "parent")
        ref.tell(ValueError("x"))
        await settle(60)
        assert system.lookup("parent") is None


async def test_whoever_asked_is_told_that_the_actor_failed() -> None:
    def handle(ctx: Any, message: Any) -> None:
        raise ValueError("x")

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.supervise(Behaviors.receive(handle), OneForOneStrategy()), "a")
        with pytest.raises(AskFailed, match="failed while it handled"):
            await system.ask(ref, lambda reply: reply, timeout=5)
        assert system.lookup("a") is not None


@pytest.mark.parametrize("answer", ["restart", None, ValueError("the strategy")])
async def test_a_strategy_that_is_wrong_stops_the_actor(answer: object) -> None:
    class Wrong:
        def decide(self, exception: Exception, *, child_id: str) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.supervise(counting([], []), Wrong()), "a")
        ref.tell(ValueError("x"))
        await settle()
        assert system.lookup("a") is None


async def test_hooks_of_a_stop_are_not_supervised() -> None:
    starts: list[int] = []

    async def raising(ctx: Any) -> None:
        raise ValueError("hook")

    behavior = Behaviors.with_lifecycle(counting([], starts), post_stop=raising)
    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.supervise(behavior, OneForOneStrategy()), "a")
        watching: list[object] = []

        async def watch(ctx: Any) -> Behavior[Any]:
            ctx.watch(ref)
            return Behaviors.receive(lambda ctx, message: watching.append(message))

        system.spawn(Behaviors.setup(watch), "watcher")
        await settle()
        ref.tell(ValueError("x"))  # its restart runs the hook, which fails
        await settle()
        assert len(starts) == 1
        assert watching == [Terminated(ref)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_restarts": -1}, ValueError),
        ({"max_restarts": "3"}, TypeError),
        ({"within": -1.0}, ValueError),
        ({"within": None}, TypeError),
        ({"decider": 5}, TypeError),
    ],
)
def test_bad_strategies_are_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        OneForOneStrategy(**arguments)


def test_only_strategies_supervise() -> None:
    with pytest.raises(TypeError, match="strategy"):
        Behaviors.supervise(Behaviors.ignore(), object())  # type: ignore[arg-type]
