"""Increments, lock cycles and map calls: three node processes, one client process, default settings.

Beside them, in the same run: the raw echo and, where ``redis-server`` and its client library are, Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.echo import run_echo
from benchmarks.measure import Result, measure, table
from benchmarks.redis import run_redis
from casty.cli.processes import Cluster
from casty.client import ClusterClient
from casty.distributed.facade import Distributed
from casty.distributed.lock import Lock

__all__ = ["main", "run_structures"]

TIMEOUT_S = 30.0

Call = Callable[[], Awaitable[object]]


def _shared_counter(d: Distributed, callers: int) -> list[Call]:
    counter = d.counter("shared", timeout=TIMEOUT_S)
    return [counter.increment] * callers


def _own_counters(d: Distributed, callers: int) -> list[Call]:
    return [d.counter(f"own-{number}", timeout=TIMEOUT_S).increment for number in range(callers)]


def _own_locks(d: Distributed, callers: int) -> list[Call]:
    return [_Cycle(d.lock(f"own-{number}", timeout=TIMEOUT_S)) for number in range(callers)]


def _contended_lock(d: Distributed, callers: int) -> list[Call]:
    return [_Cycle(d.lock("contended", timeout=TIMEOUT_S)) for _ in range(callers)]


def _puts(d: Distributed, callers: int) -> list[Call]:
    return [_Put(d, number) for number in range(callers)]


def _gets(d: Distributed, callers: int) -> list[Call]:
    return [_Get(d, number) for number in range(callers)]


class _Cycle:
    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    async def __call__(self) -> None:
        await self._lock.acquire()
        await self._lock.release()


class _Put:
    def __init__(self, d: Distributed, number: int) -> None:
        self._map = d.map[str, int]("values", timeout=TIMEOUT_S)
        self._key = f"key-{number}"
        self._turn = 0

    async def __call__(self) -> None:
        self._turn += 1
        await self._map.put(self._key, self._turn)


class _Get:
    def __init__(self, d: Distributed, number: int) -> None:
        self._map = d.map[str, int]("values", timeout=TIMEOUT_S)
        self._key = f"key-{number}"

    async def __call__(self) -> None:
        await self._map.get(self._key)


WORKLOADS: dict[str, Callable[[Distributed, int], list[Call]]] = {
    "increment, one shared counter": _shared_counter,
    "increment, one counter a caller": _own_counters,
    "lock cycle, one lock a caller": _own_locks,
    "lock cycle, one contended lock": _contended_lock,
    "map put": _puts,
    "map get": _gets,
}


async def run_structures(callers: list[int], seconds: float) -> list[Result]:
    """Start three nodes and measure every workload."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="casty-bench-") as folder:
        cluster = Cluster(3, Path(folder), system="bench", extra=("--log-level", "warning"))
        await cluster.start()
        try:
            async with ClusterClient(contact_points=cluster.contacts, system_name="bench") as client:
                await client.ready()
                for name, workload in WORKLOADS.items():
                    for count in callers:
                        calls = workload(client.distributed(), count)
                        results.append(await measure(name, calls, seconds))
        finally:
            await cluster.stop()
    return results


async def _all(callers: list[int], seconds: float) -> list[Result]:
    assert gc.isenabled(), "measured with the collector on"
    results = await run_echo(callers, seconds)
    results += await run_structures(callers, seconds)
    return results + await run_redis(callers, seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each line of the table")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = asyncio.run(_all(options.callers, options.seconds))
    print(json.dumps([asdict(result) for result in results], indent=2) if options.json else table(results))


if __name__ == "__main__":
    main()
