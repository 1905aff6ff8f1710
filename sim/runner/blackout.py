"""All nodes end at once: what the cluster knew is gone, and what comes next is another cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..checks.step.check import StepChecks
from ..workloads.recorder import RunRecorder

if TYPE_CHECKING:
    from ..world.world import World

__all__ = ["Blackout"]


class Blackout:
    """What there is to do about it besides.

    Parameters
    ----------
    world, stage, checks
        The run.
    """

    def __init__(self, world: World, recorder: RunRecorder, checks: StepChecks) -> None:
        self._world = world
        self._recorder = recorder
        self._checks = checks

    def begin(self, nodes: Sequence[str]) -> None:
        """End all nodes in one instant."""
        if self._recorder.in_flight():
            self._recorder.goal("all memory was lost with calls under way")
        for name in nodes:
            self._world.crash(name)
            self._recorder.client_died(name)
        self._recorder.goal("all memory was lost")
        self._recorder.memory_is_lost(self._checks.token_generations())
        self._checks.memory_is_lost()
