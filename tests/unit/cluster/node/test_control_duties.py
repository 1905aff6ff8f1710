"""What the control leader does: verdicts about members, the places of its group, one proposal at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from casty.cluster.control.machine import FORGET, FOUND, HELD, JOIN, PLACE, SILENT, STATUS, ControlMachine
from casty.cluster.node.leader_tasks import ASK_AGAIN_NS, NEVER_NS, ControlDuties, FailureDetector, SlotDuties
from casty.config import SECOND_NS, Settings
from casty.consensus import Membership
from casty.wire.pack import pack, unpack
from tests.kit.clock import ManualClock
from tests.kit.groups import ManualCore, ManualGroup, ManualHost, ManualLinks

SETTINGS = Settings(unreachable_after_s=2.0, down_after_s=5.0)
IDS = ("a#1", "b#1", "c#1")


class Leader:
    """Node a, which leads the control group of a, b and c; everybody answers who is not muted."""

    def __init__(self, slots: int = 2) -> None:
        self.clock = ManualClock(1_000 * SECOND_NS)
        self.machine = ControlMachine()
        founders = [[name, "1", name, 1, [None, 100, []]] for name in "abc"]
        self.apply(FOUND, {
            "id": "f", "founder": "a", "name": "shop", "generation": 5, "cluster_id": "c", "replication": 3,
            "slots": slots, "settings": {"session_ttl_s": 15.0, "drift": 0.01}, "founders": founders,
        })  # fmt: skip
        self.core = ManualCore("a#1", IDS)
        self.core.leader_since_ns = self.clock.now()
        self.group: Any = ManualGroup(0, self.core)
        self.links: Any = ManualLinks()
        self.host: Any = ManualHost(self.group)
        self.failure_detector = FailureDetector(self.clock)
        self.proposed: list[list[Any]] = []
        self.muted: dict[str, None] = {}
        self.duties = ControlDuties(
            self.host, self.clock, SETTINGS, self.links, self.failure_detector, self._propose
        )
        self.duties.tick(self.group, self.machine)

    def _propose(self, data: bytes) -> None:
        entry: Any = unpack(data)
        self.proposed.append(entry)

    def apply(self, *entry: Any) -> None:
        self.machine.apply(pack(list(entry)))

    def join(self, name: str, status: str = "joining") -> None:
        self.apply(JOIN, name, "1", name, 1, [None, 100, []])
        if status != "joining":
            self.apply(STATUS, name, "1", status)

    def run(self, seconds: float = 0.25) -> list[list[Any]]:
        """Let time pass with four heartbeats a second; return what was proposed, without applying it."""
        self.proposed.clear()
        for _ in range(int(4 * seconds)):
            self.clock.advance(0.25)
            for row in self.machine.members.values():
                if row.node_id not in self.muted:
                    self.failure_detector.answered(row.replica_id, self.clock.now())
            self.duties.tick(self.group, self.machine)
        return list(self.proposed)

    def take(self) -> None:
        """Apply what was proposed."""
        for entry in self.proposed:
            self.apply(*entry)


def test_while_all_answer_nothing_is_proposed() -> None:
    assert Leader().run(20) == []


def test_silence_is_told_before_it_is_a_verdict() -> None:
    leader = Leader()
    leader.muted["b"] = None
    assert leader.run(2) == []
    assert leader.run(0.25) == [[SILENT, "b", "1", True]]
    leader.take()
    assert leader.run(2.75) == []
    assert leader.run(0.25) == [[STATUS, "b", "1", "down"]]
    leader.take()
    assert leader.run(5) == []


def test_who_answers_again_is_silent_no_more_and_up() -> None:
    leader = Leader()
    for status in ("down",):
        leader.apply(STATUS, "b", "1", status)
    leader.apply(SILENT, "b", "1", True)
    assert leader.run() == [[SILENT, "b", "1", False], [STATUS, "b", "1", "up"]]


def test_silence_counts_from_when_this_leadership_began() -> None:
    leader = Leader()
    leader.muted.update(b=None, c=None)
    leader.clock.advance(100)
    leader.core.leader_since_ns = leader.clock.now()
    assert leader.run(2) == []
    assert leader.run(0.25) == [[SILENT, "b", "1", True], [SILENT, "c", "1", True]]


def test_a_silence_that_a_predecessor_told_of_stays_until_there_is_an_answer() -> None:
    leader = Leader()
    leader.apply(SILENT, "b", "1", True)
    leader.muted["b"] = None
    assert leader.run(2) == []
    leader.muted.clear()
    assert leader.run() == [[SILENT, "b", "1", False]]


def test_a_process_that_joins_later_is_not_silent_for_longer_than_it_is_known() -> None:
    leader = Leader()
    leader.run(30)
    leader.muted["d"] = None
    leader.join("d")
    leader.core.behind["d#1"] = None
    assert leader.run(2) == []


def test_what_is_proposed_is_proposed_again_after_a_while_and_not_before() -> None:
    leader = Leader()
    leader.muted["b"] = None
    leader.run(2.25)
    told = [bool([entry for entry in leader.run() if entry[0] == SILENT]) for _ in range(10)]
    again = [index for index, is_told in enumerate(told, 1) if is_told]
    assert again == [ASK_AGAIN_NS * 4 // SECOND_NS + 1]


@pytest.mark.parametrize("lacks", ["log", "progress", "link"])
def test_who_joins_is_up_with_the_log_and_a_link_of_the_leader(lacks: str) -> None:
    leader = Leader()
    leader.join("d")
    table = {"log": leader.core.behind, "progress": leader.core.strangers, "link": leader.links.gone}[lacks]
    table["d#1"] = None
    assert leader.run(1) == []
    table.clear()
    assert leader.run() == [[STATUS, "d", "1", "up"]]


def test_who_never_was_up_and_is_silent_is_removed() -> None:
    leader = Leader()
    leader.join("d")
    leader.muted["d"] = None
    leader.core.behind["d#1"] = None
    assert [entry for entry in leader.run(5.25) if entry[0] == STATUS] == [], "since it is known"
    assert [entry for entry in leader.run(0.25) if entry[0] == STATUS] == [[STATUS, "d", "1", "removed"]]


def test_the_leader_is_up_itself_whatever_was_said_before() -> None:
    leader = Leader()
    leader.apply(STATUS, "a", "1", "down")
    leader.apply(SILENT, "a", "1", True)
    assert leader.run() == [[STATUS, "a", "1", "up"], [SILENT, "a", "1", False]]
    leader.take()
    assert leader.run(5) == []


def test_who_leaves_is_removed_once_nothing_names_it() -> None:
    leader = Leader()
    leader.join("d", "up")
    for slot in range(2):
        row = leader.machine.slots[slot]
        leader.apply(HELD, slot, row.epoch, 1, 1, list(row.target), row.targets)
    leader.apply(STATUS, "b", "1", "leaving")
    assert leader.run(1) == [], "it votes in slots yet"
    for slot in range(2):
        row = leader.machine.slots[slot]
        leader.apply(HELD, slot, row.epoch, 1, 2, list(row.target), row.targets)
    leader.core.committed_membership = Membership(IDS)
    leader.core.change = lambda *arguments: False  # type: ignore[method-assign]
    assert leader.run(1) == [], "and in a configuration of the control group that is in force"
    leader.core.committed_membership = leader.core.membership
    assert leader.run() == [[STATUS, "b", "1", "removed"]]
    leader.take()
    assert leader.run() == [[FORGET, "b", "1"]]
    leader.take()
    assert "b" not in leader.machine.members and leader.run(3) == []


def let_go(leader: Leader, step: int) -> None:
    """Have the slots' leaders tell that they are where they should be, and the control group without its leaver."""
    for slot, row in enumerate(leader.machine.slots):
        leader.apply(HELD, slot, row.epoch, 1, step, list(row.target), row.targets)
    leader.core.membership = leader.core.committed_membership = Membership(("a#1",), (), ("b#1", "c#1"))


