"""A slot is handed over to its preferred node when no session of it is about to expire, or after a time to live."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from casty.cluster.control.machine import HELD
from casty.cluster.node.leader_tasks import CHANGED_AT_ONCE, SlotDuties
from casty.config import SECOND_NS, Settings
from casty.consensus import Membership
from casty.wire.pack import unpack
from tests.kit.clock import ManualClock

TTL_NS = 10 * SECOND_NS


class Led:
    """One slot that is led here and preferred elsewhere; everything it is asked is yes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.silence_ns = 0
        self.heard_ns = self.lease_until_ns = 0
        self.walked: list[float] = []
        self.transfers: list[int] = []
        made: Any = type
        core = made("Core", (), {
            "id": "a#1~1", "leader": "b#1", "last_heard_ns": lambda core: self.heard_ns,
            "membership": Membership(("a#1~1", "b#1~1")), "leader_since_ns": 0,
            "term": 1, "commit": 1, "last_index": 1, "membership_index": 0,
            "committed_membership": Membership(("a#1~1", "b#1~1")),
            "progress_of": lambda self, key: made("Progress", (), {"is_caught_up": True})(),
            "change": lambda core, now_ns, voters, learners: self.walked.append(now_ns / SECOND_NS),
            "transfer": lambda core, now_ns, heir: self.transfers.append(now_ns) or True,
            "lease_until_ns": lambda core: self.lease_until_ns,
        })()  # fmt: skip
        group = made("Group", (), {
            "number": 1, "epoch": 1, "is_leading": True, "core": core, "replica_of": lambda self, key: f"{key}~1",
        })()  # fmt: skip
        self.marked: list[object] = []
        self.told: list[tuple[int, Any]] = []
        self.core = core
        self.control = made("Control", (), {"is_leading": True, "core": core})()
        host = made(
            "Host",
            (),
            {
                "led": {1: group},
                "groups": {0: self.control},
                "mark": lambda host, group: self.marked.append(group),
            },
        )()
        failure_detector = made("FailureDetector", (), {"silent_ns": lambda self, key, since_ns: 0})()
        self.duties = SlotDuties(
            host,
            self.clock,
            failure_detector,
            Settings(session_ttl_s=10),
            lambda slot: self.silence_ns,
            self._told,
        )
        row = made(
            "Row",
            (),
            {
                "preferred": "b",
                "epoch": 1,
                "held": ("a", "b"),
                "held_at": (0, 0),
                "target": ("a", "b"),
                "dropped": (),
                "targets": 4,
            },
        )()
        member = made("Member", (), {"key": "b#1", "replica_id": "b#1"})()
        self.machine = made("Machine", (), {
            "slots": [row], "members": {"b": member}, "slot_voters": lambda self, slot: ("a#1", "b#1"),
        })()  # fmt: skip

    def _told(self, slot: int, entry: bytes) -> None:
        self.told.append((slot, unpack(entry)))

    def tick(self, at_s: float) -> int:
        """Tick at a time; return how often the slot was handed over so far."""
        self.clock.skip_to(int(at_s * SECOND_NS))
        self.duties.tick(self.machine)
        return len(self.transfers)


def test_a_slot_is_handed_over_once_in_two_times_to_live() -> None:
    led = Led()
    assert [led.tick(at_s) for at_s in (100, 101, 119, 120, 121)] == [1, 1, 1, 2, 2]


def test_who_began_to_lead_lately_does_not_give_back_what_it_was_given() -> None:
    led = Led()
    led.core.leader_since_ns = 100 * SECOND_NS
    assert [led.tick(at_s) for at_s in (100, 102.9, 103)] == [0, 0, 1]


def test_a_hand_over_is_said_at_once_where_nothing_else_goes_on() -> None:
    led = Led()
    led.tick(100)
    assert len(led.marked) == len(led.transfers) == 1
    led.tick(101)
    assert len(led.marked) == 1


def test_a_session_that_missed_a_keep_alive_expires_first() -> None:
    led = Led()
    led.silence_ns = TTL_NS // 2 + 1
    assert [led.tick(at_s) for at_s in (100, 105)] == [0, 0]
    led.silence_ns = TTL_NS // 2
    assert led.tick(106) == 1


def test_where_always_somebody_is_silent_it_waits_for_one_time_to_live() -> None:
    led = Led()
    led.silence_ns = TTL_NS
    assert [led.tick(at_s) for at_s in (100, 110, 110.1)] == [0, 0, 1]
    # Much later the next silence is another one.
    assert [led.tick(at_s) for at_s in (200, 209, 211)] == [1, 1, 2]


class Stepping:
    """The core of a slot that takes one step when it is asked, and can be handed over."""

    id, leader_since_ns, leader = "a#1", 0, "a#1"
    membership = committed_membership = Membership(("a#1", "b#1"))
    term, commit, membership_index = 1, 1, 0

    def __init__(self) -> None:
        self.last_index = 1
        self.transfer_to: str | None = None

    def change(self, now_ns: int, voters: tuple[str, ...], learners: tuple[str, ...]) -> None:
        del now_ns, voters, learners
        self.last_index = 2

    def progress_of(self, key: str) -> Any:
        del key
        return SimpleNamespace(match=1)

    def transfer(self, now_ns: int, heir: str) -> bool:
        del now_ns
        self.transfer_to = heir
        return True


