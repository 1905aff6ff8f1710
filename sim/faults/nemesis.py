"""Harms a world while a test runs: with faults that are drawn as it goes, or with those of a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..net.partitions import Undo
from ..plans.plan import FaultEvent
from ..world.world import World
from .drawn import DrawnFaults
from .injector import WorldInjector
from .settings import Faults

__all__ = ["Nemesis"]

_MICROS = 1_000_000
_NS_PER_US = 1_000
_STOPPING = ("pause", "crash")
"""Kinds by which a process does not run."""


class Nemesis:
    """One run's faults. What came is kept as events of a plan, so that a run can be repeated, edited and shortened.

    Parameters
    ----------
    world
        What is harmed.
    faults
        What may be drawn.
    planned
        These come instead; None: faults are drawn. One whose process is not there, or is down, is left out.

    Attributes
    ----------
    events
        What came, in order; times count from `begin`.
    """

    def __init__(self, world: World, faults: Faults, planned: Sequence[FaultEvent] | None = None) -> None:
        self._world = world
        self._faults = faults
        self._planned = planned
        self._drawn = DrawnFaults(world.draws, faults)
        injector = WorldInjector(world, world.network.machines)
        self._kinds = {**injector.kinds, "crash": self._crash}
        self._names: Callable[[], Sequence[str]] = tuple
        self._open: list[Undo] = []
        self._began_ns = 0
        self._crashed_at_s = -faults.crash_gap_s
        self._is_over = False
        self.events: list[FaultEvent] = []

    @property
    def done(self) -> dict[str, int]:
        """How many faults of each kind there were."""
        counts: dict[str, int] = {}
        for fault in self.events:
            counts[fault.kind] = counts.get(fault.kind, 0) + 1
        return counts

    def begin(self, names: Callable[[], Sequence[str]]) -> None:
        """Harm these processes from now on; at most a minority of them is down or held at a time.

        Parameters
        ----------
        names
            Returns those that are there, asked at each fault.
        """
        self._names = names
        self._began_ns = self._world.now_ns
        if self._planned is not None:
            for fault in self._planned:
                self._world.after(fault.at_us / _MICROS, self._repeat, fault)
        else:
            for family in self._drawn.families:
                self._await_next(family)

    def end(self) -> None:
        """Begin nothing more and end what lasts. Crashed processes stay down; see `World.quiesce`."""
        self._is_over = True
        for undo in self._open:
            undo.heal()

    def _await_next(self, family: str) -> None:
        self._world.after(self._drawn.gap_s(family), self._draw, family)

    def _draw(self, family: str) -> None:
        if self._is_over:
            return
        at_us = (self._world.now_ns - self._began_ns) // _NS_PER_US
        fault = self._drawn.next(family, at_us, self._names(), self._world.network.machines())
        if fault is not None and self._is_tolerable(fault):
            self._inject(fault)
        self._await_next(family)

    def _repeat(self, fault: FaultEvent) -> None:
        processes = self._world.processes
        is_there = all(name in self._world.network.machines() for name in fault.targets)
        is_up = fault.kind not in _STOPPING or (is_there and processes[fault.targets[0]].is_up)
        if is_there and is_up and not self._is_over:
            self._inject(fault)

    def _inject(self, fault: FaultEvent) -> None:
        self.events.append(fault)
        undo = self._kinds[fault.kind](fault)
        if undo is not None:
            self._open.append(undo)
            self._world.after(fault.duration_us / _MICROS, undo.heal)

    def _is_tolerable(self, fault: FaultEvent) -> bool:
        """Whether no more than a minority is down or held with this fault, and crashes are far enough apart."""
        if fault.kind not in _STOPPING:
            return True
        processes = [self._world.processes[name] for name in self._names()]
        stopped = sum(1 for process in processes if not process.is_up or process.is_paused)
        is_up = self._world.processes[fault.targets[0]].is_up
        if not is_up or stopped + 1 > (len(processes) - 1) // 2:
            return False
        if fault.kind == "crash":
            now_s = self._world.now_ns / 1e9
            if now_s - self._crashed_at_s < self._faults.crash_gap_s:
                return False
            self._crashed_at_s = now_s
        return True

    def _crash(self, fault: FaultEvent) -> Undo:
        (name,) = fault.targets
        self._world.crash(name, power_loss=bool(fault.args.get("is_power_loss", 0)))
        return Undo(lambda: self._world.start_soon(name))
