"""How long each slot pauses while all nodes are restarted, or replaced by others, one after the other, under load.

Every slot has a counter that is incremented all the time. A *pause* is the longest that one increment of a slot took
while one node was stopped and started again (or another one was added and it was drained); there is one for each slot
and each node. Goals: 150 ms for 99 of 100 of them, and no call fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import quantile
from casty.cli.processes import HOST, Cluster, NodeProcess, free_ports
from casty.cli.status import Place, fetch_status, locate
from casty.client import ClusterClient
from casty.distributed.counter import Counter
from casty.errors import CastyError

__all__ = ["main"]

NAME = "rolling"
REST_S = 0.02
CALM_S = 3.0
STOP_S = 60.0


@dataclass
class Probes:
    """A counter in every slot, and how long the calls to each took at most."""

    counters: dict[int, Counter]
    longest_s: dict[int, float] = field(default_factory=dict[int, float])
    calls: int = 0
    failed: list[str] = field(default_factory=list[str])
    is_over: bool = False

    async def run(self) -> None:
        """Count everywhere until it is over."""
        await asyncio.gather(*[self._count(slot, counter) for slot, counter in self.counters.items()])

    async def _count(self, slot: int, counter: Counter) -> None:
        while not self.is_over:
            began_s = time.monotonic()
            try:
                await counter.increment()
            except CastyError as error:
                self.failed.append(repr(error))
            self.longest_s[slot] = max(self.longest_s.get(slot, 0.0), time.monotonic() - began_s)
            self.calls += 1
            await asyncio.sleep(REST_S)

    def take(self) -> list[float]:
        """Return the longest times, one for each slot, and begin anew."""
        taken, self.longest_s = list(self.longest_s.values()), {}
        return taken


class Rolling:
    """Three nodes, and one to come in the place of each."""

    def __init__(self, folder: Path, slots: int, *, on_disk: bool) -> None:
        self._folder = folder
        self._data = folder if on_disk else None
        self._settings: dict[str, int | float | str] = {"slots": slots}
        self.cluster = Cluster(
            3, folder, system=NAME, extra=("--log-level", "warning"), settings=self._settings, data=self._data
        )

    async def restart(self, name: str) -> None:
        """Stop a node and start it again."""
        node = self.cluster.nodes[name]
        await node.stop(STOP_S)
        await node.start()
        await node.ready()

    async def replace(self, name: str) -> None:
        """Add a node, and drain the one in whose place it comes."""
        newcomer, port = f"{name}-next", free_ports(1)[0]
        data = () if self._data is None else ("--data-dir", str(self._data / newcomer))
        seeds = [node.port for node in self.cluster.nodes.values()]
        node = NodeProcess(
            NAME, newcomer, port, seeds, self._folder / f"{newcomer}.log", ("--log-level", "warning", *data),
            self._settings,
        )  # fmt: skip
        self.cluster.nodes[newcomer] = node
        await node.start()
        await node.ready()
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "casty.cli", "member", "drain", name, "--contact", f"{HOST}:{port}"
        )
        assert await command.wait() == 0, f"{name} could not be drained"
        async with asyncio.timeout(STOP_S):
            await self.cluster.nodes.pop(name).ended()


async def _one_in_each_slot(
    client: ClusterClient, contact: tuple[str, int], slots: int
) -> dict[int, Counter]:
    document = await fetch_status(contact)
    counters: dict[int, Counter] = {}
    number = 0
    while len(counters) < slots:
        slot = locate(document, Place.parse(f"counter:probe-{number}"))["slot"]
        if slot not in counters:
            counters[slot] = client.distributed().counter(f"probe-{number}")
        number += 1
    return counters


async def _run(how: str, slots: int, *, on_disk: bool) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="casty-rolling-") as folder:
        rolling = Rolling(Path(folder), slots, on_disk=on_disk)
        try:
            await rolling.cluster.start()
            contacts = rolling.cluster.contacts
            async with ClusterClient(contact_points=contacts, system_name=NAME) as client:
                await client.ready()
                probes = Probes(await _one_in_each_slot(client, contacts[0], slots))
                calm, pauses = await _pauses(rolling, probes, how)
        finally:
            await rolling.cluster.stop()
    return {
        "how": how, "on_disk": on_disk, "pauses": len(pauses), "calls": probes.calls, "failed": len(probes.failed),
        "median_ms": 1e3 * quantile(pauses, 0.5), "p99_ms": 1e3 * quantile(pauses, 0.99),
        "longest_ms": 1e3 * max(pauses), "calm_p99_ms": 1e3 * quantile(calm, 0.99),
    }  # fmt: skip


async def _pauses(rolling: Rolling, probes: Probes, how: str) -> tuple[list[float], list[float]]:
    """Return the pauses of a time in which nothing happens, and of all steps."""
    step = rolling.restart if how == "restart" else rolling.replace
    pauses: list[float] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(probes.run())
        try:
            await asyncio.sleep(CALM_S)
            probes.take()
            await asyncio.sleep(CALM_S)
            calm = probes.take()
            for name in list(rolling.cluster.nodes):
                await step(name)
                pauses += probes.take()
                await asyncio.sleep(CALM_S)
                probes.take()
        finally:
            probes.is_over = True
    return calm, pauses


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rolling", description=__doc__)
    parser.add_argument("--slots", type=int, default=24)
    parser.add_argument("--how", nargs="+", choices=["restart", "replace"], default=["restart", "replace"])
    parser.add_argument("--disk", action="store_true", help="with data directories")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for how in options.how:
        row = asyncio.run(_run(how, options.slots, on_disk=options.disk))
        if options.json:
            print(json.dumps(row))
            continue
        print(
            f"{how} of every node: {row['pauses']} pauses, median {row['median_ms']:.0f} ms, p99 "
            f"{row['p99_ms']:.0f} ms, longest {row['longest_ms']:.0f} ms (when nothing happens, p99 "
            f"{row['calm_p99_ms']:.0f} ms); {row['failed']} of {row['calls']} calls failed; machine load "
            f"{os.getloadavg()[0]:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
