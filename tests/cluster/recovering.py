"""What tests of recovery share: recover a simulated cluster from the disks of some of its nodes, and start it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from casty.cli.salvage import page_of
from casty.cli.status import open_line
from casty.cluster.recovery.directory import NewCluster
from casty.cluster.recovery.making import (
    NewNode,
    Survey,
    recovered,
    superseded,
    survey,
    write_recovered,
)
from casty.cluster.recovery.renewal import Renewed
from casty.config import Settings
from casty.durable.records import Batch
from sim import World
from sim.world.clusters import NODE_PORT
from sim.world.disk import SimDisk
from sim.world.process import Process

TTL_S = 6.0
SETTINGS = Settings(slots=4, session_ttl_s=TTL_S, max_session_ttl_s=TTL_S, start_timeout_s=20.0)


class DiskRecords:
    """The records of a disk that no process has."""

    def __init__(self, disk: SimDisk) -> None:
        self.disk = disk
        disk.power_up(lambda bound: bound - 1)

    async def read(self, first: bytes, behind: bytes, most: int = 0) -> list[tuple[bytes, bytes]]:
        return self.disk.between(first, behind, most)

    async def write(self, batch: Batch) -> None:
        self.disk.apply(batch.changes)


def disk_of(world: World, name: str) -> SimDisk:
    disk = world.processes[name].disk
    assert isinstance(disk, SimDisk)
    return disk


def new_node(name: str, serial: int = 0) -> NewNode:
    count = [0]

    def mark() -> bytes:
        count[0] += 1
        return b"mark-%d-%d" % (serial, count[0])

    return NewNode(name, name, NODE_PORT, f"recovered-{serial}", f"disk-{serial}", 1, mark)


class Recovery:
    """One recovery: what was found, what was made, and the disk of the new cluster."""

    def __init__(self, found: Survey, new: NewCluster, what: Renewed, disk: SimDisk) -> None:
        self.found = found
        self.new = new
        self.what = what
        self.disk = disk


async def recover(
    world: World, survivors: Sequence[str], on: str, *, serial: int = 0, again: bool = False
) -> Recovery:
    """Make a new generation out of the disks of nodes that do not run; it begins on the machine `on`."""
    sources = [(name, DiskRecords(disk_of(world, name))) for name in survivors]
    found = await survey(sources, again=again)
    node = new_node(on, serial)
    new = recovered(found, node)
    made = DiskRecords(SimDisk())
    what = await write_recovered(found, [records for _, records in sources], new, node, made.write)
    for survivor, (_, records) in zip(found.survivors, sources, strict=True):
        await records.write(superseded(survivor, new))
    return Recovery(found, new, what, made.disk)


async def start_recovered(world: World, recovery: Recovery, on: str) -> Any:
    """Start the first node of the new generation."""
    world.processes[on].disk = recovery.disk
    return await world.start(on)


def node_of(world: World, name: str) -> Any:
    return world.processes[name].value._node  # type: ignore[attr-defined]


def run(seed: int, main: Any, limit_s: float = 300) -> None:
    with World(seed) as world:
        world.run(main(world), limit_s=limit_s)


def on_disk(name: str) -> Any:
    """Return the setup of a node with a data directory that knows no other."""

    async def setup(process: Process) -> Any:
        from casty.system import ClusteredActorSystem

        system = ClusteredActorSystem(
            name="sim", host=name, port=NODE_PORT, node_id=process.node_id, seed_nodes=[(name, NODE_PORT)],
            config=SETTINGS, data_dir="disk",
        )  # fmt: skip
        return await system.__aenter__()

    return setup


async def salvage(world: World, name: str) -> list[tuple[bytes, bytes]]:
    """Take what a node without a disk has, as ``casty salvage`` does, on a machine of its own."""
    rows: list[tuple[bytes, bytes]] = []

    async def setup(process: Process) -> None:
        del process
        line = open_line((name, NODE_PORT), None, None)
        number, is_last = 0, False
        try:
            while not is_last:
                page, is_last = await page_of(line, number, 10.0)
                rows.extend((key, value) for key, value in page)
                number += 1
        finally:
            line.close()

    operator = f"operator-{len(world.processes)}"
    world.add_node(operator, setup)
    await world.start(operator)
    return rows
