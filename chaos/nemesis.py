"""Faults on real processes: SIGKILL and restart, SIGSTOP and SIGCONT. The seed decides who, when, how long.

Nodes keep everything in memory, so at most one is down or held at a time, and the next fault waits until all
are back in their seats: a second loss before that would take a majority of some slot along.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from casty.cli.processes import Cluster
from sim.kernel.draws import Draws

__all__ = ["KINDS", "Nemesis", "Strike", "schedule"]

KINDS = ("kill", "pause")
LONGEST_MS = {"kill": 1500, "pause": 4000}
CALM_MS = 2500


class Strike(NamedTuple):
    """One fault: after so long a calm, so long, on that node."""

    calm_s: float
    kind: str
    node: str
    duration_s: float


def schedule(seed: int, seconds: int, names: list[str]) -> list[Strike]:
    """Return more faults than fit into the time; the first two differ in kind, so every run has both."""
    draws = Draws(seed)
    strikes = []
    for number in range(2 + seconds):
        kind = KINDS[(number + draws.below("chaos-first", "run", 0, 2)) % 2]
        if number >= len(KINDS):
            kind = KINDS[draws.below("chaos-kind", "run", number, len(KINDS))]
        strikes.append(
            Strike(
                draws.between("chaos-calm", "run", number, 200, CALM_MS) / 1000,
                kind,
                names[draws.below("chaos-node", "run", number, len(names))],
                draws.between("chaos-duration", kind, number, 50, LONGEST_MS[kind]) / 1000,
            )
        )
    return strikes


class Nemesis:
    """Carries a schedule out.

    Parameters
    ----------
    cluster
        Whom it torments.
    strikes
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

    def __init__(self, cluster: Cluster, strikes: list[Strike], say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._strikes = strikes
        self._say = say
        self.done: dict[str, int] = {}
        self.in_flight = 0

    async def torment(self, seconds: float, calls: Callable[[], int]) -> None:
        """Strike until the time is over, and leave everybody up and ready."""
        until_s = time.monotonic() + seconds
        for strike in self._strikes:
            await asyncio.sleep(strike.calm_s)
            if time.monotonic() >= until_s:
                return
            self.in_flight += calls() > 0
            self.done[strike.kind] = self.done.get(strike.kind, 0) + 1
            await self._carry_out(strike)

    async def _carry_out(self, strike: Strike) -> None:
        node = self._cluster.nodes[strike.node]
        self._say(f"{strike.kind} {strike.node} for {strike.duration_s:.1f} s")
        if strike.kind == "pause":
            node.pause()
            await asyncio.sleep(strike.duration_s)
            node.resume()
            return
        await node.kill()
        await asyncio.sleep(strike.duration_s)
        await node.start()
        self._say(await node.ready())
