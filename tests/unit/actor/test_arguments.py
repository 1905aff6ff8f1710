"""What is no behaviour, name, mailbox, envelope or ref is refused where it is given."""

from __future__ import annotations

from typing import Any

import pytest

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.events import ActorFailed
from casty.actor.mailbox import Mailbox
from casty.actor.sharding import ShardEnvelope
from casty.cluster.actors.region_router import check_region
from tests.unit.actor.probes import listen, started


def handler(ctx: Any, message: Any) -> None:
    """A handler that somebody forgot to wrap."""


WRONG_BEHAVIORS: list[tuple[Any, str]] = [
    (None, "expected a behaviour, .* found None$"),
    ("x", "expected a behaviour, .* found 'x'$"),
    (handler, "wrapped by Behaviors.receive"),
    (Behavior, "expected a behaviour"),
    (Behaviors.sharded(lambda entity_id: Behaviors.ignore()), "region"),
    (Behaviors.same(), "expected one to start with, found Signal.same"),
    (Behaviors.restart(), "expected one to start with, found Signal.restart"),
    (Behaviors.unhandled(), "expected one to start with, found Signal.unhandled"),
]


@pytest.mark.parametrize(("behavior", "text"), WRONG_BEHAVIORS)
async def test_an_actor_starts_with_a_behavior(behavior: Any, text: str) -> None:
    async with started() as system:
        with pytest.raises((TypeError, ValueError), match=text):
            system.spawn(behavior, "a")
        assert system.lookup("a") is None


@pytest.mark.parametrize("name", [5, None, b"a", "", "\ud800", ["a"]])
async def test_a_name_is_a_text_that_can_travel(name: Any) -> None:
    async with started() as system:
        with pytest.raises((TypeError, ValueError), match="name: expected"):
            system.spawn(Behaviors.ignore(), name)


@pytest.mark.parametrize("mailbox", [5, "drop_new", Mailbox])
async def test_a_mailbox_is_one(mailbox: Any) -> None:
    async with started() as system:
        with pytest.raises(TypeError, match="mailbox: expected a Mailbox or None"):
            system.spawn(Behaviors.ignore(), "a", mailbox=mailbox)


@pytest.mark.parametrize("result", ["text", 5, Behaviors])
async def test_what_a_handler_or_setup_returns_is_a_behavior(result: Any) -> None:
    async def setup(ctx: Any) -> Any:
        return result

    async with started() as system:
        failed = listen(system, ActorFailed)
        system.spawn(Behaviors.receive(lambda ctx, message: result), "handler").tell("go")
        system.spawn(Behaviors.setup(setup), "setup")
        texts = [str(event.exception) for event in await failed.until(2)]
        assert sorted(text.partition(", as")[0] for text in texts) == [
            "actor handler: the handler's result: expected a behaviour",
            "actor setup: the setup's result: expected a behaviour",
        ]


@pytest.mark.parametrize("ref", ["text", None, 5])
async def test_only_a_ref_can_be_asked(ref: Any) -> None:
    async with started() as system:
        with pytest.raises(TypeError, match="ref: expected the ref of an actor"):
            await system.ask(ref, lambda reply_to: reply_to)


@pytest.mark.parametrize("wrong", [None, "x", 5])
def test_handlers_factories_and_setups_can_be_called(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="on_receive"):
        Behaviors.receive(wrong)
    with pytest.raises((TypeError, ValueError), match="on_setup"):
        Behaviors.setup(wrong)
    with pytest.raises(TypeError, match="entity_factory: expected a function"):
        Behaviors.sharded(wrong)
    with pytest.raises(TypeError, match="expected a behaviour"):
        Behaviors.with_lifecycle(wrong)


@pytest.mark.parametrize("count", ["x", None, 1.5, 0, -1])
def test_shards_are_counted(count: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="num_shards: expected"):
        Behaviors.sharded(lambda entity_id: Behaviors.ignore(), num_shards=count)
    with pytest.raises((TypeError, ValueError), match="num_shards: expected"):
        check_region("r", count)


@pytest.mark.parametrize("name", [5, None, "", "\ud800"])
def test_a_region_has_a_name(name: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="shard type: expected"):
        check_region(name, 1)


@pytest.mark.parametrize("entity_id", [42, None, b"e", "\ud800"])
def test_an_entity_id_is_a_text(entity_id: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="entity_id: expected a text"):
        ShardEnvelope(entity_id, "message")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1, "reject"), "overflow: expected a MailboxOverflowStrategy, found 'reject'"),
        ((1, None), "overflow: expected"),
        (("a",), "capacity: expected an int, found 'a'"),
        ((1.5,), "capacity: expected an int"),
        ((0,), "capacity: expected at least 1"),
    ],
)
def test_a_mailbox_has_a_bound_and_a_strategy(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        Mailbox[int](*arguments)
