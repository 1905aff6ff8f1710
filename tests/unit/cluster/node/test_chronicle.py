"""What an operator reads afterwards: a line for each change of a member, of leaderships a line a second at most."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from casty.cluster.node.change_log import LOOK_NS, MOST_LINES, Chronicle
from casty.events import LeaderElected, MemberChanged, SteppedDown, TopologyChanged


class Party:
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="casty.node")
        self._caplog = caplog
        self.events: list[object] = []
        self.chronicle = Chronicle(cast(Any, SimpleNamespace(observe=self.events.append)), "a")

    def members(self, *rows: tuple[str, str, str]) -> None:
        table = {
            name: SimpleNamespace(node_id=name, incarnation=incarnation, status=status, host="h", port=1)
            for name, incarnation, status in rows
        }
        self.chronicle.members(cast(Any, SimpleNamespace(members=table, generation=7, version=len(rows))))

    def role(self, number: int, term: int, leader: str | None, *, is_here: bool = True) -> None:
        core = SimpleNamespace(term=term, leader=leader)
        group = SimpleNamespace(number=number, epoch=1, core=core, is_leading=leader == "a#1")
        self.chronicle.role(cast(Any, group), is_here=is_here)

    def look(self, looks: float) -> list[str]:
        self._caplog.clear()
        self.chronicle.look(int(looks * LOOK_NS), 64)
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def party(caplog: pytest.LogCaptureFixture) -> Party:
    return Party(caplog)


def test_each_change_of_a_member_is_a_line_and_an_event(party: Party) -> None:
    party.members(("a", "1", "up"), ("b", "1", "joining"))
    assert party.look(1) == ["node a: member a at h:1 is up", "node a: member b at h:1 is joining"]
    party.members(("a", "1", "up"), ("b", "1", "down"))
    party.members(("a", "1", "up"), ("b", "2", "up"))
    party.members(("a", "1", "up"))
    assert party.look(2) == [
        "node a: member b at h:1 is down",
        "node a: member b at h:1 is up with a new process",
        "node a: member b is gone",
    ]
    assert [event for event in party.events if isinstance(event, MemberChanged)] == [
        ("a", "up"), ("b", "joining"), ("b", "down"), ("b", "up"),
    ]  # fmt: skip
    assert party.events[-1] == TopologyChanged(7, 1)


def test_who_leads_the_control_group_is_said_once(party: Party) -> None:
    party.role(0, 1, "b#1")
    party.role(0, 2, None)
    party.role(0, 2, "b#1")
    party.role(0, 3, "a#1")
    assert party.look(1) == [
        "node a: b leads the control group, term 1", "node a: a leads the control group, term 3",
    ]  # fmt: skip
    assert party.events == [LeaderElected(0, 1, 3)]


def test_many_leaderships_are_one_line_a_second(party: Party) -> None:
    for number in range(1, 4):
        party.role(number, 1, "a#1")
    assert party.look(1) == ["node a: leads 3 of 64 slots, 0 before"]
    party.role(3, 2, "b#1")
    assert party.look(1.5) == []
    assert party.look(2) == ["node a: leads 2 of 64 slots, 3 before"]
    assert party.look(3) == []


def test_a_name_from_outside_cannot_write_a_line_of_its_own_and_many_are_counted(party: Party) -> None:
    party.members(("b\nnode a: all is well", "1", "up"))
    assert party.look(1) == ["node a: member b\\nnode a: all is well at h:1 is up"]
    party.members(*[(f"n{number}", "1", "joining") for number in range(1000)])
    lines = party.look(2)
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == f"node a: {1001 - MOST_LINES} more changes"


def test_a_leadership_ends_by_another_term_and_with_its_group(party: Party) -> None:
    party.role(1, 1, "a#1")
    party.role(1, 3, "a#1")
    party.role(1, 3, "a#1", is_here=False)
    assert party.events == [
        LeaderElected(1, 1, 1), SteppedDown(1, 1, 1), LeaderElected(1, 1, 3), SteppedDown(1, 1, 3),
    ]  # fmt: skip
