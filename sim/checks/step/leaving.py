"""Who leaves in order is gone within the graces that its code gives (56), whatever its actors are at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.actor.ending import FORCES, STOP_GRACE_NS
from casty.cluster.actors.receptionist import WITHDRAW_NS
from casty.cluster.node.node import HAND_OVER_NS
from casty.cluster.sessions.core.router import ASIDE_NS

from ...kernel.events import Paused, Resumed
from ..violation import Violation

if TYPE_CHECKING:
    from ...world.world import World

__all__ = ["LEAVES_WITHIN_S", "STOPS_WITHIN_S", "Leaving"]

_SECOND_NS = 1_000_000_000
_WITHIN = 56
_SLACK_S = 1.0
"""Turns of the loop of a slow node, and clocks that drift."""

STOPS_WITHIN_S = (FORCES + 2) * STOP_GRACE_NS / _SECOND_NS
"""A grace for all, so many forces, and one more for parents whose children did not yield."""

LEAVES_WITHIN_S = (
    STOPS_WITHIN_S + (WITHDRAW_NS + ASIDE_NS + HAND_OVER_NS + 2 * STOP_GRACE_NS) / _SECOND_NS + _SLACK_S
)
"""Services, actors, handlers of events, sessions and leaderships, one after the other."""


class Leaving:
    """One process that begins to leave.

    Parameters
    ----------
    world
        Where it lives.
    name
        Its name.
    """

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._began_ns = world.now_ns
        self._first = len(world.trace)

    def gone(self) -> Violation | None:
        """It is gone: return what is wrong with how long that took, less the time in which it was held."""
        took_s = (self._world.now_ns - self._began_ns - self._held_ns()) / _SECOND_NS
        if took_s <= LEAVES_WITHIN_S:
            return None
        return Violation(
            _WITHIN, self._name, f"left after {took_s:.3f} s, expected {LEAVES_WITHIN_S} s at most"
        )

    def _held_ns(self) -> int:
        held_ns, since_ns = 0, 0
        trace = self._world.trace
        for at in range(self._first, len(trace)):
            entry = trace[at]
            if entry.node != self._name:
                continue
            if isinstance(entry.event, Paused):
                since_ns = entry.t_ns
            elif isinstance(entry.event, Resumed):
                # Held when it began to leave, and so without a beginning here.
                held_ns += entry.t_ns - (since_ns or self._began_ns)
        return held_ns
