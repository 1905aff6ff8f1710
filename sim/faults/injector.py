"""What each kind of fault does to a world, and how it ends. Several on one machine or path end each by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..net.network import every_direction
from ..net.partitions import Undo
from ..plans.plan import FaultEvent
from ..world.process import Process
from ..world.world import World

__all__ = ["Inject", "WorldInjector"]

Inject = Callable[[FaultEvent], Undo | None]
"""Apply a fault; what lasts ends with what is returned."""

_ON_PATHS = {
    "delay": ("spike_ns", "delay_us", 1000),
    "jitter": ("spike_jitter_ns", "jitter_us", 1000),
    "loss": ("loss_ppm", "ppm", 1),
    "fragment": ("fragment_ppm", "ppm", 1),
    "clog": ("bytes_per_s", "bytes_per_s", 1),
}
"""Kind -> what it does to a path, the argument that says how much, and its unit there."""


class WorldInjector:
    """The faults of links, clocks and pauses: all that needs a world only.

    Parameters
    ----------
    world
        What is harmed.
    machines
        Returns the machines among which a split cuts.
    drifts
        Name -> parts per million by which a machine's clock runs fast without any fault; 0 where it has no row.

    Attributes
    ----------
    kinds
        Kind -> what applies a fault of that kind.
    """

    def __init__(
        self, world: World, machines: Callable[[], Sequence[str]], drifts: Mapping[str, int] | None = None
    ) -> None:
        self._world = world
        self._machines = machines
        self._usual_ppm = drifts or {}
        self._pauses: dict[tuple[str, int], int] = {}
        self._drifts: dict[str, list[int]] = {}
        self.kinds: dict[str, Inject] = {
            **dict.fromkeys(_ON_PATHS, self._spoil),
            "link_loss": lambda one: self._world.partition(one.targets[:1], one.targets[1:]),
            "one_way_cut": lambda one: self._world.cut(one.targets[0], one.targets[1]),
            "reset": self._reset,
            "half_open": self._half_open,
            "split": self._split,
            "ring": lambda one: self._world.ring(one.targets),
            "bridge": lambda one: self._world.bridge(one.targets),
            "pause": self.pause,
            "clock_drift": self._drift,
            "wall_step": self._step_wall,
        }

    def pause(self, fault: FaultEvent) -> Undo:
        """Hold a process."""
        process: Process = self._world.processes[fault.targets[0]]
        life = (process.name, process.incarnation.ordinal)
        self._pauses[life] = self._pauses.get(life, 0) + 1
        self._world.pause(process.name)
        return Undo(lambda: self._resume(process, life))

    def _resume(self, process: Process, life: tuple[str, int]) -> None:
        """The last of several pauses that overlap lets it run again."""
        self._pauses[life] -= 1
        if process.incarnation.ordinal == life[1] and not self._pauses[life]:
            self._world.resume(process.name)

    def _spoil(self, fault: FaultEvent) -> Undo:
        what, argument, factor = _ON_PATHS[fault.kind]
        amount = fault.args.get(argument, 0) * factor
        return self._world.spoil(fault.targets[0], fault.targets[1], **{what: amount})

    def _reset(self, fault: FaultEvent) -> None:
        self._world.reset_links(fault.targets[0], fault.targets[1])

    def _half_open(self, fault: FaultEvent) -> None:
        self._world.half_open(fault.targets[0], fault.targets[1])

    def _split(self, fault: FaultEvent) -> Undo:
        others = [name for name in self._machines() if name not in fault.targets]
        if not others:
            return Undo(lambda: None)
        pairs = every_direction(list(fault.targets), others)
        self._world.network.sever(pairs)
        return Undo(lambda: self._world.network.mend(pairs))

    def _drift(self, fault: FaultEvent) -> Undo:
        name = fault.targets[0]
        drifts = self._drifts.setdefault(name, [self._usual_ppm.get(name, 0)])
        ppm = fault.args.get("ppm", 0)
        drifts.append(ppm)
        self._world.clock(name).drift(ppm)
        return Undo(lambda: self._steady(name, ppm))

    def _steady(self, name: str, ppm: int) -> None:
        """Of several drifts that overlap the youngest counts; each ends by itself."""
        self._drifts[name].remove(ppm)
        self._world.clock(name).drift(self._drifts[name][-1])

    def _step_wall(self, fault: FaultEvent) -> Undo:
        clock, seconds = self._world.clock(fault.targets[0]), fault.args.get("seconds", 0)
        clock.step_wall(seconds)
        return Undo(lambda: clock.step_wall(-seconds))
