"""What a node says of groups without a leader: after how long, whom they lack, and what can be done."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from casty.cluster.node.group_health import LOST_S, PATIENCE_NS, GroupHealth
from casty.config import SECOND_NS
from casty.consensus import Membership
from tests.kit.groups import ManualCore, ManualGroup, ManualHost, ManualLinks

IDS = ("a#1", "b#1", "c#1")
START_NS = 1_000 * SECOND_NS


class Node:
    """Node a, which has replicas of the control group and three slots."""

    def __init__(self) -> None:
        self.cores = [ManualCore("a#1", IDS) for _ in range(4)]
        self.host, self.links = (
            ManualHost(*(ManualGroup(at, core) for at, core in enumerate(self.cores))),
            ManualLinks(),
        )
        host: Any = self.host
        links: Any = self.links
        self.health = GroupHealth("a#1", host, links)

    def leaderless(self, *numbers: int) -> None:
        for number, core in enumerate(self.cores):
            core.leader = None if number in numbers else "a#1"

    def at(self, seconds: float) -> list[str]:
        """Look at a time; return what is said then."""
        self.health.look(START_NS + int(seconds * SECOND_NS))
        return self.health.texts


def test_nothing_is_said_while_every_group_has_a_leader() -> None:
    node = Node()
    assert [node.at(second) for second in range(20)] == [[]] * 20
    assert node.health.rows(START_NS + 20 * SECOND_NS) == []


def test_an_election_may_take_five_seconds() -> None:
    node = Node()
    node.leaderless(1)
    assert [bool(node.at(second)) for second in range(8)] == [False] * 5 + [True] * 3
    assert node.at(8) == ["no leader for slot 0: no majority agrees, for 8 s"]


def test_the_time_begins_anew_when_a_leader_was_there() -> None:
    node = Node()
    node.leaderless(1)
    for second in range(5):
        node.at(second)
    node.leaderless()
    node.at(5)
    node.leaderless(1)
    assert not any(node.at(second) for second in range(6, 11))
    assert node.at(11)


def test_it_looks_once_a_second() -> None:
    node = Node()
    node.at(0)
    node.leaderless(1)
    node.at(0.9)
    node.at(1)
    said = [bool(node.at(second)) for second in (5.9, 6.8, 6.9)]
    assert said == [False, False, True], "of the first look at which it had none, and at the next look"


def test_groups_that_lack_the_same_voters_are_named_together_and_others_apart() -> None:
    node = Node()
    node.leaderless(0, 1, 3)
    node.cores[2].membership = Membership(("a#1", "d#1", "e#1"))
    node.links.gone["b#1"] = None
    node.at(0)
    node.leaderless(0, 1, 2, 3)
    node.at(2)
    assert node.at(8) == [
        "no leader for the control group and 2 slots (0 ...): of 3 voters b cannot be reached, for 8 s",
        "no leader for slot 1: no majority agrees, for 6 s",
    ]


@pytest.mark.parametrize(("gone", "is_told"), [(("b#1",), False), (("b#1", "c#1"), True)])
def test_after_a_minute_without_a_majority_it_says_what_can_be_done(
    gone: tuple[str, ...], is_told: bool
) -> None:
    node = Node()
    node.leaderless(1)
    node.links.gone = dict.fromkeys(gone)
    node.at(0)
    assert "casty recover" not in node.at(LOST_S - 1)[0]
    assert ("casty recover" in node.at(LOST_S)[0]) is is_told


def test_the_log_says_why_links_are_not_there(caplog: pytest.LogCaptureFixture) -> None:
    node = Node()
    node.leaderless(1)
    node.links.gone["b#1"] = None
    node.links.reasons = [f"10.0.0.{number}:1: TLS: expired" for number in range(1, 9)]
    for second in range(7):
        node.at(second)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith(
        "for 5 s; 10.0.0.1:1: TLS: expired; 10.0.0.2:1: TLS: expired; 10.0.0.3:1: TLS: expired"
    )


def test_half_of_the_voters_is_no_majority() -> None:
    node = Node()
    node.cores[1].membership = Membership(("a#1", "b#1"))
    node.leaderless(1)
    node.links.gone["b#1"] = None
    node.at(0)
    assert "casty recover" in node.at(LOST_S)[0]


def test_this_node_does_not_miss_itself() -> None:
    node = Node()
    node.leaderless(1)
    node.links.gone["a#1"] = None
    node.at(0)
    assert node.at(6) == ["no leader for slot 0: no majority agrees, for 6 s"]


def test_a_replica_that_knows_no_configuration_lacks_nobody() -> None:
    node = Node()
    node.leaderless(1)
    node.cores[1].membership = None
    assert not any(node.at(second) for second in range(10))


def test_a_group_that_is_gone_is_not_named() -> None:
    node = Node()
    node.leaderless(1)
    node.at(0)
    del node.host.groups[1]
    assert node.at(6) == []
    assert node.health.rows(START_NS + 6 * SECOND_NS) == []


def test_programs_are_told_who_has_copies_and_who_is_missing() -> None:
    node = Node()
    node.leaderless(2)
    node.cores[2].membership = Membership(("a#1", "b#1", "c#1~2"), (), ("d#1",))
    node.links.gone = dict.fromkeys(["c#1", "b#1"])
    node.at(0)
    assert node.health.rows(START_NS + PATIENCE_NS - 1) == []
    assert node.health.rows(START_NS + PATIENCE_NS) == [
        {
            "group": 2, "voters": ["a", "b", "c"], "copies": ["a", "b", "c", "d"], "unreachable": ["b", "c"],
            "lacks_majority": True, "for_s": 5,
        }
    ]  # fmt: skip


def test_a_shortage_that_lasts_is_a_line_in_five_seconds_and_its_end_is_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "casty.node")
    node = Node()
    node.leaderless(1)
    for second in range(17):
        node.at(second)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    caplog.clear()
    node.leaderless()
    node.at(17)
    node.at(18)
    assert [record.getMessage() for record in caplog.records] == ["every group here has a leader again"]
