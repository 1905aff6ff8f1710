"""Nodes with disks: restarts of one, some and all; disks that are lost, old, damaged, full or slow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.cli.health import health_of
from casty.config import Settings
from casty.durable.records import MANIFEST, decode_manifest, log_key
from casty.errors import DiskError, DiskFull
from sim import World
from sim.world.disk import SimDisk

SETTINGS = Settings(slots=2)


def disk_of(world: World, name: str) -> SimDisk:
    disk = world.processes[name].disk
    assert isinstance(disk, SimDisk)
    return disk


def node_of(world: World, name: str) -> Any:
    return world.processes[name].value._node


def replicas(world: World) -> dict[str, str]:
    return {name: node_of(world, name).replica_id for name in world.node_names}


async def found(world: World, nodes: int = 3, **settings: Any) -> Any:
    """Found a cluster on disks, and return the structures of a client."""
    config = Settings(slots=2, **settings)
    await world.cluster(nodes, config=config, data_dir="disk")
    return (await world.client()).distributed()


async def all_again(world: World, *names: str) -> None:
    await asyncio.gather(*[world.start(name) for name in names or world.node_names])


def crash(world: World, *names: str) -> None:
    for name in names or world.node_names:
        world.crash(name)


def run(seed: int, main: Any) -> None:
    with World(seed) as world:
        world.run(main(world), limit_s=300)


@pytest.mark.parametrize("seed", range(9850600, 9850606))
def test_all_nodes_die_at_once_and_everything_acknowledged_is_there(seed: int) -> None:
    async def main(world: World) -> None:
        structures = await found(world)
        counter, table = structures.counter("c"), structures.map("m")
        lock = structures.lock("l")
        await lock.acquire()
        token, before = lock.token, replicas(world)
        generation = node_of(world, "node-1").control.machine.generation
        for number in range(20):
            await counter.increment()
            await table.put(f"k{number}", number)
        crash(world)
        await all_again(world)
        assert replicas(world) == before, "they take part under the names that they had"
        assert node_of(world, "node-1").control.machine.generation == generation
        assert await counter.get() == 20
        assert [await table.get(f"k{number}") for number in range(20)] == list(range(20))
        other = (await world.client()).distributed().lock("l")
        if lock.held:
            assert not await other.try_acquire()
            await lock.release()
        await other.acquire()
        assert token is not None and other.token is not None and other.token > token

    run(seed, main)


def test_a_process_with_a_disk_is_another_process_in_the_same_place() -> None:
    async def main(world: World) -> None:
        await found(world)
        node = node_of(world, "node-2")
        before = (node.key, node.replica_id, node.gateway)
        crash(world, "node-2")
        await world.start("node-2")
        node = node_of(world, "node-2")
        assert node.replica_id == before[1] and node.key != before[0]
        row = node.control.machine.members["node-2"]
        assert row.key == node.key and row.status == "up" and not row.former
        group = node.host.groups[1]
        assert group.core.id == node.replica_id and group.core.commit > 0

    run(9850610, main)


def test_without_a_disk_it_is_a_new_member_and_the_old_disk_is_not_welcome() -> None:
    async def main(world: World) -> None:
        structures = await found(world, start_timeout_s=20.0)
        await structures.counter("c").increment()
        crash(world, "node-2")
        old = disk_of(world, "node-2")
        world.processes["node-2"].disk = None
        await world.start("node-2")
        assert node_of(world, "node-2").replica_id != ""
        crash(world, "node-2")
        world.processes["node-2"].disk = old
        with pytest.raises(TimeoutError, match=r"data directory .* is out of date"):
            await world.start("node-2")
        crash(world, "node-2")
        world.processes["node-2"].disk = None
        await world.start("node-2")
        assert await structures.counter("c").increment() == 2

    run(9850611, main)


def test_an_older_copy_of_the_disk_is_refused() -> None:
    async def main(world: World) -> None:
        await found(world, start_timeout_s=20.0)
        crash(world, "node-3")
        await world.start("node-3")
        crash(world, "node-3")
        disk_of(world, "node-3").go_back()
        with pytest.raises(TimeoutError, match="or this one is a copy"):
            await world.start("node-3")
        for name in ("node-1", "node-2"):
            assert "node-3" not in node_of(world, name).links.nodes, "nobody talks to it"

    run(9850612, main)


def test_a_damaged_replica_is_begun_anew_and_filled_from_the_others() -> None:
    async def main(world: World) -> None:
        structures = await found(world)
        for number in range(10):
            await structures.map("m").put(f"k{number}", number)
        crash(world, "node-1")
        disk = disk_of(world, "node-1")
        disk.damage(log_key(1, 1), 0)
        await world.start("node-1")
        host = node_of(world, "node-1").host
        await world.until(lambda: 1 in host.groups and host.groups[1].core.commit > 0, timeout_s=30)
        node = node_of(world, "node-1")
        assert host.groups[1].core.id == f"{node.replica_id}~1" and host.groups[2].core.id == node.replica_id
        assert decode_manifest(disk.rows[MANIFEST]).groups[1].replica_number == 1
        # It keeps its new name, and what it was told under it.
        crash(world, "node-1")
        await world.start("node-1")
        node = node_of(world, "node-1")
        assert node.host.groups[1].core.id == f"{node.replica_id}~1"
        crash(world, "node-2", "node-3")
        await all_again(world, "node-2", "node-3")
        assert [await structures.map("m").get(f"k{number}") for number in range(10)] == list(range(10))

    run(9850613, main)


def test_a_damaged_control_group_is_filled_from_the_others_too() -> None:
    async def main(world: World) -> None:
        structures = await found(world)
        crash(world, "node-1")
        disk_of(world, "node-1").damage(log_key(0, 1), 1)
        await world.start("node-1")
        node = node_of(world, "node-1")
        assert node.control.machine.is_founded and node.host.groups[0].core.id == f"{node.replica_id}~1"
        assert await structures.counter("c").increment() == 1

    run(9850614, main)


def test_a_disk_of_which_the_first_record_is_damaged_ends_the_start_with_a_word() -> None:
    async def main(world: World) -> None:
        await found(world)
        crash(world, "node-1")
        disk_of(world, "node-1").damage(MANIFEST, 0)
        with pytest.raises(DiskError, match="move it away and start again"):
            await world.start("node-1")

    run(9850615, main)


def test_full_disks_stop_a_node_and_room_brings_its_replicas_back() -> None:
    async def main(world: World) -> None:
        structures = await found(world)
        counter = structures.counter("c")
        assert await counter.increment() == 1
        disk_of(world, "node-1").full = 1
        for number in range(2, 8):
            assert await counter.increment() == number, "a majority goes on"
        node = node_of(world, "node-1")
        await world.until(lambda: not node.host.groups, timeout_s=30)
        assert any("on the disk" in text for text in node.refills.texts), "status says why"
        disk_of(world, "node-1").full = 0
        await world.until(lambda: sorted(node.host.groups) == [0, 1, 2], timeout_s=30)
        assert node.host.groups[1].core.id == node.replica_id, (
            "what it acknowledged is there, so it is the same replica"
        )
        assert world.processes["node-1"].is_up

    run(9850616, main)


def test_when_all_disks_are_full_nothing_is_lost() -> None:
    async def main(world: World) -> None:
        structures = await found(world)
        counter = structures.counter("c")
        for _ in range(5):
            await counter.increment()
        for name in world.node_names:
            disk_of(world, name).full = 1
        with pytest.raises(TimeoutError):
            await structures.counter("c", timeout=2.0).increment()
        await asyncio.sleep(20)
        for name in world.node_names:
            disk_of(world, name).full = 0
        assert await structures.counter("c", timeout=30.0).get() in (5, 6)

    run(9850617, main)


def test_a_full_disk_ends_a_start_with_a_word() -> None:
    async def main(world: World) -> None:
        await found(world)
        crash(world, "node-1")
        disk_of(world, "node-1").full = 1
        with pytest.raises(DiskFull):
            await world.start("node-1")

    run(9850618, main)


def test_a_leader_answers_while_its_own_disk_is_slow() -> None:
    """Its followers write meanwhile, and are a majority without it."""

    async def main(world: World) -> None:
        structures = await found(world)
        counter = structures.counter("c", timeout=5.0)
        await counter.increment()
        slot = next(
            number for number in (1, 2) if node_of(world, "node-1").host.groups[number].core.last_index > 2
        )
        leader = next(name for name in world.node_names if node_of(world, name).host.groups[slot].is_leading)
        disk_of(world, leader).held_ns = 2_000_000_000
        began_ns = world.now_ns
        assert await counter.increment() == 2
        assert world.now_ns - began_ns < 500_000_000
        assert (
            node_of(world, leader).host.groups[slot].core.stable
            < node_of(world, leader).host.groups[slot].core.commit
        )

    run(9850619, main)


def test_the_log_on_the_disk_gives_way_to_snapshots() -> None:
    async def main(world: World) -> None:
        structures = await found(world, snapshot_entries=20, retained_entries=10)
        for number in range(120):
            await structures.map("m").put(f"k{number % 7}", number)
        logs = {
            (name, slot): len(disk_of(world, name).between(log_key(slot, 0), log_key(slot, 1 << 60), 0))
            for name in world.node_names
            for slot in (1, 2)
        }
        assert max(logs.values()) <= 70, logs
        crash(world)
        await all_again(world)
        assert [await structures.map("m").get(f"k{number}") for number in range(7)] == [
            119 - (119 - number) % 7 for number in range(7)
        ]

    run(9850620, main)


def test_a_lone_node_goes_on_alone() -> None:
    async def main(world: World) -> None:
        structures = await found(world, 1)
        for _ in range(3):
            await structures.counter("c").increment()
        for _ in range(3):
            crash(world)
            await all_again(world)
        assert await structures.counter("c").increment() == 4

    run(9850621, main)


@pytest.mark.parametrize("at_s", [0.2, 0.6, 1.0, 1.02, 1.05, 1.1, 1.3])
def test_founders_that_die_in_the_middle_found_one_cluster(at_s: float) -> None:
    async def main(world: World) -> None:
        founding = asyncio.ensure_future(world.cluster(3, config=SETTINGS, data_dir="disk"))
        await asyncio.sleep(at_s)
        names = [f"node-{index + 1}" for index in range(3)]
        crash(world, *[name for name in names if world.processes[name].is_up])
        await asyncio.gather(founding, return_exceptions=True)
        world.node_names = names
        await all_again(world)
        assert len({node_of(world, name).control.machine.cluster_id for name in names}) == 1
        assert await (await world.client()).distributed().counter("c").increment() == 1

    run(9850622, main)


@pytest.mark.parametrize("delay_s", [0.3, 1.2, 1.25])
@pytest.mark.parametrize("seed", [9935200, 9935201])
def test_three_full_disks_while_a_cluster_is_founded_are_no_loss(seed: int, delay_s: float) -> None:
    """What was created and never written is created again; nobody could fill it from others."""

    async def main(world: World) -> None:
        async def fill() -> None:
            await asyncio.sleep(delay_s)
            for change in (1, 0):
                for name in ("node-1", "node-2", "node-3"):
                    disk_of(world, name).full = change
                await asyncio.sleep(6)

        filling = asyncio.ensure_future(fill())
        await world.cluster(3, config=Settings(slots=3), data_dir="disk")
        await filling
        structures = (await world.client()).distributed()
        for number in range(6):
            assert await structures.counter(f"c{number}", timeout=40).increment() == 1
        assert all("~" not in group.core.id for group in node_of(world, "node-1").host.groups.values())

    run(seed, main)


def test_a_broken_disk_ends_a_nodes_part_until_it_is_started_anew_and_status_says_so() -> None:
    async def main(world: World) -> None:
        structures = await found(world)
        counter = structures.counter("c")
        assert await counter.increment() == 1
        disk = disk_of(world, "node-1")
        disk.is_broken = True
        for number in range(2, 8):
            assert await counter.increment() == number, "a majority goes on"
        node = node_of(world, "node-1")
        await world.until(lambda: not node.host.groups, timeout_s=30)
        disk.is_broken = False
        await asyncio.sleep(30)
        status = node.status()
        assert not node.host.groups and status["disk"]["state"] == "broken", "nobody knows what is on it"
        [lack] = [lack for lack in health_of(status).lacks if "disk" in lack]
        assert lack.startswith("the disk of this node failed, start it anew when that is in order: ")
        crash(world, "node-1")
        await world.start("node-1")
        node = node_of(world, "node-1")
        assert node.status()["disk"] == {"state": "ok", "error": None}
        crash(world, "node-2")
        assert await counter.increment() == 8

    run(9935210, main)
