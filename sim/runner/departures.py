"""Nodes that go for good: in order, or by dying."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from casty.cluster.node.commands import REMOVE
from casty.errors import NotStarted

from ..checks.step.introspection import control_machine_of, node_of
from ..checks.violation import Violation
from ..kernel.errors import CrashedError
from ..workloads.recorder import RunRecorder

if TYPE_CHECKING:
    from ..plans.plan import ClusterShape
    from ..world.process import Process
    from ..world.world import World

__all__ = ["Departures"]

_TRY_S = 5.0
_TRIES = 30
_ENOUGH = 3
_LOOK_S = 0.1
_WITHIN_S = 40.0
"""After the faults: two verdicts about members that died, and the walk of every slot."""


class Departures:
    """Lets nodes go; `left`, `died` and `removed` are their names.

    Parameters
    ----------
    world, cluster, recorder
        The run.
    wait
        Waits for so many seconds; False when the faults are over before.
    """

    def __init__(
        self,
        world: World,
        cluster: ClusterShape,
        recorder: RunRecorder,
        wait: Callable[[float], Awaitable[bool]],
    ) -> None:
        self._world = world
        self._cluster = cluster
        self._recorder = recorder
        self._wait = wait
        self.left: dict[str, None] = {}
        self.died: dict[str, None] = {}
        self.removed: dict[str, None] = {}
        self.is_leaving = False

    def may_shrink(self) -> bool:
        """Whether a group may become smaller: somebody began to leave, or an operator removed somebody."""
        return self.is_leaving or bool(self.removed)

    def is_possible(self, name: str) -> bool:
        """Whether a node serves, and is not the last one, nor takes itself for it: then its end is the cluster's.

        The last one with a role cannot leave at all.
        """
        process = self._world.processes[name]
        machine = control_machine_of(process.value)
        members = {} if machine is None else machine.members
        others = [
            other.name
            for other in self._serving()
            if other is not process and (row := members.get(other.node_id)) is not None and row.status == "up"
        ]
        return process in self._serving() and bool(others) and self._cluster.can_host(others)

    def leaves_few(self, name: str) -> bool:
        """Whether so few nodes are left that groups become smaller."""
        return len([process for process in self._serving() if process.name != name]) < _ENOUGH

    def die(self, name: str) -> None:
        """Let a node die for good."""
        self._world.processes[name].is_retired = True
        self.died[name] = None
        self._world.crash(name)
        self._recorder.client_died(name)

    async def remove_dead(self, within_s: float) -> None:
        """Let an operator remove those who died for good, and whom the cluster did not forget by itself in time.

        It does where others have their places; where nobody has, or a group grew while nobody knew, it may not.
        """
        for _ in range(round(within_s / _LOOK_S)):
            if not any(map(self._is_known, self.died)):
                break
            await asyncio.sleep(_LOOK_S)
        for name in self.died:
            if self._is_known(name):
                self.removed[name] = None
                await self._until_removed(name)

    async def _until_removed(self, name: str) -> None:
        for _ in range(_TRIES):
            serving = self._serving()
            if serving and await self._remove(serving[0], name):
                self._recorder.goal("an operator removed a member")
                return
            await asyncio.sleep(1.0)

    def _is_known(self, name: str) -> bool:
        machines = [control_machine_of(process.value) for process in self._serving()]
        return any(machine is not None and name in machine.members for machine in machines)

    def _serving(self) -> list[Process]:
        processes = [self._world.processes[name] for name in self._world.node_names]
        return [process for process in processes if process.is_up and process.value is not None]

    async def _remove(self, process: Process, name: str) -> bool:
        node = node_of(process.value)
        assert node is not None, "it serves"
        try:
            is_done, text = await process.run(node.commands.do(REMOVE, name))
        except CrashedError:
            return False
        return is_done or "no member" in text

    async def leave(self, name: str) -> None:
        """Let a node leave, as often as that takes; one that dies meanwhile comes back, and has not left."""
        process = self._world.processes[name]
        self.is_leaving = True
        life, over_ns = process.incarnation.ordinal, 0
        while process.is_up and process.value is not None and process.incarnation.ordinal == life:
            system: Any = process.value
            try:
                await process.run(system.leave(_TRY_S))
            except TimeoutError as error:
                if not over_ns and not await self._wait(0.0):
                    over_ns = self._world.now_ns
                if over_ns and self._world.now_ns - over_ns > _WITHIN_S * 1e9:
                    self._recorder.violations.append(Violation(46, name, f"does not leave in peace: {error}"))
                    return
            except (CrashedError, NotStarted):
                self._recorder.skipped.append(f"fault leave: {name} crashed, or was stopped, while it left")
                return
            else:
                process.is_retired = True
                self.left[name] = None
                self._recorder.goal("a node left for good")
                await self._world.stop(name)
                self._recorder.client_died(name)
