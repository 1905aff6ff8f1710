"""How long sessions live without being heard of: the cluster's own time, or one that their client asks for. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from casty.distributed.machines.base import MISMATCH, Reply
from casty.limits import MAX_NUMBER

__all__ = ["Heard", "Lifetimes"]

MILLISECOND_NS = 1_000_000
KEPT_BITS = 6
"""A leader tells times to live apart by so many of their first bits."""


class Lifetimes(NamedTuple):
    """What a client may ask for, in milliseconds; the founders decided."""

    low_ms: int = 1
    high_ms: int = MAX_NUMBER

    def refusal(self, ttl_ms: int) -> Reply | None:
        """Return what an opening that asks for this is answered; None where it is taken."""
        if self.low_ms <= ttl_ms <= self.high_ms:
            return None
        return [MISMATCH, "session_ttl_s", self.low_ms, self.high_ms, ttl_ms]


class Heard:
    """When a leader heard of each session, and which of them it has to give up.

    Sessions stand in one table for each time to live, whoever was silent longest first: what is due is found without
    looking at the others. The time of a client is rounded up in its first 6 bits, by a thirty-second at most, so there
    are at most 32 tables for each doubling of the time, however many different ones clients ask for. The cluster's own
    is exact.

    Parameters
    ----------
    usual_ns
        The cluster's own time to live.
    """

    __slots__ = ("_tables", "_ttl_ns", "_usual_ns")

    def __init__(self, usual_ns: int) -> None:
        self._usual_ns = usual_ns
        self._tables: dict[int, OrderedDict[int, int]] = {}
        """By time to live: when each session was heard of. None of them is empty."""
        self._ttl_ns: dict[int, int] = {}
        """By session: its table."""

    def __len__(self) -> int:
        return len(self._ttl_ns)

    def __contains__(self, session: int) -> bool:
        return session in self._ttl_ns

    def hear(self, session: int, ttl_ms: int, at_ns: int) -> None:
        """The session was heard of; nobody was later. `ttl_ms` is what it asked for, 0 for the usual."""
        ttl_ns = self._ttl_ns.get(session)
        if ttl_ns is None:
            ttl_ns = self._ttl_ns[session] = _rounded(ttl_ms) * MILLISECOND_NS if ttl_ms else self._usual_ns
        table = self._tables.get(ttl_ns)
        if table is None:
            table = self._tables[ttl_ns] = OrderedDict()
        table[session] = at_ns
        table.move_to_end(session)

    def begin(self, session: int, ttl_ms: int, at_ns: int) -> None:
        """The session counts as heard of then; nobody was earlier."""
        self.hear(session, ttl_ms, at_ns)
        self._tables[self._ttl_ns[session]].move_to_end(session, last=False)

    def forget(self, session: int) -> None:
        """It is over."""
        ttl_ns = self._ttl_ns.pop(session, None)
        if ttl_ns is not None:
            table = self._tables[ttl_ns]
            del table[session]
            if not table:
                del self._tables[ttl_ns]

    def overdue(self, now_ns: int) -> Iterator[int]:
        """Return sessions that were silent for longer than they live; each has to be forgotten before the next."""
        for ttl_ns, table in list(self._tables.items()):
            while table:
                session, at_ns = next(iter(table.items()))
                if now_ns - at_ns <= ttl_ns:
                    break
                yield session

    def count_tables(self) -> int:
        """Return how many different times to live are told apart now."""
        return len(self._tables)

    def longest_silence_ns(self, now_ns: int) -> int:
        """Return the longest silence there is, as a share of the time to live, given as one of the usual time."""
        silences = [
            (now_ns - next(iter(table.values()))) * self._usual_ns // ttl_ns
            for ttl_ns, table in self._tables.items()
        ]
        return max(0, *silences) if silences else 0


def _rounded(ttl_ms: int) -> int:
    """Return the least number not below this that has zeros behind its first bits."""
    step = 1 << max(0, ttl_ms.bit_length() - KEPT_BITS)
    return -(-ttl_ms // step) * step
