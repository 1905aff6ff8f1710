"""Calls of one gateway whose link ended or whose leader moved: seen to in parts, see `casty.parts`."""

from __future__ import annotations

from typing import Protocol

from casty.cluster.control.topology import Topology
from casty.cluster.sessions.call import Call
from casty.cluster.sessions.call_table import CallTable
from casty.cluster.sessions.routes import Routes
from casty.parts import Parts
from casty.ports import Clock

__all__ = ["Moves"]

FOLLOWED_AT_ONCE = 256
"""How many calls are sent to another leader in one turn of the loop."""
PARKED_AT_ONCE = 1_024
"""How many calls of a link that ended are looked at in one turn: less than a millisecond."""


class Mover(Protocol):
    """Whose calls they are; see `CallRouter`."""

    def resume(self, call: Call) -> None:
        """Send a call on its way, parked or not."""

    def retry_if_back(self, call: Call) -> None:
        """Try a call again that was just parked, if its link is back."""


class Moves:
    """What a link that ended or a leader that moved means for calls.

    Bounds: `_leaders` has a row per slot.
    """

    __slots__ = ("_cut_off", "_following", "_leaders", "_owner", "_routes", "_table")

    def __init__(self, owner: Mover, table: CallTable, clock: Clock, routes: Routes) -> None:
        self._owner = owner
        self._table = table
        self._routes = routes
        self._leaders: dict[int, str] = {}
        """Who led each slot when its calls were last sent to its leader."""
        self._following: Parts[Call] = Parts(clock, self._follow_leader, FOLLOWED_AT_ONCE)
        self._cut_off: Parts[tuple[Call, str, int]] = Parts(clock, self._look_after, PARKED_AT_ONCE)
        """Calls that were under way when the link to a node ended, with the node and the last attempt before."""

    @property
    def is_done(self) -> bool:
        """Whether no call waits to be seen to."""
        return self._following.is_done and self._cut_off.is_done

    def close(self) -> None:
        """See to no call any more."""
        self._following.clear()
        self._cut_off.clear()

    def follow(self, topology: Topology) -> None:
        """Send calls to the new leaders of their slots: the first of them here, the others in the turns that follow.

        Until then they are under way to the former one, which may still answer them. One that it refuses meanwhile was
        not refused by its successor, and goes on when its turn comes.
        """
        for slot in self._table.slots():
            leader = topology.leader_of(slot)
            if leader is not None and leader != self._leaders.get(slot):
                self._leaders[slot] = leader
                self._following.add(self._table.of_slot(slot))

    def _follow_leader(self, call: Call) -> None:
        topology = self._routes.topology()
        if topology is None or call.leader is None or call.call_id not in self._table.calls:
            return
        if call.leader != topology.leader_of(call.slot):
            self._owner.resume(call)

    def cut_off(self, node_id: str, last: int) -> None:
        """Park the calls that were under way on a link that ended; attempts after `last` are not on it."""
        self._cut_off.add((call, node_id, last) for call in list(self._table.calls.values()))

    def _look_after(self, row: tuple[Call, str, int]) -> None:
        call, node_id, last = row
        if call.sent_to != node_id or call.attempt > last or call.is_parked:
            return
        if call.call_id in self._table.calls:
            self._table.park(call)
            if self._routes.is_linked(node_id):
                self._owner.retry_if_back(call)
