"""What fails on the way out is told to whoever asked, and hurts nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope
from casty.address import ActorAddress
from casty.errors import AskFailed, EncodingError, MessageTooLarge
from casty.wire import frames
from casty.wire.pack import pack
from tests.kit.clock import settle
from tests.unit.cluster.region_world import Get, RegionWorld

UNDECODABLE = b"\xc1"


def replier(make: Callable[[int], object]) -> Behavior[Any]:
    """An actor that counts its questions and answers with what `make` returns."""
    count = 0

    def handle(ctx: ActorContext[Any], message: Any) -> None:
        nonlocal count
        count += 1
        message.reply_to.tell(make(count))

    return Behaviors.receive(handle)


def second_is_fine(first: object) -> Callable[[int], object]:
    return lambda count: first if count == 1 else count


@pytest.mark.parametrize(
    ("reply", "error"), [(object(), EncodingError), (b"x" * 2_000, MessageTooLarge)], ids=["class", "size"]
)
async def test_a_reply_that_cannot_be_sent_is_the_askers_error(reply: object, error: type[Exception]) -> None:
    world = RegionWorld(("a", "b"))
    a, b = world.processes["a"].local, world.processes["b"].local
    ref = b.spawn(replier(second_is_fine(reply)), "replier")
    away: ActorRef[Any] = a.make_ref(ref.address)  # type: ignore[attr-defined]
    with pytest.raises(error, match="the reply cannot be sent, though the question was handled"):
        await a.ask(away, Get, timeout=None)
    assert await a.ask(away, Get, timeout=None) == 2, "the actor was not restarted"
    assert [letter.message for letter in world.processes["b"].letters] == [reply]
    await world.close()


async def test_an_ask_of_an_actor_of_another_process_that_is_gone_fails_at_once() -> None:
    world = RegionWorld(("a", "b"), ("c",))
    b = world.processes["b"].local
    for name in ("a", "c"):
        asker = world.processes[name].local
        away = asker.make_ref(ActorAddress("sim", "/nobody", *cast(Any, b.origin)[:3]))
        with pytest.raises(AskFailed, match="no such actor"):
            await asyncio.wait_for(asker.ask(away, Get, timeout=None), 5)
    assert not b.replies.asked
    await world.close()


async def test_a_question_that_a_relay_cannot_pass_on_fails_at_once() -> None:
    world = RegionWorld(("a", "b"), ("c",))
    asker = world.processes["c"].local
    away = asker.make_ref(ActorAddress("sim", "/nobody", "gone", 1, "gone"))
    with pytest.raises(AskFailed, match="no way to gone"):
        await asyncio.wait_for(asker.ask(away, Get, timeout=None), 5)
    await world.close()


async def test_who_asks_an_actor_of_a_process_that_stops_is_told_at_once() -> None:
    world = RegionWorld(("a", "b"))
    a, b = world.processes["a"].local, world.processes["b"].local
    never = asyncio.Event()

    async def stuck(ctx: ActorContext[Any], message: Any) -> None:
        await never.wait()

    ref: Any = b.spawn(Behaviors.receive(stuck), "stuck")
    asked = [asyncio.create_task(a.ask(a.make_ref(ref.address), Get, timeout=None)) for _ in range(2)]
    await settle()
    await b.shutdown(is_forced=True)
    outcomes = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert [type(outcome) for outcome in outcomes] == [AskFailed] * 2
    assert "the actor was stopped while it handled the question" in str(outcomes[0]), "it did not fail"
    await world.close()


async def test_a_region_asked_by_the_ref_of_another_process_answers_what_it_refuses() -> None:
    world = RegionWorld(("a", "b"))
    a, b = world.processes["a"], world.processes["b"]
    assert b.host is not None
    b.host.register("failing", failing, 10)
    world.lead("b")
    ref: Any = b.router.ref("failing", 10)
    away = a.local.make_ref(ref.address)
    with pytest.raises(AskFailed, match="expected a ShardEnvelope, found Get"):
        await asyncio.wait_for(a.local.ask(away, Get, timeout=None), 5)
    asked = a.local.ask(away, lambda reply: ShardEnvelope("e", Get(reply)), timeout=None)
    with pytest.raises(AskFailed, match="failed while it handled"):
        await asyncio.wait_for(asked, 5)
    assert b.local.replies.asking is None
    assert not b.local.replies.asked
    await world.close()


async def test_a_message_that_cannot_be_sent_is_its_senders_error() -> None:
    world = RegionWorld(("a", "b"))
    ref: Any = world.processes["b"].local.spawn(Behaviors.ignore(), "other")
    with pytest.raises(EncodingError):
        world.processes["a"].local.make_ref(ref.address).tell(object())
    await world.close()


def failing(entity_id: str) -> Behavior[Any]:
    def handle(ctx: ActorContext[Any], message: object) -> None:
        raise OSError("not today")

    return Behaviors.receive(handle)


async def test_an_entity_that_fails_at_a_question_answers_it_at_once() -> None:
    world = RegionWorld(("a", "b"), ("c",))
    host = world.processes["a"].host
    assert host is not None
    host.register("failing", failing, 10)
    world.lead("a")
    for name in ("b", "c"):
        process = world.processes[name]
        ref = process.router.ref("failing", 10)
        asked = process.local.ask(ref, lambda reply: ShardEnvelope("e", Get(reply)), timeout=None)
        with pytest.raises(AskFailed, match="no reply"):
            await asyncio.wait_for(asked, 5)
    await world.close()


async def test_what_cannot_be_decoded_is_logged_once_a_second_with_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = RegionWorld(("a", "b"))
    a = world.processes["a"]
    assert a.host is not None
    a.host.register("failing", failing, 10)
    world.lead("a")
    for number in range(1, 4):
        a.take("b", frames.ACTOR, pack(["a", "/x", "b#1", number, None, UNDECODABLE]))
    a.take("b", frames.ENTITY, pack(["failing", 10, "e", "b#1", 9, 0, None, UNDECODABLE, "1:c"]))
    assert caplog.text.count("cannot be decoded") == 1
    world.clock.advance(1.0)
    a.take("b", frames.ENTITY, pack(["failing", 10, "e", "b#1", 10, 0, None, UNDECODABLE, "1:c"]))
    assert caplog.text.count("cannot be decoded") == 2
    assert "(3 such since the last line)" in caplog.text, "said when its second is over, whatever follows"
    await world.close()


async def test_a_failure_that_cannot_be_mapped_is_logged_and_the_actor_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = RegionWorld(("a",))
    local = world.processes["a"].local

    async def fail() -> None:
        raise OSError("piped")

    def cannot_map(error: Exception) -> object:
        raise ValueError("mapper")

    def handle(ctx: ActorContext[Any], message: Any) -> None:
        if message == "pipe":
            ctx.pipe_to_self(fail(), on_failure=cannot_map)
        else:
            message.reply_to.tell("alive")

    ref = local.spawn(Behaviors.receive(handle), "x")
    ref.tell("pipe")
    await settle()
    assert "on_failure of pipe_to_self failed" in caplog.text
    assert await local.ask(ref, Get, timeout=None) == "alive"
    await world.close()
