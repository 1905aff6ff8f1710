"""Two clusters of one name among the contact points of a client: it uses one of them, and is told of the other."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from casty import Behaviors, ClusterClient, ClusteredActorSystem, ShardEnvelope
from casty.errors import CastyError, Unavailable
from sim import World
from sim.world.process import Process

PORT = 25520
SHARDS = 4


class Bench:
    """A cluster `a1` and a cluster `b1`, and a client that knows both and uses the first."""

    def __init__(self, world: World, node_ids: tuple[str, str]) -> None:
        self.world = world
        self.handled: dict[str, list[Any]] = {"a1": [], "b1": []}
        self.node_ids = dict(zip(("a1", "b1"), node_ids, strict=True))

    async def node(self, process: Process) -> ClusteredActorSystem:
        name = process.name
        system = ClusteredActorSystem(
            name="sim", host=name, port=PORT, node_id=self.node_ids[name], seed_nodes=[(name, PORT)]
        )
        await system.__aenter__()

        def entity(entity_id: str) -> Any:
            def handle(ctx: Any, message: Any) -> None:
                self.handled[name].append(message)
                if isinstance(message, tuple):
                    message[0].tell(name)

            return Behaviors.receive(handle)

        system.spawn(Behaviors.sharded(entity, num_shards=SHARDS), "region")
        return system

    async def begin(self) -> ClusterClient:
        world = self.world
        for name in ("a1", "b1"):
            world.add_node(name, self.node)
            await world.start(name)
        await asyncio.sleep(3)

        async def setup(process: Process) -> ClusterClient:
            client = ClusterClient(
                contact_points=[("a1", PORT), ("b1", PORT)], system_name="sim", client_host=process.name
            )
            return await client.__aenter__()

        world.add_node("client", setup)
        slow = world.spike("client", "b1", 0.2)
        client: ClusterClient = await world.start("client")
        await client.ready()
        await asyncio.sleep(3)
        slow.heal()
        return client


@pytest.mark.parametrize("node_ids", [("a1", "b1"), ("n", "n")])
def test_nothing_for_one_cluster_reaches_another_one_of_its_name(
    node_ids: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Messages that waited a second for the leader of their slot were passed to any node, and handled there."""

    async def main(world: World) -> None:
        bench = Bench(world, node_ids)
        client = await bench.begin()
        region = client.entity_ref("region", num_shards=SHARDS)

        async def ask(number: int) -> Any:
            try:
                question = partial(lambda reply: ShardEnvelope(str(number), (reply, number)))
                return await client.ask(region, question, timeout=4)
            except (TimeoutError, CastyError) as error:
                return error

        assert await ask(0) == "a1"
        cut = world.partition(["client"], ["a1"])
        world.reset_links("client", "a1")
        for number in range(20):
            region.tell(ShardEnvelope(str(number), number))
            await asyncio.sleep(0.1)
        answers = [await ask(number) for number in (1, 2)]
        assert all(isinstance(answer, Exception) for answer in answers), answers
        cut.heal()
        await asyncio.sleep(5)
        assert await ask(3) == "a1"
        assert bench.handled["b1"] == []
        lines = [line for line in caplog.messages if "another cluster that is named 'sim'" in line]
        assert len(lines) == 1 and "b1:25520" in lines[0], lines
        after = [line for line in caplog.messages if "replaced by a newer link" in line]
        assert not after

    with World(1) as world:
        world.run(main(world), limit_s=300)


def test_a_call_says_that_whom_it_reaches_is_another_cluster() -> None:
    async def main(world: World) -> None:
        client = await Bench(world, ("a1", "b1")).begin()
        counter = client.distributed().counter("c", timeout=2.0)
        assert await counter.increment() == 1
        world.crash("a1")
        await world.until(lambda: "a1" not in client._client_core.linked(), timeout_s=20)
        with pytest.raises(
            Unavailable, match=r"linked with nobody: a1:25520: .*; b1:25520: a node of another cluster"
        ):
            await counter.increment()

    with World(2) as world:
        world.run(main(world), limit_s=100)


def test_a_node_whose_seed_is_of_another_cluster_asks_it_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main(world: World) -> None:
        bench = Bench(world, ("a1", "b1"))
        client = await bench.begin()
        a1: Any = world.processes["a1"].value
        a1._node.links.want_seeds([("b1", PORT)])
        await asyncio.sleep(3)
        assert "b1" in a1._node.links.nodes
        assert a1._node.linked() == ["a1"]
        a1._node.bootstrap.look_around()
        await asyncio.sleep(3)
        assert not a1._node.links._told
        lines = [line for line in caplog.messages if "take it out of the seeds" in line]
        assert len(lines) == 1 and "b1:25520" in lines[0]
        del client

    with World(1) as world:
        world.run(main(world), limit_s=300)
