"""How much one session may make its slot remember, whatever its gateway sends.

From the session's mark `low` on the slot remembers numbers: the reply to one, or that it was withdrawn. A leader
proposes nothing for a number too far above that mark, so all of them lie in ``[low, low + 4 x replies)``. The
distance is the rule, not a count of what is remembered: marks only grow, so it holds for entries under way and
for those that earlier leaders left as well. A gateway whose marks are true never meets it, for it numbers nothing
that far ahead itself; what frees something, which never waits, has more room.

=====================================  ================================================================
what a session makes its slot keep     bound
=====================================  ================================================================
replies and remembered withdrawals     numbers in ``[low, low + 4 x max_window_replies)``, of which what
                                       frees nothing has the first quarter
bytes of replies                       ``max_window_bytes``, 4 times that for what frees something; and
                                       the replies to what was under way when that was reached
outcomes of waiting calls              ``max_waiters`` (or 1,024) + ``max_waiters``; see `SlotMachine`
waiting and granted requests           ``max_waiters + max_entities``; see `SlotMachine`
=====================================  ================================================================

The number at the mark is always taken, however many bytes are kept: all others wait for its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from casty.cluster.slots.schema import ABANDON, CANCEL, COMMAND, ENTRY, GIVEN_UP, SEQ, UPTO
from casty.cluster.slots.session_record import SlotSession
from casty.distributed.machines.base import DESTROY, HOLDING_KINDS, OPERATION, QUEUE, RELEASE
from casty.distributed.machines.queue_shapes import ACK, NACK

__all__ = ["MORE_ROOM", "Window"]

MORE_ROOM = 4
"""What frees something has this many times the room: it must get through where nothing else does."""


class Window(NamedTuple):
    """The bounds; see `Settings.max_window_replies` and `Settings.max_window_bytes`."""

    replies: int = 1024
    size_bytes: int = 1024 * 1024

    def takes(self, session: SlotSession, entry: Sequence[Any]) -> bool:
        """Whether an entry of the session may be proposed."""
        kind = entry[ENTRY]
        if kind == COMMAND:
            return self._takes_command(session, entry)
        if kind == CANCEL:
            return self.takes_withdrawal(session, entry[SEQ], session.low)
        if kind == ABANDON:
            return all(self.takes_withdrawal(session, seq, entry[UPTO]) for seq, _, _ in entry[GIVEN_UP])
        return True

    def _takes_command(self, session: SlotSession, entry: Sequence[Any]) -> bool:
        _, _, seq, low, _, kind, _, command = entry
        low = max(low, session.low)
        if seq < low + self.replies and session.reply_bytes < self.size_bytes:
            return True  # the usual one, whatever it asks for
        frees = command[OPERATION] == DESTROY or (kind in HOLDING_KINDS and command[OPERATION] == RELEASE)
        frees = frees or (kind == QUEUE and command[OPERATION] in (ACK, NACK))
        room = MORE_ROOM if frees else 1
        if seq >= low + room * self.replies:
            return False
        limit_bytes = room * self.size_bytes
        if seq <= low or session.reply_bytes < limit_bytes:
            return True
        return session.bytes_from(low) < limit_bytes

    def takes_withdrawal(self, session: SlotSession, seq: int, low: int) -> bool:
        """Whether a number may be withdrawn by a gateway whose mark is `low`; what is remembered always may.

        A leader with other settings may have let it in.
        """
        return seq < max(low, session.low) + MORE_ROOM * self.replies or session.remembers(seq)
