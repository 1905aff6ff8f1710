"""Liveness per pair of nodes, shared by all groups of a node and written by its host."""

from __future__ import annotations

__all__ = ["NEVER_NS", "Rounds"]

NEVER_NS = -1


class Rounds:
    """Results of the heartbeats between this node and its peers.

    A heartbeat stands for every group that its sender leads together with the receiver; it counts only when both
    ends agree on all of them. So a core may count it for its own group, from the moment its leadership (or
    the peer's place) began.

    Bounds: a row per process that shared a group with this one, less than the longest of all timeouts ago; older rows
    say what no row says, and go with `drop_before`.
    """

    __slots__ = ("answered", "heard")

    def __init__(self) -> None:
        self.heard: dict[str, int] = {}
        """Leading process -> local time of its last heartbeat that covered all groups it leads with us."""
        self.answered: dict[str, int] = {}
        """Peer process -> local *send* time of the newest heartbeat that it answered "equal"."""

    def drop_before(self, before_ns: int) -> None:
        """Drop what is older: nobody trusts a leader, or a lease, for so long."""
        for table in (self.heard, self.answered):
            for process in [process for process, at_ns in table.items() if at_ns < before_ns]:
                del table[process]
