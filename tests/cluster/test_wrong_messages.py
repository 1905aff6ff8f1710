"""No message, and nothing that it brings about, ends a link: what is wrong with it is its own loss."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from casty import Behaviors, DeadLetter, EventStreamSubscribe, ShardEnvelope
from casty.events import LinkDown
from casty.wire import frames
from sim import World

RAISES: dict[str, type[BaseException]] = {}


class FatalError(BaseException):
    """No `Exception`."""


@dataclass(frozen=True)
class Refusing:
    """Cannot be made where it arrives."""

    number: int

    def __post_init__(self) -> None:
        if "now" in RAISES:
            raise RAISES["now"]("not today")


@dataclass(frozen=True)
class Odd:
    """Raises whatever is done with it, but that it can travel."""

    number: int

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __repr__(self) -> str:
        raise RuntimeError("repr")


def fails(ctx: object, message: object) -> None:
    raise ValueError("the handler")


def raises(event: object) -> None:
    raise RuntimeError("the subscriber")


async def main(world: World) -> None:
    nodes = await world.cluster(2)
    client = await world.client("client")
    await client.ready()
    failing: Any = Behaviors.receive(fails)
    for node in nodes:
        node.event_stream.tell(EventStreamSubscribe(DeadLetter, raises))
        node.spawn(Behaviors.sharded(lambda entity_id: failing, num_shards=4), "region")
    inside: Any = client.spawn(failing, "inside")
    await asyncio.sleep(2)
    ended: list[tuple[str, LinkDown]] = []
    world.trace.subscribe(
        lambda entry: ended.append((entry.node, entry.event)) if isinstance(entry.event, LinkDown) else None
    )
    local = client._started().local
    region: Any = client.entity_ref("region", num_shards=4)
    where = nodes[1].self_node
    errors = (RuntimeError, FatalError, asyncio.CancelledError)
    for number, message in enumerate((*map(Refusing, range(len(errors))), Odd(9))):
        nodes[1].spawn(failing, f"target-{number}")
        for path in (f"target-{number}", "nobody"):
            ref: Any = nodes[0].lookup(path, node=where)
            ref.tell(message)
            local.make_ref(ref.address).tell(message)
        nodes[0].core.make_ref(inside.address).tell(message)
        region.tell(ShardEnvelope("entity", message))
        if number < len(errors):
            RAISES["now"] = errors[number]
        await asyncio.sleep(0.5)
        RAISES.clear()
    assert ended == []
    assert await client.distributed().counter("alive").increment() == 1


def test_a_message_that_is_wrong_ends_no_link() -> None:
    with World(1) as world:
        world.run(main(world), limit_s=100)
        assert world.errors == []


def test_what_a_client_cannot_take_ends_no_link_to_the_node_that_passed_it_on() -> None:
    async def pass_on(world: World) -> None:
        nodes = await world.cluster(1)
        client = await world.client("client")
        await client.ready()
        ended: list[object] = []
        world.trace.subscribe(
            lambda entry: ended.append(entry) if isinstance(entry.event, LinkDown) else None
        )
        client_id = client._client_core.client_id
        remote: Any = nodes[0]._actors.remote
        for body in (b"\xc1", b""):
            assert remote._routes.send(client_id, frames.ACTOR, body)
            assert remote._routes.send(client_id, frames.ENTITY_REFUSED, body)
        await asyncio.sleep(1)
        assert ended == []

    with World(1) as world:
        world.run(pass_on(world), limit_s=100)