def test_who_leaves_and_falls_silent_is_down_and_not_removed_while_a_group_may_need_it() -> None:
    leader = Leader()
    leader.apply(STATUS, "b", "1", "leaving")
    leader.muted["b"] = None
    assert [entry for entry in leader.run(5) if entry[0] == STATUS] == []
    assert [entry for entry in leader.run(0.25) if entry[0] == STATUS] == [[STATUS, "b", "1", "down"]]
    leader.take()
    assert [entry for entry in leader.run(60) if entry[0] == STATUS] == [], "its votes are in slots yet"
    assert not leader.machine.members["b"].is_counted, "it leaves, as it did"
    let_go(leader, 2)
    assert leader.run() == [[STATUS, "b", "1", "removed"]], "nobody waits for its word"


def test_who_leaves_and_is_back_goes_on_leaving() -> None:
    leader = Leader()
    leader.apply(STATUS, "b", "1", "leaving")
    leader.apply(STATUS, "b", "1", "down")
    leader.apply(STATUS, "b", "1", "up")
    assert leader.machine.members["b"].status == "down", "it is not taken back"
    assert [entry for entry in leader.run() if entry[0] == STATUS] == [[STATUS, "b", "1", "leaving"]]
    leader.take()
    let_go(leader, 2)
    assert leader.run() == [[STATUS, "b", "1", "removed"]]


