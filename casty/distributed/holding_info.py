"""What people are told of who holds something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from casty.distributed.machines.rw_lock import WHOLE

__all__ = ["Leader", "LockInfo", "RwLockInfo", "leader_of", "lock_info", "rw_lock_info"]


@dataclass(frozen=True, slots=True)
class LockInfo:
    """A lock at one moment.

    Parameters
    ----------
    holder
        The client or node that holds it: ``id#incarnation`` of the process, as sessions name it. None if nobody does.
    held_s
        For how many seconds, at least, by the clock of the slot's leader: a node that was given the slot while the lock
        was held counts from then. None if nobody holds it, or nobody knows.
    token
        The holder's fencing token; None if nobody holds it.
    waiters
        How many requests wait.
    """

    holder: str | None
    held_s: float | None
    token: int | None
    waiters: int


@dataclass(frozen=True, slots=True)
class RwLockInfo:
    """A read-write lock at one moment.

    Parameters
    ----------
    writer, held_s, token
        Of the writer, as for `LockInfo`; None if nobody writes.
    readers
        How many read.
    waiters
        How many requests wait, of readers and of writers.
    """

    writer: str | None
    held_s: float | None
    token: int | None
    readers: int
    waiters: int


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads.

    Parameters
    ----------
    candidate
        The name under which it was elected.
    token
        The number of its term, which only grows: the fencing token of all that it does in it.
    """

    candidate: str
    token: int


def lock_info(plain: Any) -> LockInfo:
    """Return what a slot answered to INFO."""
    holder, _, waiters = plain
    if holder is None:
        return LockInfo(None, None, None, waiters)
    return LockInfo(_name(holder), _held_s(holder), holder[1], waiters)


def rw_lock_info(plain: Any) -> RwLockInfo:
    """Return what a slot answered to INFO."""
    holder, grants, waiters = plain
    if holder is None or holder[3] != WHOLE:
        return RwLockInfo(None, None, None, grants, waiters)
    return RwLockInfo(_name(holder), _held_s(holder), holder[1], 0, waiters)


def leader_of(token: int, label: bytes) -> Leader | None:
    """Return the leader of a term; None for the term 0, in which nobody leads."""
    return Leader(label.decode(errors="replace"), token) if token else None


def _name(holder: Any) -> str:
    owner = holder[0]
    # Entities behind another gateway know their callers by numbers.
    return str(owner.decode(errors="replace")) if isinstance(owner, bytes) else f"caller {owner}"


def _held_s(holder: Any) -> float | None:
    return None if len(holder) < 5 else holder[4] / 1000
