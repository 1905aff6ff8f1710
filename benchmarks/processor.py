"""What one operation costs in processor time: three nodes and a client in one process, so that all of it is counted.

On a busy machine times by the clock say little. Here each row is measured in many short slices of processor time, and
``--against PATH`` runs the same slices on another checkout, one after the other in turn, so that whatever disturbs
one disturbs both: the medians of the ratios are good to a few percent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from casty.client import ClusterClient
from casty.distributed.facade import Distributed
from casty.distributed.lock import Lock
from casty.system import ClusteredActorSystem

# Imports nothing of this folder: it is run by its path, for another checkout's `casty` to be found first.

__all__ = ["main"]

TIMEOUT_S = 30.0
Call = Callable[[], Awaitable[object]]


def _cycle(lock: Lock) -> Call:
    async def cycle() -> None:
        await lock.acquire()
        await lock.release()

    return cycle


def _own(d: Distributed, callers: int) -> list[Call]:
    return [d.counter(f"own-{number}", timeout=TIMEOUT_S).increment for number in range(callers)]


def _shared(d: Distributed, callers: int) -> list[Call]:
    return [d.counter("shared", timeout=TIMEOUT_S).increment] * callers


def _own_locks(d: Distributed, callers: int) -> list[Call]:
    return [_cycle(d.lock(f"own-{number}", timeout=TIMEOUT_S)) for number in range(callers)]


def _contended(d: Distributed, callers: int) -> list[Call]:
    return [_cycle(d.lock("contended", timeout=TIMEOUT_S)) for _ in range(callers)]


def _puts(d: Distributed, callers: int) -> list[Call]:
    values, turns = d.map[str, int]("values", timeout=TIMEOUT_S), itertools.count()

    def put(key: str) -> Call:
        return lambda: values.put(key, next(turns))

    return [put(f"key-{number}") for number in range(callers)]


def _gets(d: Distributed, callers: int) -> list[Call]:
    values = d.map[str, int]("values", timeout=TIMEOUT_S)

    def get(key: str) -> Call:
        return lambda: values.get(key)

    return [get(f"key-{number}") for number in range(callers)]


def _queues(d: Distributed, callers: int) -> list[Call]:
    def cycle(number: int) -> Call:
        queue = d.queue[int](f"queue-{number}", timeout=TIMEOUT_S)

        async def put_and_take() -> None:
            await queue.enqueue(number)
            await queue.dequeue()

        return put_and_take

    return [cycle(number) for number in range(callers)]


ROWS: dict[str, Callable[[Distributed, int], list[Call]]] = {
    "increment, one counter a caller": _own,
    "increment, one shared counter": _shared,
    "lock cycle, one lock a caller": _own_locks,
    "lock cycle, one contended lock": _contended,
    "map put": _puts,
    "map get": _gets,
    "queue put and take": _queues,
}


async def _slice(calls: list[Call], rounds: int) -> float:
    """Return the microseconds of processor time of one call, where each caller calls `rounds` times."""

    async def caller(call: Call) -> None:
        for _ in range(rounds):
            await call()

    gc.collect()
    began_ns = time.process_time_ns()
    await asyncio.gather(*(caller(call) for call in calls))
    return (time.process_time_ns() - began_ns) / (rounds * len(calls)) / 1e3


@contextlib.asynccontextmanager
async def _cluster(nodes: int) -> AsyncGenerator[Distributed, None]:
    with contextlib.ExitStack() as sockets:
        bound = [sockets.enter_context(socket.socket()) for _ in range(nodes)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        seeds = [("127.0.0.1", one.getsockname()[1]) for one in bound]
    async with contextlib.AsyncExitStack() as stack:
        members = [
            ClusteredActorSystem(name="processor", host=host, port=port, seed_nodes=seeds)
            for host, port in seeds
        ]
        await asyncio.gather(*(stack.enter_async_context(member) for member in members))
        client = ClusterClient(contact_points=seeds, system_name="processor")
        async with client:
            await client.ready()
            yield client.distributed()


async def _serve(options: argparse.Namespace) -> None:
    """Answer each line, the name of a row, with the cost of one slice of it, until there is none."""
    loop = asyncio.get_running_loop()
    async with _cluster(options.nodes) as distributed:
        rows = {name: rows_of(distributed, options.callers) for name, rows_of in ROWS.items()}
        print("ready", flush=True)
        while name := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            print(await _slice(rows[name], options.rounds), flush=True)


class _Worker:
    """A process that measures one checkout."""

    def __init__(self, checkout: Path, options: argparse.Namespace) -> None:
        arguments = [f"--{name}={getattr(options, name)}" for name in ("callers", "rounds", "nodes")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--serve", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise SystemExit("the measuring process ended; see what it wrote above")
        return answer

    def measure(self, row: str) -> float:
        """Return the cost of one slice."""
        assert self._process.stdin is not None
        print(row, file=self._process.stdin, flush=True)
        return float(self._answer())

    def stop(self) -> None:
        """Let it end."""
        self._process.communicate("\n")


def _compare(options: argparse.Namespace) -> None:
    here = Path(__file__).resolve().parent.parent
    workers = [_Worker(checkout, options) for checkout in (options.against, here) if checkout is not None]
    costs: dict[str, list[list[float]]] = {row: [] for row in options.rows}
    try:
        for number in range(options.slices + 1):
            for row in options.rows:
                order = workers[:: 1 if number % 2 else -1]
                found = {worker: worker.measure(row) for worker in order}
                if number:  # the first slice opens sessions and fills caches
                    costs[row].append([found[worker] for worker in workers])
    finally:
        for worker in workers:
            worker.stop()
    print(_table(costs))


def _table(costs: dict[str, list[list[float]]]) -> str:
    lines = []
    for row, slices in costs.items():
        medians = [statistics.median(column) for column in zip(*slices, strict=True)]
        line = f"{row:<34}" + "".join(f" {median:>9.1f} us" for median in medians)
        if len(medians) > 1:
            quarters = statistics.quantiles((pair[1] / pair[0] for pair in slices), n=4)
            line += f"   ratio {quarters[1]:.3f} (half of them {quarters[0]:.3f} to {quarters[2]:.3f})"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--against", type=Path, help="another checkout: printed first, the ratio is this / that"
    )
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--slices", type=int, default=30, help="of each row")
    parser.add_argument("--rounds", type=int, default=30, help="calls of each caller in a slice")
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options))
    else:
        _compare(options)


if __name__ == "__main__":
    main()
