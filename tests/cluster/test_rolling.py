"""All nodes are stopped and started again, or replaced, one after the other: no call fails, and none waits long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ClusterClient, Settings
from sim import World
from tests.cluster.test_elastic import add

SLOTS = 8
SETTINGS = Settings(slots=SLOTS)
PAUSE_S = 0.15
NAMES = ("node-1", "node-2", "node-3")


class Waiting:
    """Counts in every slot all the time, and knows how long a call took at most: virtual time, so nobody is busy."""

    def __init__(self, world: World, client: ClusterClient) -> None:
        self._world = world
        self._client = client
        self._is_over = False
        self.longest_s = 0.0
        self._tasks = [asyncio.create_task(self._count(f"c{number}")) for number in range(3 * SLOTS)]

    async def _count(self, name: str) -> None:
        counter, counted = self._client.distributed().counter(name), 0
        while not self._is_over:
            began_ns = self._world.now_ns
            counted += 1
            assert await counter.increment() == counted
            self.longest_s = max(self.longest_s, (self._world.now_ns - began_ns) / 1e9)
            await asyncio.sleep(0.05)

    async def end(self) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)


@pytest.mark.parametrize("seed", range(3))
def test_nobody_waits_long_while_each_node_is_stopped_and_started_again(seed: int) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        waiting = Waiting(world, await world.client())
        await asyncio.sleep(2)
        waiting.longest_s = 0.0
        for name in NAMES:
            await world.stop(name)
            await world.restart(name)
            # What it gave away comes back to it.
            await asyncio.sleep(4)
        await waiting.end()
        assert waiting.longest_s < PAUSE_S

    with World(seed) as world:
        world.run(main(world), limit_s=120)


@pytest.mark.parametrize("seed", range(3))
def test_nobody_waits_long_while_each_node_is_replaced_by_another_one(seed: int) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        waiting = Waiting(world, await world.client())
        await asyncio.sleep(2)
        waiting.longest_s = 0.0
        there: list[str] = list(NAMES)
        for number in range(4, 7):
            await add(world, f"node-{number}", *there)
            there.append(f"node-{number}")
            system: Any = world.processes[there[0]].value
            await world.processes[there[0]].run(system.leave(20))
            await world.stop(there.pop(0))
        await waiting.end()
        assert waiting.longest_s < PAUSE_S

    with World(seed) as world:
        world.run(main(world), limit_s=120)
