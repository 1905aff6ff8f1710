"""A slot is handed over to its preferred node when no session of it is about to expire, or after a time to live."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from casty.cluster.node.leader_tasks import CHANGED_AT_ONCE, SlotDuties
from casty.config import SECOND_NS
from casty.consensus import Membership
from tests.unit.cluster.region_world import ManualClock

TTL_NS = 10 * SECOND_NS


class Led:
    """One slot that is led here and preferred elsewhere; everything it is asked is yes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.silence_ns = 0
        self.transfers: list[int] = []
        made: Any = type
        core = made("Core", (), {
            "id": "a#1~1", "membership": Membership(("a#1~1", "b#1~1")), "leader_since_ns": 0,
            "progress_of": lambda self, key: made("Progress", (), {"is_caught_up": True})(),
            "transfer": lambda core, now_ns, heir: self.transfers.append(now_ns) or True,
        })()  # fmt: skip
        group = made("Group", (), {
            "number": 1, "is_leading": True, "core": core, "replica_of": lambda self, key: f"{key}~1",
        })()  # fmt: skip
        self.marked: list[object] = []
        host = made("Host", (), {"led": {1: group}, "mark": lambda host, group: self.marked.append(group)})()
        vitals = made("Vitals", (), {"silent_ns": lambda self, key, since_ns: 0})()
        self.duties = SlotDuties(host, self.clock, vitals, TTL_NS, lambda slot: self.silence_ns)
        row = made("Row", (), {"preferred": "b"})()
        member = made("Member", (), {"key": "b#1"})()
        self.machine = made("Machine", (), {
            "slots": {0: row}, "members": {"b": member}, "slot_voters": lambda self, slot: ("a#1", "b#1"),
        })()  # fmt: skip

    def tick(self, at_s: float) -> int:
        """Tick at a time; return how often the slot was handed over so far."""
        self.clock.now_ns = int(at_s * SECOND_NS)
        self.duties.tick(self.machine)
        return len(self.transfers)


def test_a_slot_is_handed_over_once_in_two_times_to_live() -> None:
    led = Led()
    assert [led.tick(at_s) for at_s in (100, 101, 119, 120, 121)] == [1, 1, 1, 2, 2]


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
    membership = Membership(("a#1", "b#1"))

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
            number: SimpleNamespace(number=number, is_leading=True, core=core, replica_of=lambda key: key)
            for number, core in enumerate(self.cores, 1)
        }
        host: Any = SimpleNamespace(led=groups, groups=groups, mark=lambda group: None)
        vitals: Any = SimpleNamespace(silent_ns=lambda key, since_ns: 0)
        self.duties = SlotDuties(host, ManualClock(), vitals, TTL_NS, lambda slot: 0)
        row = SimpleNamespace(preferred=None)
        self.machine: Any = SimpleNamespace(
            slots=[row] * slots, members={}, slot_voters=lambda slot: ("a#1", "b#2")
        )


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
