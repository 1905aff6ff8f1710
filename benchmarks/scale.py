"""``python -m benchmarks.scale``: what nodes, clients and idleness cost as a cluster grows.

Three parts. *Processes*: real ``casty node`` processes, all of them founders: how long they take until all are up, how
long one more takes to join, and the processor time of each at rest. *Simulated*: whole clusters in one process on
virtual time, where a hundred nodes fit: the virtual time until all are up, what each node writes to the network a
second at rest (one write has all the frames of a turn for one peer), and the processor time that simulating takes.
*Clients*: three node processes and many clients with one lock each, at rest.

Times by the clock are those of the machine as it is; on a busy one only the processor times and the counts say much.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.memory import resident_bytes
from casty import ClusterClient
from casty.cli.processes import HOST, Cluster, NodeProcess, free_ports
from casty.cli.status import fetch_status
from casty.distributed.lock import Lock
from sim import World

__all__ = ["main", "simulated"]

NAME = "scale"
AT_REST_S = 10.0
SETTLE_S = 15.0
UP_S = 300.0
TICKS = os.sysconf("SC_CLK_TCK")


class Simulated(NamedTuple):
    """What one simulated cluster showed."""

    nodes: int
    formed_s: float
    """Virtual seconds until every node has all as up."""
    formed_cpu_s: float
    formed_writes: float
    """Of one node, until then."""
    writes_a_second: float
    """Of one node, at rest."""
    most_writes_a_second: float
    """Of the node that writes most, at rest: whoever leads the control group."""
    bytes_a_second: float
    links: int
    """Of one node, dialled ones."""
    rest_cpu_s: float
    """Processor seconds that a virtual second at rest took, for the whole cluster."""


class Written:
    """Counts what every process writes to the network."""

    def __init__(self) -> None:
        self.writes: dict[object, int] = {}
        self.size_bytes = 0

    def __call__(self, incarnation: object, data: bytes) -> None:
        self.writes[incarnation] = self.writes.get(incarnation, 0) + 1
        self.size_bytes += len(data)

    def take(self) -> tuple[int, int, int]:
        """Return how many writes there were, how many of the process with most of them, and bytes; begin anew."""
        counts = list(self.writes.values())
        taken = sum(counts), max(counts, default=0), self.size_bytes
        self.writes, self.size_bytes = {}, 0
        return taken


def simulated(nodes: int, rest_s: float = 5.0) -> Simulated:
    """Found a cluster of so many nodes, and watch it at rest.

    Parameters
    ----------
    nodes
        How many.
    rest_s
        How many virtual seconds of rest are watched.
    """
    written = Written()
    with World(1) as world:
        world.network.watchers.append(written)
        # The processor's clock is out of reach while a world steps: it is looked at in between.
        began_s, began_ns = time.process_time(), world.now_ns
        systems: Any = world.run(_formed(world, nodes), limit_s=900.0)
        formed_cpu_s, formed_s = time.process_time() - began_s, (world.now_ns - began_ns) / 1e9
        formed_writes, _, _ = written.take()
        world.run(asyncio.sleep(SETTLE_S), limit_s=900.0)
        written.take()
        began_s = time.process_time()
        world.run(asyncio.sleep(rest_s), limit_s=900.0)
        rest_cpu_s = (time.process_time() - began_s) / rest_s
        writes, most_writes, size_bytes = written.take()
        links = len(systems[0]._node.links.nodes)
    return Simulated(
        nodes, formed_s, formed_cpu_s, formed_writes / nodes, writes / nodes / rest_s, most_writes / rest_s,
        size_bytes / nodes / rest_s, links, rest_cpu_s,
    )  # fmt: skip


async def _formed(world: World, nodes: int) -> Any:
    systems: Any = await world.cluster(nodes)
    while not all(_up(system) == nodes for system in systems):
        await asyncio.sleep(0.1)
    return systems


def _up(system: Any) -> int:
    topology = system._node.topology()
    return 0 if topology is None else sum(row.status == "up" for row in topology.members.values())


def cpu_s(pid: int | None) -> float:
    """Return the processor seconds that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def _all_up(port: int, count: int) -> None:
    async with asyncio.timeout(UP_S):
        while True:
            document = await fetch_status((HOST, port), timeout_s=30.0)
            if sum(row["status"] == "up" for row in document["members"]) == count:
                return
            await asyncio.sleep(0.1)


