"""Planted bugs on the client's side: deadlines of holds, retries, redirects."""

from __future__ import annotations

from typing import Any

from casty.cluster.client import ClientCore
from casty.cluster.control.topology import LeaderTable
from casty.cluster.node.topology_publisher import TopologyPublisher
from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.client_session import ClientSession
from casty.cluster.sessions.core.client_sessions import CallSessions
from casty.cluster.sessions.core.keepalive import KeepAlive
from casty.cluster.sessions.core.life import CallEvent, CallState
from casty.cluster.sessions.core.relay_paths import RelayPaths
from casty.cluster.sessions.core.router import CallRouter
from casty.cluster.sessions.core.session_core import SessionCore
from casty.cluster.sessions.driver import Driver
from casty.cluster.sessions.grant import Hold
from casty.distributed.handle import Handle
from casty.distributed.machines.base import UNKNOWN
from casty.errors import Unavailable

from .bug import Planted, bug_in, shown

__all__ = ["CLIENTS"]


def _decoded_by_who_is_there(right: Any) -> Any:
    """What an answer brought is decoded by the port of now, if there is one."""

    def decoded(handle: Any, data: bytes, *, was_applied: bool) -> Any:
        handle._latest = handle._port
        return right(handle, data, was_applied=was_applied)

    return decoded


def _valid_for_ever(hold: Any) -> bool:
    """`held` does not end when the cluster was not heard of for too long."""
    return not hold.held.is_over


def _from_receipt(right: Any) -> Any:
    """A session's time counts from the acknowledgement, not from the question."""

    def covered(keep_alive: Any, session: Any, sent_ns: int) -> None:
        del sent_ns
        right(keep_alive, session, keep_alive._step.now_ns)

    return covered


def _looks_at_members_only(core: Any) -> None:
    """Who was removed is asked by nobody, whoever else is there."""
    del core


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

    def abandon(session: Any, seq: int, entity: Any) -> None:
        right(session, seq, entity)
        session.cleared(seq)

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


def _contacts_only(client_core: Any) -> None:
    """A client dials the nodes that it was told of first, and no members."""
    for address in client_core._contacts:
        client_core.peers.want(str(address), address)


def _of_the_beginning(right: Any) -> Any:
    """The first members that a client hears of are the ones that it knows for good."""

    def on_snapshot(client_core: Any, new: Any, hints: Any) -> None:
        known = client_core._topology
        if known is not None and new.cluster_id == known.cluster_id:
            new = known
        right(client_core, new, hints)

    return on_snapshot


def _sent_where_it_is_parked(router: Any, call: Any) -> None:
    """A parked call that a late answer redirects is sent, and stays parked."""
    if call.state is not CallState.DONE:
        router.dispatch(call)


def _resumed_when_over(router: Any, call: Any) -> None:
    """A call that was to be tried again is sent although it ended meanwhile."""
    router._table.unpark(call)
    router.dispatch(call)


def _believed_too_late(_router: Any, _call: Any, _ledger: Any) -> bool:
    """A grant that arrives when its session is lost is kept."""
    return False


def _in_the_middle(driver: Any, one: Any, others: Any = ()) -> None:
    """An input that comes while a step is performed is taken in the middle of it."""
    for each in (one, *others):
        for effect in driver.core.step(driver._clock.now(), each):
            driver._performers[type(effect)](effect)


def _not_in_doubt_without_link(right: Any) -> Any:
    """What was sent on a link that ended counts as never sent."""

    def move(call: Any, event: Any) -> None:
        if event is CallEvent.PARK and call.state is CallState.SENT:
            right(call, CallEvent.REFUSE)
        right(call, event)

    return move


def _released_anyway(right: Any) -> Any:
    """A release is sent in whatever session its slot has by now."""

    def number(sessions: Any, call: Any, topology: Any) -> Any:
        call.only_in = None
        return right(sessions, call, topology)

    return number


def _as_any_end(right: Any) -> Any:
    """Who was silent for long is waited for like one whose link broke just now."""

    def link_down(paths: Any, node_id: str, *, has_failed: bool = False) -> None:
        del has_failed
        right(paths, node_id)

    return link_down


_CORE = "tests/unit/cluster/sessions/test_session_core.py::"

CLIENTS = (
    shown(
        Planted(
            "redirected-while-parked",
            "moves of calls",
            "mixed",
            CallRouter,
            "resume",
            _sent_where_it_is_parked,
        ),
        _CORE + "test_a_parked_call_that_a_late_answer_redirects_is_sent_once",
    ),
    shown(
        Planted("resumed-when-over", "moves of calls", "mixed", CallRouter, "resume", _resumed_when_over),
        _CORE + "test_what_ended_since_it_was_chosen_is_not_sent",
    ),
    shown(
        Planted("grant-of-a-lost-session", "expiry", "lock", CallRouter, "_is_late", _believed_too_late),
        _CORE + "test_a_grant_of_a_session_that_is_lost_is_lost_at_once",
    ),
    shown(
        Planted("step-within-a-step", "steps of the core", "mixed", Driver, "step", _in_the_middle),
        _CORE + "test_a_node_that_answers_itself_is_heard_when_the_step_is_done",
    ),
    shown(
        bug_in(
            "doubt-ends-with-the-link", "moves of calls", "mixed", Call, "move", _not_in_doubt_without_link
        ),
        "tests/scripts/test_session_scripts.py::test_script[02-a-lost-reply]",
    ),
    shown(
        bug_in(
            "decoded-by-who-is-there",
            "calls of a client that is left",
            "journal",
            Handle,
            "_decoded",
            _decoded_by_who_is_there,
        ),
        "tests/unit/distributed/test_values.py"
        "::test_a_call_that_was_answered_before_its_client_was_left_returns_its_value",
    ),
    shown(
        bug_in("silent-for-nothing", "ways around", "mixed", RelayPaths, "link_down", _as_any_end),
        "tests/unit/cluster/sessions/test_gateway.py"
        "::test_who_was_silent_for_long_is_asked_through_another_at_once",
    ),
    shown(
        bug_in("released-in-another-session", "expiry", "lock", CallSessions, "number", _released_anyway),
        _CORE + "test_a_release_whose_session_is_gone_is_sent_to_nobody",
    ),
    Planted("held-for-ever", "expiry", "lock", Hold, "is_valid", property(_valid_for_ever), True),
    bug_in("covered-from-receipt", "expiry", "lock", KeepAlive, "covered", _from_receipt, True),
    bug_in("redirect-numbers-anew", "redirect", "counter", SessionCore, "_again", _numbered_anew),
    bug_in("doubt-denied", "redirect", "counter", SessionCore, "_overdue", _never_in_doubt),
    bug_in("leaderless-terms-told", "redirect", "lock", LeaderTable, "rows", _leaderless_told),
    bug_in("hints-missed", "redirect", "counter", TopologyPublisher, "on_hints", _deaf_at_first),
    bug_in("grant-not-given-back", "withdrawal", "lock", ClientSession, "abandon", _not_given_back),
    shown(
        Planted(
            "removed-for-good", "members are dialled", "", ClientCore, "_look_around", _looks_at_members_only
        ),
        "tests/cluster/test_elastic.py::test_a_client_that_knows_only_who_was_removed_looks_there_as_well",
    ),
    Planted(
        "contacts-dialled-only", "members are dialled", "membership", ClientCore, "_dial", _contacts_only
    ),
    bug_in(
        "members-of-the-beginning",
        "members are learned",
        "membership",
        ClientCore,
        "_on_snapshot",
        _of_the_beginning,
    ),
)
