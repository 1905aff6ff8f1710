"""Nodes whose settings differ: what leases rest on keeps them apart, what replicas apply is the founder's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from casty import ClusteredActorSystem, Settings
from casty.errors import Overloaded
from sim import World
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process, Setup

NAMES = ("node-1", "node-2", "node-3")
USUAL = Settings(slots=1, start_timeout_s=8.0)


def node_with(settings: Settings, seeds_at: tuple[str, ...] = NAMES) -> Setup:
    async def setup(process: Process) -> ClusteredActorSystem:
        seeds = [(name, NODE_PORT) for name in seeds_at]
        system = ClusteredActorSystem(
            name=CLUSTER_NAME, host=process.name, port=NODE_PORT, seed_nodes=seeds, config=settings
        )
        return await system.__aenter__()

    return setup


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"election_min_s": 0.5}, "election_min_s"),
        ({"election_min_s": 1.2}, "election_min_s"),
        ({"drift": 0.0}, "drift"),
    ],
)
def test_a_node_that_promises_less_or_more_is_kept_out(other: dict[str, Any], name: str) -> None:
    async def main(world: World) -> None:
        for node in NAMES[:2]:
            world.add_node(node, node_with(USUAL, NAMES[:2]))
        world.add_node("node-3", node_with(Settings(slots=1, start_timeout_s=8.0, **other), NAMES[:2]))
        world.node_names.extend(NAMES)
        await asyncio.gather(*(world.start(node) for node in NAMES[:2]))
        with pytest.raises(TimeoutError, match=f"{name} is .*leases rest on it"):
            await world.start("node-3")
        assert await (await world.client()).distributed().counter("c").increment() == 1

    with World(1) as world:
        world.run(main(world), limit_s=60)


def test_what_replicas_apply_is_what_the_founder_set() -> None:
    """The third node would take one session only; its replica must not decide otherwise than the others'."""

    async def main(world: World) -> None:
        for node in NAMES[:2]:
            world.add_node(node, node_with(replace(USUAL, max_sessions=2)))
        world.add_node("node-3", node_with(replace(USUAL, max_sessions=1)))
        world.node_names.extend(NAMES)
        await asyncio.gather(*(world.start(node) for node in NAMES))
        clients = [await world.client() for _ in range(3)]
        counters = [client.distributed().counter("c") for client in clients]
        assert [await counters[0].increment(), await counters[1].increment()] == [1, 2]
        with pytest.raises(Overloaded, match="max_sessions"):
            await counters[2].increment()
        world.crash("node-1")
        await asyncio.sleep(3)
        assert [await counters[0].increment(), await counters[1].increment()] == [3, 4]
        with pytest.raises(Overloaded, match="max_sessions = 2"):
            await counters[2].increment()

    with World(1) as world:
        world.run(main(world), limit_s=60)
