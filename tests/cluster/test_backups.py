"""Backups of living clusters, and new clusters out of them: of one index, with everything but what was held."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from typing import Any

import pytest

from casty.cli.backup import Backup
from casty.cli.status import fetch_status, open_line
from casty.cluster.recovery.backup_file import read_records
from casty.cluster.recovery.making import Restoring
from casty.cluster.slots.machine import FORMER, MachineLimits, SlotMachine
from casty.cluster.slots.replica import SlotReplica
from casty.config import Settings
from casty.consensus import Core, Entry
from casty.distributed.machines.registry import STRUCTURES
from casty.errors import BackupError
from sim import World
from sim.world.clusters import NODE_PORT
from sim.world.disk import SimDisk
from sim.world.process import Process
from tests.cluster.recovering import SETTINGS, DiskRecords, new_node, node_of, on_disk, run


async def back_up(world: World, timeout_s: float = 20.0) -> bytes:
    """Make a backup on a machine of its own."""
    written: list[bytes] = []

    async def setup(process: Process) -> object:
        del process
        file = io.BytesIO()
        contact = ("node-1", NODE_PORT)
        ask = partial(fetch_status, contact, config=None, secrets=None)
        line = partial(open_line, config=None, secrets=None)
        backup = Backup(file, line, ask, contact, timeout_s)
        try:
            await backup.run()
        finally:
            backup.close()
        written.append(file.getvalue())
        return None

    name = f"operator-{len(world.processes)}"
    world.add_node(name, setup)
    await world.start(name)
    return written[0]


def slots_of(data: bytes) -> dict[int, tuple[int, SlotMachine]]:
    """Return the index and the state of each slot in a backup."""
    found: dict[int, tuple[int, SlotMachine]] = {}
    index, slot = 0, -1
    for kind, *fields in read_records(io.BytesIO(data).read):
        if kind == "slot":
            slot, index = fields[0], fields[2]
            machine = SlotMachine(MachineLimits(), 1)
            load = machine.begin_load()
        elif kind == "part":
            load.take(fields[0])
        elif kind == "end":
            load.finish()
            found[slot] = (index, machine)
    return found


async def restore(world: World, data: bytes, name: str, serial: int = 0) -> Any:
    """Start a new cluster out of a backup, on a machine of its own."""
    made = DiskRecords(SimDisk())
    restoring = Restoring(read_records(io.BytesIO(data).read), new_node(name, serial))
    what = await restoring.write(made.write)

    world.add_node(name, on_disk(name))
    world.processes[name].disk = made.disk
    await world.start(name)
    return what


def test_everything_is_in_a_backup_but_what_was_held() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        structures = (await world.client()).distributed()
        for number in range(60):
            await structures.map("m").put(f"k{number}", number)
            await structures.set("s").add(number)
            await structures.queue("q").enqueue(number)
        await structures.counter("c").increment(2**70)
        await structures.queue("q").dequeue()
        semaphore, lock = structures.semaphore("sem", 3), structures.lock("l")
        await semaphore.acquire()
        await lock.acquire()
        token = lock.token
        waiting = asyncio.ensure_future((await world.client()).distributed().lock("l", timeout=200).acquire())
        await asyncio.sleep(1)
        data = await back_up(world)
        for name in list(world.node_names):
            world.crash(name)
        waiting.cancel()
        what = await restore(world, data, "new-1")
        assert (what.holds, what.waiting) == (2, 1), "it says what is not taken over"
        world.node_names[:] = ["new-1"]
        restored = (await world.client()).distributed()
        assert [await restored.map("m", timeout=30).get(f"k{number}") for number in range(60)] == list(
            range(60)
        )
        assert all([await restored.set("s").contains(number) for number in range(60)])
        assert [await restored.queue("q").dequeue() for _ in range(60)] == [*range(1, 60), None]
        assert await restored.counter("c").get() == 2**70
        other = restored.lock("l", timeout=30)
        await other.acquire()
        assert token is not None and other.token is not None and other.token > token
        assert other.held and not lock.held
        permits = restored.semaphore("sem", 3, timeout=30)
        for _ in range(3):
            await permits.acquire()

    run(9935100, main)


@pytest.mark.parametrize("seed", range(9935110, 9935114))
def test_each_slot_is_of_the_one_index_that_it_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What every slot was after each entry is written down; the backup, made in small parts, is one of these."""

    states: dict[tuple[int, int], bytes] = {}
    apply = SlotReplica.apply

    def applied(replica: SlotReplica, index: int, entry: Entry) -> None:
        apply(replica, index, entry)
        states[replica._slot, index] = _plain(replica.machine)

    async def main(world: World) -> None:
        settings = Settings(slots=2, snapshot_chunk_bytes=4096)
        await world.cluster(3, config=settings)
        structures = (await world.client()).distributed()
        for number in range(120):
            await structures.map("m").put(f"k{number}", b"x" * 300)
        is_over = False

        async def churn() -> None:
            number = 0
            while not is_over:
                number += 1
                await structures.map("m").put(f"k{number % 120}", number)
                await structures.map("m").delete(f"k{(number * 7) % 120}")
                await structures.counter("c").increment()

        work = asyncio.ensure_future(churn())
        await asyncio.sleep(0.5)
        data = await back_up(world)
        is_over = True
        await work
        found = slots_of(data)
        assert len(found) == 2
        for slot, (index, machine) in found.items():
            assert _plain(machine) == states[slot, index], f"slot {slot} is not what it was at {index}"

    monkeypatch.setattr(SlotReplica, "apply", applied)
    run(seed, main)


