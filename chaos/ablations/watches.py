"""Planted bugs in watches and refs: what is owed, who counts as gone, whose life it is."""

from __future__ import annotations

from typing import Any

from casty.actor import watch_table
from casty.actor.local import LocalSystem
from casty.actor.standing import Presence, Standing
from casty.actor.unread import MESSAGE_BYTES
from casty.actor.watch_protocol import HELD, OVER, Conversation
from casty.actor.watch_table import WatchTable
from casty.address import ActorAddress
from casty.cluster.actors import presence as company
from casty.cluster.actors.presence import ClientPresence, NodeCompany
from casty.cluster.actors.wiring import NodeRoutes

from .bug import Planted, bug_in, shown

__all__ = ["WATCHES"]

_SCENARIO = "actors"


def _only_news(conversation: Any, now_ns: int) -> Any:
    """What was sent once is never sent again."""
    return conversation.news(now_ns)


def _gone_for_good(table: Any, talk: Any) -> None:
    """A member that is down is forgotten, with what it watches here."""
    table._gone(talk)


def _at_once(presence: Any, time_ns: int, grace_ns: int) -> bool:
    """Who is missing is gone."""
    del time_ns, grace_ns
    return presence.missing_ns is not None


def _always(knows: Any) -> bool:
    """Who is cut off judges all the same."""
    del knows
    return True


def _nobody(knows: Any) -> None:
    """Clients ask nobody about others."""
    del knows


def _never_down(right: Any) -> Any:
    """A member that is down is waited for."""

    def standing(*args: Any) -> Standing:
        found: Standing = right(*args)
        return Standing.MEMBER if found is Standing.DOWN else found

    return standing


def _says_nothing(right: Any) -> Any:
    """Who was taken for lost, and lives, is not told."""

    def end_all(conversation: Any, last_id: int) -> Any:
        ids = right(conversation, last_id)
        conversation._clear(OVER, 0)
        return ids

    return end_all


def _keeps(conversation: Any, host: Any, id: int) -> None:
    """Rows stay when a watch is over."""
    del conversation, host, id


def _any_life(right: Any) -> Any:
    """A watch of whoever is there may become that of a successor."""

    def step(conversation: Any, host: Any, row: Any, now_ns: int) -> None:
        right(conversation, host, [*row[:2], 0] if row[0] == HELD else row, now_ns)

    return step


def _whoever(right: Any) -> Any:
    """What is for a former life is given to whoever has the path."""

    def deliver(
        local: Any, path: str, message: object, size_bytes: int = MESSAGE_BYTES, number: int | None = None
    ) -> Any:
        del number
        return right(local, path, message, size_bytes)

    return deliver


def _inexact(address: ActorAddress) -> str:
    """Services are registered under paths that others may have next."""
    return address.to_uri()


def _only_clients(right: Any) -> Any:
    """What is said of watches waits until two nodes have a link again."""

    def relay_paths_to(routes: Any, node_id: str) -> Any:
        return right(routes, node_id) if node_id not in routes.topology().members else ()

    return relay_paths_to


SHOWN_BY = {
    "no-detour": "cluster/test_watches.py::test_an_end_goes_around_a_cut_that_lasts",
    "down-is-forgotten": "unit/actor/test_watch_table.py"
    "::test_a_watcher_that_was_judged_down_hears_of_the_end_after_it",
    "blind-judge": "cluster/test_watches.py::test_a_node_that_was_taken_for_lost_loses_nothing_of_its_own",
    "down-is-waited-for": "cluster/test_watches.py::test_each_end_is_told_once",
    "lost-unawares": "unit/actor/test_watch_table.py::test_who_is_judged_down_is_told_once_and_lets_go_when_it_is_back",
    "any-life": "unit/actor/test_watch_protocol.py::test_a_known_life_is_asked_for_again_not_its_successor",
    "late-tick": "unit/actor/test_watch_table.py"
    "::test_a_client_that_is_missing_has_a_grace_that_counts_only_what_was_seen",
    "inexact-services": "unit/actor/test_lives.py::test_the_end_of_a_service_does_not_unlist_its_successor",
}
"""Those that no few dozen seeds of a scenario show, and the test that each fails."""

_PLANTED = (
    Planted("said-once", "notices are owed", _SCENARIO, Conversation, "due", _only_news, True),
    Planted("down-is-forgotten", "who is down may return", _SCENARIO, WatchTable, "_down", _gone_for_good),
    Planted("missing-is-gone", "clients have a grace", _SCENARIO, Presence, "passed", _at_once),
    Planted("blind-judge", "a minority judges nobody", _SCENARIO, NodeCompany, "is_sighted", _always, True),
    bug_in("no-detour", "ends go around cuts", _SCENARIO, NodeRoutes, "relay_paths_to", _only_clients),
    Planted("no-guardian", "clients watch clients", _SCENARIO, ClientPresence, "guardian", _nobody),
    bug_in("down-is-waited-for", "ends of nodes are told", _SCENARIO, company, "_standing", _never_down),
    bug_in("lost-unawares", "rows go", _SCENARIO, Conversation, "end_all", _says_nothing, True),
    Planted("rows-kept", "rows go", _SCENARIO, Conversation, "_release", _keeps),
    bug_in("any-life", "a watch is of one life", _SCENARIO, Conversation, "step", _any_life, True),
    Planted("late-tick", "a suspended node waits", _SCENARIO, watch_table, "MAX_TICK_NS", 1 << 62, True),
    bug_in("mail-of-another", "refs name one life", _SCENARIO, LocalSystem, "deliver", _whoever),
    Planted(
        "inexact-services", "services name lives", _SCENARIO, ActorAddress, "to_exact_uri", _inexact, True
    ),
)

WATCHES = tuple(
    shown(bug, f"tests/{SHOWN_BY[bug.name]}") if bug.name in SHOWN_BY else bug for bug in _PLANTED
)
