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

from casty import ClusterClient
from casty.cli.processes import HOST, Cluster, NodeProcess, free_ports
from casty.cli.status import fetch_status
from sim import World

__all__ = ["main", "simulated"]

NAME = "scale"
AT_REST_S = 10.0
SETTLE_S = 5.0
UP_S = 300.0
TICKS = os.sysconf("SC_CLK_TCK")


class Simulated(NamedTuple):
    """What one simulated cluster showed."""

    nodes: int
    formed_s: float
    """Virtual seconds until every node has all as up."""
    formed_cpu_s: float
    writes_a_second: float
    """Of one node, at rest."""
    bytes_a_second: float
    links: int
    """Of one node, dialled ones."""
    rest_cpu_s: float
    """Processor seconds that a virtual second at rest took, for the whole cluster."""


def simulated(nodes: int, rest_s: float = 5.0) -> Simulated:
    """Found a cluster of so many nodes, and watch it at rest."""
    written = [0, 0]

    def count(_incarnation: object, data: bytes) -> None:
        written[0] += 1
        written[1] += len(data)

    with World(1) as world:
        # The processor's clock is out of reach while a world steps: it is looked at in between.
        began_s, began_ns = time.process_time(), world.now_ns
        systems: Any = world.run(_formed(world, nodes), limit_s=900.0)
        formed_cpu_s, formed_s = time.process_time() - began_s, (world.now_ns - began_ns) / 1e9
        world.run(asyncio.sleep(SETTLE_S), limit_s=900.0)
        world.network.watchers.append(count)
        began_s = time.process_time()
        world.run(asyncio.sleep(rest_s), limit_s=900.0)
        rest_cpu_s = (time.process_time() - began_s) / rest_s
        world.network.watchers.remove(count)
        links = len(systems[0]._node.links.nodes)
    share = nodes * rest_s
    return Simulated(nodes, formed_s, formed_cpu_s, written[0] / share, written[1] / share, links, rest_cpu_s)


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
            clients = [ClusterClient(contact_points=cluster.contacts, system_name=NAME) for _ in range(count)]
            for client in clients:
                await client.__aenter__()
            try:
                await _rest_with_locks(cluster, clients)
            finally:
                await asyncio.gather(*[client.__aexit__() for client in clients])
        finally:
            await cluster.stop()


async def _rest_with_locks(cluster: Cluster, clients: list[ClusterClient]) -> None:
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
            f"{row.nodes:>5} simulated: all up after {row.formed_s:5.1f} virtual s ({row.formed_cpu_s:6.2f} s of CPU), "
            f"at rest {row.writes_a_second:7.1f} writes and {row.bytes_a_second:8.0f} bytes a second a node over "
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
