"""``casty demo``: three node processes, one client, every structure, one node killed, everything checked."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import traceback
from pathlib import Path

from casty.cli.demo_work import PERMITS, PLACES, WORKERS, Shop
from casty.cli.processes import Cluster, StartFailed
from casty.cli.status import Place, fetch_status, locate
from casty.client import ClusterClient
from casty.distributed.machines.base import KIND_NAMES
from casty.errors import CastyError

__all__ = ["run_demo"]

BEFORE_S = 3.0
DOWN_S = 5.0
AFTER_S = 3.0
LIMIT_S = 55.0
SIMULATION_S = 20.0


def run_demo(seed: int | None = None) -> int:
    """Report what happens; 0 only if everything was checked and held."""
    with tempfile.TemporaryDirectory(prefix="casty-demo-") as folder:
        return asyncio.run(_Demo(Path(folder), 7 if seed is None else seed).run())


class _Demo:
    def __init__(self, folder: Path, seed: int) -> None:
        self._cluster = Cluster(3, folder)
        self._seed = seed
        self._began_s = time.monotonic()
        self._held = True

    async def run(self) -> int:
        """Run all chapters; the nodes are gone when this returns."""
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._start()
                await self._trade()
                await self._simulate()
        except (CastyError, StartFailed, TimeoutError, ExceptionGroup) as error:
            traceback.print_exception(error)
            self._say("the demonstration failed")
            self._held = False
        finally:
            codes = await self._cluster.stop()
        self._say(f"nodes stopped with SIGTERM, exit codes {codes}")
        print("\nnothing lost, nothing doubled" if self._held else "\nNOT everything held; see above")
        return 0 if self._held else 1

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began_s:5.1f} s] {text}", flush=True)

    async def _start(self) -> None:
        self._say("starting three node processes")
        for node in self._cluster.nodes.values():
            await node.start()
        for node in self._cluster.nodes.values():
            self._say(f"  {await node.ready()}")

    async def _trade(self) -> None:
        contacts = self._cluster.contacts
        async with ClusterClient(contact_points=contacts, system_name=self._cluster.system) as client:
            await client.ready()
            self._say(
                f"client connected; {WORKERS} workers share a lock, a semaphore of {PERMITS}, "
                "a barrier, a counter, a map, a set and a queue"
            )
            shop = Shop(client)
            await shop.open()
            self._say(f"barrier: all {WORKERS} workers arrived, released together")
            async with asyncio.TaskGroup() as group:
                group.create_task(shop.work())
                group.create_task(self._disturb(shop))
            account = shop.account
            self._say(
                f"workers done: {account.calls} calls, {account.unknown} unknown, {account.refused} refused"
            )
            self._judge(account.violations, await shop.check())

    async def _disturb(self, shop: Shop) -> None:
        await asyncio.sleep(BEFORE_S)
        victim, led = await self._busiest()
        kinds = ", ".join(KIND_NAMES[place.kind] for place in led)
        calls = shop.account.calls
        self._say(f"{calls} calls so far; node {victim} leads most of what is in use: {kinds}")
        shop.clear_silence()
        await self._cluster.nodes[victim].kill()
        self._say(f"node {victim} killed (SIGKILL)")
        await asyncio.sleep(DOWN_S)
        structure, gap_s = max(shop.account.silence_s.items(), key=lambda item: item[1], default=("", DOWN_S))
        self._say(f"{shop.account.calls - calls} calls since; longest gap {gap_s:.2f} s ({structure})")
        node = self._cluster.nodes[victim]
        await node.start()
        self._say(f"node {victim} restarted, empty; {await node.ready()}")
        await asyncio.sleep(AFTER_S)
        shop.close()

    async def _busiest(self) -> tuple[str, list[Place]]:
        """Return the node that leads most of the structures in use, and those."""
        document = await fetch_status(self._cluster.contacts[0])
        led: dict[str, list[Place]] = {}
        for place in PLACES:
            leader = locate(document, place)["leader"]
            if leader is not None:
                led.setdefault(leader, []).append(place)
        if not led:
            raise StartFailed("no structure has a leader")
        return max(led.items(), key=lambda item: len(item[1]))

    def _judge(self, violations: list[str], findings: list[tuple[str, bool]]) -> None:
        for sentence, is_so in findings:
            self._say(f"  {'ok  ' if is_so else 'FAIL'} {sentence}")
            self._held = self._held and is_so
        for violation in violations:
            self._say(f"  FAIL {violation}")
            self._held = False

    async def _simulate(self) -> None:
        """Run the same code in the simulator, from one seed."""
        self._say(f"the same code in the simulator: casty sim run mixed --seed {self._seed}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "casty.cli", "sim", "run", "mixed", "--seed", str(self._seed), "--json",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SIMULATION_S):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        self._report_simulation(output)

    def _report_simulation(self, output: bytes) -> None:
        try:
            result = json.loads(output)
        except ValueError:
            self._say("  FAIL the simulator printed no result")
            self._held = False
            return
        held = result["verdict"] == "held"
        self._held = self._held and held
        faults = ", ".join(f"{count} {kind}" for kind, count in result["faults"].items() if count)
        self._say(
            f"  {'ok  ' if held else 'FAIL'} {result['verdict']}: {result['virtual_seconds']:.0f} simulated "
            f"seconds in {result['wall_seconds']:.1f} s, digest {str(result['digest'])[:16]}"
        )
        self._say(f"       operations {result['operations']}, faults: {faults or 'none'}")
