"""What the leader of one slot knows besides the log: when it heard of each session, who waits for what.

Soft state: a new leader starts empty and gives every session a fresh TTL, so that the client's own deadline
always passes before anybody else can be granted what it held. It speaks once its machine has applied all that
earlier leaders left. An expiry that it put into the log counts at once, committed or not: such a session is not
covered any more, for it may be gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from casty.cluster.proposals import Answers
from casty.cluster.slot_machine import ABANDON, EXPIRE, SlotMachine
from casty.distributed.core import EXPIRED, OK, QUEUED, Effect
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack

__all__ = ["SlotLeader"]

Row = tuple[int, int, bytes]


class SlotLeader:
    """One leadership of one slot.

    Parameters
    ----------
    machine
        The slot's machine.
    ttl_ns
        How long a session lives without being heard of.
    now_ns
        When this leadership began.
    """

    __slots__ = ("_began_ns", "_expiring", "_heard_ns", "_machine", "_ttl_ns", "_waiting", "_withdrawing")

    def __init__(self, machine: SlotMachine, ttl_ns: int, now_ns: int) -> None:
        self._machine = machine
        self._ttl_ns = ttl_ns
        self._began_ns = now_ns
        self._heard_ns: dict[int, int] = {}
        self._expiring: dict[int, None] = {}
        """Sessions whose expiry this leader put into the log, not applied yet."""
        self._waiting: dict[tuple[int, int], tuple[Answers, int]] = {}
        self._withdrawing: dict[tuple[int, int], int] = {}

    # -- waiting calls

    def wait(self, session: int, seq: int, answers: Answers, call_id: int) -> None:
        """Send the outcome of a queued request here once there is one; a newer call replaces an older."""
        self._waiting[session, seq] = (answers, call_id)

    def settle(self, effects: Iterable[Effect]) -> None:
        """Send outcomes to the calls that wait for them."""
        for session, seq, reply in effects:
            waiting = self._waiting.pop((session, seq), None)
            if waiting is not None:
                waiting[0].add(waiting[1], reply)

    def forget(self, session: int, seq: int) -> None:
        """The request waits no longer: it was withdrawn."""
        self._waiting.pop((session, seq), None)

    def abandon(self, reply: list[object]) -> None:
        """Leadership ended: tell everyone who waits, so that they ask the next leader."""
        waiting, self._waiting = self._waiting, {}
        for answers, call_id in waiting.values():
            answers.add(call_id, reply)

    # -- sessions

    def opened(self, session: int, now_ns: int) -> None:
        """An open was applied: its answer counts as the first keep-alive."""
        self._heard_ns[session] = now_ns

    def ended(self, session: int) -> None:
        """The session is over."""
        self._heard_ns.pop(session, None)
        self._expiring.pop(session, None)
        for key in [key for key in self._withdrawing if key[0] == session]:
            del self._withdrawing[key]
        for key in [key for key in self._waiting if key[0] == session]:
            answers, call_id = self._waiting.pop(key)
            answers.add(call_id, [EXPIRED])

    def due(self, now_ns: int) -> list[bytes]:
        """Return the expiry entries to propose now, each once per leadership."""
        entries = []
        for session in self._machine.sessions:
            heard_ns = max(self._heard_ns.get(session, 0), self._began_ns)
            if now_ns - heard_ns > self._ttl_ns and session not in self._expiring:
                self._expiring[session] = None
                entries.append(pack([EXPIRE, session]))
        return entries

    def expiry_refused(self, entry_sessions: Iterable[int]) -> None:
        """The expiry was not proposed after all; it stays due."""
        for session in entry_sessions:
            self._expiring.pop(session, None)

    def keep_alive(self, row: list[Any], now_ns: int) -> tuple[list[Any], bytes | None]:
        """Take the keep-alive row of one slot while the lease holds.

        Returns
        -------
        tuple
            The row of the acknowledgement (status, outcomes, lost, settled) and an ABANDON entry to propose,
            if any.
        """
        slot_epoch_session, waiting, held, abandoned = row[:3], _rows(row[3]), _rows(row[4]), _rows(row[5])
        session = slot_epoch_session[2]
        machine = self._machine
        if session not in machine.sessions or session in self._expiring:
            return [EXPIRED, [], [], []], None
        self._heard_ns[session] = now_ns
        outcomes = []
        for seq, _, _ in waiting:
            reply = machine.outcome_of(session, seq)
            if reply is not None and reply[0] != QUEUED:
                outcomes.append([seq, reply])
        lost = [seq for seq, _, _ in held if not machine.is_held(session, seq)]
        settled, left = [], []
        for seq, kind, entity in abandoned:
            if machine.is_settled(session, seq):
                settled.append(seq)
                self._withdrawing.pop((session, seq), None)
            elif now_ns - self._withdrawing.get((session, seq), -self._ttl_ns) > self._ttl_ns // 6:
                self._withdrawing[session, seq] = now_ns
                left.append([seq, kind, entity])
        entry = pack([ABANDON, session, left]) if left else None
        return [OK, outcomes, lost, settled], entry


def _rows(value: Any) -> list[Row]:
    if not isinstance(value, list):
        raise RemoteProtocolError("keep-alive: expected lists of [seq, kind, entity]")
    rows = []
    for row in value:
        if not isinstance(row, list) or [type(part) for part in row] != [int, int, bytes]:
            raise RemoteProtocolError("keep-alive: expected [seq, kind, entity] rows")
        rows.append((row[0], row[1], row[2]))
    return rows
