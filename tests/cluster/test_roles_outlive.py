"""What is in slots of a role is where all else is: in backups, in recoveries, and in the way of nothing of others."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from casty import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem, Persisted, ShardEnvelope
from casty.cluster.recovery.backup_file import read_records
from casty.cluster.recovery.making import Restoring
from casty.distributed.machines.base import EVENTS
from casty.errors import BackupError, Mismatch
from sim import World
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.disk import SimDisk
from sim.world.process import Process
from tests.cluster.recovering import SETTINGS, DiskRecords, new_node, node_of, recover, run
from tests.cluster.test_backups import back_up

IDS = [f"e{number}" for number in range(12)]
KEYS = list(range(12))
NODES = {"node-1": (), "node-2": ("web",), "node-3": ("web",), "node-4": ("web",)}


@dataclass(frozen=True)
class Add:
    count: int
    reply_to: ActorRef[int]


def cart(entity_id: str) -> Behavior[Add]:
    def decide(ctx: ActorContext[Add], total: int, add: Add) -> Persisted[int]:
        del ctx
        add.reply_to.tell(total + add.count)
        return Behaviors.persisted([add.count])

    return Behaviors.event_sourced(
        entity_id=entity_id,
        initial_state=0,
        on_event=lambda total, count: total + count,
        on_command=decide,
    )


def add_node(world: World, name: str, seeds: Sequence[str], *roles: str, shards: int = 20) -> None:
    async def setup(process: Process) -> ClusteredActorSystem:
        system = ClusteredActorSystem(
            name=CLUSTER_NAME, host=name, port=NODE_PORT, node_id=process.node_id, roles=frozenset(roles),
            seed_nodes=[(seed, NODE_PORT) for seed in seeds], config=SETTINGS, data_dir="disk",
        )  # fmt: skip
        await system.__aenter__()
        system.spawn(Behaviors.sharded(cart, num_shards=shards, role="web"), "cart")
        return system

    world.add_node(name, setup)
    world.node_names.append(name)


async def start(world: World, nodes: dict[str, tuple[str, ...]]) -> None:
    for name, roles in nodes.items():
        add_node(world, name, list(nodes)[:3], *roles)
    await asyncio.gather(*[world.start(name) for name in nodes])


async def until(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
    for _ in range(round(within_s / 0.1)):
        if is_so():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not so within {within_s} s")


def _envelope(entity_id: str, count: int, reply_to: ActorRef[int]) -> ShardEnvelope[Add]:
    return ShardEnvelope(entity_id, Add(count, reply_to))


async def add(system: Any, count: int) -> list[int]:
    """Have something added to each cart; return what they have then."""
    region = system.lookup("cart")
    return [await system.ask(region, partial(_envelope, entity_id, count), timeout=20.0) for entity_id in IDS]


async def fill(system: Any) -> None:
    counts = system.distributed().map("counts")
    for key in KEYS:
        await counts.put(key, key)
    assert await add(system, 1) == [1] * len(IDS)


async def check(world: World, name: str) -> None:
    """See whether what `fill` put into the map is there."""
    system: Any = world.processes[name].value
    counts = system.distributed().map("counts", timeout=30.0)
    assert [await counts.get(key) for key in KEYS] == KEYS
    assert sorted([key async for key, _ in counts.items()]) == KEYS


async def restore(world: World, data: bytes, name: str) -> None:
    """Make the disk of a machine of a backup."""
    made = DiskRecords(SimDisk())
    await Restoring(read_records(io.BytesIO(data).read), new_node(name)).write(made.write)
    world.processes[name].disk = made.disk


def logs_at(world: World, name: str) -> list[int]:
    """Return the slots in which a node has logs of entities."""
    slots = node_of(world, name).requests.slots
    return sorted(
        slot for slot, replica in slots.items() if any(key[0] == EVENTS for key in replica.machine.entities)
    )


def test_logs_of_entities_are_in_slots_of_their_role() -> None:
    async def main(world: World) -> None:
        await start(world, NODES)
        system: Any = world.processes["node-1"].value
        await fill(system)
        assert logs_at(world, "node-1") == [], "it has not the role"
        assert min(logs_at(world, "node-2")) >= SETTINGS.slots
        for name in ("node-2", "node-3", "node-4"):
            world.crash(name)
            await asyncio.sleep(8.0)
            await world.start(name)
        assert await add(system, 1) == [2] * len(IDS)

    run(1, main)


@pytest.mark.parametrize("roles", [(), ("web",)])
def test_a_backup_has_them_and_a_restored_cluster_finds_them(roles: tuple[str, ...]) -> None:
    """Whether its first node has the role or not: then that one keeps them until another one comes who has it."""

    async def main(world: World) -> None:
        await start(world, NODES)
        await fill(world.processes["node-1"].value)
        data = await back_up(world)
        for name in NODES:
            world.crash(name)
        add_node(world, "new-1", ["new-1"], *roles)
        await restore(world, data, "new-1")
        await world.start("new-1")
        await check(world, "new-1")
        system: Any = world.processes["new-1"].value
        assert await add(system, 1) == [2] * len(IDS)
        add_node(world, "new-2", ["new-1"], "web")
        await world.start("new-2")
        if not roles:
            await until(lambda: logs_at(world, "new-1") == [])
        await check(world, "new-2")
        assert await add(system, 1) == [3] * len(IDS)
        with pytest.raises(Mismatch, match="shards"):
            system.spawn(Behaviors.sharded(cart, num_shards=21, role="web"), "cart")

    run(2, main)


def test_a_recovered_cluster_has_them() -> None:
    async def main(world: World) -> None:
        await start(world, NODES)
        await fill(world.processes["node-1"].value)
        for name in NODES:
            world.crash(name)
        recovery = await recover(world, ["node-2", "node-3", "node-1"], "node-1")
        assert not recovery.found.may_lack
        world.processes["node-1"].disk = recovery.disk
        await world.start("node-1")
        await check(world, "node-1")
        assert await add(world.processes["node-1"].value, 1) == [2] * len(IDS)

    run(3, main)


def test_slots_of_a_role_that_nobody_ever_had_are_in_nobodys_way() -> None:
    """Neither is a map's, nor a backup's, nor a recovery's: nothing was ever kept there."""

    async def main(world: World) -> None:
        nodes: dict[str, tuple[str, ...]] = {"node-1": (), "node-2": (), "node-3": ()}
        await start(world, nodes)
        system: Any = world.processes["node-1"].value
        counts = system.distributed().map("counts")
        for key in KEYS:
            await counts.put(key, key)
        await check(world, "node-2")
        async with counts.watch() as watch:
            covered: list[object] = []
            while len(covered) < len(KEYS):
                covered += (await asyncio.wait_for(anext(watch), 10.0)).entries
        data = await back_up(world)
        for name in nodes:
            world.crash(name)
        add_node(world, "new-1", ["new-1"])
        await restore(world, data, "new-1")
        await world.start("new-1")
        await check(world, "new-1")
        recovery = await recover(world, list(nodes), "node-1")
        assert not recovery.found.may_lack and not recovery.found.empty
        world.processes["node-1"].disk = recovery.disk
        await world.start("node-1")
        await check(world, "node-1")

    run(4, main)


def test_which_slots_there_are_is_asked_of_whoever_knows_for_sure() -> None:
    """A node that has not heard yet of the slots of a role does not leave them out of a backup."""

    async def main(world: World) -> None:
        await start(world, NODES)
        await fill(world.processes["node-1"].value)
        leader = node_of(world, "node-1").control_group.leader()
        for name in NODES:
            answer = node_of(world, name).backups._describe()
            assert isinstance(answer, dict) is (name == leader), answer

    run(5, main)


def test_a_slot_of_a_role_whose_members_are_gone_is_no_empty_one() -> None:
    async def main(world: World) -> None:
        await start(world, {"node-1": (), "node-2": (), "node-3": (), "node-4": ("web",)})
        await fill(world.processes["node-1"].value)
        world.crash("node-4")
        with pytest.raises(BackupError, match=f"slot {SETTINGS.slots} was not given within"):
            await back_up(world, timeout_s=5.0)
        for name in ("node-1", "node-2", "node-3"):
            world.crash(name)
        recovery = await recover(world, ["node-1", "node-2", "node-3"], "node-1")
        assert recovery.found.empty == [SETTINGS.slots + number for number in range(SETTINGS.slots)]

    run(6, main)
