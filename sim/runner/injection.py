"""What each kind of fault does to a run: to its world, and to the memory, disks, journals and calls in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..faults.allocations import Allocations
from ..faults.injector import Inject, WorldInjector
from ..faults.memory import MemoryFaults
from ..net.partitions import Undo
from ..plans.plan import ClusterShape, FaultEvent
from ..workloads.recorder import RunRecorder
from ..world.disk import SimDisk

if TYPE_CHECKING:
    from ..world.world import World

__all__ = ["Injector"]


class Injector:
    """The faults that need no waiting.

    Parameters
    ----------
    world, cluster, recorder
        The run.
    systems
        What each process runs.
    """

    def __init__(
        self, world: World, cluster: ClusterShape, recorder: RunRecorder, systems: Mapping[str, object]
    ) -> None:
        self._world = world
        self._recorder = recorder
        memory, allocations = MemoryFaults(world, systems), Allocations(world, recorder, systems)
        drifts = {name: ppm for name, (_, ppm) in cluster.clocks.items()}
        self._injector = WorldInjector(world, cluster.names, drifts)
        self._kinds: dict[str, Inject] = {
            **self._injector.kinds,
            **dict.fromkeys(("pause", "client_pause"), self.pause),
            "memory": lambda one: memory.shrink(one.targets, one.args.get("percent", 100)),
            "allocation": lambda one: allocations.arm(one.targets[0], one.args.get("at", 0)),
            "client_cancel": self._cancel,
            "journal": lambda one: Undo(recorder.journals.inject(one.targets, one.args)),
            "slow_disk": self._slow_disk,
            "disk_full": self._fill_disk,
        }

    def inject(self, fault: FaultEvent) -> Undo | None:
        """Apply a fault; what lasts ends with what is returned."""
        return self._kinds[fault.kind](fault)

    def pause(self, fault: FaultEvent) -> Undo:
        """Hold a process; calls of it may end late from now on."""
        self._recorder.late_excused[fault.targets[0]] = None
        return self._injector.pause(fault)

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
