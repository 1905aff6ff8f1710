"""The way to a node that is out of reach: another node passes calls on, once the link was gone for a while."""

from __future__ import annotations

from casty.cluster.sessions.routes import Routes
from casty.config import SECOND_NS
from casty.ports import Clock, Entropy

__all__ = ["RelayPaths"]

UNREACHABLE_NS = SECOND_NS
"""A link that broke is usually back sooner, and the way around costs the leader a hop more."""


class RelayPaths:
    """Which nodes are out of reach, and since when.

    Bounds: `_since_ns` has a row per member that is out of reach, and for whoever went out of reach last.
    """

    __slots__ = ("_clock", "_entropy", "_routes", "_since_ns")

    def __init__(self, clock: Clock, entropy: Entropy, routes: Routes) -> None:
        self._clock = clock
        self._entropy = entropy
        self._routes = routes
        self._since_ns: dict[str, int] = {}

    def around(self, leader: str) -> str | None:
        """Return a linked node to ask through, once `leader` itself was out of reach for a second."""
        now_ns = self._clock.now()
        if now_ns - self._since_ns.setdefault(leader, now_ns) < UNREACHABLE_NS:
            return None
        linked = [node_id for node_id in self._routes.linked() if node_id != leader]
        return linked[self._entropy.below("way around", len(linked))] if linked else None

    def link_up(self, node_id: str) -> None:
        """The node can be reached (again)."""
        self._since_ns.pop(node_id, None)

    def link_down(self, node_id: str) -> None:
        """The node is out of reach from now on."""
        topology = self._routes.topology()
        if topology is not None:
            self._since_ns = {
                node: at_ns for node, at_ns in self._since_ns.items() if node in topology.members
            }
        self._since_ns[node_id] = self._clock.now()
