"""Planted bugs in work that is done in parts: done in one turn after all, or wrong between two parts."""

from __future__ import annotations

from typing import Any

from casty.cluster.node.relays import Relays
from casty.cluster.sessions.core.client_session import ClientSession
from casty.cluster.sessions.core.deadlines import Deadlines
from casty.cluster.sessions.core.keepalive import KeepAlive
from casty.transport import connection

from .bug import Planted, bug_in, shown

__all__ = ["TURNS"]


def _told_at_once(right: Any) -> Any:
    """All owners hear of a loss in one turn."""

    def lose_all(keep_alive: Any, *arguments: Any, **options: Any) -> None:
        right(keep_alive, *arguments, **options)
        for loss in keep_alive._losing.rest():
            keep_alive._lost(loss)

    return lose_all


def _losses_untold(right: Any) -> Any:
    """Whoever is cut short tells nobody of what was lost and not told yet."""

    def close(keep_alive: Any) -> None:
        keep_alive._losing.clear()
        right(keep_alive)

    return close


def _valid_until_told(right: Any) -> Any:
    """A hold that was lost counts again when the session is covered before its owner was told."""

    def lose_all(session: Any) -> Any:
        lost = right(session)
        session.losses -= 1
        return lost

    return lose_all


def _first_part_only(right: Any) -> Any:
    """The slot is not asked at once to forget those whose turn came after the keep-alive."""

    def each_of(keep_alive: Any, session: Any, lost: Any, reason: str, _abandon: bool) -> Any:
        for loss in right(keep_alive, session, lost, reason, False):
            yield loss._replace(is_abandoned=_abandon)

    return each_of


def _named_again(right: Any) -> Any:
    """Sessions whose rows are still to be sent are named once more."""

    def plan_naming(keep_alive: Any, *arguments: Any) -> Any:
        keep_alive._naming.clear()
        return right(keep_alive, *arguments)

    return plan_naming


def _swept_at_once(right: Any) -> Any:
    """The heap of deadlines is swept by one call."""

    def sweep(deadlines: Any) -> None:
        while deadlines._swept:
            right(deadlines)

    return sweep


def _ended_at_once(right: Any) -> Any:
    """All calls of a link that ended are answered in one turn."""

    def link_lost(relays: Any, node_id: str) -> None:
        right(relays, node_id)
        relays._cut_off.finish()

    return link_lost


def _awaited_for_ever(_relays: Any, _relay_id: int, _answers: Any, _call_id: int) -> bool:
    """Whoever is gone is answered until its calls are forgotten."""
    return True


def _all_joined(parts: Any) -> list[bytes]:
    """What is long is copied to go out with the rest."""
    return [b"".join(parts)]


_LOSSES, _RELAYS = (
    f"tests/unit/cluster/{file}" for file in ("sessions/test_losses_in_parts.py", "node/test_relays.py")
)

TURNS = (
    shown(
        bug_in("losses-untold", "what is lost is told", "", KeepAlive, "close", _losses_untold),
        f"{_LOSSES}::test_an_abort_tells_everybody",
    ),
    shown(
        Planted("long-parts-joined", "turns are short", "", connection, "joined", _all_joined),
        "tests/unit/transport/test_intake.py"
        "::test_what_is_long_is_handed_over_as_it_is_and_what_is_short_joined",
    ),
    shown(
        bug_in("owners-told-at-once", "turns are short", "", KeepAlive, "lose_all", _told_at_once),
        f"{_LOSSES}::test_all_are_lost_at_once_and_their_owners_hear_of_it_in_parts",
    ),
    shown(
        bug_in(
            "valid-until-told", "what is lost stays lost", "", ClientSession, "lose_all", _valid_until_told
        ),
        f"{_LOSSES}::test_what_is_not_told_yet_stays_lost_when_the_session_is_covered_again",
    ),
    shown(
        bug_in(
            "first-part-abandoned", "what is lost is forgotten", "", KeepAlive, "_each_of", _first_part_only
        ),
        f"{_LOSSES}::test_all_are_lost_at_once_and_their_owners_hear_of_it_in_parts",
    ),
    shown(
        bug_in("named-again", "work is bounded", "", KeepAlive, "_plan_naming", _named_again),
        f"{_LOSSES}::test_frames_that_name_much_are_sent_in_parts",
    ),
    shown(
        bug_in("swept-at-once", "turns are short", "", Deadlines, "_sweep", _swept_at_once),
        "tests/unit/cluster/sessions/test_deadlines.py"
        "::test_a_new_one_costs_a_few_looks_and_the_ended_are_no_multiple_of_the_living",
    ),
    shown(
        bug_in("relays-ended-at-once", "turns are short", "", Relays, "link_lost", _ended_at_once),
        f"{_RELAYS}::test_calls_of_a_link_that_ended_are_answered_in_parts",
    ),
    shown(
        Planted(
            "replies-for-the-gone",
            "who is gone is not answered",
            "",
            Relays,
            "_is_awaited",
            _awaited_for_ever,
        ),
        f"{_RELAYS}::test_calls_of_a_caller_that_is_gone_are_forgotten_in_parts_and_answered_never",
    ),
)