def test_a_process_that_never_was_up_and_is_silent_stays_while_its_node_is_named() -> None:
    leader = Leader()
    leader.apply(STATUS, "b", "1", "leaving")
    leader.apply(JOIN, "b", "2", "b", 1, [None, 100, []])
    leader.muted["b"] = None
    leader.core.behind["b#2"] = None
    assert [entry for entry in leader.run(6) if entry[0] == STATUS] == [[STATUS, "b", "2", "down"]]


def test_the_control_group_walks_to_its_voters_and_everybody_else_learns() -> None:
    leader = Leader()
    leader.join("d", "up")
    leader.join("e")
    leader.run()
    assert leader.core.changes == [(IDS, ("d#1", "e#1"))]
    leader.apply(STATUS, "c", "1", "down")
    leader.run()
    assert leader.core.changes[1:] == [(("a#1", "b#1", "d#1"), ("c#1", "e#1"))]
    assert leader.host.marked, "what changed goes out"


def test_who_does_not_lead_does_nothing_and_remembers_nothing() -> None:
    leader = Leader()
    leader.muted["b"] = None
    leader.run(1.5)
    leader.core.leader = "b#1"
    assert leader.run(10) == []
    leader.core.leader = "a#1"
    assert leader.run(2.25) == [], "it knows of everybody since its first heartbeat"
    assert leader.run(0.25) == [[SILENT, "b", "1", True]]


def test_before_the_founding_is_applied_nothing_is_done() -> None:
    leader = Leader()
    leader.machine = ControlMachine()
    leader.host.marked.clear()
    assert leader.run(5) == [] and not leader.host.marked


# -- balance


def balanced() -> Leader:
    """Return a leader whose slots are all with three of four nodes."""
    leader = Leader(slots=4)
    leader.join("d", "up")
    return leader


def test_places_move_when_all_was_calm_for_a_while() -> None:
    leader = balanced()
    assert leader.run(2) == []
    assert [entry[0] for entry in leader.run(0.25)] == [PLACE]


def test_a_move_that_is_not_applied_yet_is_proposed_again_after_a_pause() -> None:
    leader = balanced()
    moves = [entry for entry in leader.run(2.25 + ASK_AGAIN_NS / SECOND_NS) if entry[0] == PLACE]
    assert len(moves) == 1
    assert [entry for entry in leader.run(0.5) if entry[0] == PLACE] == moves, "the first may be lost"


@pytest.mark.parametrize("spoil", ["silent", "leaving", "joining"])
def test_nothing_moves_while_somebody_is_away(spoil: str) -> None:
    leader = balanced()
    leader.run(1)
    if spoil == "silent":
        leader.apply(SILENT, "c", "1", True)
        leader.muted["c"] = None
        assert [entry for entry in leader.run(4) if entry[0] == PLACE] == []
        leader.muted.clear()
        leader.apply(SILENT, "c", "1", False)
    elif spoil == "leaving":
        leader.apply(STATUS, "d", "1", "leaving")
        assert [entry for entry in leader.run(4) if entry[0] == PLACE] == []
        return
    else:
        leader.apply(JOIN, "c", "2", "c", 1, [None, 100, []])
        leader.core.behind["c#2"] = None
        assert [entry for entry in leader.run(4) if entry[0] == PLACE] == []
        leader.apply(STATUS, "c", "2", "up")
    assert [entry for entry in leader.run(2.25) if entry[0] == PLACE] == [], "the calm begins anew"
    assert [entry[0] for entry in leader.run(0.25)] == [PLACE]


