"""Planted bugs in rests of links and in hand-overs to nodes that stop: named tests show them."""

from __future__ import annotations

from typing import Any

from casty.cluster.actors import presence
from casty.cluster.node import leader_tasks
from casty.transport.link_watch import LinkWatch, RestingLinks

from .bug import Planted, bug_in, shown

__all__ = ["RESTING"]

_TESTS = "tests/unit/transport/test_link_watch.py"


def _sleeps_on(right: Any) -> Any:
    """What is said on a link does not end its rest."""

    def said(self: Any) -> bool:
        self.has_said = True
        return False

    del right
    return said


def _believed(right: Any) -> Any:
    """Who rests is there."""

    def look(self: Any, *, is_silent: bool, is_busy: bool) -> Any:
        return right(self, is_silent=is_silent and not self.is_resting, is_busy=is_busy)

    return look


def _alone(self: Any, short_s: float) -> float:
    """A link rests as long as if there were no others."""
    del self
    return short_s


def _heard_just_now(_group: Any, now_ns: int) -> int:
    """Whoever is linked hears the control group's leader."""
    return now_ns


RESTING = (
    shown(
        Planted("links-are-sight", "a minority judges nobody", "", presence, "heard_ns", _heard_just_now),
        "tests/unit/cluster/actors/test_presence.py::test_who_is_sighted",
    ),
    shown(
        bug_in("said-in-its-sleep", "silent links are found", "", LinkWatch, "said", _sleeps_on),
        f"{_TESTS}::test_what_is_said_ends_the_rest_and_a_silent_link_is_found_as_soon_as_ever",
    ),
    shown(
        bug_in("rests-in-peace", "silent links are found", "", LinkWatch, "look", _believed),
        f"{_TESTS}::test_a_vanished_end_of_a_resting_link_is_found_a_rest_later",
    ),
    shown(
        Planted("rests-alone", "idle costs do not grow", "", RestingLinks, "pause_s", _alone),
        f"{_TESTS}::test_all_resting_links_together_are_looked_at_no_more_than_so_often",
    ),
    shown(
        Planted("given-back-to-who-stops", "pauses are short", "", leader_tasks, "SETTLED_NS", 0),
        "tests/cluster/test_rolling.py::test_nobody_waits_long_while_each_node_is_stopped_and_started_again",
    ),
)
