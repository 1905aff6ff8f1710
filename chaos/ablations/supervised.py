"""Planted bugs in supervision, in messages that are sent later, and in singletons."""

from __future__ import annotations

from typing import Any

from casty.actor.cell import Cell
from casty.actor.scheduling import Scheduler, Schedules
from casty.actor.supervision import OneForOneStrategy
from casty.cluster.actors.region_host import RegionHost

from .bug import Planted, bug_in, shown

__all__ = ["SUPERVISED"]

_SUPERVISION = "tests/unit/actor/test_supervision.py"
_SCHEDULING = "tests/unit/actor/test_scheduling.py"


def _not_cancelled(cell: Any) -> None:
    """What an actor scheduled goes on after its end."""
    del cell


def _told_for_ever(right: Any) -> Any:
    """Ticks go on when their target is gone."""

    def tell(scheduler: Any, target: Any, message: object) -> bool:
        right(scheduler, target, message)
        return True

    return tell


def _adds_up(schedules: Any, key: object) -> None:
    """What was scheduled under a key stays when it is used again."""
    del schedules, key


def _catches_up(schedules: Any, key: Any, when_ns: int, interval_ns: int, context: Any) -> None:
    """Ticks that a pause made late come all at once."""
    del schedules._timers[key]
    if context() and key not in schedules._timers:
        schedules._arm(key, when_ns + interval_ns, interval_ns, context)


def _never_old(strategy: Any, since_ns: int) -> None:
    """What was restarted once is remembered for ever."""
    del strategy, since_ns


def _told_nobody(cell: Any, ref: object, error: Exception) -> None:
    """A child's exception that is escalated reaches nobody."""
    del cell, ref, error


def _outermost_first(right: Any) -> Any:
    """The outer strategy is asked before the inner one."""

    def add(cell: Any, strategy: object) -> None:
        cell._strategies = (strategy, *cell._strategies)

    del right
    return add


def _never_woken(host: Any, shard_type: str, entity_id: str) -> None:
    """A singleton lives only when somebody sends to it."""
    del host, shard_type, entity_id


def _all_that_drain(host: Any, slot: int, hand_over: Any) -> list[Any]:
    """Whoever is unloaded while a slot is handed over is cancelled with those that were busy before."""
    del hand_over
    return [one for one in host.slots.get(slot, {}).values() if one.is_draining]


_SINGLETON = (
    "tests/cluster/test_singletons.py::test_it_lives_once_without_being_asked_and_moves_when_its_node_is_gone"
)

SUPERVISED = (
    shown(
        Planted("singletons-never-woken", "singletons", "actors", RegionHost, "wake", _never_woken),
        _SINGLETON,
    ),
    shown(
        Planted(
            "cancelled-while-unloaded",
            "hand-overs",
            "entities",
            RegionHost,
            "_awaited",
            _all_that_drain,
            True,
        ),
        "tests/unit/cluster/actors/test_draining.py"
        "::test_whoever_is_unloaded_meanwhile_is_not_cancelled_for_those_that_were_busy",
    ),
    shown(
        Planted(
            "ticks-after-the-end", "scheduled messages", "actors", Cell, "_cancel_schedules", _not_cancelled
        ),
        f"{_SCHEDULING}::test_an_actors_own_messages_end_with_its_incarnation",
    ),
    shown(
        bug_in("ticks-for-the-dead", "scheduled messages", "actors", Scheduler, "_tell", _told_for_ever),
        f"{_SCHEDULING}::test_ticks_end_with_their_target",
    ),
    shown(
        Planted("keys-add-up", "scheduled messages", "actors", Schedules, "cancel", _adds_up),
        f"{_SCHEDULING}::test_a_key_is_replaced_and_cancelled",
    ),
    shown(
        Planted("late-ticks-come-at-once", "scheduled messages", "actors", Schedules, "_tick", _catches_up),
        f"{_SCHEDULING}::test_what_a_pause_made_late_is_left_out",
    ),
    shown(
        Planted(
            "restarts-remembered", "supervision", "actors", OneForOneStrategy, "_drop_before", _never_old
        ),
        f"{_SUPERVISION}::test_what_a_strategy_remembers_goes_with_its_time",
    ),
    shown(
        Planted("escalated-to-nobody", "supervision", "actors", Cell, "child_failed", _told_nobody),
        f"{_SUPERVISION}::test_what_nobody_decides_makes_the_parent_fail",
    ),
    shown(
        bug_in("outer-strategy-first", "supervision", "actors", Cell, "add_strategy", _outermost_first),
        f"{_SUPERVISION}::test_the_inner_strategy_is_asked_first_and_may_escalate_to_the_outer_one",
    ),
)
