"""A slot as small as can be: it remembers every answer for ever, and everything it does is there to be read."""

from __future__ import annotations

from typing import Any

from casty.cluster.sessions.core.client_session import Held
from casty.cluster.slots.schema import ABANDON, CANCEL, CLOSE, OPEN
from casty.config import SECOND_NS
from casty.distributed.machines.base import COUNTER, EXPIRED, OK, QUEUED, WITHDRAWN
from casty.distributed.machines.lock import ACQUIRE
from casty.wire.pack import unpack
from tests.unit.cluster.sessions.core_bench import TTL_S

__all__ = ["SmallSlot"]

Request = tuple[int, int]
"""(session, number)."""


class SmallSlot:
    """Sessions, one counter and one lock."""

    def __init__(self) -> None:
        self.proofs: dict[bytes, int] = {}
        self.answers: dict[int, dict[int, list[Any]]] = {}
        """By session, the answers by number; a row is a session that lives."""
        self.heard_ns: dict[int, int] = {}
        self.applied: list[int] = []
        """What each increment that was applied is called."""
        self.holder: Request | None = None
        self.line: list[Request] = []

    # -- the log

    def apply(self, payload: bytes, now_ns: int) -> list[Any]:
        """Apply an entry; the same one again gives the same answer."""
        entry: Any = unpack(payload)
        if entry[0] == OPEN:
            return self._open(entry[1], now_ns)
        session = entry[1]
        if session not in self.answers:
            return [EXPIRED]
        if entry[0] == CLOSE:
            self._end(session)
            return [OK]
        if entry[0] == ABANDON:
            for row in entry[3]:
                self._abandon(session, row[0])
            return [OK]
        known = self.answers[session].get(entry[2])
        if entry[0] == CANCEL:
            if known is None or known == [QUEUED]:
                self._abandon(session, entry[2])
            return self.answers[session][entry[2]]
        if known is None:
            known = self.answers[session][entry[2]] = self._command(session, entry[2], entry[5], entry[7])
        return known

    def _open(self, proof: bytes, now_ns: int) -> list[Any]:
        if proof not in self.proofs:
            number = self.proofs[proof] = len(self.proofs) + 1
            self.answers[number], self.heard_ns[number] = {}, now_ns
        number = self.proofs[proof]
        return [OK, number]

    def _command(self, session: int, seq: int, kind: int, command: list[Any]) -> list[Any]:
        if kind == COUNTER:
            self.applied.append(command[1])
            return [OK, len(self.applied)]
        if command[0] == ACQUIRE:
            self.line.append((session, seq))
            self._grant()
            return [OK, seq] if self.holder == (session, seq) else [QUEUED]
        is_mine = self.holder == (session, command[1])
        if is_mine:
            self._free()
        return [OK, is_mine]

    def _free(self) -> None:
        self.holder = None
        self._grant()

    def _grant(self) -> None:
        if self.holder is None and self.line:
            self.holder = session, seq = self.line.pop(0)
            self.answers[session][seq] = [OK, seq]

    def _abandon(self, session: int, seq: int) -> None:
        """Whatever the number asked for is not had: whether it came, comes or never comes."""
        self.line = [one for one in self.line if one != (session, seq)]
        if self.holder == (session, seq):
            self._free()
        known = self.answers[session].get(seq)
        if known is None or known == [QUEUED]:
            self.answers[session][seq] = [WITHDRAWN]

    def _end(self, session: int) -> None:
        del self.answers[session], self.heard_ns[session]
        self.line = [one for one in self.line if one[0] != session]
        if self.holder is not None and self.holder[0] == session:
            self._free()

    # -- what the leader does beside it

    def expire(self, now_ns: int) -> None:
        """End the sessions that were not heard of for their time to live."""
        for session, heard_ns in list(self.heard_ns.items()):
            if now_ns - heard_ns >= TTL_S * SECOND_NS:
                self._end(session)

    def keep_alive(self, row: list[Any], now_ns: int) -> list[Any]:
        """Answer a row of a keep-alive."""
        slot, _, session, waiting, held, abandoned, _, _ = row
        if session not in self.answers:
            return [slot, EXPIRED, [], [], [], None, 0]
        self.heard_ns[session] = now_ns
        for seq, *_ in abandoned:
            self._abandon(session, seq)
        answers = self.answers[session]
        outcomes = [[seq, answers[seq]] for seq, *_ in waiting if seq in answers and answers[seq] != [QUEUED]]
        lost = [seq for seq, *_ in held if self.holder != (session, seq)]
        return [slot, OK, outcomes, lost, [seq for seq, *_ in abandoned], None, 0]

    def is_of(self, held: Held) -> bool:
        """Whether it is the holder of the lock."""
        return self.holder == (held.session.number, held.seq)