async def _processes(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ports = free_ports(count + 1)
        nodes = [
            NodeProcess(NAME, f"n{number}", port, ports[:count], Path(folder) / f"{number}.log")
            for number, port in enumerate(ports)
        ]
        try:
            began = time.monotonic()
            await asyncio.gather(*[node.start() for node in nodes[:count]])
            await asyncio.gather(*[node.ready(UP_S) for node in nodes[:count]])
            await _all_up(ports[0], count)
            formed_s = time.monotonic() - began
            await asyncio.sleep(SETTLE_S)
            before = [cpu_s(node.pid) for node in nodes[:count]]
            began = time.monotonic()
            await asyncio.sleep(AT_REST_S)
            passed_s = time.monotonic() - began
            used = [cpu_s(node.pid) - was for node, was in zip(nodes, before, strict=False)]
            began = time.monotonic()
            await nodes[count].start()
            await nodes[count].ready(UP_S)
            await _all_up(ports[0], count + 1)
            joined_s = time.monotonic() - began
        finally:
            for node in nodes:
                await node.kill()
    rest = 100 * sum(used) / len(used) / passed_s
    print(
        f"{count:>5} processes: all up after {formed_s:6.1f} s, one more after {joined_s:5.1f} s, "
        f"at rest {rest:5.2f} % of a core a node, the busiest {100 * max(used) / passed_s:5.2f} %",
        flush=True,
    )


async def _clients(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(3, Path(folder), system=NAME)
        await cluster.start()
        try:
            await asyncio.sleep(SETTLE_S)
            before_bytes = _resident(cluster)
            clients = [ClusterClient(contact_points=cluster.contacts, system_name=NAME) for _ in range(count)]
            for client in clients:
                await client.__aenter__()
            try:
                locks = await _rest_with_locks(cluster, clients)
                grown_bytes = (_resident(cluster) - before_bytes) / len(cluster.nodes) / count
                print(
                    f"{len(locks):>5} clients: a session, with its link and lock, takes {grown_bytes:.0f} bytes a node"
                )
            finally:
                await asyncio.gather(*[client.__aexit__() for client in clients])
        finally:
            await cluster.stop()


def _resident(cluster: Cluster) -> int:
    return sum(resident_bytes(node.pid) for node in cluster.nodes.values() if node.pid is not None)


async def _rest_with_locks(cluster: Cluster, clients: list[ClusterClient]) -> list[Lock]:
    locks = [
        client.distributed().lock(f"lock-{number}", timeout=120.0) for number, client in enumerate(clients)
    ]
    began = time.monotonic()
    for first in range(0, len(locks), 50):
        await asyncio.gather(*[lock.acquire() for lock in locks[first : first + 50]])
    acquired_s = time.monotonic() - began
    await asyncio.sleep(SETTLE_S)
    nodes = list(cluster.nodes.values())
    before, began = [cpu_s(node.pid) for node in nodes], time.monotonic()
    await asyncio.sleep(2 * AT_REST_S)
    passed_s = time.monotonic() - began
    used = [100 * (cpu_s(node.pid) - was) / passed_s for node, was in zip(nodes, before, strict=True)]
    print(
        f"{len(clients):>5} clients with a lock each: acquired within {acquired_s:.1f} s, at rest "
        f"{', '.join(f'{each:.2f}' for each in used)} % of a core a node",
        flush=True,
    )
    return locks


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--processes", type=int, nargs="*", default=[3, 10, 30], metavar="N")
    parser.add_argument("--simulated", type=int, nargs="*", default=[3, 10, 30, 100], metavar="N")
    parser.add_argument("--clients", type=int, nargs="*", default=[1000], metavar="N")
    options = parser.parse_args()
    for count in options.simulated:
        row = simulated(count)
        print(
            f"{row.nodes:>5} simulated: all up after {row.formed_s:5.1f} virtual s ({row.formed_cpu_s:6.2f} s of CPU, "
            f"{row.formed_writes:.0f} writes a node), at rest {row.writes_a_second:7.1f} writes (the busiest "
            f"{row.most_writes_a_second:.1f}) and {row.bytes_a_second:8.0f} bytes a second a node over "
            f"{row.links} links, {row.rest_cpu_s:6.3f} s of CPU a virtual second",
            flush=True,
        )
    for count in options.processes:
        asyncio.run(_processes(count))
    for count in options.clients:
        asyncio.run(_clients(count))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
