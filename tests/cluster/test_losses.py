"""What is sent is handled or counted: over links that break, between nodes and clients, for actors and entities."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from casty import Behaviors, MessagesLost, ShardEnvelope
from casty.actor.events import EventStreamSubscribe
from casty.actor.ref import ActorRef
from sim import World

EACH = 300
SHARDS = 8


class Bench:
    """Three nodes and a client; who tells whom, what was sent and what was handled."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent = 0
        self.handled: list[Any] = []
        self.events: list[MessagesLost] = []

    async def begin(self) -> None:
        world = self.world
        self.nodes = nodes = await world.cluster(3)
        self.client = await world.client("client")
        self.locals = [node.core for node in nodes] + [self.client._started().local]
        for local in self.locals:
            local.event_stream.tell(EventStreamSubscribe(MessagesLost, self.events.append))
        sink = Behaviors.receive(lambda ctx, message: self.handled.append(message))
        for node in nodes:
            node.spawn(sink, "sink")
            region = node.spawn(Behaviors.sharded(lambda entity_id: sink, num_shards=SHARDS), "region")
        inside = self.client.spawn(sink, "sink")
        await asyncio.sleep(2)
        where = nodes[1].self_node
        to_node: ActorRef[Any] = nodes[0].lookup("sink", node=where)
        from_client: ActorRef[Any] = self.locals[-1].make_ref(to_node.address)
        over: ActorRef[Any] = self.client.entity_ref("region", num_shards=SHARDS)
        to_client: ActorRef[Any] = nodes[1].core.make_ref(inside.address)
        self.tells: list[Callable[[int], None]] = [
            lambda number: to_node.tell(("node", number)),
            lambda number: from_client.tell(("client", number)),
            lambda number: to_client.tell(("to client", number)),
            lambda number: over.tell(ShardEnvelope(str(number % 20), ("entity from client", number))),
            lambda number: region.tell(ShardEnvelope(str(number % 20), ("entity from node", number))),
        ]

    async def send(self) -> None:
        for number in range(EACH):
            for tell in self.tells:
                tell(number)
                self.sent += 1
            await asyncio.sleep(0.02)

    @property
    def counted(self) -> int:
        return sum(local.dead_letters for local in self.locals)


async def cut(world: World) -> None:
    healing = world.partition(["node-1"], ["node-2"])
    await asyncio.sleep(8)
    healing.heal()


async def cut_client(world: World) -> None:
    healing = world.partition(["client"], ["node-2"])
    await asyncio.sleep(4)
    healing.heal()


async def reset(world: World) -> None:
    for _ in range(8):
        for ends in (("node-1", "node-2"), ("node-2", "node-3"), ("client", "node-2"), ("client", "node-1")):
            world.reset_links(*ends)
        await asyncio.sleep(0.5)


async def pause(world: World) -> None:
    world.pause("node-2", 6)
    await asyncio.sleep(6)


@pytest.mark.parametrize("fault", [cut, cut_client, reset, pause], ids=lambda fault: fault.__name__)
def test_what_is_sent_is_handled_or_counted(fault: Callable[[World], Any]) -> None:
    async def main(world: World) -> None:
        bench = Bench(world)
        await bench.begin()
        before, handled = bench.counted, len(bench.handled)
        sending = asyncio.ensure_future(bench.send())
        await asyncio.sleep(1)
        await fault(world)
        await sending
        await asyncio.sleep(20)
        delivered = len(bench.handled) - handled
        assert bench.sent == delivered + bench.counted - before
        assert len(bench.handled) == len(set(bench.handled))
        lost = sum(local.lost_messages for local in bench.locals)
        assert lost == sum(event.count for event in bench.events)
        if fault is not pause:
            assert lost
        statuses = [node._node.status()["messages"] for node in bench.nodes]
        assert sum(status["lost"] for status in statuses) + bench.locals[-1].lost_messages == lost

    with World(7) as world:
        world.run(main(world), limit_s=300)
