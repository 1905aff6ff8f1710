"""A node is ready when it is a member, has its places, and has applied what is committed in them."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.control.machine import FOUND, JOIN, STATUS, ControlMachine
from casty.cluster.node.readiness import NO_MAJORITY_NS, Readiness
from casty.config import SECOND_NS
from casty.consensus import Membership
from casty.wire.pack import pack
from tests.kit.groups import ManualCore, ManualGroup, ManualHost

IDS = ("a#1", "b#1", "c#1")
NOW_NS = 100 * SECOND_NS
SLOTS = 2


class Node:
    """Node a of three, which has all of its places."""

    def __init__(self, incarnation: str | None = "1") -> None:
        self.machine = ControlMachine()
        founders = [[name, "1", name, 1, [None, 100, []]] for name in "abc"]
        self.machine.apply(pack([FOUND, {
            "id": "f", "founder": "a", "name": "shop", "generation": 5, "cluster_id": "c", "replication": 3,
            "slots": SLOTS, "settings": {"session_ttl_s": 15.0, "drift": 0.01}, "founders": founders,
        }]))  # fmt: skip
        self.cores = [ManualCore("a#1", IDS) for _ in range(SLOTS + 1)]
        self.host = ManualHost(*(ManualGroup(number, core) for number, core in enumerate(self.cores)))
        host: Any = self.host
        self.readiness = Readiness(host, "a", incarnation)

    def missing(self, after_ns: int = 0) -> list[str]:
        return self.readiness.missing(self.machine, NOW_NS + after_ns)


def test_who_has_all_of_its_places_is_ready() -> None:
    assert Node().missing() == []


@pytest.mark.parametrize("status", ["down", "leaving"])
def test_who_is_not_up_is_no_member_yet(status: str) -> None:
    node = Node()
    node.machine.apply(pack([STATUS, "a", "1", status]))
    assert node.missing() == ["membership"]


def test_a_stranger_is_no_member() -> None:
    host: Any = Node().host
    assert Readiness(host, "d", None).missing(Node().machine, NOW_NS) == ["membership"]


def test_a_predecessor_does_not_count_where_the_process_has_to_be_known() -> None:
    node = Node(incarnation="2")
    assert node.missing() == ["membership"]
    node.machine.apply(pack([JOIN, "a", "2", "a", 1, [None, 100, []]]))
    assert node.missing() == ["membership"], "it is joining"
    node.machine.apply(pack([STATUS, "a", "2", "up"]))
    assert "membership" not in node.missing()
    assert Node(incarnation=None).missing() == []


def test_the_control_group_has_to_be_here_and_to_have_a_leader() -> None:
    node = Node()
    node.cores[0].leader = None
    assert node.missing() == ["a leader of the control group", "a place in the control group"]
    del node.host.groups[0]
    assert node.missing() == ["the control group"]


def test_a_learner_of_the_control_group_waits_for_no_place_in_it() -> None:
    node = Node()
    node.cores[0].id = "d#1"
    node.cores[0].membership = Membership(IDS, (), ("d#1",))
    assert node.missing() == []


def _learner(core: ManualCore) -> None:
    core.membership = Membership(("b#1", "c#1"), (), ("a#1",))


def _on_the_way(core: ManualCore) -> None:
    core.membership = Membership(IDS, ("b#1", "c#1"))


def _blank(core: ManualCore) -> None:
    core.membership = None


def _behind(core: ManualCore) -> None:
    core.commit = core.applied + 1


def _nothing_committed(core: ManualCore) -> None:
    core.commit = core.applied = 0


@pytest.mark.parametrize(
    "spoil", [_learner, _on_the_way, _blank, _behind, _nothing_committed], ids=lambda spoil: spoil.__name__
)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_place_is_a_vote_in_one_configuration_with_everything_applied(number: int, spoil: Any) -> None:
    node = Node()
    spoil(node.cores[number])
    if number == 0 and spoil is _blank:
        # Nobody votes that is known: then it need not either.
        node.cores[0].id = "d#1"
        assert node.missing() == []
        return
    where = "the control group" if number == 0 else f"slot {number - 1}"
    assert node.missing() == [f"a place in {where}"]


def test_a_slot_that_is_not_created_yet_is_waited_for_however_long() -> None:
    node = Node()
    del node.host.groups[2]
    assert node.missing() == node.missing(10 * NO_MAJORITY_NS) == ["a place in slot 1"]


def test_nobody_waits_for_a_slot_without_a_majority() -> None:
    node = Node()
    node.cores[1].leader = None
    assert node.missing() == ["a place in slot 0"]
    assert node.missing(NO_MAJORITY_NS) == ["a place in slot 0"]
    assert node.missing(NO_MAJORITY_NS + 1) == []


def test_the_five_seconds_begin_anew_when_it_had_a_leader_in_between() -> None:
    node = Node()
    node.cores[1].leader = None
    assert node.missing()
    node.cores[1].leader = "b#1"
    _behind(node.cores[1])
    assert node.missing(NO_MAJORITY_NS + 1) == ["a place in slot 0"], "with a leader it is waited for"
    node.cores[1].leader = None
    assert node.missing(NO_MAJORITY_NS + 2) == ["a place in slot 0"]
    assert node.missing(2 * NO_MAJORITY_NS + 3) == []


def test_slots_of_others_do_not_matter() -> None:
    node = Node()
    node.machine.apply(pack([JOIN, "d", "1", "d", 1, [None, 100, []]]))
    node.machine.apply(pack([STATUS, "d", "1", "up"]))
    host: Any = ManualHost(ManualGroup(0, ManualCore("d#1", IDS, ["d#1"])))
    assert Readiness(host, "d", "1").missing(node.machine, NOW_NS) == []
