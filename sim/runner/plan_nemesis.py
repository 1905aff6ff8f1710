"""Applies the faults of a plan, each at its time, and ends them.

A node's death takes its memory along. So deaths pass one gate: the next one waits until every node serves, every
group is led, and nobody but living processes votes anywhere - and it comes only if every group keeps a majority.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from casty.consensus import Role
from casty.errors import DiskError, DiskFull

from ..checks.step.check import StepChecks
from ..checks.step.introspection import HostView, control_machine_of, host_of, missing_of
from ..checks.step.leaving import Leaving
from ..checks.violation import Violation
from ..kernel.errors import CrashedError
from ..kernel.events import FaultBegan, FaultEnded
from ..plans.fault_kinds import DEATHS, ELASTIC, GATED, OF_DISKS
from ..plans.plan import FaultEvent, Plan
from ..plans.roles import is_role
from ..plans.triggers import Triggers
from ..workloads.recorder import RunRecorder
from ..world.disk import SimDisk
from .blackout import Blackout
from .departures import Departures
from .injection import Injector
from .roles import Roles

if TYPE_CHECKING:
    from ..world.process import Process
    from ..world.world import World

__all__ = ["PlanNemesis", "is_whole"]

_LOOK_S = 0.1
_MICROS = 1_000_000
_ON_PROCESSES = ("pause", "slow_node", "client_pause", *ELASTIC, *GATED, *OF_DISKS)
_RUN_S = 0.001
"""How long a slow node runs between two holds."""


def is_whole(checks: StepChecks, nodes: Sequence[str]) -> bool:
    """Whether all nodes serve and every group is led by, and consists of, living processes only.

    A cluster of one node whose disk is full has no replica left, and so no group of which anything could be wrong.
    """
    live = checks.live()
    if len(live) < len(nodes) or any(
        process.is_paused or missing_of(checks.systems[process.name]) for process, _ in live
    ):
        return False
    present: dict[tuple[int, str], None] = {}
    voters: dict[tuple[int, int], tuple[str, ...] | None] = {}
    for _, host in live:
        for group in host.groups.values():
            # Of the group: a process may have begun its replica of one group anew, and not those of the others.
            present[group.number, group.core.id] = None
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
    expected = _expected(checks, live)
    is_complete = expected is not None and {number for number, _ in voters}.issuperset(expected)
    return is_complete and all(
        known is not None and all((number, voter) in present for voter in known)
        for (number, _), known in voters.items()
    )


def _expected(checks: StepChecks, live: Sequence[tuple[Process, HostView]]) -> Sequence[int] | None:
    """Return the numbers of the groups that should be led; None while somebody has not heard who is a member.

    The slots of a role are there before anybody has a replica of them: who is to have the first ones must not die. And
    who knows none of the members that are left cannot tell them from strangers.
    """
    machines = [
        machine for process, _ in live if (machine := control_machine_of(checks.systems[process.name]))
    ]
    if not machines:
        return checks.shared_groups
    latest = max(machines, key=lambda one: one.version)
    if any(one.members.keys() != latest.members.keys() for one in machines):
        return None
    return [*checks.shared_groups, *(slot + 1 for slot, row in enumerate(latest.slots) if row.target)]


class PlanNemesis:
    """The nemesis of one run.

    Parameters
    ----------
    world, plan, stage, checks
        The run.
    present
        Returns the nodes that were started by now.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        recorder: RunRecorder,
        checks: StepChecks,
        present: Callable[[], list[str]],
    ) -> None:
        self._world = world
        self._plan = plan
        self._recorder = recorder
        self._checks = checks
        self._present = present
        self.departures = Departures(world, plan.cluster, recorder, self._wait)
        self._injector = Injector(world, plan.cluster, recorder, checks.systems)
        self._blackout = Blackout(world, recorder, checks)
        self._roles = Roles(world, recorder, checks)
        self._triggers = Triggers()
        world.trace.subscribe(self._triggers.heard)
        checks.on_commit = self._triggers.committed
        checks.on_leader = self._triggers.elected
        checks.on_heir = self._triggers.inherited
        checks.on_joint = self._triggers.changing
        checks.on_expiring = self._triggers.expiring
        recorder.journals.on_events = self._triggers.written
        checks.logs.may_shrink = self.departures.may_shrink
        checks.departed = self.departures.left
        self._gate = asyncio.Lock()
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._late: list[FaultEvent] = []
        self.deaths = 0
        self.done: dict[str, int] = {}
        self.hits: dict[str, list[int]] = {}
        self.timeline: list[str] = []

    def begin(self, phase: str = "") -> None:
        """Start all faults of a phase, each waiting for its time."""
        self._over.clear()
        self._triggers.begin()
        self._tasks = [
            asyncio.create_task(self._one(fault)) for fault in self._plan.faults if fault.phase == phase
        ]

    async def end(self) -> None:
        """End every fault, and let what is coming back come back."""
        self._over.set()
        self._triggers.give_up()
        self._world.network.heal()
        for process in list(self._world.processes.values()):
            self._world.resume(process.name)
        for task in self._tasks:
            await task
        self._tasks = []

    async def catch_up(self) -> None:
        """Where every run has to see a death, and none found the cluster whole in time: it comes now, in peace."""
        if self._late and not self.deaths:
            fault = replace(
                self._late[0], targets=tuple(self._present()[:1]), kind="restart", args={}, duration_us=0,
                trigger=None,
            )  # fmt: skip
            if is_whole(self._checks, self._present()) and self._tolerates(fault.targets):
                await self._apply(fault)

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
            self._skip(fault, "its time did not come")
            return
        strays = [name for name in fault.targets if not is_role(name) and name not in self._world.processes]
        if strays:
            self._skip(fault, f"no {', '.join(strays)}")
            return
        for _ in range(1 + fault.again):
            if fault.after_ready:
                async with self._gate:
                    await self._come(fault)
            else:
                await self._come(fault)

    async def _come(self, fault: FaultEvent) -> None:
        """Wait for what it waits for, look its roles up, and strike."""
        if fault.after_ready and not await self._until_whole():
            self._skip(fault, "the cluster was not whole again in time")
            return
        if fault.trigger is not None:
            what, count, delay_us = fault.trigger
            if not await self._triggers.wait(what, count) or not await self._wait(delay_us / _MICROS):
                self._skip(fault, f"no {what} came in time")
                return
        names = self._roles.resolve(fault.targets)
        if names is None:
            self._skip(fault, f"nobody is {', '.join(filter(is_role, fault.targets))}")
            return
        # Of a replacement only the one that dies has to be there.
        there = names[:1] if fault.kind == "replace" else names
        if fault.kind in _ON_PROCESSES and not all(self._world.processes[name].starts for name in there):
            self._skip(fault, f"{', '.join(names)} was never started")
            return
        is_tolerable = fault.kind == "blackout" or self._tolerates(names)
        if fault.after_ready and not (is_whole(self._checks, self._present()) and is_tolerable):
            self._skip(fault, f"the groups do not tolerate the loss of {', '.join(names)}")
            return
        if any(is_role(target) for target in fault.targets):
            self._count(f"{fault.kind} of {' '.join(fault.targets)}")
        await self._apply(replace(fault, targets=tuple(names)))

    def _skip(self, fault: FaultEvent, why: str) -> None:
        self._recorder.skipped.append(f"fault {fault.kind}: {why}")
        if fault.kind in DEATHS and fault.after_ready:
            self._late.append(fault)

    async def _until_whole(self) -> bool:
        while not is_whole(self._checks, self._present()):
            if not await self._wait(_LOOK_S):
                return False
        return not self._over.is_set()

    def _tolerates(self, names: Sequence[str]) -> bool:
        """Whether every group keeps a majority without these nodes."""
        homes = {
            group.core.id: process.name
            for process, host in self._checks.live()
            for group in host.groups.values()
        }
        for _, host in self._checks.live():
            for group in host.groups.values():
                membership = group.core.committed_membership
                if group.core.role is Role.LEADER and membership is not None:
                    lost = sum(homes.get(voter) in names for voter in membership.voters)
                    if 2 * lost >= len(membership.voters):
                        return False
        return True

    async def _apply(self, fault: FaultEvent) -> None:
        courses = {
            **dict.fromkeys(("crash", "restart", "client_crash", "outage"), self._kill),
            **dict.fromkeys(("lost_disk", "damage"), self._kill),
            "stale_disk": self._be_stale,
            **dict.fromkeys(("stop", "client_leave"), self._leave),
            "join": self._join,
            "blackout": self._lose_everything,
            "leave": self._depart,
            "replace": self._replace,
            "slow_node": self._slow,
            "partial": self._partial,
        }
        await courses.get(fault.kind, self._inject)(fault)
        if fault.duration_us or fault.kind in (*DEATHS, *ELASTIC):
            self._world.record("nemesis", FaultEnded(fault.kind, tuple(fault.targets)))

    async def _inject(self, fault: FaultEvent) -> None:
        self._note(fault)
        undo = self._injector.inject(fault)
        if undo is not None:
            await self._last(fault)
            undo.heal()

    async def _last(self, fault: FaultEvent) -> None:
        """Wait for the end of a fault: for its duration, or until what ends it before has come."""
        if fault.until is None:
            await self._wait(fault.duration_us / _MICROS)
            return
        what, count, delay_us = fault.until
        try:
            async with asyncio.timeout(fault.duration_us / _MICROS):
                if await self._triggers.wait(what, count) and await self._wait(delay_us / _MICROS):
                    self._count(f"{fault.kind} until {what}")
        except TimeoutError:
            self._recorder.skipped.append(f"end of {fault.kind}: no {what} came in time")

    def _count(self, name: str) -> None:
        self.done[name] = self.done.get(name, 0) + 1

    def _note(self, fault: FaultEvent) -> None:
        self._world.record("nemesis", FaultBegan(fault.kind, tuple(fault.targets)))
        self._count(fault.kind)
        if fault.trigger is not None:
            self._count(f"after {fault.trigger[0]}")
        if fault.phase:
            self._count(f"during {fault.phase}")
        self.deaths += fault.kind in DEATHS and fault.after_ready
        hits = self.hits.setdefault(fault.kind, [0, 0])
        hits[0] += self._recorder.in_flight() > 0
        hits[1] += self._recorder.holding() > 0
        self.timeline.append(f"{self._world.now_ns / 1e9:.6f} s: {fault.describe()}")

    # -- who dies, leaves and comes

    async def _kill(self, fault: FaultEvent) -> None:
        world = self._world
        names = [name for name in fault.targets if world.processes[name].is_up]
        if not names:
            self._recorder.skipped.append(f"fault {fault.kind}: {', '.join(fault.targets)} is down already")
            return
        if fault.kind == "crash" and self._recorder.in_flight() and any(self._leads(name) for name in names):
            self._recorder.goal("a leader died with calls under way")
        self._note(fault)
        for name in names:
            world.crash(name, power_loss=bool(fault.args.get("is_power_loss", 0)))
            self._recorder.client_died(name)
        if len(names) == len(self._present()) > 1:
            self._recorder.goal("all nodes died at once")
        await self._wait(fault.duration_us / _MICROS)
        self._spoil_disk(fault)
        await asyncio.gather(*[self._start(fault, name) for name in names])

    def _spoil_disk(self, fault: FaultEvent) -> None:
        process = self._world.processes[fault.targets[0]]
        disk = process.disk
        if fault.kind == "lost_disk":
            process.disk = None
        elif fault.kind == "damage" and isinstance(disk, SimDisk) and disk.keys:
            disk.damage(disk.keys[fault.args.get("which", 0) % len(disk.keys)], fault.args.get("how", 0))

    async def _be_stale(self, fault: FaultEvent) -> None:
        """A node comes back with an old disk, which nobody talks to; then somebody takes the disk away."""
        (name,) = fault.targets
        process, disk = self._world.processes[name], self._world.processes[name].disk
        if not process.is_up or not isinstance(disk, SimDisk):
            self._recorder.skipped.append(f"fault {fault.kind}: {name} is down or has no disk")
            return
        self._note(fault)
        self._world.crash(name)
        self._recorder.client_died(name)
        disk.go_back()
        # One that was started once goes back to nothing, and is a newcomer.
        is_old = bool(disk.rows)
        life = asyncio.create_task(self._live_on(name))
        await self._wait(fault.duration_us / _MICROS)
        if process.value is not None and is_old and disk.rows:
            self._recorder.violations.append(Violation(5, name, "serves with a disk that is out of date"))
        self._world.crash(name)
        await life
        process.disk = None
        await self._start(fault, name)

    async def _live_on(self, name: str) -> None:
        """Start what is not to come up; how that ends is nobody's concern."""
        try:
            await self._world.start(name)
        except (CrashedError, DiskError, TimeoutError) as error:
            self._recorder.goal("a start with an old disk came to nothing", bool(error))

    async def _leave(self, fault: FaultEvent) -> None:
        (name,) = fault.targets
        process = self._world.processes[name]
        if not process.is_up or process.value is None:
            self._recorder.skipped.append(f"fault {fault.kind}: {name} does not run")
            return
        self._note(fault)
        self._recorder.goal("a process left in order")
        leaving = Leaving(self._world, name)
        try:
            await self._world.stop(name)
            late = leaving.gone()
            self._recorder.violations += [late] if late is not None else []
        except CrashedError:
            self._recorder.skipped.append(f"fault {fault.kind}: {name} crashed while it left")
        self._recorder.client_died(name)
        await self._wait(fault.duration_us / _MICROS)
        await self._start(fault, name)

    async def _join(self, fault: FaultEvent) -> None:
        names = [name for name in fault.targets if not self._world.processes[name].starts]
        if names:
            self._note(fault)
            await asyncio.gather(*[self._start(fault, name) for name in names])
            self._recorder.goal("nodes joined")

    async def _depart(self, fault: FaultEvent) -> None:
        (name,) = fault.targets
        if not fault.after_ready and self.departures.leaves_few(name):
            # Groups become single replicas, which nobody else's death may meet: deaths wait.
            async with self._gate:
                await self._leave_for_good(fault)
        else:
            await self._leave_for_good(fault)

    async def _leave_for_good(self, fault: FaultEvent) -> None:
        (name,) = fault.targets
        if not self.departures.is_possible(name):
            self._recorder.skipped.append(
                f"fault {fault.kind}: {name} does not serve, or nobody would be left"
            )
            return
        self._note(fault)
        await self.departures.leave(name)

    async def _replace(self, fault: FaultEvent) -> None:
        victim, newcomer = fault.targets
        if not self._world.processes[victim].is_up or self._world.processes[newcomer].starts:
            self._recorder.skipped.append(f"fault {fault.kind}: {victim} is gone, or {newcomer} is there")
            return
        self._note(fault)
        self.departures.die(victim)
        await self._wait(fault.duration_us / _MICROS)
        await self._start(fault, newcomer)
        self._recorder.goal("a node was replaced")
        founders = self._plan.cluster.founders or self._plan.cluster.nodes
        if all(f"node-{index + 1}" in self.departures.died for index in range(founders)):
            self._recorder.goal("every founder was replaced")

    async def _start(self, fault: FaultEvent, name: str) -> None:
        if self._world.processes[name].is_up or self._world.processes[name].is_retired:
            return
        try:
            await self._world.start(name)
        except CrashedError:
            self._recorder.goal("a start was interrupted")
        except DiskError as error:
            await self._start_again(fault, name, error)
        except TimeoutError as error:
            text = f"did not serve again after {fault.kind}: {error}"
            self._recorder.violations.append(Violation(46, name, text))

    async def _start_again(self, fault: FaultEvent, name: str, error: DiskError) -> None:
        """The process ended with a clear word: wait for room, or take a disk away that nothing can be read from."""
        self._world.crash(name)
        if not isinstance(error, DiskFull):
            self._recorder.goal("a disk could not be read at all")
            self._world.processes[name].disk = None
        elif not await self._wait(_LOOK_S):
            await asyncio.sleep(_LOOK_S)
        await self._start(fault, name)

    def _leads(self, name: str) -> bool:
        host = host_of(self._checks.systems.get(name))
        return host is not None and any(group.core.role is Role.LEADER for group in host.groups.values())

    async def _lose_everything(self, fault: FaultEvent) -> None:
        self._note(fault)
        self._blackout.begin(self._present())
        await self._wait(fault.duration_us / _MICROS)
        await asyncio.gather(*[self._start(fault, name) for name in self._present()])

    async def black_out(self) -> None:
        """All nodes end and begin again, in peace."""
        await self._lose_everything(FaultEvent(0, "blackout", tuple(self._present())))

    # -- what takes its time

    async def _slow(self, fault: FaultEvent) -> None:
        """Hold a node again and again."""
        self._note(fault)
        end_ns = self._world.now_ns + fault.duration_us * 1000
        while self._world.now_ns < end_ns and self._world.processes[fault.targets[0]].is_up:
            held = self._injector.pause(fault)
            is_on = await self._wait(fault.args.get("held_us", 0) / _MICROS)
            held.heal()
            if not is_on or not await self._wait(_RUN_S):
                return

    async def _partial(self, fault: FaultEvent) -> None:
        """Cut links one by one, and bring them back one by one in another order."""
        self._note(fault)
        draws, subject = self._world.draws, f"{fault.at_us}"
        names = fault.targets
        pairs = [(first, second) for at, first in enumerate(names) for second in names[at + 1 :]]
        chosen = draws.shuffled("partial", subject, pairs)[: max(1, fault.args.get("links", 1))]
        step_s = fault.duration_us / _MICROS / (2 * len(chosen))
        cuts = []
        for first, second in chosen:
            cuts.append(self._world.partition([first], [second]))
            await self._wait(step_s)
        for cut in draws.shuffled("partial-back", subject, cuts):
            cut.heal()
            await self._wait(step_s)
