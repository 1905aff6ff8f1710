"""The memory budget of one node: what counts, when the node refuses what grows, and when it takes it again. Pure.

All replicas of a slot fill alike, so without a budget they fail together, and nobody is left to make room.

States::

    open      --used reaches the budget-->            full
    full      --used reaches budget + reserve-->      exhausted
    full, exhausted --used falls to the low mark-->   open

*Full*: values that users store are refused (queue, set, map, fence). Locks, semaphores, barriers and counters are
small records of fixed size: they go on until the node is *exhausted*. So do messages for actors and entities, which
are gone as soon as they are read. Whatever shrinks or ends something is taken in every state: reads, removals,
releases, withdrawals, keep-alives, confirmations, and sessions, without which a new client could not remove anything.

What is used is measured now and then, exactly; between two measurements what was accepted is added to it, so that no
burst passes unseen. What was removed meanwhile is not known, so where much was accepted it is measured again before the
node is called full. A node that is full says so to the leaders whose slots it replicates: they refuse for it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from casty.actor.unread import Unread
from casty.address import process_of

__all__ = ["DEFAULT_SHARE", "STALE_SHARE", "MemoryBudget", "Usage", "budget_of"]

DEFAULT_SHARE = 2
"""The budget is this part (one half) of what the process may use: the rest is for the interpreter, for copies under
way and for what allocators lose between objects. Measured: 204 MB of queued items of 500 kB, counted here with their
log entries as 408 MB, made a process of 507 MB."""

LOW_SHARE = 8
"""A full node opens again when an eighth of its budget is free, so that it does not flap with every item."""

STALE_SHARE = 64
"""When this part of the budget was accepted since, a measurement is too old to refuse by: a queue through which
more than the budget passes between two measurements is as small as before. So measuring costs at most so many times
per budget of bytes accepted."""

RESERVE_SHARE = 16
"""What small records may use beyond the budget."""


class Usage(NamedTuple):
    """Bytes in use, by what uses them."""

    state: int = 0
    """Structures and sessions of all slots with a replica here."""
    logs: int = 0
    """Log entries and snapshots that are kept for replication."""
    mailboxes: int = 0
    """Messages that actors have not read, and such as wait for the leaders of their entities."""
    transfers: int = 0
    """States that are restored and not in their places yet, and parts of states that peers do not have yet."""
    buffers: int = 0
    """What links have not sent, and input that is no whole frame yet."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.state + self.logs + self.mailboxes + self.transfers + self.buffers


class MemoryBudget:
    """The budget of one node; see the head of this module.

    Parameters
    ----------
    budget_bytes
        What the node may use, at least 1.

    Attributes
    ----------
    usage
        As measured last.
    unread
        What actors have not read, as it is now; a system of actors puts its own here.
    is_full, is_exhausted
        The state.
    full_peers
        Peer keys of processes that said they are full; a row goes when that process says otherwise, is not
        asked any more, or is gone.
    """

    __slots__ = (
        "_measured_bytes",
        "accepted_bytes",
        "budget_bytes",
        "full_peers",
        "is_exhausted",
        "is_full",
        "room_bytes",
        "unread",
        "usage",
    )

    def __init__(self, budget_bytes: int) -> None:
        assert budget_bytes > 0
        self.budget_bytes = budget_bytes
        self.usage = Usage()
        self.unread = Unread()
        self.is_full = False
        self.is_exhausted = False
        self.full_peers: dict[str, None] = {}
        self.accepted_bytes = 0
        """What was accepted since the last measurement."""
        self._measured_bytes = 0
        """What was measured last, but for mailboxes."""
        self.room_bytes = budget_bytes
        """What the last measurement left of the budget for messages and for what is accepted; below zero when it is
        used up."""

    @property
    def used_bytes(self) -> int:
        """What was measured last, what was accepted since, and what is unread now."""
        usage = self.usage
        return usage.total - usage.mailboxes + self.unread.size_bytes + self.accepted_bytes

    @property
    def low_bytes(self) -> int:
        """A full node is open again at this use."""
        return self.budget_bytes - self.budget_bytes // LOW_SHARE

    @property
    def is_stale(self) -> bool:
        """Whether so much was accepted since the last measurement that only another one tells what is used."""
        return self.accepted_bytes >= max(1, self.budget_bytes // STALE_SHARE)

    def accepted(self, size_bytes: int) -> bool:
        """Count something that grows until the next measurement sees it.

        Returns
        -------
        bool
            It would be full by what was measured last, which is too old to say so: measure now.
        """
        self.accepted_bytes += size_bytes
        if self.accepted_bytes + self.unread.size_bytes < self.room_bytes:
            return False
        if self.is_stale:
            return True
        self._judge()
        return False

    def measured(self, usage: Usage) -> None:
        """Take an exact measurement."""
        self.usage = usage
        self._measured_bytes = usage.total - usage.mailboxes
        self.accepted_bytes = 0
        self.room_bytes = self.budget_bytes - usage.total + usage.mailboxes
        self._judge()

    def refuses(self, peers: Iterable[str], *, is_record: bool) -> bool:
        """Whether something that grows is refused in a group with these peers.

        Parameters
        ----------
        peers
            The group's other replicas.
        is_record
            It is a small record of fixed size, not a value that a user stores.
        """
        if is_record:
            return self.is_exhausted
        if self.is_full:
            return True
        return bool(self.full_peers) and any(process_of(peer) in self.full_peers for peer in peers)

    def takes_message(self, size_bytes: int) -> bool:
        """Whether there is room for a message of so many bytes until it is read."""
        if self.is_exhausted:
            return False
        # As `used_bytes` and `_end_bytes`, without adding up again what was measured: each message asks.
        used_bytes = self._measured_bytes + self.unread.size_bytes + self.accepted_bytes
        return used_bytes + size_bytes < self.budget_bytes + self.budget_bytes // RESERVE_SHARE

    def heard(self, peer: str, *, is_full: bool) -> None:
        """A process said whether it is full."""
        if is_full:
            self.full_peers[peer] = None
        else:
            self.full_peers.pop(peer, None)

    def asks(self, peers: Container[str]) -> None:
        """Only these processes are asked whether they are full; what others said once may be over."""
        for peer in [known for known in self.full_peers if known not in peers]:
            del self.full_peers[peer]

    def forget(self, peer: str) -> None:
        """That process is not linked any more."""
        self.full_peers.pop(peer, None)

    @property
    def _end_bytes(self) -> int:
        """An exhausted node uses so much."""
        return self.budget_bytes + self.budget_bytes // RESERVE_SHARE

    def _judge(self) -> None:
        used_bytes = self.used_bytes
        if used_bytes >= self.budget_bytes:
            self.is_full = True
        elif used_bytes <= self.low_bytes:
            self.is_full = self.is_exhausted = False
        if used_bytes >= self._end_bytes:
            self.is_exhausted = True


def budget_of(setting_bytes: int, available_bytes: int) -> int:
    """Return the budget: the setting, or with 0 the default share of what the process may use."""
    return setting_bytes or max(1, available_bytes // DEFAULT_SHARE)
