"""The bounds of a slot's machine, and what it says of each entry that it applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from casty.cluster.slots.lifetimes import Lifetimes
from casty.cluster.slots.schema import EVENT_LOG
from casty.distributed.machines.base import (
    BARRIER,
    BUSY,
    DESTROY,
    EVENTS,
    HOLDING_KINDS,
    NO_EFFECTS,
    OVERLOADED,
    QUEUE,
    RELEASE,
    RESIZE,
    Context,
    Effect,
    Reply,
)
from casty.distributed.machines.events import APPEND, EVENT_LOGS
from casty.distributed.machines.queue_shapes import WAITING
from casty.distributed.machines.registry import STRUCTURES

__all__ = [
    "CLOSED", "DUMP_BYTES", "ENDED_AT_ONCE", "END_PART", "FORMER", "MAX_UNWEIGHED", "MAY_WAIT", "MIN_OUTCOMES",
    "PARTIES", "TOKEN_BITS", "Applied", "MachineLimits", "appended", "refused_session", "refused_wait",
]  # fmt: skip

TOKEN_BITS = 33
FORMER = 0
"""The number of the session that stands for all holders of a former generation. No entry opens it and nobody keeps it
alive, so it ends by the leader's ordinary duty, one time to live after this generation began to be led."""
MIN_OUTCOMES = 1024
"""Unconfirmed outcomes that a session may always have: confirmations come only with its next keep-alive."""
DUMP_BYTES = 256 * 1024
ENDED_AT_ONCE = 16
"""Requests that wait or hold and end with their session in one entry. A frame may close many sessions."""
END_PART = 128
"""Requests that one entry lets go, of a session that has more: about a millisecond."""
MAX_UNWEIGHED = 64
"""Entities whose weight is looked at later. Those that change often are weighed once, not with each command; the bound
keeps small what a look at the sums has to do at once."""
MAY_WAIT = {
    kind: frozenset(
        operation
        for operation in STRUCTURES[kind].shapes
        if (operation in WAITING if kind == QUEUE else operation not in (DESTROY, RELEASE, RESIZE))
    )
    for kind in (*HOLDING_KINDS, BARRIER, QUEUE)
}
"""By kind, of those in which requests wait or hold: the operations whose requests may."""
PARTIES = frozenset(MAY_WAIT)
CLOSED: Reply = [
    BUSY, "holders of the former generation may live: nothing is granted for one time to live after a recovery",
]  # fmt: skip


class MachineLimits(NamedTuple):
    """Bounds of one slot; see `Settings`."""

    max_entities: int = 1_000_000
    max_sessions: int = 100_000
    max_waiters: int = 100_000


class Applied(NamedTuple):
    """What an entry did: its reply, outcomes of earlier waiting requests, and the session it ended.

    The reply to an end of a session of which something is left is ``[QUEUED]``: another such entry has to follow.
    """

    reply: Reply
    effects: Sequence[Effect] = NO_EFFECTS
    ended: int | None = None


class Entities(Protocol):
    """What is needed of the slot machine."""

    entities: dict[tuple[int, bytes], Any]

    def touch(self, key: tuple[int, bytes]) -> None:
        """An entity is about to change in place."""


def appended(machine: Entities, entry: Sequence[Any], context: Context) -> Applied:
    """Apply an APPENDED entry: whoever repeats it tells by its numbers that it does, so it needs no session."""
    key = (EVENTS, entry[EVENT_LOG])
    machine.touch(key)
    return Applied(
        EVENT_LOGS.decide(machine.entities.get(key), [APPEND, *entry[EVENT_LOG + 1 :]], context).reply
    )


def refused_session(lifetimes: Lifetimes, ttl_ms: int, sessions: int, limits: MachineLimits) -> Reply | None:
    """Return what an opening with this time to live, or none, is answered where there are so many sessions."""
    refused = lifetimes.refusal(ttl_ms) if ttl_ms else None
    if refused is None and sessions >= limits.max_sessions:
        return [OVERLOADED, "max_sessions", limits.max_sessions]
    return refused


def refused_wait(outcomes: int, waits: int, limits: MachineLimits) -> Reply | None:
    """Return what a request is answered that might wait or hold, by what its session has of such; see `SlotMachine`."""
    if outcomes >= max(limits.max_waiters, MIN_OUTCOMES):
        return [BUSY, "too many outcomes of waiting calls; confirm some first"]
    if waits >= limits.max_waiters + limits.max_entities:
        return [OVERLOADED, "max_entities", limits.max_entities]
    return None
