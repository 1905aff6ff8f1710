"""What an idle node needs, what a map entry and a held lock take, and whether 100,000 locks leave anything behind.

What they take is how much a node grows, over how many there are: each is on all three nodes. A garbage collection later
it may be less. What a session takes, with its link and a lock: `benchmarks.scale`. Linux (reads ``/proc``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from casty.cli.processes import Cluster
from casty.client import ClusterClient
from casty.distributed.facade import Distributed
from casty.distributed.lock import Lock

__all__ = ["main"]

IDLE_S = 20.0
WORKERS = 64
TIMEOUT_S = 30.0
MEGABYTE = 1024 * 1024
VALUE_BYTES = 100


def resident_bytes(pid: int) -> int:
    """Return what a process has in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"no such process: {pid}")


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _resident(cluster: Cluster) -> dict[str, float]:
    return {
        name: round(resident_bytes(node.pid) / MEGABYTE, 1)
        for name, node in cluster.nodes.items()
        if node.pid is not None
    }


async def _idle_share(cluster: Cluster) -> dict[str, float]:
    """Return the share of a core that each idle node uses."""
    pids = {name: node.pid for name, node in cluster.nodes.items() if node.pid is not None}
    before, began_s = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    await asyncio.sleep(IDLE_S)
    elapsed_s = time.monotonic() - began_s
    return {name: round((cpu_s(pid) - before[name]) / elapsed_s, 4) for name, pid in pids.items()}


async def _worker(d: Distributed, first: int, count: int) -> None:
    for number in range(first, first + count):
        lock = d.lock(f"passing-{number}", timeout=TIMEOUT_S)
        await lock.acquire()
        await lock.release()
        await lock.destroy()


async def _cycles(d: Distributed, first: int, count: int) -> None:
    share = count // WORKERS
    await asyncio.gather(*(_worker(d, first + number * share, share) for number in range(WORKERS)))


async def _filled(d: Distributed, cluster: Cluster, held: list[Lock]) -> dict[str, float]:
    """Return how many bytes a node grows by for each map entry of 100 bytes, and for each lock that is held."""
    entries, count = d.map("entries", timeout=TIMEOUT_S), len(held)

    async def put(first: int) -> None:
        for number in range(first, count, WORKERS):
            await entries.put(f"key-{number:08}", "x" * VALUE_BYTES)

    async def acquire(first: int) -> None:
        for lock in held[first::WORKERS]:
            await lock.acquire()

    taken: dict[str, float] = {}
    for what, fill in (("map_entry_bytes", put), ("held_lock_bytes", acquire)):
        before = _resident(cluster)
        await asyncio.gather(*(fill(first) for first in range(WORKERS)))
        grown = [after - before[name] for name, after in _resident(cluster).items()]
        taken[what] = round(sum(grown) / len(grown) * MEGABYTE / count)
    return taken


async def _run(cycles: int, entries: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="casty-memory-") as folder:
        cluster = Cluster(3, Path(folder), system="bench", extra=("--log-level", "warning"))
        await cluster.start()
        try:
            await asyncio.sleep(1.0)
            result: dict[str, object] = {
                "idle_mb": _resident(cluster),
                "idle_core": await _idle_share(cluster),
            }
            async with ClusterClient(contact_points=cluster.contacts, system_name="bench") as client:
                await client.ready()
                d = client.distributed()
                held = [d.lock(f"held-{number}", timeout=TIMEOUT_S) for number in range(entries)]
                result.update(await _filled(d, cluster, held))
                for part in range(4):
                    await _cycles(d, part * cycles, cycles // 4)
                    result[f"after_{(part + 1) * cycles // 4}_mb"] = _resident(cluster)
            return result
        finally:
            await cluster.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=50_000)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(_run(options.cycles, options.entries)), indent=2))


if __name__ == "__main__":
    main()
