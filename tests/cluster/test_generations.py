"""A cluster that lost all its memory at once: the next generation is empty, and nobody takes it for the former one."""

from __future__ import annotations

import asyncio

import pytest

from casty import ClusteredActorSystem, Settings
from casty.errors import OutcomeUnknown
from sim import World
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process

NAMES = ("node-1", "node-2", "node-3")


class Generations:
    """Three nodes that can be killed together and begin again, with as many slots as told."""

    def __init__(self, world: World, slots: int) -> None:
        self.world = world
        self.slots = slots
        for name in NAMES:
            world.add_node(name, self._setup)
            world.node_names.append(name)

    async def _setup(self, process: Process) -> ClusteredActorSystem:
        settings = Settings(slots=self.slots, session_ttl_s=6.0)
        seeds = [(name, NODE_PORT) for name in NAMES]
        system = ClusteredActorSystem(
            name=CLUSTER_NAME, host=process.name, port=NODE_PORT, seed_nodes=seeds, config=settings
        )
        return await system.__aenter__()

    async def begin(self) -> None:
        await asyncio.gather(*(self.world.start(name) for name in NAMES))

    def end(self) -> None:
        for name in NAMES:
            self.world.crash(name)


def test_no_request_of_the_former_generation_passes_for_somebody_else_s() -> None:
    """Sessions have the same numbers in both generations, and retries are under way when the second begins."""

    async def main(world: World) -> None:
        cluster = Generations(world, slots=1)
        await cluster.begin()
        former = (await world.client("former")).distributed().counter("shared", timeout=30.0)
        for expected in range(1, 4):
            assert await former.increment() == expected
        retried = [asyncio.create_task(former.increment()) for _ in range(20)]
        await asyncio.sleep(0)
        cluster.end()
        apart = world.partition(["former"], NAMES)
        await cluster.begin()
        latter = (await world.client("latter")).distributed().counter("shared")
        for expected in range(1, 60):
            assert await latter.increment() == expected
            await asyncio.sleep(0.05)
            if expected == 10:
                apart.heal()
        outcomes = await asyncio.gather(*retried, return_exceptions=True)
        assert all(isinstance(outcome, OutcomeUnknown) for outcome in outcomes)
        assert await latter.get() == 59
        assert await former.increment() == 60

    with World(3) as world:
        world.run(main(world), limit_s=120.0)
        assert world.errors == []


def test_fencing_tokens_grow_over_generations_and_the_former_holder_knows_its_loss() -> None:
    async def main(world: World) -> None:
        cluster = Generations(world, slots=2)
        await cluster.begin()
        held = (await world.client()).distributed().lock("fenced", timeout=30.0)
        await held.acquire()
        token = held.token
        cluster.end()
        await asyncio.sleep(2.0)
        await cluster.begin()
        lost = asyncio.create_task(held.wait_lost())
        other = (await world.client()).distributed().lock("fenced", timeout=30.0)
        await other.acquire()
        assert token is not None
        assert other.token is not None
        assert other.token > token
        await lost
        assert not held.held
        assert await held.release() is False
        assert other.held

    with World(3) as world:
        world.run(main(world), limit_s=120.0)
        assert world.errors == []


@pytest.mark.parametrize(("before", "after"), [(8, 2), (2, 8)])
def test_a_generation_may_have_another_number_of_slots(before: int, after: int) -> None:
    async def main(world: World) -> None:
        cluster = Generations(world, before)
        await cluster.begin()
        d = (await world.client()).distributed()
        lock = d.lock("kept")
        await lock.acquire()
        assert [await d.counter(f"c{n}").increment() for n in range(20)] == [1] * 20
        cluster.end()
        cluster.slots = after
        waiting = [asyncio.create_task(d.counter(f"c{n}", timeout=60.0).increment()) for n in range(20)]
        await asyncio.sleep(2.0)
        await cluster.begin()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, OutcomeUnknown) or outcome == 1 for outcome in outcomes), outcomes
        assert not lock.held
        assert [await d.counter(f"d{n}", timeout=20.0).increment() for n in range(20)] == [1] * 20
        async with d.lock("kept"):
            assert not await lock.release()

    with World(3) as world:
        world.run(main(world), limit_s=120.0)
        assert world.errors == []


def test_a_restarted_cluster_is_adopted_at_once_by_whoever_saw_all_processes_replaced() -> None:
    """Its holds are lost then and not a TTL later, and its calls go on."""

    async def main(world: World) -> None:
        cluster = Generations(world, slots=2)
        await cluster.begin()
        client = await world.client("former")
        held = client.distributed().lock("q", timeout=30.0)
        await held.acquire()
        cluster.end()
        await asyncio.sleep(1.1)  # the generation is the wall clock's second
        await cluster.begin()
        began_ns = world.now_ns
        assert await client.distributed().counter("c", timeout=30.0).increment() == 1
        assert world.now_ns - began_ns < 1_000_000_000, "far below the TTL of 6 s"
        assert not held.held
        latter = (await world.client("latter")).distributed().lock("q", timeout=2.0)
        await latter.acquire()

    for seed in range(5):
        with World(seed) as world:
            world.run(main(world), limit_s=120.0)
            assert world.errors == []


def test_one_process_that_may_live_on_keeps_the_former_generation_in_force() -> None:
    async def main(world: World) -> None:
        cluster = Generations(world, slots=2)
        await cluster.begin()
        client = await world.client("former")
        held = client.distributed().lock("q", timeout=30.0)
        await held.acquire()
        cluster.end()
        await asyncio.sleep(1.1)
        apart = world.partition(["former"], ["node-3"])
        await cluster.begin()
        await asyncio.sleep(1.0)
        assert client.topology is not None
        former = client.topology.generation
        await asyncio.sleep(1.0)
        assert client.topology.generation == former
        apart.heal()
        await asyncio.sleep(1.5)
        assert client.topology.generation > former

    with World(4) as world:
        world.run(main(world), limit_s=120.0)
        assert world.errors == []
