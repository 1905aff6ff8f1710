"""Members use structures through their own systems: newcomers find every leader, and holds outlive failovers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from casty import ClusteredActorSystem, Settings
from sim import World
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process

SLOTS = 16


async def within(world: World, name: str, context: Coroutine[Any, Any, Any]) -> Any:
    return await world.processes[name].run(context)


async def counts_in_every_slot(system: ClusteredActorSystem) -> list[int]:
    d = system.distributed()
    return list(await asyncio.gather(*(d.counter(f"c{number}").increment() for number in range(5 * SLOTS))))


def test_a_node_that_joins_finds_the_leaders_of_all_slots() -> None:
    async def main(world: World) -> None:
        settings = Settings(slots=SLOTS)
        await world.cluster(3, config=settings)
        await asyncio.sleep(5)
        seeds = [(name, NODE_PORT) for name in world.node_names]

        async def join(process: Process) -> ClusteredActorSystem:
            system = ClusteredActorSystem(
                name=CLUSTER_NAME, host=process.name, port=NODE_PORT, seed_nodes=seeds, config=settings
            )
            return await system.__aenter__()

        world.add_node("node-4", join)
        newcomer: Any = await world.start("node-4")
        assert await within(world, "node-4", counts_in_every_slot(newcomer)) == [1] * 5 * SLOTS

    with World(1) as world:
        world.run(main(world), limit_s=120)


def test_a_node_that_comes_back_finds_the_leaders_of_all_slots() -> None:
    async def main(world: World) -> None:
        await world.cluster(5, config=Settings(slots=SLOTS))
        await asyncio.sleep(5)
        await world.restart("node-5")
        assert await within(world, "node-5", counts_in_every_slot(world.node(4))) == [1] * 5 * SLOTS

    with World(2) as world:
        world.run(main(world), limit_s=120)


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_lock_that_a_member_holds_outlives_the_slots_leader(seed: int) -> None:
    """A keep-alive may reach the new leader together with the acknowledgement that makes it one."""

    async def main(world: World) -> None:
        systems = await world.cluster(3, config=Settings(slots=1))
        leader = systems[0].status()["slots"][0]["leader"]
        holders = {
            name: system.distributed().lock(f"of-{name}")
            for name, system in zip(world.node_names, systems, strict=True)
            if system.node_id != leader
        }
        (dying,) = [name for name in world.node_names if name not in holders]
        for name, lock in holders.items():
            await within(world, name, lock.try_acquire())
            await within(world, name, lock.release())
        await asyncio.sleep(6)  # one keep-alive went by: the next one is due as soon as another leads
        for name, lock in holders.items():
            await within(world, name, lock.acquire())
        tokens = [lock.token for lock in holders.values()]
        world.crash(dying)
        for _ in range(300):
            await asyncio.sleep(0.1)
            assert [lock.held for lock in holders.values()] == [True, True]
        assert [lock.token for lock in holders.values()] == tokens
        for name, lock in holders.items():
            assert await within(world, name, lock.release()) is True

    with World(seed) as world:
        world.run(main(world), limit_s=120)


def test_a_member_learns_of_others_from_a_leader_that_it_does_not_know() -> None:
    async def main(world: World) -> None:
        settings = Settings(slots=1)
        await world.cluster(3, config=settings)
        seeds = [(name, NODE_PORT) for name in world.node_names[:3]]

        async def join(process: Process) -> ClusteredActorSystem:
            system = ClusteredActorSystem(
                name=CLUSTER_NAME, host=process.name, port=NODE_PORT, seed_nodes=seeds[:2], config=settings
            )
            return await system.__aenter__()

        cut_off = world.partition(["node-3"], ["node-1", "node-2"])
        away = world.partition(["node-3"], ["node-4", "node-5"])
        for name in ("node-4", "node-5"):
            world.add_node(name, join)
            world.node_names.append(name)
            await world.start(name)
        newcomer: Any = world.processes["node-4"].value
        machine = newcomer._node.control.machine
        behind = world.node(2)._node.control.machine
        assert len(machine.members) == 5
        assert len(behind.members) == 3
        await _until(world, lambda: _leads(world, "node-4"), 60)
        away.heal()
        later_ns = world.now_ns + 10 * 10**9
        await _until(world, lambda: world.now_ns >= later_ns, 20)
        assert len(behind.members) == 3, "only strangers speak to it, one of them in a higher term"
        cut_off.heal()
        assert _leads(world, "node-4")
        await _until(world, lambda: behind.version == machine.version, 30)
        assert _leads(world, "node-4"), "it learnt of that leader, and from no other"

    def _leads(world: World, name: str) -> bool:
        """Hand the control group over to a node, as a leader that leaves does; say whether it leads."""
        target = world.processes[name].value._node
        for other in world.node_names:
            node = world.processes[other].value._node
            group = node.host.groups[0]
            if group.is_leading and node is not target:
                group.core.transfer(node.runtime.clock.now(), target.key)
                node.host.mark(group)
                node.output.mark_due()
        return bool(target.host.groups[0].is_leading)

    with World(3) as world:
        world.run(main(world), limit_s=200)


async def _until(world: World, predicate: Callable[[], bool], limit_s: int) -> None:
    until_ns = world.now_ns + limit_s * 10**9
    while not predicate():
        assert world.now_ns < until_ns, "it did not come about"
        await asyncio.sleep(0.5)
