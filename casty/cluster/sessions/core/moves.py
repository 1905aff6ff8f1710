"""Calls of one gateway whose link ended or whose leader moved: seen to in parts, see `portions.Portions`."""

from __future__ import annotations

from collections.abc import Iterator

from casty.cluster.control.topology import Topology
from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.call_table import CallTable
from casty.cluster.sessions.core.effects import Alarm, Step
from casty.cluster.sessions.core.portions import Portions
from casty.cluster.sessions.core.surroundings import Surroundings

__all__ = ["Moves"]

FOLLOWED_AT_ONCE = 256
"""How many calls are sent to another leader in one turn of the loop."""
PARKED_AT_ONCE = 1_024
"""How many calls of a link that ended are looked at in one turn: less than a millisecond."""


class Moves:
    """What a link that ended or a leader that moved means for calls.

    Bounds: `_leaders` has a row per slot.
    """

    __slots__ = ("_cut_off", "_following", "_leaders", "_surroundings", "_table")

    def __init__(self, step: Step, table: CallTable, surroundings: Surroundings) -> None:
        self._table = table
        self._surroundings = surroundings
        self._leaders: dict[int, str] = {}
        """Who led each slot when its calls were last sent to its leader."""
        self._following: Portions[Call] = Portions(step, Alarm.FOLLOW, FOLLOWED_AT_ONCE)
        self._cut_off: Portions[tuple[Call, str, int]] = Portions(step, Alarm.CUT_OFF, PARKED_AT_ONCE)
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
        """See that calls are sent to the new leaders of their slots, see `to_send`.

        Until then they are under way to the former one, which may still answer them. One that it refuses meanwhile was
        not refused by its successor, and goes on when its turn comes.
        """
        for slot in self._table.slots():
            leader = topology.leader_of(slot)
            if leader is not None and leader != self._leaders.get(slot):
                self._leaders[slot] = leader
                self._following.add(self._table.of_slot(slot))

    def to_send(self, *, is_woken: bool = False) -> Iterator[Call]:
        """Return the calls that are to be sent to another leader in this step."""
        if is_woken:
            self._following.woken()
        for call in self._following.take():
            topology = self._surroundings.topology()
            if topology is None or call.leader is None or call.call_id not in self._table.calls:
                continue
            if call.leader != topology.leader_of(call.slot):
                yield call

    def cut_off(self, node_id: str, last: int) -> None:
        """See that calls under way on a link that ended are parked; attempts after `last` are not on it."""
        self._cut_off.add((call, node_id, last) for call in list(self._table.calls.values()))

    def to_park(self, *, is_woken: bool = False) -> Iterator[tuple[Call, str]]:
        """Return the calls that are to be parked in this step, and the node each was sent to."""
        if is_woken:
            self._cut_off.woken()
        for call, node_id, last in self._cut_off.take():
            if call.sent_to != node_id or call.attempt > last or call.is_parked:
                continue
            if call.call_id in self._table.calls:
                yield call, node_id
