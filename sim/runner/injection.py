"""What each kind of fault does to the world, and how it ends. Several on one machine or path end each by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..faults.allocations import Allocations
from ..faults.memory import MemoryFaults
from ..net.network import every_direction
from ..net.partitions import Undo
from ..plans.plan import ClusterShape, FaultEvent
from ..workloads.recorder import RunRecorder
from ..world.disk import SimDisk

if TYPE_CHECKING:
    from ..world.process import Process
    from ..world.world import World

__all__ = ["Injector"]

_SPOILS = {
    "delay": ("spike_ns", "delay_us", 1000),
    "jitter": ("spike_jitter_ns", "jitter_us", 1000),
    "loss": ("loss_ppm", "ppm", 1),
    "fragment": ("fragment_ppm", "ppm", 1),
    "clog": ("bytes_per_s", "bytes_per_s", 1),
}
"""Kind -> what it does to a path, the argument that says how much, and its unit there."""


class Injector:
    """The faults that need no waiting.

    Parameters
    ----------
    world, cluster, stage
        The run.
    systems
        What each process runs.
    """

    def __init__(
        self, world: World, cluster: ClusterShape, recorder: RunRecorder, systems: Mapping[str, object]
    ) -> None:
        self._world = world
        self._cluster = cluster
        self._recorder = recorder
        self._pauses: dict[tuple[str, int], int] = {}
        self._drifts: dict[str, list[int]] = {}
        self._memory = MemoryFaults(world, systems)
        self._allocations = Allocations(world, recorder, systems)

    def inject(self, fault: FaultEvent) -> Undo | None:
        """Apply a fault; what lasts ends with what is returned."""
        kinds: dict[str, Callable[[FaultEvent], Undo | None]] = {
            **dict.fromkeys(_SPOILS, self._spoil),
            "link_loss": lambda one: self._world.partition(one.targets[:1], one.targets[1:]),
            "one_way_cut": lambda one: self._world.cut(one.targets[0], one.targets[1]),
            "reset": self._reset,
            "half_open": self._half_open,
            "split": self._split,
            "ring": lambda one: self._world.ring(one.targets),
            "bridge": lambda one: self._world.bridge(one.targets),
            **dict.fromkeys(("pause", "client_pause"), self.pause),
            "clock_drift": self._drift,
            "wall_step": self._step_wall,
            "memory": lambda one: self._memory.shrink(one.targets, one.args.get("percent", 100)),
            "allocation": lambda one: self._allocations.arm(one.targets[0], one.args.get("at", 0)),
            "client_cancel": self._cancel,
            "journal": lambda one: Undo(self._recorder.journals.inject(one.targets, one.args)),
            "slow_disk": self._slow_disk,
            "disk_full": self._fill_disk,
        }
        return kinds[fault.kind](fault)

    def _spoil(self, fault: FaultEvent) -> Undo:
        what, argument, factor = _SPOILS[fault.kind]
        amount = fault.args.get(argument, 0) * factor
        return self._world.spoil(fault.targets[0], fault.targets[1], **{what: amount})

    def _reset(self, fault: FaultEvent) -> None:
        self._world.reset_links(fault.targets[0], fault.targets[1])

    def _half_open(self, fault: FaultEvent) -> None:
        self._world.half_open(fault.targets[0], fault.targets[1])

    def _split(self, fault: FaultEvent) -> Undo:
        others = [name for name in self._cluster.names() if name not in fault.targets]
        if not others:
            return Undo(lambda: None)
        pairs = every_direction(list(fault.targets), others)
        self._world.network.sever(pairs)
        return Undo(lambda: self._world.network.mend(pairs))

    def pause(self, fault: FaultEvent) -> Undo:
        """Hold a process."""
        process: Process = self._world.processes[fault.targets[0]]
        life = (process.name, process.incarnation.ordinal)
        self._recorder.late_excused[process.name] = None
        self._pauses[life] = self._pauses.get(life, 0) + 1
        self._world.pause(process.name)
        return Undo(lambda: self._resume(process, life))

    def _resume(self, process: Process, life: tuple[str, int]) -> None:
        """The last of several pauses that overlap lets it run again."""
        self._pauses[life] -= 1
        if process.incarnation.ordinal == life[1] and not self._pauses[life]:
            self._world.resume(process.name)

    def _drift(self, fault: FaultEvent) -> Undo:
        name = fault.targets[0]
        drifts = self._drifts.setdefault(name, [self._cluster.clocks.get(name, (0, 0))[1]])
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

    def _disks(self, fault: FaultEvent) -> list[SimDisk]:
        disks = [self._world.processes[name].disk for name in fault.targets]
        return [disk for disk in disks if isinstance(disk, SimDisk)]

    def _slow_disk(self, fault: FaultEvent) -> Undo:
        disks, held_ns = self._disks(fault), fault.args.get("held_us", 0) * 1000
        for disk in disks:
            disk.held_ns += held_ns
        return Undo(partial(_hurry, disks, held_ns))

    def _fill_disk(self, fault: FaultEvent) -> Undo:
        disks = self._disks(fault)
        for disk in disks:
            disk.full += 1
        return Undo(partial(_make_room, disks))

    def _cancel(self, fault: FaultEvent) -> None:
        if not self._recorder.cancel(fault.targets[0], fault.args.get("which", 0)):
            self._recorder.skipped.append(f"fault {fault.kind}: {fault.targets[0]} has no call under way")


def _hurry(disks: Sequence[SimDisk], held_ns: int) -> None:
    for disk in disks:
        disk.held_ns -= held_ns


def _make_room(disks: Sequence[SimDisk]) -> None:
    for disk in disks:
        disk.full -= 1
