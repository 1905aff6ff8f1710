"""How long the leader of a slot lets reservations of queues be: when the item of one is given back.

Time is the leader's, as it is for sessions, and like a session's end the end of a reservation is agreed on by the log:
the leader proposes a withdrawal of the request, which does the same on every replica. Its time begins when the owner's
keep-alive first names the reservation to *this* leader. So it begins after the owner's own, which begins with the
answer, and the owner gives up first, whatever was lost or late in between; before the first keep-alive, and if none
comes, the session's TTL rules. What it costs: an item comes back up to a third of the TTL and a heartbeat later, and a
new leader begins anew.

Soft state. It holds what keep-alives named and is still held: no more than sessions hold.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from casty.cluster.slots.questions import Asked, is_held
from casty.cluster.slots.schema import ABANDON
from casty.cluster.slots.session_record import KEY_KIND, EntityKey
from casty.distributed.machines.base import QUEUE
from casty.wire.pack import pack

__all__ = ["Visibility"]

MS_NS = 1_000_000
MIN_SWEEP = 1_024


class Visibility:
    """The reservations of one slot, by the time at which they end.

    Parameters
    ----------
    machine
        The slot's machine.
    """

    __slots__ = ("_ends", "_known", "_machine", "_sweep_at")

    def __init__(self, machine: Asked) -> None:
        self._machine = machine
        self._ends: list[tuple[int, int, int]] = []
        """A heap of (when, session, request): all of `_known`, and some that ended before."""
        self._known: dict[tuple[int, int], EntityKey] = {}
        self._sweep_at = MIN_SWEEP

    def heard(self, session: int, held: Sequence[Sequence[Any]], now_ns: int) -> None:
        """A keep-alive names what its session holds, as rows ``[seq, kind, entity]``."""
        for seq, kind, _ in held:
            if kind != QUEUE or (session, seq) in self._known or not is_held(self._machine, session, seq):
                continue
            key = self._machine.sessions[session].waits[seq]
            if key[KEY_KIND] != QUEUE:
                continue  # The row says what its sender likes: what is held under this number is no reservation.
            reservation = self._machine.entities[key].reserved[(session, seq)]
            self._known[(session, seq)] = key
            heapq.heappush(self._ends, (now_ns + reservation.visibility_ms * MS_NS, session, seq))
        if len(self._ends) > self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Forget what is not held any more: most reservations end long before their time."""
        self._known = {of: key for of, key in self._known.items() if is_held(self._machine, *of)}
        self._ends = [end for end in self._ends if end[1:] in self._known]
        heapq.heapify(self._ends)
        self._sweep_at = max(MIN_SWEEP, 2 * len(self._ends))

    def due(self, now_ns: int, most: int) -> list[bytes]:
        """Return entries that withdraw what ends now, at least one if there is any and no more than `most`."""
        entries: list[bytes] = []
        while self._ends and self._ends[0][0] <= now_ns and (not entries or len(entries) < most):
            _, session, seq = heapq.heappop(self._ends)
            key = self._known.pop((session, seq))
            if is_held(self._machine, session, seq):
                low = self._machine.sessions[session].low
                entries.append(pack([ABANDON, session, low, [[seq, *key]]]))
        return entries
