"""How long a client waits when the leader of a slot is killed: SIGKILL, many times, under a running probe."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from benchmarks.measure import median
from casty.cli.processes import Cluster
from casty.cli.status import Place, fetch_status, locate
from casty.client import ClusterClient
from casty.distributed.counter import Counter
from casty.errors import CastyError

__all__ = ["main"]

PROBE = Place.parse("counter:probe")
TIMEOUT_S = 20.0
CALM_S = 2.0


class Probe:
    """Increments a counter without a pause and knows the longest time between two answers."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._is_running = True
        self.gap_s = 0.0
        self.acknowledged = 0
        self.unknown = 0

    async def run(self) -> None:
        """Probe until `stop`."""
        last_s = time.monotonic()
        while self._is_running:
            try:
                await self._counter.increment()
                self.acknowledged += 1
            except CastyError:
                self.unknown += 1
            now_s = time.monotonic()
            self.gap_s = max(self.gap_s, now_s - last_s)
            last_s = now_s

    def stop(self) -> None:
        """End after the present call."""
        self._is_running = False


async def _run(kills: int) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="casty-failover-") as folder:
        cluster = Cluster(3, Path(folder), system="bench", extra=("--log-level", "warning"))
        await cluster.start()
        try:
            async with ClusterClient(contact_points=cluster.contacts, system_name="bench") as client:
                await client.ready()
                probe = Probe(client.distributed().counter("probe", timeout=TIMEOUT_S))
                async with asyncio.TaskGroup() as group:
                    group.create_task(probe.run())
                    gaps_s = [await _kill(cluster, probe, number) for number in range(kills)]
                    probe.stop()
                total = await client.distributed().counter("probe").get()
                assert probe.acknowledged <= total <= probe.acknowledged + probe.unknown, (
                    "increments were lost or doubled"
                )
                return gaps_s
        finally:
            await cluster.stop()


async def _kill(cluster: Cluster, probe: Probe, number: int) -> float:
    await asyncio.sleep(CALM_S)
    document = await fetch_status(cluster.contacts[number % len(cluster.contacts)])
    leader = locate(document, PROBE)["leader"]
    assert leader is not None, "the probe is answered, so its slot has a leader"
    probe.gap_s = 0.0
    node = cluster.nodes[leader]
    await node.kill()
    before = probe.acknowledged
    while probe.acknowledged == before:
        await asyncio.sleep(0.01)
    gap_s = probe.gap_s
    print(f"kill {number + 1}: {leader}, gap {gap_s:.2f} s", flush=True)
    await node.start()
    await node.ready()
    return gap_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    gaps_s = asyncio.run(_run(options.kills))
    result = {"kills": len(gaps_s), "median_s": round(median(gaps_s), 3), "worst_s": round(max(gaps_s), 3)}
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{result['kills']} kills: median gap {result['median_s']} s, worst {result['worst_s']} s")


if __name__ == "__main__":
    main()
