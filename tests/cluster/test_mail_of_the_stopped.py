"""An entity that ends itself leaves its mail to its next life, in order and once; what cannot live on loses it."""

from __future__ import annotations

import asyncio
from typing import Any

from casty import Behaviors, ShardEnvelope
from casty.actor.context import ActorContext
from sim import World

MESSAGES = 100


def test_mail_reaches_the_next_life_in_order_and_once() -> None:
    read: list[int] = []
    lives: list[str] = []

    def counting(entity_id: str) -> Any:
        lives.append(entity_id)
        seen = 0

        async def handle(ctx: ActorContext[Any], message: Any) -> Any:
            nonlocal seen
            number, reply_to = message
            read.append(number)
            seen += 1
            if reply_to is not None:
                reply_to.tell(number)
            return Behaviors.stopped() if seen == 10 else Behaviors.same()

        return Behaviors.receive(handle)

    async def main(world: World) -> None:
        nodes = await world.cluster(3)
        for node in nodes:
            node.spawn(Behaviors.sharded(counting, num_shards=4), "r")
        client = await world.client()
        ref = client.entity_ref("r", num_shards=4)
        asked = []
        for number in range(MESSAGES):
            if number % 7 == 0:
                question = client.ask(
                    ref, lambda reply_to, number=number: ShardEnvelope("k", (number, reply_to)), timeout=5.0
                )
                asked.append(asyncio.ensure_future(question))
                await asyncio.sleep(0)  # the question is on its way
            else:
                ref.tell(ShardEnvelope("k", (number, None)))
        assert await asyncio.gather(*asked) == list(range(0, MESSAGES, 7))
        await world.until(lambda: len(read) == MESSAGES, timeout_s=5)
        assert read == list(range(MESSAGES))
        assert lives == ["k"] * (MESSAGES // 10)
        assert sum(node.core.dead_letters for node in nodes) == 0

    with World(3) as world:
        world.run(main(world), limit_s=60)


def test_an_entity_that_ends_as_it_begins_is_not_begun_for_ever() -> None:
    lives: list[str] = []

    def stillborn(entity_id: str) -> Any:
        lives.append(entity_id)
        return Behaviors.setup(lambda ctx: Behaviors.stopped())

    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        ref = node.spawn(Behaviors.sharded(stillborn, num_shards=1), "r")
        for number in range(20):
            ref.tell(ShardEnvelope("k", number))
        await asyncio.sleep(5)
        assert 1 <= len(lives) <= 20
        assert node.core.dead_letters == 20

    with World(5) as world:
        world.run(main(world), limit_s=60)


def test_a_failure_leaves_nothing_to_a_next_life() -> None:
    read: list[int] = []

    def failing(entity_id: str) -> Any:
        async def handle(ctx: ActorContext[int], message: int) -> Any:
            read.append(message)
            await asyncio.sleep(0)
            if message == 0:
                raise ValueError("broken")

        return Behaviors.receive(handle)

    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        ref = node.spawn(Behaviors.sharded(failing, num_shards=1), "r")
        for number in range(5):
            ref.tell(ShardEnvelope("k", number))
        await asyncio.sleep(2)
        assert read == [0]
        assert node.core.dead_letters == 4

    with World(6) as world:
        world.run(main(world), limit_s=60)
