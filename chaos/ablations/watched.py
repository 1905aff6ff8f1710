"""Planted bugs in watches: ends that are told too early, too late, twice or never."""

from __future__ import annotations

import asyncio
from typing import Any

from casty.actor.cell import Cell
from casty.actor.events import Terminated
from casty.actor.standing import Presence, Standing
from casty.actor.watch_protocol import Conversation
from casty.actor.watch_table import WatchTable
from casty.actor.watching import Watching
from casty.cluster.actors import presence as company
from casty.cluster.actors.remote import Remote

from .bug import Planted, bug_in, shown

__all__ = ["WATCHED"]

_SCENARIO = "actors"
_LATER_S = 0.002


def _says_nothing_again(conversation: Any, host: Any) -> None:
    """News of the way to another process change nothing: what it forgot meanwhile stays forgotten."""
    del conversation, host


def _told_twice(right: Any) -> Any:
    """Who watches is told twice."""

    def terminated(cell: Any, ref: Any) -> None:
        is_told = cell.core.key_of(ref) in cell.watching and not cell.is_stopping
        right(cell, ref)
        if is_told:
            cell.mailbox.put_beyond(Terminated(ref))

    return terminated


def _silent_is_dead(right: Any) -> Any:
    """Who is silent counts as down."""

    def standing(topology: Any, node_id: str, incarnation: str) -> Standing:
        member = None if topology is None else topology.members.get(node_id)
        found: Standing = right(topology, node_id, incarnation)
        is_silent = member is not None and member.is_silent and found is Standing.MEMBER
        return Standing.DOWN if is_silent else found

    return standing


def _without_grace(topology: Any, settings: Any) -> int:
    """A client whose links are gone is gone."""
    del topology, settings
    return 0


def _never_missing_for_long(presence: Any, time_ns: int, grace_ns: int) -> bool:
    """Whoever is not there is waited for without end."""
    del presence, time_ns, grace_ns
    return False


def _forgotten_when_down(table: Any, talk: Any) -> None:
    """Watches of a node that is down are over, and nobody is told."""
    for id in talk.conversation.end_all(table._last_id):
        table.mine.pop(id, None)
    table._changed(talk.conversation.key)


def _watches_on(watching: Any, watcher: Any, ref: Any) -> None:
    """Who watches no longer is told all the same."""
    del watching, watcher, ref


def _locals_only(right: Any) -> Any:
    """Only watchers in the same process are told."""

    def ended(watching: Any, cell: Any) -> None:
        table, watching.table = watching.table, _Nobody()
        try:
            right(watching, cell)
        finally:
            watching.table = table

    return ended


def _from_the_tick(right: Any) -> Any:
    """What counts for a grace is all that passed since the last tick."""

    def look(presence: Any, standing: Standing, now_ns: int) -> Any:
        verdict = right(presence, standing, now_ns)
        presence.since_ns = 0
        return verdict

    return look


def _over_when_told(right: Any) -> Any:
    """A watch is over when its end is told, read or not."""

    def terminated(cell: Any, ref: Any) -> None:
        right(cell, ref)
        cell.watching.pop(cell.core.key_of(ref), None)

    return terminated


def _goes_last(right: Any) -> Any:
    """What actors say is sent a little later than what the system says."""

    def send(remote: Any, address: Any, message: object, sender: Any) -> None:
        asyncio.get_running_loop().call_later(_LATER_S, right, remote, address, message, sender)

    return send


class _Nobody:
    def target_ended(self, target: object) -> None:
        """Tell nobody."""


def _bug(
    name: str, safeguard: str, owner: Any, attribute: str, broken: Any, *, is_hard: bool = False
) -> Planted:
    return Planted(name, safeguard, _SCENARIO, owner, attribute, broken, is_hard)


WATCHED = (
    shown(
        _bug(
            "nothing-said-anew",
            "a way that is back is news",
            Conversation,
            "repeat",
            _says_nothing_again,
            is_hard=True,
        ),
        "tests/unit/actor/test_watch_protocol.py::test_a_known_life_is_asked_for_again_not_its_successor",
    ),
    bug_in("end-told-twice", "told once", _SCENARIO, Cell, "terminated", _told_twice),
    bug_in("silent-is-dead", "silence may pass", _SCENARIO, company, "_standing", _silent_is_dead),
    _bug("clients-without-grace", "a client has a grace", company, "_grace_ns", _without_grace),
    _bug("missing-for-ever", "who is missing is gone", Presence, "passed", _never_missing_for_long),
    _bug("forgotten-when-down", "the cluster's judgement is told", WatchTable, "_down", _forgotten_when_down),
    _bug("watches-on", "unwatch", Watching, "unwatch", _watches_on),
    shown(
        bug_in(
            "grace-from-the-tick",
            "a client has a grace",
            _SCENARIO,
            Presence,
            "look",
            _from_the_tick,
            is_hard=True,
        ),
        "tests/unit/actor/test_watch_table.py::test_a_grace_begins_when_the_client_went_missing_and_not_with_the_tick_before",
    ),
    shown(
        bug_in("over-when-told", "told once", _SCENARIO, Cell, "terminated", _over_when_told, is_hard=True),
        "tests/unit/actor/test_unread_ends.py::test_what_is_done_about_a_watch_before_its_end_is_read",
    ),
    bug_in("last-words-later", "the end comes last", _SCENARIO, Remote, "send", _goes_last),
    bug_in("told-beside-only", "watchers elsewhere are told", _SCENARIO, Watching, "ended", _locals_only),
)
