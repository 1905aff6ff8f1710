"""What a disk costs: increments, map puts and lock cycles on three nodes with data directories, and in memory.

Both clusters run at the same time and are measured in turn, line by line, so that whatever else the machine does meets
both. Beside them stands what the disk itself takes: 4 KiB written and synced, again and again, by one process, and
where it is installed, etcd with three members on that disk. The three nodes share the disk here; on machines of their
own each has its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.etcd import CALLS, Etcd, missing_for_etcd
from benchmarks.measure import Result, measure, quantile, table
from benchmarks.structures import WORKLOADS, Call
from casty.cli.processes import Cluster
from casty.client import ClusterClient
from casty.distributed.facade import Distributed

__all__ = ["main", "run_durable", "sync_times_ms"]

MEASURED = (
    "increment, one shared counter",
    "increment, one counter a caller",
    "map put",
    "lock cycle, one lock a caller",
)
SYNCS = 300
PAGE_BYTES = 4096

Workload = Callable[[Distributed, int], list[Call]]


def sync_times_ms(folder: Path, count: int = SYNCS) -> list[float]:
    """Return how long it takes to append a page to a file and sync it, so many times."""
    times_ms: list[float] = []
    descriptor = os.open(folder / "syncs", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for _ in range(count):
            began_s = time.perf_counter()
            os.write(descriptor, bytes(PAGE_BYTES))
            os.fdatasync(descriptor)
            times_ms.append((time.perf_counter() - began_s) * 1e3)
    finally:
        os.close(descriptor)
    return times_ms


class Measured(NamedTuple):
    """The lines of all, and why a row of them is not there."""

    results: list[Result]
    etcd: list[Result]
    skipped: str | None


async def run_durable(callers: list[int], seconds: float, folder: Path) -> Measured:
    """Measure every workload on both clusters, and on etcd; lines of one workload follow each other."""
    words = ("--log-level", "warning")
    clusters = {
        "memory": Cluster(3, folder, system="memory", extra=words, names=("m1", "m2", "m3")),
        "disk": Cluster(
            3, folder, system="disk", extra=words, names=("d1", "d2", "d3"), data=folder / "data"
        ),
    }
    results, compared = list[Result](), list[Result]()
    missing = missing_for_etcd()
    etcd = Etcd(folder / "etcd") if missing is None else None
    try:
        for cluster in clusters.values():
            await cluster.start()
        if etcd is not None:
            await etcd.start()
        for name in MEASURED:
            for count in callers:
                for where, cluster in clusters.items():
                    results.append(await _line(f"{where}: {name}", WORKLOADS[name], cluster, count, seconds))
                if etcd is not None and name in CALLS:
                    compared.append(await etcd.line(name, count, seconds))
    finally:
        if etcd is not None:
            await etcd.stop()
        for cluster in clusters.values():
            await cluster.stop()
    return Measured(
        results, compared, None if missing is None else f"no comparison with etcd: {missing} is missing"
    )


async def _line(name: str, workload: Workload, cluster: Cluster, callers: int, seconds: float) -> Result:
    async with ClusterClient(contact_points=cluster.contacts, system_name=cluster.system) as client:
        await client.ready()
        return await measure(name, workload(client.distributed(), callers), seconds)


def _ratios(results: list[Result]) -> str:
    """Return what share of the speed in memory is left on the disk."""
    lines = []
    for memory, disk in zip(results[::2], results[1::2], strict=True):
        share = disk.per_second / memory.per_second
        lines.append(f"{disk.name[6:]:<36} {disk.callers:>7} {share:>11.2f} of the speed in memory")
    return "\n".join(lines)


def _against_etcd(measured: Measured) -> str:
    """Return how many times as fast as etcd we are on the disk, line by line."""
    if measured.skipped is not None:
        return measured.skipped
    ours = {(result.name[6:], result.callers): result for result in measured.results[1::2]}
    lines = []
    for theirs in measured.etcd:
        times = ours[theirs.name[6:], theirs.callers].per_second / theirs.per_second
        lines.append(f"{theirs.name[6:]:<36} {theirs.callers:>7} {times:>11.2f} times etcd")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each line of the table")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument(
        "--folder", type=Path, help="where the disk is that is meant; default: that of temporary files"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="casty-bench-", dir=options.folder) as name:
        syncs = sync_times_ms(Path(name))
        measured = asyncio.run(run_durable(options.callers, options.seconds, Path(name)))
        syncs += sync_times_ms(Path(name))
    times = {"median_ms": quantile(syncs, 0.5), "p99_ms": quantile(syncs, 0.99)}
    if options.json:
        rows = [asdict(result) for result in (*measured.results, *measured.etcd)]
        print(json.dumps({"sync": times, "results": rows, "etcd_skipped": measured.skipped}, indent=2))
        return
    print(
        f"the disk: a page is synced in {times['median_ms']:.2f} ms (median), {times['p99_ms']:.2f} ms (p99)"
    )
    print(table([*measured.results, *measured.etcd]))
    print(_ratios(measured.results))
    print(_against_etcd(measured))


if __name__ == "__main__":
    main()
