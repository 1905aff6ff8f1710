"""A new generation out of survivors: who knows most, what may be lost, locks, tokens, and nodes that come back late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.cluster.slots.machine import FORMER
from casty.errors import DiskError, NotStarted, RecoveryError, Superseded, Unavailable
from sim import World
from sim.world.disk import SimDisk
from tests.cluster.recovering import (
    SETTINGS,
    TTL_S,
    disk_of,
    node_of,
    on_disk,
    recover,
    run,
    salvage,
    start_recovered,
)

NAMES = ("node-1", "node-2", "node-3")


async def found(world: World, nodes: int = 3) -> None:
    await world.cluster(nodes, config=SETTINGS, data_dir="disk")


def crash(world: World, *names: str) -> None:
    for name in names:
        world.crash(name)


async def until_superseded(world: World, system: Any) -> None:
    await world.until(lambda: system.is_superseded, timeout_s=20)


async def blank(world: World, *names: str) -> None:
    """Start nodes with empty disks, which join."""
    for name in names:
        world.processes[name].disk = None
        await world.start(name)


@pytest.mark.parametrize("seed", range(9935000, 9935004))
def test_the_most_advanced_survivor_is_taken_and_nothing_acknowledged_is_lost(seed: int) -> None:
    async def main(world: World) -> None:
        await found(world)
        structures = (await world.client()).distributed()
        await structures.counter("c").increment()
        # One survivor lags behind, slot by slot; the third node is lost for good.
        cut = world.partition(["node-2"], ["node-1", "node-3", "client-1"])
        for number in range(30):
            await structures.counter("c").increment()
            await structures.map("m").put(f"k{number}", number)
        crash(world, *NAMES)
        cut.heal()
        recovery = await recover(world, ["node-2", "node-1"], "node-1")
        assert not recovery.found.may_lack, "two of three: each majority has a survivor"
        assert {report.chosen for report in recovery.found.reports[1:]} == {1}, "node-1 knows more"
        await start_recovered(world, recovery, "node-1")
        await blank(world, "node-2", "node-3")
        structures = (await world.client()).distributed()
        assert await structures.counter("c", timeout=30).get() == 31
        assert [await structures.map("m").get(f"k{number}") for number in range(30)] == list(range(30))

    run(seed, main)


@pytest.mark.parametrize("seed", range(9935010, 9935014))
def test_after_the_loss_of_two_of_three_for_good_a_lock_has_one_holder_and_tokens_grow(seed: int) -> None:
    async def main(world: World) -> None:
        await found(world)
        client = await world.client()
        lock, tokens = client.distributed().lock("l", timeout=30.0), list[int]()
        for _ in range(3):
            await lock.acquire()
            tokens.append(lock.token or 0)
            await lock.release()
        # The survivor never hears of the last grant.
        cut = world.partition(["node-2"], ["node-1", "node-3", "client-1"])
        await lock.acquire()
        tokens.append(lock.token or 0)
        crash(world, *NAMES)
        cut.heal()
        recovery = await recover(world, ["node-2"], "node-2")
        assert recovery.found.may_lack, "what only two lost ones stored was acknowledged"
        assert recovery.new.generation > recovery.found.control.generation
        await start_recovered(world, recovery, "node-2")
        rival = (await world.client()).distributed().lock("l", timeout=40.0)
        await rival.acquire()
        assert not lock.held, "its holder knew in time that it is lost"
        tokens.append(rival.token or 0)
        assert tokens == sorted(set(tokens))
        await rival.release()
        await lock.acquire()
        assert lock.token is not None and lock.token > tokens[-1], "its client goes on by itself"

    run(seed, main)


def test_a_closed_slot_says_so_and_opens_after_one_time_to_live() -> None:
    async def main(world: World) -> None:
        await found(world)
        crash(world, *NAMES)
        recovery = await recover(world, NAMES, "node-1")
        await start_recovered(world, recovery, "node-1")
        structures = (await world.client()).distributed()
        with pytest.raises(Unavailable, match="holders of the former generation may live"):
            await structures.lock("l", timeout=TTL_S / 3).acquire()
        with pytest.raises(Unavailable, match="holders of the former generation"):
            await structures.semaphore("s", 2, timeout=TTL_S / 3).acquire()
        assert await structures.counter("c").increment() == 1, "only what excludes others is closed"
        node = node_of(world, "node-1")
        assert node.status()["closed"] == [0, 1, 2, 3] and node.status()["sessions"] < 4
        await structures.lock("l", timeout=2 * TTL_S).acquire()
        machines = [replica.machine for replica in node.requests.slots.values()]
        await world.until(lambda: all(FORMER not in machine.sessions for machine in machines), timeout_s=5)
        assert node.status()["closed"] == []

    run(9935020, main)


@pytest.mark.parametrize("seed", range(9935030, 9935036))
def test_a_majority_of_the_old_generation_that_comes_back_ends_and_serves_nobody(seed: int) -> None:
    async def main(world: World) -> None:
        await found(world)
        structures = (await world.client()).distributed()
        await structures.counter("c").increment()
        crash(world, *NAMES)
        old = {name: disk_of(world, name) for name in NAMES}
        recovery = await recover(world, ["node-2"], "node-2")
        await start_recovered(world, recovery, "node-2")
        assert await structures.counter("c", timeout=30).increment() == 2
        # Two of three, with all that they knew: alone they would elect a leader among them.
        ends = await asyncio.gather(world.start("node-1"), world.start("node-3"), return_exceptions=True)
        assert all(isinstance(end, Superseded) for end in ends), ends
        for name in ("node-1", "node-3"):
            world.crash(name)
            assert world.processes[name].disk is old[name]
            with pytest.raises(DiskError, match="is out of use"):
                await world.start(name)
            world.crash(name)
        await blank(world, "node-1", "node-3")
        assert await structures.counter("c").increment() == 3

    run(seed, main)


@pytest.mark.parametrize("seed", range(9935040, 9935044))
def test_old_nodes_that_were_only_cut_off_end_when_they_meet_the_new_generation(seed: int) -> None:
    """The operator was wrong: the others lived, and served. They end, also where the new one is at another address."""

    async def main(world: World) -> None:
        await found(world)
        await world.client()
        setup = world.processes["node-2"].setup
        assert setup is not None
        world.add_node("node-9", setup)
        world.crash("node-2")
        disk = disk_of(world, "node-2")
        sides = (["node-9", "node-2"], ["node-1", "node-3", "client-1"])
        cut = world.partition(*sides)
        recovery = await recover(world, ["node-2"], "node-9", serial=int(seed))
        await start_recovered(world, recovery, "node-9")
        structures = world.processes["client-1"].value.distributed()  # type: ignore[attr-defined]
        assert await structures.counter("c", timeout=30).increment() == 1, "nobody can tell them"
        cut.heal()
        for name in ("node-1", "node-3"):
            system: Any = world.processes[name].value
            await until_superseded(world, system)
            with pytest.raises(NotStarted):
                system.distributed()
        assert disk.rows

    run(seed, main)


@pytest.mark.parametrize("seed", range(9935050, 9935054))
def test_of_two_recoveries_on_two_sides_of_a_cut_one_goes_on(seed: int) -> None:
    async def main(world: World) -> None:
        await found(world)
        crash(world, *NAMES)
        cut = world.partition(["node-1"], ["node-2"])
        first = await recover(world, ["node-1"], "node-1", serial=1)
        second = await recover(world, ["node-2"], "node-2", serial=2)
        await asyncio.gather(
            start_recovered(world, first, "node-1"), start_recovered(world, second, "node-2")
        )
        cut.heal()
        # Equal generations: the cluster id decides.
        assert first.new.generation == second.new.generation
        loser: Any = world.processes["node-1"].value
        await world.until(lambda: loser.is_superseded, timeout_s=20)
        await asyncio.sleep(10)
        assert not node_of(world, "node-2").succession.successor
        structures = (await world.client()).distributed()
        assert await structures.counter("c", timeout=30).increment() == 1

    run(seed, main)


def test_a_recovery_is_made_once_unless_it_was_interrupted() -> None:
    async def main(world: World) -> None:
        await found(world)
        structures = (await world.client()).distributed()
        assert await structures.counter("c").increment() == 1
        crash(world, *NAMES)
        first = await recover(world, ["node-1"], "node-1", serial=1)
        with pytest.raises(RecoveryError, match="was recovered from it before"):
            await recover(world, ["node-1"], "node-1", serial=2)
        # The first one was interrupted before its directory was in its place; another survivor turned up.
        second = await recover(world, ["node-1", "node-3"], "node-1", serial=3, again=True)
        assert second.new.generation > first.new.generation, "its tokens are above those of the first"
        await start_recovered(world, second, "node-1")
        structures = (await world.client()).distributed()
        assert await structures.counter("c", timeout=30).increment() == 2

    run(9935060, main)


def test_a_restart_of_the_new_generation_forgets_nothing_and_still_ends_the_old_one() -> None:
    async def main(world: World) -> None:
        await found(world)
        crash(world, *NAMES)
        recovery = await recover(world, ["node-1"], "node-1")
        await start_recovered(world, recovery, "node-1")
        await blank(world, "node-2")
        structures = (await world.client()).distributed()
        assert await structures.counter("c", timeout=30).increment() == 1
        crash(world, "node-1", "node-2")
        ends = await asyncio.gather(
            world.start("node-3"), world.start("node-1"), world.start("node-2"), return_exceptions=True
        )
        assert isinstance(ends[0], Superseded) and not any(isinstance(end, Exception) for end in ends[1:]), (
            ends
        )
        assert await structures.counter("c", timeout=30).increment() == 2
        machine = node_of(world, "node-2").control.machine
        assert machine.former == ((recovery.found.control.cluster_id, recovery.found.control.generation),)

    run(9935070, main)


def test_what_does_not_belong_together_is_refused_by_name() -> None:
    async def main(world: World) -> None:
        await found(world)
        crash(world, *NAMES)
        name = "node-1"
        world.processes["node-2"].disk = None
        world.processes["node-3"].disk = None
        await asyncio.gather(world.start("node-2"), world.start("node-3"), return_exceptions=True)
        crash(world, "node-2", "node-3")
        with pytest.raises(RecoveryError, match="expected the directory of a member"):
            await recover(world, [name, "node-2"], name)

    run(9935080, main)


@pytest.mark.parametrize("seed", range(9935090, 9935094))
def test_a_survivor_without_a_disk_hands_over_what_it_has_and_ends(seed: int) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        structures = (await world.client()).distributed()
        for number in range(20):
            await structures.counter("c").increment()
            await structures.queue("q").enqueue(number)
        with pytest.raises(RecoveryError, match="every group of node node-1 has a leader"):
            await salvage(world, "node-1")
        world.crash("node-2")
        world.crash("node-3")
        system: Any = world.processes["node-1"].value
        await world.until(lambda: bool(node_of(world, "node-1").group_health.texts), timeout_s=15)
        rows = await salvage(world, "node-1")
        assert not node_of(world, "node-1").host.groups, "nothing is promised any more"
        await world.until(system._stopped.is_set, timeout_s=60)
        world.crash("node-1")
        disk = SimDisk()
        disk.apply([(key, None, value) for key, value in rows])
        world.processes["node-1"].disk = disk
        world.add_node("node-4", on_disk("node-4"))
        recovery = await recover(world, ["node-1"], "node-4")
        assert recovery.found.may_lack
        await start_recovered(world, recovery, "node-4")
        world.node_names[:] = ["node-4"]
        structures = (await world.client()).distributed()
        assert await structures.counter("c", timeout=30).get() == 20
        assert [await structures.queue("q").dequeue() for _ in range(21)] == [*range(20), None]

    run(seed, main)
