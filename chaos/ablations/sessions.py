"""Planted bugs in sessions: exactly-once, withdrawal, expiry, snapshots of them."""

from __future__ import annotations

from typing import Any

from casty.cluster.sessions.core import session_core
from casty.cluster.slots import replica as slot_group
from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.session_record import SlotSession
from casty.distributed.machines.base import Frozen

from .bug import Planted, bug_in, shown

__all__ = ["SESSIONS"]


def _without_replies(right: Any) -> Any:
    """A snapshot leaves out the replies that were given."""

    def freeze(session: Any) -> Any:
        head, tables = right(session)
        return Frozen(head, ([], *tables[1:]))

    return freeze


def _not_remembered(right: Any) -> Any:
    """A request that arrives after its own withdrawal is applied."""

    def withdraw(session: Any, seq: int, *rest: Any) -> Any:
        answer = right(session, seq, *rest)
        session.withdrawn.pop(seq, None)
        return answer

    return withdraw


def _without_outcomes(right: Any) -> Any:
    """A retry after a trip arrives in the next generation."""

    def known(session: Any, seq: int) -> Any:
        return None if seq in session.outcomes else right(session, seq)

    return known


def _no_fresh_ttl(right: Any) -> Any:
    """A new leader does not give sessions their time anew."""

    def init(leader: Any, machine: Any, ttl_ns: int, now_ns: int, *rest: Any) -> None:
        right(leader, machine, ttl_ns, now_ns, *rest)
        leader._began_ns = now_ns - ttl_ns

    return init


def _covers_expiring(right: Any) -> Any:
    """A keep-alive is acknowledged although the session's expiry stands in the log."""

    def keep_alive(leader: Any, row: Any, now_ns: int) -> Any:
        expiring, leader._expiring = leader._expiring, {}
        answer = right(leader, row, now_ns)
        leader._expiring = expiring
        return answer

    return keep_alive


def _restarts_tokens(right: Any) -> Any:
    """A replica that was restored from a snapshot counts its tokens from the beginning."""

    def become(machine: Any, other: Any) -> None:
        right(machine, other)
        machine._counter = 0

    return become


def _speaks_when_committed(group: Any, now_ns: int) -> bool:
    """A new leader answers keep-alives from a machine that has not applied what it inherited."""
    return bool(group.core.is_established and group.core.lease_until_ns() > now_ns)


def _ends_half(right: Any) -> Any:
    """Of a session that ends in parts only the first part is let go."""

    def end(machine: Any, kind: int, number: int) -> Any:
        session = machine.sessions.get(number)
        if session is not None and not session.over and len(session.waits) > 1:
            session.over = kind
            machine._withdraw(session, number, next(reversed(session.waits)), (0, b""), abandon=True)
            session.waits.clear()
            session.entities.clear()
        return right(machine, kind, number)

    return end


def _denied_when_left(right: Any) -> Any:
    """Who leaves is told of every change of what can be held that it came to nothing."""

    def left_alone(call: Any) -> Any:
        is_waiting, call.is_waiting = call.is_waiting, True
        error = right(call)
        call.is_waiting = is_waiting
        return error

    return left_alone


SESSIONS = (
    bug_in("dedup-not-in-snapshot", "dedup", "counter", SlotSession, "freeze", _without_replies, True),
    bug_in("withdrawal-forgotten", "withdrawal", "lock", SlotSession, "withdraw", _not_remembered, True),
    bug_in("trip-forgotten", "barrier generation", "barrier", SlotSession, "known", _without_outcomes, True),
    bug_in("expiry-not-fresh", "expiry", "lock", SlotLeader, "__init__", _no_fresh_ttl),
    bug_in("expiring-covered", "expiry", "lock", SlotLeader, "keep_alive", _covers_expiring, True),
    shown(
        Planted(
            "speaks-unapplied", "lease", "semaphore", slot_group, "_may_speak", _speaks_when_committed, True
        ),
        "tests/unit/cluster/slots/test_slot_replica.py"
        "::test_a_new_leader_calls_nothing_lost_before_it_has_applied_what_it_inherited",
    ),
    bug_in("ends-half", "expiry", "semaphore", SlotMachine, "_end", _ends_half),
    shown(
        bug_in("denied-when-left", "calls of a client that is left", "mixed", session_core, "left_alone",
               _denied_when_left),
        "tests/unit/cluster/sessions/test_session_core.py"
        "::test_who_leaves_is_told_that_a_call_came_to_nothing_only_where_that_is_so",
    ),
    bug_in("tokens-restart", "fencing", "lock", SlotMachine, "become", _restarts_tokens),
)  # fmt: skip
