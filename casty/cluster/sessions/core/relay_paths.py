"""The way to a node that is out of reach: another node passes calls on, once the link was gone for a while.

A link that failed - nothing was heard on it for `Settings.unreachable_after_s` or longer - was gone all that time.
"""

from __future__ import annotations

from collections.abc import Callable

from casty.cluster.sessions.core.effects import Step
from casty.cluster.sessions.core.surroundings import Surroundings
from casty.config import SECOND_NS

__all__ = ["RelayPaths"]

UNREACHABLE_NS = SECOND_NS
"""A link that broke is usually back sooner, and the way around costs the leader a hop more."""


class RelayPaths:
    """Which nodes are out of reach, and since when.

    Parameters
    ----------
    step, surroundings
        The step under way, and what it reads.
    pick
        Draws a number below its argument.

    Bounds: `_since_ns` has a row per member that is out of reach, and for whoever went out of reach last.
    """

    __slots__ = ("_pick", "_since_ns", "_step", "_surroundings")

    def __init__(self, step: Step, surroundings: Surroundings, pick: Callable[[int], int]) -> None:
        self._step = step
        self._surroundings = surroundings
        self._pick = pick
        self._since_ns: dict[str, int] = {}

    def around(self, leader: str) -> str | None:
        """Return a linked node to ask through, once `leader` itself was out of reach for a second."""
        now_ns = self._step.now_ns
        if now_ns - self._since_ns.setdefault(leader, now_ns) < UNREACHABLE_NS:
            return None
        linked = [node_id for node_id in self._surroundings.linked() if node_id != leader]
        return linked[self._pick(len(linked))] if linked else None

    def link_up(self, node_id: str) -> None:
        """The node can be reached (again)."""
        self._since_ns.pop(node_id, None)

    def link_down(self, node_id: str, *, has_failed: bool = False) -> None:
        """The node is out of reach from now on, or was for long enough already, as its link failed."""
        topology = self._surroundings.topology()
        if topology is not None:
            self._since_ns = {
                node: at_ns for node, at_ns in self._since_ns.items() if node in topology.members
            }
        self._since_ns[node_id] = self._step.now_ns - (UNREACHABLE_NS if has_failed else 0)
