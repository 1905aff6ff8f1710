"""The kit and the probe for users' tests do what their docstrings say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ActorSystem, Behavior, Behaviors
from casty.testing import (
    BehaviorTestKit,
    Piped,
    Scheduled,
    Spawned,
    Stopped,
    TestProbe,
    Told,
    Unwatched,
    Watched,
)
from sim import World


def counting(total: int) -> Behavior[Any]:
    """Add up, and tell the sum."""

    async def handle(ctx: Any, message: Any) -> Behavior[Any]:
        amount, reply_to = message
        reply_to.tell(total + amount)
        return counting(total + amount)

    return Behaviors.receive(handle)


def test_a_behaviour_runs_a_message_at_a_time() -> None:
    kit = BehaviorTestKit(counting(0))
    other = kit.ref("other")
    kit.run((2, other))
    kit.run((3, other))
    assert kit.effects == [Told(other, 2), Told(other, 5)]
    assert kit.is_alive


def test_whatever_it_does_is_an_effect() -> None:
    async def start(ctx: Any) -> Behavior[Any]:
        child = ctx.spawn(Behaviors.ignore(), "child")
        ctx.watch(child)
        ctx.schedule("once", delay=1.0, key="k")
        ctx.schedule("again", interval=2.0, key="k")
        ctx.schedule("never", delay=1.0).cancel()
        ctx.on_stop(lambda: child.tell("bye"))

        def handle(ctx: Any, message: Any) -> Behavior[Any] | None:
            if message == "drop":
                ctx.unwatch(child)
                ctx.stop(child)
                ctx.pipe_to_self(future)
                return None
            if message == "what":
                return Behaviors.unhandled()
            return Behaviors.stopped()

        return Behaviors.receive(handle)

    loop = asyncio.new_event_loop()
    future: asyncio.Future[int] = loop.create_future()
    behavior = Behaviors.setup(start)
    kit = BehaviorTestKit(behavior, "parent")
    spawned, *rest = kit.effects
    assert isinstance(spawned, Spawned)
    assert (spawned.name, spawned.ref.id) == ("child", "parent/child")
    assert rest == [Watched(spawned.ref), Scheduled("again", None, 2.0, "k")]
    kit.effects.clear()
    kit.run("drop")
    assert kit.effects == [Unwatched(spawned.ref), Stopped(spawned.ref), Piped(future)]
    kit.run("what")
    assert kit.is_unhandled
    kit.effects.clear()
    kit.run("end")
    assert kit.effects == [Told(spawned.ref, "bye")]
    assert not kit.is_alive
    with pytest.raises(RuntimeError, match="has stopped"):
        kit.run("more")
    loop.close()


def test_what_is_wrong_is_the_tests_to_see() -> None:
    def fails(ctx: Any, message: Any) -> None:
        raise ValueError(message)

    async def waits(ctx: Any, message: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ValueError, match="mine"):
        BehaviorTestKit(Behaviors.receive(fails)).run("mine")
    with pytest.raises(TypeError, match="expected a behaviour"):
        BehaviorTestKit(Behaviors.receive(lambda ctx, message: 5)).run("x")  # type: ignore[arg-type, return-value]

    async def within_a_loop() -> None:
        with pytest.raises(RuntimeError, match="test it with a TestProbe"):
            BehaviorTestKit(Behaviors.receive(waits)).run("x")

    asyncio.run(within_a_loop())


async def test_a_probe_expects_types_in_order() -> None:
    async with ActorSystem() as system:
        probe = TestProbe(system)
        probe.ref.tell("a")
        probe.ref.tell(1)
        assert await probe.expect(str) == "a"
        with pytest.raises(AssertionError, match="expected str, got 1"):
            await probe.expect(str)
        assert await probe.receive() == 1


def test_a_probe_waits_in_the_time_of_its_world() -> None:
    async def main(world: World) -> None:
        async with ActorSystem() as system:
            probe = TestProbe(system, "p")
            asyncio.get_running_loop().call_later(50, probe.ref.tell, "late")
            await probe.expect_nothing(49.9)
            with pytest.raises(AssertionError, match="expected a message within"):
                await probe.receive(0.05)
            assert await probe.expect(str, timeout=1.0) == "late"
            with pytest.raises(AssertionError, match="got nothing"):
                await probe.expect(str, timeout=3600.0)
            probe.ref.tell("x")
            with pytest.raises(AssertionError, match="expected nothing"):
                await probe.expect_nothing(1.0)

    with World(1) as world:
        world.run(main(world), limit_s=10_000)
