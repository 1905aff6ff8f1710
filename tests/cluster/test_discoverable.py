"""Actors that register themselves: before their first message, and until they stop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ActorSystem, Behavior, Behaviors, ServiceKey, Subscribe
from casty.config import Settings
from sim import World

PRINTER: ServiceKey[Any] = ServiceKey("printer")


async def main(world: World) -> None:
    nodes = await world.cluster(2)
    starts: list[int] = []

    async def start(ctx: Any) -> Behavior[Any]:
        starts.append(1)
        return Behaviors.receive(
            lambda ctx, message: Behaviors.restart() if message == "restart" else Behaviors.stopped()
        )

    ref = nodes[0].spawn(Behaviors.discoverable(Behaviors.setup(start), key=PRINTER), "p")
    await asyncio.sleep(1)
    for message, expected in (("restart", 1), ("stop", 0)):
        (found,) = (await nodes[1].lookup(PRINTER)).instances
        assert (found.ref.id, found.node) == (ref.id, nodes[0].self_node)
        ref.tell(message)
        await asyncio.sleep(1)
        assert len((await nodes[1].lookup(PRINTER)).instances) == expected
    assert len(starts) == 2


def test_an_actor_is_found_while_it_lives_also_after_a_restart() -> None:
    with World(1) as world:
        world.run(main(world), limit_s=100)
        assert world.errors == []


async def many(world: World) -> None:
    nodes = await world.cluster(1, config=Settings(max_mailbox=2))
    heard: list[int] = []

    async def listen(ctx: Any, listing: Any) -> None:
        heard.append(len(listing.instances))

    nodes[0].receptionist.tell(Subscribe(PRINTER, nodes[0].spawn(Behaviors.receive(listen), "listener")))
    for number in range(50):
        nodes[0].spawn(Behaviors.discoverable(Behaviors.ignore(), key=PRINTER), f"p{number}")
    await asyncio.sleep(2)
    assert len((await nodes[0].lookup(PRINTER)).instances) == 50
    assert heard[-1] == 50


def test_what_is_offered_at_once_is_all_listed_however_small_mailboxes_are() -> None:
    with World(1) as world:
        world.run(many(world), limit_s=100)


async def test_it_is_refused_where_nobody_could_find_it(caplog: pytest.LogCaptureFixture) -> None:
    async with ActorSystem("plain") as system:
        system.spawn(Behaviors.discoverable(Behaviors.ignore(), key=PRINTER), "p")
        while system.lookup("p") is not None:
            await asyncio.sleep(0)
    assert "found one of system 'plain'" in caplog.text


def test_a_key_is_needed() -> None:
    with pytest.raises(TypeError, match="key: expected a ServiceKey"):
        Behaviors.discoverable(Behaviors.ignore(), key="printer")  # type: ignore[arg-type]
