"""Planted bugs in control writes: their numbers, versions, bounds, and how they are repeated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from casty.cluster.control.machine import ControlMachine
from casty.cluster.control.service_offers import Offers
from casty.cluster.control.service_registry import Registry
from casty.cluster.node import relays
from casty.cluster.node.bootstrap import Bootstrap
from casty.cluster.node.leader_tasks import ControlDuties
from casty.wire.pack import pack

from .bug import Planted, bug_in, shown

__all__ = ["CONTROL"]


def _any_number(right: Any) -> Any:
    """An announcement is taken whatever was taken before."""

    def service(
        machine: Any, node_id: str, incarnation: str, previous: int, number: int, rows: Any
    ) -> list[object]:
        member = machine.members.get(node_id)
        if member is not None and previous >= 0:
            machine.members[node_id] = replace(member, offered=previous)
            number = max(number, previous + 1)
        return list(right(machine, node_id, incarnation, previous, number, rows))

    return service


def _new_version(right: Any) -> Any:
    """Each announcement makes a version, whether it changed anything or not."""

    def service(machine: Any, *fields: Any) -> list[object]:
        machine.version += 1
        return list(right(machine, *fields))

    return service


def _keeps_services(_registry: Any, _node_id: str) -> bool:
    """What a process offered stays when it is replaced."""
    return False


def _counts_nothing(_registry: Any, _key: str, _ref: str) -> bool:
    """Services have no bound."""
    return True


def _keeps_position(_offers: Any, _recorded: int) -> None:
    """A process that was given up and came back takes its services for known."""


def _never_asked(_arrival: Any) -> None:
    """Nobody is asked where the members are: whoever leads a member that does not know it is never answered."""


class _Deaf(relays.Outcome):
    """Only the reply to the newest attempt counts."""

    def __init__(self) -> None:
        super().__init__()
        self._newest = -1

    def next(self) -> Any:
        """Another look begins: what was sent before it is forgotten."""
        self._newest += 1
        return super().next()

    def add(self, call_id: int, reply: list[object]) -> None:
        """Take the reply to the newest attempt."""
        if call_id >= self._newest:
            super().add(call_id, reply)


def _ahead_only(offers: Any, recorded: int) -> None:
    """Who was forgotten and joined again takes it that the cluster knows what it offers."""
    if recorded > offers._number:
        offers.anew(recorded)


_TESTS = "tests/unit/cluster"


def _at_once(duties: Any, whom: str, what: str, entry: list[object]) -> None:
    """What is not applied yet is proposed again with every heartbeat."""
    del whom, what
    duties._propose(pack(entry))


CONTROL = (
    shown(
        bug_in(
            "any-announcement",
            "numbers of announcements",
            "mixed",
            ControlMachine,
            "_service",
            _any_number,
            True,
        ),
        f"{_TESTS}/control/test_control.py::test_a_late_duplicate_of_a_registration_changes_nothing",
    ),
    bug_in(
        "version-of-nothing",
        "versions change something",
        "mixed",
        ControlMachine,
        "_service",
        _new_version,
        True,
    ),
    Planted(
        "dead-keep-services", "incarnations of services", "mixed", Registry, "forget", _keeps_services, True
    ),
    shown(
        Planted(
            "unbounded-services",
            "bound of the topology",
            "mixed",
            Registry,
            "_has_room",
            _counts_nothing,
            True,
        ),
        f"{_TESTS}/control/test_control.py::test_what_exceeds_the_bound_of_services_is_refused_and_the_rest_taken",
    ),
    shown(
        Planted("never-anew", "services of who came back", "mixed", Offers, "anew", _keeps_position, True),
        f"{_TESTS}/control/test_offers.py::test_in_the_end_exactly_what_is_offered_is_listed",
    ),
    shown(
        Planted(
            "leader-unanswered",
            "leaders one does not know",
            "membership",
            Bootstrap,
            "look_around",
            _never_asked,
            True,
        ),
        "tests/cluster/test_members.py::test_a_member_learns_of_others_from_a_leader_that_it_does_not_know",
    ),
    shown(
        Planted(
            "asked-without-a-pause",
            "back-off of control writes",
            "membership",
            ControlDuties,
            "_ask",
            _at_once,
        ),
        "tests/unit/cluster/node/test_control_duties.py"
        "::test_a_move_that_is_not_applied_yet_is_proposed_again_after_a_pause",
    ),
    shown(
        Planted(
            "forgotten-offers", "services of who came back", "membership", Offers, "follow", _ahead_only, True
        ),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[forgotten-and-joined-again]",
    ),
    Planted("late-reply-ignored", "late replies count", "mixed", relays, "Outcome", _Deaf, True),
)