class Many:
    """Slots led here, all with a voter that was replaced."""

    def __init__(self, slots: int) -> None:
        self.cores = [Stepping() for _ in range(slots)]
        groups = {
            number: SimpleNamespace(
                number=number, epoch=1, is_leading=True, core=core, replica_of=lambda key: key
            )
            for number, core in enumerate(self.cores, 1)
        }
        host: Any = SimpleNamespace(led=groups, groups=groups, mark=lambda group: None)
        failure_detector: Any = SimpleNamespace(silent_ns=lambda key, since_ns: 0)
        clock = ManualClock()
        follower = SimpleNamespace(leader="b#1", last_heard_ns=clock.now)
        control = SimpleNamespace(number=0, is_leading=False, core=follower)
        self.duties = SlotDuties(host, clock, failure_detector, Settings(), lambda slot: 0)
        row = SimpleNamespace(
            preferred=None, epoch=1, held=("a", "b"), held_at=(0, 0), target=("a", "b"), dropped=(), targets=0
        )
        self.machine: Any = SimpleNamespace(
            slots=[row] * slots, members={}, slot_voters=lambda slot: ("a#1", "b#2")
        )
        # The control leader's word has come for long.
        host.groups = {0: control}
        self.duties.tick(SimpleNamespace(slots=[SimpleNamespace(epoch=2)] * slots))
        host.groups = {0: control, **groups}
        clock.skip(10)


def test_slots_take_their_steps_in_parts() -> None:
    many = Many(2 * CHANGED_AT_ONCE + 10)
    steps = []
    for _ in range(3):
        many.duties.tick(many.machine)
        steps.append(sum(core.last_index == 2 for core in many.cores))
    assert steps == [CHANGED_AT_ONCE, 2 * CHANGED_AT_ONCE, 2 * CHANGED_AT_ONCE + 10]


def test_slots_are_handed_over_in_parts() -> None:
    many = Many(2 * CHANGED_AT_ONCE + 10)
    transfers = []
    for _ in range(3):
        assert many.duties.hand_all_over()
        transfers.append(sum(core.transfer_to is not None for core in many.cores))
    assert transfers == [CHANGED_AT_ONCE, 2 * CHANGED_AT_ONCE, 2 * CHANGED_AT_ONCE + 10]


def test_who_is_about_to_vote_is_told_before_that_is_committed_and_told_again() -> None:
    led = Led()
    led.tick(100)
    assert led.told == [], "nothing but what is known"
    led.core.membership = Membership(("a#1~1", "c#1"), ("a#1~1", "b#1~1"))
    led.core.membership_index = 5
    assert (led.tick(101), led.told) == (1, [(0, [HELD, 0, 1, 1, 10, ["a", "b", "c"], 0])])
    led.tick(102)
    assert len(led.told) == 1
    led.tick(104)
    assert len(led.told) == 2, "the first one may be lost"
    led.core.commit, led.core.committed_membership = 6, Membership(("a#1~1", "c#1"))
    led.core.membership, led.core.membership_index = led.core.committed_membership, 6
    led.tick(104.1)
    assert led.told[2:] == [(0, [HELD, 0, 1, 1, 13, ["a", "c"], 0])], "news at once"


def test_who_gets_no_place_any_more_is_told_by_a_leader_with_its_lease_only() -> None:
    led = Led()
    (row,) = led.machine.slots
    row.held_at, row.dropped = (1, 1), ("c",)
    led.tick(100)
    assert led.told == [], "another may lead by now, and be taking it in"
    led.lease_until_ns = 200 * SECOND_NS
    for at_s in (101, 102, 103.1):
        led.tick(at_s)
    assert led.told == [(0, [HELD, 0, 1, 1, 1, ["a", "b"], 4])] * 2, "the first one may be lost"
    row.targets = 5
    led.tick(103.2)
    assert led.told[2:] == [(0, [HELD, 0, 1, 1, 1, ["a", "b"], 5])], "of another target at once"
    row.held_at = (2, 0)
    led.tick(110)
    assert len(led.told) == 3, "another one has told since"
    row.held_at, row.dropped = (1, 1), ()
    led.tick(120)
    assert len(led.told) == 3


def test_who_was_cut_off_walks_no_slot_before_it_knows_where_slots_should_be() -> None:
    led = Led()
    led.core.membership = Membership(("a#1~1", "c#1"))
    led.control.is_leading = False

    def walked(at_s: float, heard_s: float) -> bool:
        led.heard_ns = int(heard_s * SECOND_NS)
        led.tick(at_s)
        return led.walked[-1:] == [at_s]

    assert [walked(at_s, at_s) for at_s in (100, 101, 101.5, 102)] == [False, False, True, True]
    assert [walked(at_s, 102) for at_s in (102.9, 103.1, 110)] == [True, False, False], "a gap of a second"
    assert [walked(at_s, at_s) for at_s in (110.1, 111, 111.7)] == [False, False, True]
    led.control.is_leading = True
    assert walked(120, 0), "who leads it knows"


def test_no_group_becomes_smaller_before_it_is_recorded_how_large_it_is() -> None:
    led = Led()
    led.core.membership = led.core.committed_membership = Membership(("a#1~1", "b#1~1", "c#1~1"))
    for at_s in (100, 101, 102):
        led.tick(at_s)
    assert led.walked == [] and led.told[0][1][5] == ["a", "b", "c"]
    (row,) = led.machine.slots
    row.held, row.held_at = ("a", "b", "c"), (1, 0)
    led.tick(103)
    assert led.walked == [], "what was recorded may have been given up, and its target does not count on it"
    led.tick(104.1)
    assert led.told[-1] == (0, [HELD, 0, 1, 1, 1, ["a", "b", "c"], 0])
    row.held_at = (1, 1)
    led.tick(105)
    assert led.walked == [105]
