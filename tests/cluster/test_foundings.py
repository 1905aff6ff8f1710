"""Founding with whole nodes: cut and slow paths, clocks that differ, clocks before 2025."""

from __future__ import annotations

import asyncio
import logging

import pytest

from casty import ClusteredActorSystem, Settings
from sim import World
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process, Setup


def _names(count: int) -> list[str]:
    return [f"node-{index}" for index in range(1, count + 1)]


def _add(world: World, names: list[str], quorum: int) -> dict[str, ClusteredActorSystem]:
    systems: dict[str, ClusteredActorSystem] = {}

    def setup() -> Setup:
        async def run(process: Process) -> ClusteredActorSystem:
            systems[process.name] = system = ClusteredActorSystem(
                name=CLUSTER_NAME,
                host=process.name,
                port=NODE_PORT,
                seed_nodes=[(name, NODE_PORT) for name in names],
                required_quorum=quorum,
                config=Settings(slots=2),
            )
            return await system.__aenter__()

        return run

    for name in names:
        world.add_node(name, setup())
    world.node_names.extend(names)
    return systems


def test_tokens_grow_although_the_next_founder_s_clock_is_behind() -> None:
    """A client of the lost generation tells the founders of the next one how high it was."""
    names = _names(3)

    async def main(world: World) -> None:
        _add(world, names, quorum=2)
        world.clock("node-1").step(100.0)
        await asyncio.gather(*(world.start(name) for name in names))
        first = (await world.client()).distributed().lock("x")
        await first.acquire()
        before = first.token
        for name in names:
            world.crash(name)
        await asyncio.sleep(10)
        await asyncio.gather(world.start("node-2"), world.start("node-3"))
        second = (await world.client()).distributed().lock("x", timeout=30.0)
        await second.acquire()
        assert before is not None and second.token is not None and second.token > before

    with World(1, wall_s=60_000_000) as world:
        world.run(main(world), limit_s=200.0)


def test_a_wall_clock_before_2025_is_said_and_founds(caplog: pytest.LogCaptureFixture) -> None:
    async def main(world: World) -> None:
        systems = await world.cluster(3, config=Settings(slots=2))
        assert systems[0].topology is not None and systems[0].topology.generation == 1

    with caplog.at_level(logging.WARNING), World(1, wall_s=-1000) as world:
        world.run(main(world), limit_s=30.0)
    assert "before 2025" in caplog.text


@pytest.mark.parametrize("offset_s", [0.0, 0.2, 0.5, 1.0, 3.2])
def test_cuts_while_founding_never_make_two_clusters(offset_s: float) -> None:
    """Five seeds, three suffice: the first side is cut up while it founds, then one of it sees the other two."""
    names = _names(5)

    async def main(world: World) -> None:
        systems = _add(world, names, quorum=3)
        world.partition(names[:3], names[3:])
        starts = [asyncio.ensure_future(world.start(name)) for name in names]
        await asyncio.sleep(1.6 + offset_s)
        first = world.partition(["node-1"], ["node-2"])
        await asyncio.sleep(3.4)
        world.partition(["node-1", "node-2"], ["node-3"])
        first.heal()
        world.partition(["node-1", "node-2"], ["node-4", "node-5"])
        for one in names[2:]:
            for other in names[2:]:
                if one != other:
                    world.network.mend([(one, other)])
        await asyncio.sleep(30)
        founded = {str(system.status()["cluster_id"]): None for system in systems.values()}
        founded.pop("", None)
        assert len(founded) <= 1
        for start in starts:
            start.cancel()

    with World(1) as world:
        world.run(main(world), limit_s=200.0)