def test_where_nothing_is_to_move_it_is_looked_at_once_for_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    leader = Leader()
    monkeypatch.setattr(
        "casty.cluster.node.leader_tasks.upkeep.place_entry", lambda machine: looks.append(machine.version)
    )
    leader.run(10)
    assert looks == [leader.machine.version]
    leader.apply(SILENT, "b", "1", True)
    leader.apply(SILENT, "b", "1", False)
    leader.run(10)
    assert looks[1:] == [leader.machine.version]


# -- who answered


def test_silence_is_measured_from_the_last_answer_or_from_a_given_instant() -> None:
    clock = ManualClock()
    failure_detector = FailureDetector(clock)
    assert failure_detector.silent_ns("b#1", clock.now() - 7) == 7
    failure_detector.answered("b#1", 0)
    clock.advance(3)
    assert failure_detector.silent_ns("b#1", NEVER_NS) == 3 * SECOND_NS
    assert failure_detector.silent_ns("b#1", clock.now() - 7) == 7
    assert failure_detector.silent_ns("c#1", NEVER_NS) > 10**18


def test_who_was_replaced_is_forgotten() -> None:
    leader = Leader()
    leader.run()
    assert sorted(leader.failure_detector.heard_ns) == list(IDS)
    leader.apply(JOIN, "b", "2", "b", 1, [None, 100, []])
    leader.failure_detector.answered("b#2", 0)
    leader.failure_detector.follow(leader.machine)
    assert sorted(leader.failure_detector.heard_ns) == ["a#1", "b#2", "c#1"]


# -- leaving with everything that is led


class Leaving:
    """Node a, which leads the control group and a slot, and leaves."""

    def __init__(self, may_transfer: Callable[[int], bool] = lambda slot: True) -> None:
        self.clock = ManualClock(1_000 * SECOND_NS)
        self.cores = [ManualCore("a#1", IDS) for _ in range(2)]
        self.host: Any = ManualHost(*(ManualGroup(number, core) for number, core in enumerate(self.cores)))
        self.failure_detector = FailureDetector(self.clock)
        for key in IDS[1:]:
            self.failure_detector.answered(key, 0)
        self.duties = SlotDuties(
            self.host,
            self.clock,
            self.failure_detector,
            Settings(),
            lambda slot: 0,
            may_transfer=may_transfer,
        )


def test_all_groups_go_to_the_voter_that_was_heard_of_last() -> None:
    leaving = Leaving()
    leaving.clock.advance(0.5)
    leaving.failure_detector.answered("c#1", 0)
    assert leaving.duties.hand_all_over()
    assert [core.transfers for core in leaving.cores] == [["c#1"], ["c#1"]]
    assert leaving.host.marked == [0, 1]


def test_a_voter_that_nobody_heard_of_for_a_second_is_no_heir() -> None:
    leaving = Leaving()
    leaving.clock.advance(1)
    assert not leaving.duties.hand_all_over(), "nobody is there to take over"
    leaving.failure_detector.answered("b#1", 0)
    assert leaving.duties.hand_all_over()
    assert [core.transfers for core in leaving.cores] == [["b#1"], ["b#1"]]


def test_a_slot_whose_entities_stop_first_waits_and_the_control_group_does_not() -> None:
    leaving = Leaving(may_transfer=lambda slot: False)
    assert leaving.duties.hand_all_over()
    assert [len(core.transfers) for core in leaving.cores] == [1, 0]


@pytest.mark.parametrize(("is_promotable", "is_pending"), [(True, True), (False, False)])
def test_it_waits_for_a_leader_only_where_it_might_be_needed_for_one(
    is_promotable: bool, is_pending: bool
) -> None:
    leaving = Leaving()
    for core in leaving.cores:
        core.leader, core.is_promotable = None, is_promotable
    assert leaving.duties.hand_all_over() is is_pending
    for core in leaving.cores:
        core.leader = "b#1"
    assert not leaving.duties.hand_all_over()
