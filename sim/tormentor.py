"""Applies the faults of a plan, each at its time, and ends them.

A node's death takes its memory along. So deaths pass one gate: the next one waits until every node serves, every
group is led, and nobody but living processes votes anywhere - then one more loss is tolerated again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from casty.consensus import Role

from .checks.looking import host_of, missing_of
from .checks.steps import StepChecks
from .checks.violation import Violation
from .errors import CrashedError
from .faults import Undo
from .network import every_direction
from .plan import FaultEvent, Plan
from .scenarios.stage import Stage

if TYPE_CHECKING:
    from .process import Process
    from .world import World

__all__ = ["FaultBegan", "FaultEnded", "Tormentor", "is_whole"]

_LOOK_S = 0.1
_MICROS = 1_000_000
_SPOILS = {
    "delay": ("spike_ns", "delay_us", 1000),
    "jitter": ("spike_jitter_ns", "jitter_us", 1000),
    "loss": ("loss_ppm", "ppm", 1),
    "fragment": ("fragment_ppm", "ppm", 1),
}
"""Kind -> what it does to a path, the argument that says how much, and its unit there."""


class FaultBegan(NamedTuple):
    """A fault of the plan was applied."""

    kind: str
    targets: tuple[str, ...]


class FaultEnded(NamedTuple):
    """A fault of the plan is over."""

    kind: str
    targets: tuple[str, ...]


def is_whole(checks: StepChecks, nodes: Sequence[str]) -> bool:
    """Whether all nodes serve and every group is led by, and consists of, living processes only."""
    live = checks.live()
    if len(live) < len(nodes) or any(
        process.is_paused or missing_of(checks.systems[process.name]) for process, _ in live
    ):
        return False
    keys: dict[str, None] = {}
    voters: dict[tuple[int, int], tuple[str, ...] | None] = {}
    for _, host in live:
        for group in host.groups.values():
            keys[group.core.id] = None
            key = (group.number, group.epoch)
            voters.setdefault(key, None)
            membership = group.core.committed_membership
            if group.core.role is not Role.LEADER or not group.core.is_established or membership is None:
                continue
            is_moving = membership.outgoing or membership != group.core.membership
            if is_moving or (
                membership.learners and group.number > 0
            ):  # members without a vote learn in group 0
                return False
            voters[key] = membership.voters
    return all(known is not None and all(voter in keys for voter in known) for known in voters.values())


class Tormentor:
    """The nemesis of one run.

    Parameters
    ----------
    world, plan, stage, checks
        The run.
    restart_client
        Starts a client's process again.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        stage: Stage,
        checks: StepChecks,
        restart_client: Callable[[str], Awaitable[object]],
    ) -> None:
        self._world = world
        self._plan = plan
        self._stage = stage
        self._checks = checks
        self._restart_client = restart_client
        self._nodes = [name for name in plan.cluster.names() if name.startswith("node-")]
        self._gate = asyncio.Lock()
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._pauses: dict[tuple[str, int], int] = {}
        self._drifts: dict[str, list[int]] = {}
        self.done: dict[str, int] = {}
        self.hits: dict[str, list[int]] = {}
        self.story: list[str] = []

    def begin(self) -> None:
        """Start all faults, each waiting for its time."""
        self._tasks = [asyncio.create_task(self._one(fault)) for fault in self._plan.faults]

    async def end(self) -> None:
        """End every fault, and let what is coming back come back."""
        self._over.set()
        self._world.network.heal()
        for process in list(self._world.processes.values()):
            self._world.resume(process.name)
        for task in self._tasks:
            await task

    async def _wait(self, seconds: float) -> bool:
        """Wait; False when the faults are over before."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return True
        return False

    async def _one(self, fault: FaultEvent) -> None:
        if not await self._wait(fault.at_us / _MICROS):
            return
        machines = self._world.processes
        strays = [name for name in fault.targets if name not in machines]
        if strays:
            self._stage.skipped.append(f"fault {fault.kind}: no {', '.join(strays)}")
            return
        if not fault.after_ready:
            await self._apply(fault)
            return
        async with self._gate:
            if await self._until_whole():
                await self._apply(fault)
            else:
                self._stage.skipped.append(f"fault {fault.kind}: the cluster was not whole again in time")

    async def _until_whole(self) -> bool:
        while not is_whole(self._checks, self._nodes):
            if not await self._wait(_LOOK_S):
                return False
        return not self._over.is_set()

    async def _apply(self, fault: FaultEvent) -> None:
        if fault.kind in ("crash", "restart", "client_crash"):
            await self._kill(fault)
            return
        self._note(fault)
        undo = self._strike(fault)
        if undo is not None:
            await self._wait(fault.duration_us / _MICROS)
            undo.heal()
            self._world.record("nemesis", FaultEnded(fault.kind, fault.targets))

    def _note(self, fault: FaultEvent) -> None:
        self._world.record("nemesis", FaultBegan(fault.kind, fault.targets))
        self.done[fault.kind] = self.done.get(fault.kind, 0) + 1
        hits = self.hits.setdefault(fault.kind, [0, 0])
        hits[0] += self._stage.in_flight() > 0
        hits[1] += self._stage.holding() > 0
        length = f" for {fault.duration_us / 1000:g} ms" if fault.duration_us else ""
        args = "".join(f", {name} {value}" for name, value in fault.args.items())
        self.story.append(
            f"{self._world.now_ns / 1e9:.6f} s: {fault.kind} of {', '.join(fault.targets)}{length}{args}"
        )

    async def _kill(self, fault: FaultEvent) -> None:
        (name,) = fault.targets
        world = self._world
        if not world.processes[name].is_up:
            self._stage.skipped.append(f"fault {fault.kind}: {name} is down already")
            return
        if fault.kind == "crash" and self._leads(name) and self._stage.in_flight():
            self._stage.goal("a leader died with calls under way")
        self._note(fault)
        world.crash(name, power_loss=bool(fault.args.get("is_power_loss", 0)))
        self._stage.forget_client(name)
        await self._wait(fault.duration_us / _MICROS)
        try:
            if fault.kind == "client_crash":
                await self._restart_client(name)
            else:
                await world.start(name)
        except (TimeoutError, CrashedError) as error:
            text = f"did not serve again after {fault.kind}: {error}"
            self._stage.violations.append(Violation(46, name, text))
        world.record("nemesis", FaultEnded(fault.kind, fault.targets))

    def _leads(self, name: str) -> bool:
        host = host_of(self._checks.systems.get(name))
        return host is not None and any(group.core.role is Role.LEADER for group in host.groups.values())

    # -- one fault each

    def _strike(self, fault: FaultEvent) -> Undo | None:
        strikes: dict[str, Callable[[FaultEvent], Undo | None]] = {
            **dict.fromkeys(("delay", "jitter", "loss", "fragment"), self._spoil),
            "link_loss": lambda one: self._world.partition(one.targets[:1], one.targets[1:]),
            "one_way_cut": lambda one: self._world.cut(one.targets[0], one.targets[1]),
            "reset": self._reset,
            "half_open": self._half_open,
            "split": self._split,
            "ring": lambda one: self._world.ring(one.targets),
            "bridge": lambda one: self._world.bridge(one.targets),
            **dict.fromkeys(("pause", "client_pause"), self._pause),
            "clock_drift": self._drift,
            "client_cancel": self._cancel,
        }
        return strikes[fault.kind](fault)

    def _spoil(self, fault: FaultEvent) -> Undo:
        what, argument, factor = _SPOILS[fault.kind]
        amount = fault.args.get(argument, 0) * factor
        return self._world.spoil(fault.targets[0], fault.targets[1], **{what: amount})

    def _reset(self, fault: FaultEvent) -> None:
        self._world.reset_links(fault.targets[0], fault.targets[1])

    def _half_open(self, fault: FaultEvent) -> None:
        self._world.half_open(fault.targets[0], fault.targets[1])

    def _split(self, fault: FaultEvent) -> Undo:
        others = [name for name in self._plan.cluster.names() if name not in fault.targets]
        if not others:
            return Undo(lambda: None)
        pairs = every_direction(list(fault.targets), others)
        self._world.network.sever(pairs)
        return Undo(lambda: self._world.network.mend(pairs))

    def _pause(self, fault: FaultEvent) -> Undo:
        process: Process = self._world.processes[fault.targets[0]]
        life = (process.name, process.incarnation.ordinal)
        self._stage.late_excused[process.name] = None
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
        drifts = self._drifts.setdefault(name, [self._plan.cluster.clocks.get(name, (0, 0))[1]])
        ppm = fault.args.get("ppm", 0)
        drifts.append(ppm)
        self._world.clock(name).drift(ppm)
        return Undo(lambda: self._steady(name, ppm))

    def _steady(self, name: str, ppm: int) -> None:
        """Of several drifts that overlap the youngest counts; each ends by itself."""
        self._drifts[name].remove(ppm)
        self._world.clock(name).drift(self._drifts[name][-1])

    def _cancel(self, fault: FaultEvent) -> None:
        if not self._stage.cancel(fault.targets[0], fault.args.get("which", 0)):
            self._stage.skipped.append(f"fault {fault.kind}: {fault.targets[0]} has no call under way")
