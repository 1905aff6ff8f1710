"""Planted bugs in what holds cost and leave: running sums, indexes, records that go, ends that are spread."""

from __future__ import annotations

from typing import Any

from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.lifetimes import Heard
from casty.cluster.slots.machine import SlotMachine
from casty.distributed.machines.base import LOCK, Decision
from casty.distributed.machines.wait_queue import LineStructure, WaitQueue

from .bug import Planted, bug_in

__all__ = ["HOLDS"]


def _reuses_tokens(right: Any) -> Any:
    """The token of a record that goes is drawn again."""

    def keep(machine: Any, key: Any, before: Any, after: Any) -> None:
        right(machine, key, before, after)
        if before is not None and after is None and key[0] == LOCK:
            machine._counter -= 1

    return keep


def _forgets_revocations(queue: Any) -> Any:
    """The record of a destroyed lock goes though its holder does not know yet."""
    return queue if queue.waiters or queue.grants else None


def _forgets_permits(queue: Any) -> Any:
    """The permits of a semaphore are forgotten while somebody holds, if nobody waits."""
    if not queue.waiters:
        queue.capacity = queue.founded = 0
    return queue if queue.waiters or queue.grants or queue.revoked else None


def _gives_back_twice(right: Any) -> Any:
    """What is taken falls twice for one grant."""

    def drop(queue: Any, key: Any) -> Any:
        share = queue.grants.get(key)
        gone = right(queue, key)
        if share is not None and queue.taken >= share.amount:
            queue.taken -= share.amount
        return gone

    return drop


def _counts_waiters(right: Any) -> Any:
    """Who gave up waiting gives back what it never had."""

    def drop(queue: Any, key: Any) -> Any:
        share = queue.waiters.get(key)
        gone = right(queue, key)
        queue.taken -= 0 if share is None else share.amount
        return gone

    return drop


def _forgets_taken(right: Any) -> Any:
    """A line that comes from a snapshot does not know what is taken."""

    def extend(structure: Any, queue: Any, table: int, rows: Any) -> None:
        right(structure, queue, table, rows)
        queue.taken = 0

    return extend


def _keeps_waits(right: Any) -> Any:
    """A request whose hold was given back is still looked for in its lock, and new when it is not found there."""

    def paid(structure: Any, queue: Any, reply: Any, gone: int = 0, *, is_owing: bool = False) -> Decision:
        decision: Decision = right(structure, queue, reply, gone, is_owing=is_owing)
        return decision._replace(gone=0)

    return paid


def _loses_one(right: Any) -> Any:
    """The last session of a piece is neither expired nor looked at again."""

    def due(leader: Any, now_ns: int, *work: int) -> list[bytes]:
        entries: list[bytes] = right(leader, now_ns, *work)
        return entries[:-1]

    return due


def _never_learns(_leader: Any) -> None:
    """Sessions that an earlier leader opened are never due."""


def _newest_first(right: Any) -> Any:
    """Who was heard of just now is looked at first, and being alive ends the search."""

    def hear(leader: Any, session: int, now_ns: int) -> None:
        right(leader, session, now_ns)
        heard = leader._heard
        heard._tables[heard._ttl_ns[session]].move_to_end(session, last=False)

    return hear


def _half_as_old(right: Any) -> Any:
    """A session ends when it was silent for twice its time to live."""

    def overdue(heard: Any, now_ns: int) -> Any:
        for ttl_ns, table in list(heard._tables.items()):
            late_ns = now_ns - ttl_ns
            while table and late_ns - next(iter(table.values())) > ttl_ns:
                yield next(iter(table))

    del right
    return overdue


def _alone_among_others(line: WaitQueue) -> bool:
    """One hold is taken for all that there is, whoever waits or lost one before."""
    return len(line.grants) == 1


HOLDS = (
    Planted("ends-with-its-waiters", "order", "lock", WaitQueue, "is_of_one", _alone_among_others),
    bug_in("token-drawn-again", "fencing", "lock", SlotMachine, "_keep", _reuses_tokens),
    Planted("ghosts-forgotten", "destroy", "lock", WaitQueue, "kept", _forgets_revocations, True),
    Planted("permits-forgotten", "permits", "semaphore", WaitQueue, "kept", _forgets_permits),
    bug_in("given-back-twice", "permits", "semaphore", WaitQueue, "drop", _gives_back_twice),
    bug_in("waiters-give-back", "permits", "semaphore", WaitQueue, "drop", _counts_waiters),
    bug_in("taken-not-restored", "snapshot", "semaphore", LineStructure, "extend", _forgets_taken),
    bug_in("stale-waits", "dedup", "lock", LineStructure, "_paid", _keeps_waits, True),
    bug_in("one-never-expires", "expiry", "lock", SlotLeader, "due", _loses_one),
    Planted("inherited-never-expire", "expiry", "lock", SlotLeader, "_learn", _never_learns),
    bug_in("expires-late", "expiry", "lock", Heard, "overdue", _half_as_old, True),
    bug_in("newest-first", "expiry", "lock", SlotLeader, "_hear", _newest_first),
)
