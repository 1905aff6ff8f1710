"""Draws faults while a test runs, and ends them."""

from __future__ import annotations

from collections.abc import Callable

from ..net.partitions import Undo
from ..world.world import World
from .settings import LINK_FAMILIES, PROCESS_FAMILIES, Faults

__all__ = ["Nemesis"]

_MILLI = 1_000


class Nemesis:
    """One run's faults. Every choice is keyed by (family, how many of it before), so families do not disturb
    each other.

    Parameters
    ----------
    world
        Whom it torments.
    faults
        What it may do.

    Attributes
    ----------
    done
        How many faults of each family there were.
    """

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._names: list[str] = []
        self._chosen = [
            name for name in faults.chosen(world.draws) if name in LINK_FAMILIES + PROCESS_FAMILIES
        ]
        self._counts: dict[str, int] = {}
        self._open: list[Undo] = []
        self._crashed_at_s = -faults.crash_gap_s
        self._is_over = False
        self.done: dict[str, int] = {}

    def begin(self, names: list[str]) -> None:
        """Harm these processes from now on; at most a minority of them is down or held at a time."""
        self._names = names
        for family in self._chosen if self._names else []:
            self._plan(family)

    def end(self) -> None:
        """Draw nothing more and end what lasts. Crashed processes stay down; see `World.quiesce`."""
        self._is_over = True
        for undo in self._open:
            undo.heal()

    def _draw(self, what: str, family: str, bound: int) -> int:
        return self._world.draws.below(f"nemesis-{what}", family, self._counts.get(family, 0), bound)

    def _plan(self, family: str) -> None:
        gap_ms = round(2 * self._faults.gap_s * _MILLI) * len(self._chosen)
        self._world.after(self._draw("gap", family, gap_ms + 1) / _MILLI, self._inject, family)

    def _inject(self, family: str) -> None:
        if self._is_over:
            return
        duration_s = (1 + self._draw("duration", family, round(self._faults.duration_s * _MILLI))) / _MILLI
        undo = self._apply(family, duration_s)
        if undo is not None:
            self.done[family] = self.done.get(family, 0) + 1
            self._open.append(undo)
            self._world.after(duration_s, undo.heal)
        self._counts[family] = self._counts.get(family, 0) + 1
        self._plan(family)

    def _apply(self, family: str, duration_s: float) -> Undo | None:
        if family in PROCESS_FAMILIES:
            return self._harm_process(family, duration_s)
        return self._harm_links(family)

    def _harm_process(self, family: str, duration_s: float) -> Undo | None:
        world = self._world
        name = self._victim(family)
        if family == "drift":
            ppm = self._draw("ppm", family, 2 * self._faults.max_drift_ppm + 1) - self._faults.max_drift_ppm
            world.clock(name).drift(ppm)
            return Undo(lambda: world.clock(name).drift(0))
        if not self._may_stop_one():
            return None
        if family == "pause":
            world.pause(name, duration_s)
            return Undo(lambda: world.resume(name))
        now_s = world.now_ns / 1e9
        if now_s - self._crashed_at_s < self._faults.crash_gap_s:
            return None
        self._crashed_at_s = now_s
        world.crash(name, power_loss=family == "power-loss")
        return Undo(lambda: world.start_soon(name))

    def _harm_links(self, family: str) -> Undo | None:
        world, names = self._world, self._names
        everyone = world.network.machines()
        victim, other = self._victim(family), self._other(family, everyone)
        shapes: dict[str, Callable[[], Undo]] = {
            "spike": lambda: world.spike(victim, other, 0.5, jitter_s=0.5),
            "slow": lambda: world.slow(victim, other, 20_000),
            "one-way": lambda: world.cut(victim, other),
            "split": lambda: self._split(family, everyone),
            "isolate": lambda: world.isolate(victim),
            "ring": lambda: world.ring(names),
            "bridge": lambda: world.bridge(names),
            "reset": lambda: _nothing_to_undo(world.reset_links(victim, other)),
            "half-open": lambda: _nothing_to_undo(world.half_open(victim, other)),
        }
        return shapes[family]() if victim != other else None

    def _victim(self, family: str) -> str:
        return self._names[self._draw("victim", family, len(self._names))]

    def _other(self, family: str, everyone: list[str]) -> str:
        return everyone[self._draw("other", family, len(everyone))]

    def _split(self, family: str, everyone: list[str]) -> Undo:
        order = self._world.draws.shuffled("nemesis-split", str(self._counts.get(family, 0)), everyone)
        size = 1 + self._draw("size", family, max(1, len(everyone) - 1))
        return self._world.partition(order[:size], order[size:])

    def _may_stop_one(self) -> bool:
        processes = [self._world.processes[name] for name in self._names]
        stopped = sum(1 for process in processes if not process.is_up or process.is_paused)
        return stopped + 1 <= (len(processes) - 1) // 2


def _nothing_to_undo(count: int) -> Undo:
    del count
    return Undo(lambda: None)
