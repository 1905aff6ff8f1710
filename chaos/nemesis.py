"""Faults on real processes: SIGKILL and restart, SIGSTOP and SIGCONT. The seed decides who, when, how long.

They are events of the simulator's plans, of the two kinds that a process can have without the network's help. Nodes
keep everything in memory, so at most one is down or held at a time, and the next fault waits until all are back in
their places: a second loss before that would take a majority of some slot along.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sim.kernel.draws import Draws
from sim.plans.plan import FaultEvent

__all__ = ["KINDS", "Nemesis", "Target", "schedule"]

KINDS = ("crash", "pause")
LONGEST_MS = {"crash": 1500, "pause": 4000}
CALM_MS = 2500
_MICROS = 1_000_000


class Target(Protocol):
    """A process that can be harmed."""

    def pause(self) -> None:
        """Hold it."""

    def resume(self) -> None:
        """Let it go on."""

    async def kill(self) -> None:
        """End it at once."""

    async def start(self) -> None:
        """Start it again."""

    async def ready(self) -> object:
        """Return when it serves, and has all its places again."""


def schedule(seed: int, seconds: int, names: Sequence[str]) -> list[FaultEvent]:
    """Return more faults than fit into the time; the first two differ in kind, so every run has both."""
    draws = Draws(seed)
    faults: list[FaultEvent] = []
    at_ms = 0
    for number in range(2 + seconds):
        kind = KINDS[(number + draws.below("chaos-first", "run", 0, 2)) % 2]
        if number >= len(KINDS):
            kind = KINDS[draws.below("chaos-kind", "run", number, len(KINDS))]
        at_ms += draws.between("chaos-calm", "run", number, 200, CALM_MS)
        lasts_ms = draws.between("chaos-duration", kind, number, 50, LONGEST_MS[kind])
        name = names[draws.below("chaos-node", "run", number, len(names))]
        faults.append(FaultEvent(at_ms * 1000, kind, (name,), lasts_ms * 1000, after_ready=True))
        at_ms += lasts_ms
    return faults


class Nemesis:
    """Carries a schedule out.

    Parameters
    ----------
    targets
        Whom it harms, by name.
    faults
        What it does, one after the other; each at its time, or when the one before is over where that is later.
    say
        Takes a sentence about each fault.

    Attributes
    ----------
    done
        How many faults of each kind there were.
    in_flight
        How many of them hit calls under way.
    """

    def __init__(
        self, targets: Mapping[str, Target], faults: Sequence[FaultEvent], say: Callable[[str], None]
    ) -> None:
        self._targets = targets
        self._faults = faults
        self._say = say
        self.done: dict[str, int] = {}
        self.in_flight = 0

    async def torment(self, seconds: float, calls: Callable[[], int]) -> None:
        """Inject until the time is over, and leave everybody up and ready."""
        began_s = time.monotonic()
        late_s = 0.0
        for fault in self._faults:
            # The calm between two faults is kept where a start took its time.
            await asyncio.sleep(max(0.0, began_s + late_s + fault.at_us / _MICROS - time.monotonic()))
            if time.monotonic() >= began_s + seconds:
                return
            self.in_flight += calls() > 0
            self.done[fault.kind] = self.done.get(fault.kind, 0) + 1
            await self._inject(fault)
            over_s = began_s + (fault.at_us + fault.duration_us) / _MICROS
            late_s = max(late_s, time.monotonic() - over_s)

    async def _inject(self, fault: FaultEvent) -> None:
        target = self._targets[fault.targets[0]]
        self._say(fault.describe())
        if fault.kind == "pause":
            target.pause()
            await asyncio.sleep(fault.duration_us / _MICROS)
            target.resume()
            return
        await target.kill()
        await asyncio.sleep(fault.duration_us / _MICROS)
        await target.start()
        await target.ready()
