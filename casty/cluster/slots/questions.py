"""What a leader asks a slot's machine about requests of sessions. Pure; nothing changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from casty.cluster.slots.grant_times import GrantTimes
from casty.cluster.slots.session_record import KEY_KIND, EntityKey, SlotSession
from casty.distributed.machines.base import EXPIRED, HOLDING_KINDS, OK, OPERATION, QUEUED, VALUE, Reply
from casty.distributed.machines.registry import STRUCTURES
from casty.distributed.machines.wait_queue import INFO

__all__ = ["Asked", "is_about_holder", "is_cleared", "is_held", "named_holder", "outcome_of"]


class Asked(Protocol):
    """What is needed of the slot machine."""

    entities: dict[EntityKey, Any]
    sessions: dict[int, SlotSession]
    times: GrantTimes

    def live(self, number: int) -> SlotSession | None:
        """Return a session that is not over."""
        ...

    def known(self, session: SlotSession, number: int, seq: int) -> Reply | None:
        """Return what a request that was seen before would be answered now; None for a new one."""
        ...


def outcome_of(machine: Asked, number: int, seq: int) -> Reply | None:
    """Return the final outcome of a request, None while there is none (or it never came)."""
    session = machine.live(number)
    if session is None:
        return [EXPIRED]
    known = machine.known(session, number, seq)
    return None if known == [QUEUED] else known


def is_held(machine: Asked, number: int, seq: int) -> bool:
    """Whether the request still holds what it was granted."""
    session = machine.live(number)
    key = None if session is None else session.waits.get(seq)
    state = None if key is None else machine.entities.get(key)
    return key is not None and state is not None and STRUCTURES[key[KEY_KIND]].is_held(state, number, seq)


def is_cleared(machine: Asked, number: int, seq: int) -> bool:
    """Whether a withdrawn request is withdrawn for good: nothing of it is left and nothing can come."""
    session = machine.live(number)
    if session is None:
        return True
    if seq in session.outcomes:
        return False
    return seq in session.withdrawn or (seq < session.low and seq not in session.waits)


def is_about_holder(kind: int, query: Sequence[Any], reply: Reply) -> bool:
    """Whether a query asked who holds something, and somebody does."""
    if kind not in HOLDING_KINDS or query[OPERATION] != INFO:
        return False
    holder, *_ = reply[VALUE]
    return holder is not None


def named_holder(machine: Asked, key: EntityKey, reply: Reply) -> Reply:
    """Return such a reply with whose session it is, and for how long, in the place of its number."""
    (number, *rest), *others = reply[VALUE]
    named = [machine.sessions[number].gateway, *rest, machine.times.age_ms(key)]
    return [OK, [named, *others]]
