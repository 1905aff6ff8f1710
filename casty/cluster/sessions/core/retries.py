"""Parked calls that are tried again: a few to find out whether a slot serves, all of them where something changed.

No more than `BATCH` calls are sent in one step; the others follow in the next turns of the loop.
"""

from __future__ import annotations

from casty.cluster.control.topology import Hint, Topology
from casty.cluster.sessions.core.call_table import NO_SLOT, CallTable
from casty.cluster.sessions.core.client_sessions import CallSessions
from casty.cluster.sessions.core.router import CallRouter
from casty.cluster.sessions.core.surroundings import Surroundings

__all__ = ["BATCH", "PROBES", "Retries"]

PROBES = 16
"""How many parked calls of a slot find out whether it serves again."""
BATCH = 256
"""How many calls are sent in one turn of the loop because something changed; the others follow in the next."""


class Retries:
    """What tries parked calls again.

    Parameters
    ----------
    surroundings
        What a step reads.
    table, sessions, router
        The calls, their sessions, and what sends them.
    """

    __slots__ = ("_router", "_sessions", "_surroundings", "_table", "_woken")

    def __init__(
        self, surroundings: Surroundings, table: CallTable, sessions: CallSessions, router: CallRouter
    ) -> None:
        self._surroundings = surroundings
        self._table = table
        self._sessions = sessions
        self._router = router
        self._woken: dict[int, tuple[int, Hint | None]] = {}
        """The epoch and leadership of each slot by which its parked calls were sent last: at most one row per slot."""

    def retry(self) -> None:
        """Try what is due."""
        left = BATCH
        for slot, count, is_admission in self._table.due():
            if slot == NO_SLOT:
                self._retry_without_topology()
            elif is_admission and left <= 0:
                self._table.admit_soon(slot)
            elif is_admission:
                parked = self._table.parked_count
                self._admit_first(slot)
                left -= parked - self._table.parked_count
                self._table.behind(slot)
            elif not self._router.has_way(slot) or (left <= 0 and count is None):
                self._table.retry_later(slot, is_longer=False)
            elif left <= 0:
                self._table.retry_now(slot, count)
            else:
                left -= self._retry_slot(slot, count)
                self._table.behind(slot)

    def _retry_without_topology(self) -> None:
        if self._surroundings.topology() is None and self._surroundings.refusal() is None:
            self._table.retry_later(NO_SLOT, is_longer=False)
            return
        for call in self._table.routed(NO_SLOT, BATCH):
            self._router.resume(call)
        if self._table.routed(NO_SLOT, 1):
            self._table.retry_now(NO_SLOT)

    def _retry_slot(self, slot: int, count: int | None) -> int:
        """Send parked calls of a slot that can be reached: the first `count`, or a few that find out if it serves.

        Returns about how many were sent; no more than `BATCH` are in one turn.
        """
        parked = self._table.parked_count
        # What waits for the window is let in by the answers that move it; this finds a session that has to be opened.
        self._admit_first(slot)
        for call in self._table.routed(slot, PROBES if count is None else min(count, BATCH)):
            self._router.resume(call)
        if count is not None and count > BATCH:
            # Those that were refused meanwhile are behind the others.
            self._table.retry_now(slot, count - BATCH)
        else:
            self._table.retry_later(slot)
        return parked - self._table.parked_count

    def _admit_first(self, slot: int) -> None:
        first = self._table.first_unnumbered(slot)
        session = self._sessions.sessions_by_slot.get(slot)
        if first is not None and (session is None or first.is_urgent or not self._sessions.is_full(session)):
            self._router.resume(first)
            session = self._sessions.sessions_by_slot.get(slot)
            if session is not None:
                self._router.admit(session)

    def wake(self, news: Topology | None = None) -> None:
        """Parked calls that can be sent now are: the first of them here, the others in the turns that follow.

        Of `news` only slots that are led anew: elsewhere they were refused, and nothing says that they would not be.
        """
        left = BATCH
        for slot in self._table.parked_slots():
            if slot == NO_SLOT:
                self._retry_without_topology()
                continue
            if not self._router.has_way(slot):
                continue
            if news is not None:
                led = (news.epoch_of(slot), news.leaders.hint_of(slot))
                if led == self._woken.get(slot):
                    continue
                self._woken[slot] = led
            if left > 0:
                left -= self._retry_slot(slot, self._table.routed_count(slot))
            else:
                self._table.retry_now(slot)
