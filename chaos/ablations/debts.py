"""Planted bugs in what one request can make a slot do: for very many at once, for others, or for ever."""

from __future__ import annotations

from typing import Any

from casty.cluster.slots import feed
from casty.cluster.slots.questions import is_held
from casty.cluster.slots.replica import SlotReplica
from casty.cluster.slots.visibility import Visibility
from casty.distributed.machines import wait_queue
from casty.distributed.machines.base import QUEUE, Frozen
from casty.distributed.machines.wait_queue import DISMISSED, LineStructure

from .bug import Planted, bug_in, shown

__all__ = ["DEBTS"]

_PARTS = "turns are short"
_DEBTS = "tests/unit/cluster/slots/test_debts.py"
_REPLICA = "tests/unit/cluster/slots/test_slot_replica.py"


def _as_it_is_named(right: Any) -> Any:
    """What a keep-alive calls a reservation is one."""

    def heard(visibility: Any, session: int, held: Any, now_ns: int) -> None:
        machine = visibility._machine
        for seq, kind, _ in held:
            if kind == QUEUE and is_held(machine, session, seq):
                assert machine.entities[machine.sessions[session].waits[seq]].reserved
        right(visibility, session, held, now_ns)

    return heard


def _told_at_once(right: Any) -> Any:
    """All who were dismissed are told by one entry."""

    def told_of(dismissed: Any, owners: Any, _most: int = 0) -> Any:
        return right(dismissed, owners, len(dismissed))

    return told_of


def _dismissed_left_out(right: Any) -> Any:
    """A snapshot lacks who is still to be told."""

    def freeze(structure: Any, state: Any) -> Frozen:
        head, tables = right(structure, state)
        return Frozen(head, (*tables[:DISMISSED], (), *tables[DISMISSED + 1 :]))

    return freeze


def _unpaid(_replica: Any) -> None:
    """Nobody asks for a turn to go on."""


def _anything(_replica: Any, _entry: Any) -> None:
    """Any generation and any time to live will do."""


def _names_for_nothing(_asked: Any) -> int:
    """What a question takes is the same however long its names are."""
    return feed.ASKED_BYTES


DEBTS: tuple[Planted, ...] = (
    shown(
        bug_in(
            "reserved-as-it-is-named", "faults stay on their links", "", Visibility, "heard", _as_it_is_named
        ),
        "tests/unit/cluster/slots/test_misnamed.py"
        "::test_a_hold_that_is_named_as_something_else_is_kept_and_harms_nobody",
    ),
    shown(
        Planted("tokens-of-any-generation", "fencing", "", SlotReplica, "_refusal", _anything),
        f"{_REPLICA}::test_nobody_moves_the_tokens_of_a_slot_to_the_end_of_generations",
    ),
    shown(
        Planted("questions-of-any-size", "bounds", "", feed, "_size_of_asked", _names_for_nothing),
        "tests/unit/cluster/slots/test_feed.py::test_what_questions_of_one_link_take_has_a_bound",
    ),
    shown(
        bug_in("dismissed-at-once", _PARTS, "", wait_queue, "told_of", _told_at_once),
        f"{_DEBTS}::test_many_are_told_in_parts_each_once",
    ),
    shown(
        bug_in(
            "dismissed-not-in-snapshot", "snapshot", "", LineStructure, "freeze", _dismissed_left_out, True
        ),
        f"{_DEBTS}::test_many_are_told_in_parts_each_once",
    ),
    shown(
        Planted("debts-unpaid", "who waits is told", "", SlotReplica, "_see_to_debts", _unpaid, True),
        f"{_DEBTS}::test_the_next_leader_goes_on",
    ),
)
"""All of them."""