def _plain(machine: SlotMachine) -> bytes:
    entities: list[object] = []
    for kind, name in sorted(machine.entities):
        frozen = STRUCTURES[kind].freeze(machine.entities[kind, name])
        entities.append((kind, name, frozen.head, [table[:] for table in frozen.tables]))
    return repr((machine.numbers, sorted(machine.sessions), entities)).encode()


@pytest.mark.parametrize("seed", range(9935120, 9935124))
def test_a_backup_goes_on_when_a_leader_dies_and_is_of_what_was_acknowledged(seed: int) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=Settings(slots=4, snapshot_chunk_bytes=4096))
        structures = (await world.client()).distributed()
        for number in range(200):
            await structures.map("m").put(f"k{number}", b"x" * 200)
        copying = asyncio.ensure_future(back_up(world))
        await asyncio.sleep(0.02)
        world.crash("node-3")
        data = await copying
        found = slots_of(data)
        assert sum(len(machine.entities) for _, machine in found.values()) == 200
        assert sorted(found) == [0, 1, 2, 3]

    run(seed, main)


def test_without_a_majority_there_is_no_backup_and_it_says_what_lacks_it() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        world.crash("node-2")
        world.crash("node-3")
        await asyncio.sleep(5)
        with pytest.raises(
            BackupError, match=r"what cluster this is was not given within .* the control group has no leader"
        ):
            await back_up(world, timeout_s=5.0)

    run(9935130, main)


def test_a_dump_that_nobody_asks_on_with_ends_and_a_peer_can_be_filled_meanwhile() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        structures = (await world.client()).distributed()
        for number in range(100):
            await structures.map("m").put(f"k{number}", b"x" * 100)
        node = next(
            node_of(world, name)
            for name in world.node_names
            if node_of(world, name).host.groups[1].is_leading
        )
        link = _Link()
        assert len(node.backups._answer(link, 0, 0)) == 5 or node.backups._running
        backups, replica = node.backups, node.requests.slots[0]
        backups._begin(link, 0)
        other = replica.begin_dump()  # as for a peer that is far behind
        other.close()
        assert replica.machine._dump is not None, "the backup's goes on"
        await asyncio.sleep(61)
        assert replica.machine._dump is None and not backups._running

    run(9935140, main)


def test_two_dumps_of_one_slot_are_each_of_their_own_index() -> None:
    async def main(world: World) -> None:
        await world.cluster(1, config=Settings(slots=1))
        structures = (await world.client()).distributed()
        for number in range(20):
            await structures.map("m").put(f"k{number}", number)
        machine = node_of(world, "node-1").requests.slots[0].machine
        before = _plain(machine)
        first = machine.begin_dump(4096)
        for number in range(10):
            await structures.map("m").put(f"k{number}", -number)
        between = _plain(machine)
        second = machine.begin_dump(4096)
        for number in range(20):
            await structures.map("m").delete(f"k{number}")
        for dump, state in ((second, between), (first, before)):
            copy = SlotMachine(MachineLimits(), 1)
            load, is_last = copy.begin_load(), False
            while not is_last:
                part, is_last = dump.next_part()
                load.take(part)
            load.finish()
            dump.close()
            assert _plain(copy) == state
        assert machine._dump is None

    run(9935160, main)


def test_only_who_leads_a_slot_hands_it_out_and_only_in_one_leadership(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=Settings(slots=1, snapshot_chunk_bytes=4096))
        structures = (await world.client()).distributed()
        for number in range(100):
            await structures.map("m").put(f"k{number}", b"x" * 200)
        nodes = {name: node_of(world, name) for name in world.node_names}
        [leader] = [name for name, node in nodes.items() if node.host.groups[1].is_leading]
        for name, node in nodes.items():
            answer = node.backups._answer(_Link(), 0, 0)
            assert (len(answer) == 5) is (name == leader), answer
        link = _Link()
        backups = nodes[leader].backups
        with monkeypatch.context() as patch:
            patch.setattr(Core, "lease_until_ns", lambda core: 0)
            [text] = backups._answer(link, 0, 0)
            assert "is not sure of it; ask its leader" in text, (
                "others may lead by now, and have acknowledged more"
            )
        assert backups._answer(link, 0, 0)[4] is False
        cut = world.isolate(leader)
        await world.until(lambda: not nodes[leader].host.groups[1].is_leading, timeout_s=20)
        cut.heal()
        await asyncio.sleep(10)
        assert backups._answer(link, 0, 1) == [
            "the leadership is over; ask the slot's leader, from part 0 on"
        ]
        assert not backups._running.get(link)

    run(9935170, main)


class _Link:
    is_open = True

    def send(self, kind: int, body: bytes) -> bool:
        del kind, body
        return True


def test_restored_slots_are_closed_for_one_time_to_live() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        data = await back_up(world)
        await restore(world, data, "new-1")
        slots = node_of(world, "new-1").requests.slots
        assert all(FORMER in replica.machine.sessions for replica in slots.values())
        await world.until(
            lambda: not any(FORMER in replica.machine.sessions for replica in slots.values()), timeout_s=12
        )

    run(9935150, main)
