"""Little memory: nodes get a budget near what they use, for a while.

Only a number changes, as if the machine had less memory. That the node is full, and that it has room again, it finds
out by itself: at its next measurement. A node that is started meanwhile has as little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from casty.cluster.multiraft.memory_budget import DEFAULT_SHARE

from ..checks.step.introspection import node_of
from ..net.partitions import Undo

if TYPE_CHECKING:
    from casty.cluster.multiraft.memory_budget import MemoryBudget

    from ..world.process import Process
    from ..world.world import World

__all__ = ["MemoryFaults"]

_SOON_S = 0.05


class MemoryFaults:
    """Who has little memory, and how much.

    Parameters
    ----------
    world
        The run.
    systems
        What each process runs, also while it starts.
    """

    def __init__(self, world: World, systems: Mapping[str, object]) -> None:
        self._world = world
        self._systems = systems
        self._given: dict[str, list[int]] = {}
        """Node -> what its process might use at first, and by each fault that lasts, in bytes; the last one counts."""

    def shrink(self, names: Sequence[str], percent: int) -> Undo:
        """Give nodes a budget of so many percent of what each uses now; those that are down keep theirs."""
        shrunk = [(process, self._shrink(process, percent)) for process in map(self._process, names)]
        return Undo(partial(self._give_back, [row for row in shrunk if row[1]]))

    def _process(self, name: str) -> Process:
        return self._world.processes[name]

    def _shrink(self, process: Process, percent: int) -> int:
        budget = self._budget_of(process)
        if budget is None or not process.is_up:
            return 0
        given = self._given.setdefault(process.name, [process.memory_bytes])
        given.append(DEFAULT_SHARE * max(1, budget.used_bytes * percent // 100))
        self._have(process, given[-1])
        return given[-1]

    def _give_back(self, shrunk: Sequence[tuple[Process, int]]) -> None:
        """Of several that overlap the youngest counts; each ends by itself."""
        for process, memory_bytes in shrunk:
            given = self._given[process.name]
            given.remove(memory_bytes)
            self._have(process, given[-1])

    def _budget_of(self, process: Process) -> MemoryBudget | None:
        node = node_of(self._systems.get(process.name))
        return None if node is None else node.memory.budget

    def _have(self, process: Process, memory_bytes: int) -> None:
        process.memory_bytes = memory_bytes
        self._tell(process)

    def _tell(self, process: Process) -> None:
        """Let a process know what it has by now."""
        budget = self._budget_of(process)
        if budget is not None:
            budget.budget_bytes = process.memory_bytes // DEFAULT_SHARE
        elif process.is_up:
            # It starts, with what it had a moment ago, and has no budget yet.
            self._world.after(_SOON_S, self._tell, process)
