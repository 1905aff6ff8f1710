"""Planted bugs on the client's side: deadlines of holds, retries, redirects."""

from __future__ import annotations

from typing import Any

from casty.cluster.control.topology import LeaderTable
from casty.cluster.node.topology_publisher import Feed
from casty.cluster.sessions.core.client_session import Ledger
from casty.cluster.sessions.core.keepalive import KeepAlive
from casty.cluster.sessions.core.session_core import SessionCore
from casty.cluster.sessions.grant import Hold
from casty.distributed.machines.base import UNKNOWN
from casty.errors import Unavailable

from .bug import Planted, bug_in

__all__ = ["CLIENTS"]


def _valid_for_ever(hold: Any) -> bool:
    """`held` does not end when the cluster was not heard of for too long."""
    return not hold.held.is_over


def _from_receipt(right: Any) -> Any:
    """A session's time counts from the acknowledgement, not from the question."""

    def covered(keep_alive: Any, ledger: Any, sent_ns: int) -> None:
        del sent_ns
        right(keep_alive, ledger, keep_alive._step.now_ns)

    return covered


def _numbered_anew(right: Any) -> Any:
    """A request in doubt is sent to the next leader under a new number."""

    def again(core: Any, call: Any, reply: Any) -> None:
        if reply[0] == UNKNOWN and call.seq and not call.is_waiting:
            call.seq, call.payload = 0, b""
        right(core, call, reply)

    return again


def _never_in_doubt(right: Any) -> Any:
    """A request without an answer is called not applied."""

    def overdue(core: Any, call: Any) -> None:
        if call.may_be_applied:
            core._router.give_up(call)
            core._router.fail(call, Unavailable("no answer in time"))
        else:
            right(core, call)

    return overdue


def _not_given_back(right: Any) -> Any:
    """A grant that crossed a cancellation is kept for nobody."""

    def abandon(ledger: Any, seq: int, entity: Any) -> None:
        right(ledger, seq, entity)
        ledger.settle(seq)

    return abandon


def _deaf_at_first(right: Any) -> Any:
    """A node that is still joining forgets who leads what, which its peers say once."""

    def on_hints(feed: Any, body: bytes, leader: str) -> None:
        if feed.topology is not None:
            right(feed, body, leader)

    return on_hints


def _leaderless_told(right: Any) -> Any:
    """A term without a leader is told as if it had one: a leader of the term before is believed no more."""

    def rows(table: Any, slots: Any = None) -> list[list[object]]:
        chosen = list(table._hints) if slots is None else [slot for slot in slots if slot in table._hints]
        leaderless = [(slot, table._hints[slot]) for slot in chosen if table._hints[slot].leader is None]
        return [*right(table, slots), *([slot, hint.epoch, hint.term, ""] for slot, hint in leaderless)]

    return rows


CLIENTS = (
    Planted("held-for-ever", "expiry", "lock", Hold, "is_valid", property(_valid_for_ever), True),
    bug_in("covered-from-receipt", "expiry", "lock", KeepAlive, "covered", _from_receipt, True),
    bug_in("redirect-numbers-anew", "redirect", "counter", SessionCore, "_again", _numbered_anew),
    bug_in("doubt-denied", "redirect", "counter", SessionCore, "_overdue", _never_in_doubt),
    bug_in("leaderless-terms-told", "redirect", "lock", LeaderTable, "rows", _leaderless_told),
    bug_in("hints-missed", "redirect", "counter", Feed, "on_hints", _deaf_at_first),
    bug_in("grant-not-given-back", "withdrawal", "lock", Ledger, "abandon", _not_given_back),
)
