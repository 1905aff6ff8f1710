"""Faults on real processes: SIGKILL and restart, SIGSTOP and SIGCONT. The seed decides who, when, how long.

Nodes keep everything in memory, so at most one is down or held at a time, and the next fault waits until all
are back in their places: a second loss before that would take a majority of some slot along.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from casty.cli.processes import Cluster
from sim.kernel.draws import Draws

__all__ = ["KINDS", "Injection", "Nemesis", "schedule"]

KINDS = ("kill", "pause")
LONGEST_MS = {"kill": 1500, "pause": 4000}
CALM_MS = 2500


class Injection(NamedTuple):
    """One fault: after so long a calm, so long, on that node."""

    calm_s: float
    kind: str
    node: str
    duration_s: float


def schedule(seed: int, seconds: int, names: list[str]) -> list[Injection]:
    """Return more faults than fit into the time; the first two differ in kind, so every run has both."""
    draws = Draws(seed)
    injections = []
    for number in range(2 + seconds):
        kind = KINDS[(number + draws.below("chaos-first", "run", 0, 2)) % 2]
        if number >= len(KINDS):
            kind = KINDS[draws.below("chaos-kind", "run", number, len(KINDS))]
        injections.append(
            Injection(
                draws.between("chaos-calm", "run", number, 200, CALM_MS) / 1000,
                kind,
                names[draws.below("chaos-node", "run", number, len(names))],
                draws.between("chaos-duration", kind, number, 50, LONGEST_MS[kind]) / 1000,
            )
        )
    return injections


class Nemesis:
    """Carries a schedule out.

    Parameters
    ----------
    cluster
        Whom it torments.
    injections
        What it does, one after the other.
    say
        Takes a sentence about each fault.

    Attributes
    ----------
    done
        How many faults of each kind there were.
    in_flight
        How many of them hit calls under way.
    """

    def __init__(self, cluster: Cluster, injections: list[Injection], say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._injections = injections
        self._say = say
        self.done: dict[str, int] = {}
        self.in_flight = 0

    async def torment(self, seconds: float, calls: Callable[[], int]) -> None:
        """Inject until the time is over, and leave everybody up and ready."""
        until_s = time.monotonic() + seconds
        for injection in self._injections:
            await asyncio.sleep(injection.calm_s)
            if time.monotonic() >= until_s:
                return
            self.in_flight += calls() > 0
            self.done[injection.kind] = self.done.get(injection.kind, 0) + 1
            await self._carry_out(injection)

    async def _carry_out(self, injection: Injection) -> None:
        node = self._cluster.nodes[injection.node]
        self._say(f"{injection.kind} {injection.node} for {injection.duration_s:.1f} s")
        if injection.kind == "pause":
            node.pause()
            await asyncio.sleep(injection.duration_s)
            node.resume()
            return
        await node.kill()
        await asyncio.sleep(injection.duration_s)
        await node.start()
        self._say(await node.ready())
