"""The time of a slot: who tells it, what ends by it, and that nothing ends early."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any, NamedTuple

import pytest

from casty.cluster.slots.lapses import (
    RENEW_SHARE,
    RENEW_TICKS,
    TICK_NS,
    Ends,
    LapseClock,
    lapse_of,
    latest_of,
    needs_time,
)
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import CANCEL, COMMAND, LAPSE, LAPSED_AT_ONCE, OPEN, check_entry
from casty.consensus import Entry
from casty.distributed.machines.base import DESTROY, MAP, OK
from casty.distributed.machines.map import (
    COMPARE_AND_SET,
    CONTAINS,
    FOR_EVER,
    GET,
    PERSIST,
    PUT,
    PUT_FOR,
    PUT_IF_ABSENT_FOR,
    TOUCH,
    TTL,
    Lasting,
)
from casty.distributed.machines.record import RECORDED, RESTORE
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack, unpack

SECOND_NS = 1_000_000_000


class Log:
    """A machine that one session writes to."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1)
        self.index = 1
        self.session = self.machine.apply(1, pack([OPEN, b"proof", b""])).reply[1]
        self.seq = 0

    def do(self, name: bytes, *command: object) -> list[Any]:
        self.index += 1
        self.seq += 1
        entry = [COMMAND, self.session, self.seq, self.seq, 1, MAP, name, list(command)]
        return self.machine.apply(self.index, pack(entry)).reply

    def lapse(self, time: int, *names: bytes) -> None:
        self.index += 1
        assert self.machine.apply(self.index, pack([LAPSE, time, list(names)])).reply == [OK]

    def read(self, name: bytes, query: int) -> Any:
        return self.machine.query(MAP, name, [query])[1]


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_key_ends_where_an_entry_says_so_and_not_before(log: Log) -> None:
    log.lapse(100)
    assert log.do(b"k", PUT_FOR, b"v", 5) == [OK, None]
    assert log.read(b"k", TTL) == 106, "a tick more: the time may have been told up to one too early"
    log.lapse(105, b"k")
    assert log.read(b"k", GET) == b"v", "its tick has not come"
    log.lapse(500)
    assert log.read(b"k", GET) == b"v", "nobody said that it has ended"
    log.lapse(106, b"k")
    assert log.machine.time == 500, "time never goes back"
    assert log.read(b"k", GET) is None and not log.read(b"k", CONTAINS) and log.read(b"k", TTL) is None
    assert (MAP, b"k") not in log.machine.entities and log.machine.ends.next() is None


def test_a_late_entry_leaves_alone_what_was_stored_anew(log: Log) -> None:
    log.do(b"k", PUT_FOR, b"old", 5)
    log.lapse(6)
    log.do(b"k", PUT_FOR, b"new", 5)
    log.do(b"plain", PUT, b"v")
    log.lapse(6, b"k", b"plain", b"nothing")
    assert log.read(b"k", GET) == b"new" and log.read(b"plain", GET) == b"v"


@pytest.mark.parametrize(
    ("command", "end"),
    [
        ((PUT, b"w"), FOR_EVER),
        ((PUT_FOR, b"w", 50), 61),
        ((TOUCH, 50), 61),
        ((PERSIST,), FOR_EVER),
        ((PUT_IF_ABSENT_FOR, b"w", 50), 8),
        ((COMPARE_AND_SET, b"v", b"w"), FOR_EVER),
        ((COMPARE_AND_SET, b"other", b"w"), 8),
        ((DESTROY,), None),
    ],
)
def test_what_commands_do_to_a_time_to_live(log: Log, command: Any, end: int | None) -> None:
    log.do(b"k", PUT_FOR, b"v", 7)
    log.lapse(10)
    log.do(b"k", *command)
    assert log.read(b"k", TTL) == end
    assert log.machine.ends.next() == (None if end == FOR_EVER else end)


def test_keys_end_in_parts_the_first_to_end_first() -> None:
    ends = Ends()
    for number in range(3 * LAPSED_AT_ONCE):
        ends.moved(b"%03d" % number, None, Lasting(b"", 1000 - number, 1))
    first, place = ends.due(2000)
    assert first == [b"%03d" % number for number in range(3 * LAPSED_AT_ONCE - 1, 2 * LAPSED_AT_ONCE - 1, -1)]
    second, place = ends.due(2000, place)
    third, place = ends.due(2000, place)
    assert [*first, *second, *third] == [b"%03d" % number for number in reversed(range(3 * LAPSED_AT_ONCE))]
    assert ends.due(2000, place) == ([], place)
    assert ends.due(616) == ([], b"") and ends.due(617)[0] == [b"383"]
    ends.moved(b"383", Lasting(b"", 617, 1), None)
    assert ends.next() == 618


def test_long_names_go_in_smaller_parts() -> None:
    ends = Ends()
    for number in range(4):
        ends.moved(b"%d" % number * 40_000, None, Lasting(b"", 1, 1))
    assert len(ends.due(1)[0]) == 1


def test_time_is_told_before_what_counts_from_it() -> None:
    assert needs_time([PUT_FOR, b"v", 1]) and needs_time([TOUCH, 1]) and not needs_time([PUT, b"v"])
    assert needs_time([RECORDED, b"j", 0, [PUT_FOR, b"v", 1]]) and not needs_time(
        [RECORDED, b"j", 0, [PERSIST]]
    )
    assert needs_time([RESTORE, b"j", b"l", 0, [[PUT, b"v"], [TOUCH, 3]], 2])
    assert not needs_time([RESTORE, b"j", b"l", 0, [[PUT, b"v"]], 2]) and not needs_time([DESTROY])


def test_only_a_leader_tells_the_time() -> None:
    with pytest.raises(RemoteProtocolError, match="only a leader"):
        check_entry(pack([LAPSE, 1, []]))


def test_a_heartbeat_proposes_what_is_due_once_and_the_time_now_and_then(log: Log) -> None:
    clock, machine, now_ns = LapseClock(), log.machine, 50 * SECOND_NS
    clock.led(None, 0, now_ns)
    assert clock.heartbeat(machine.ends, 0, now_ns + 1000 * SECOND_NS) is None, "no key has a time to live"
    log.do(b"k", PUT_FOR, b"v", 16 * RENEW_SHARE * 100)
    assert clock.heartbeat(machine.ends, 0, now_ns + 15 * SECOND_NS) is None
    entry = clock.heartbeat(machine.ends, 0, now_ns + 17 * SECOND_NS)
    assert entry is not None and unpack(entry) == [LAPSE, 1700, []]
    assert clock.heartbeat(machine.ends, 0, now_ns + 17 * SECOND_NS) is None, "it is under way"
    log.do(b"soon", PUT_FOR, b"v", 5)
    due = clock.heartbeat(machine.ends, 0, now_ns + 18 * SECOND_NS)
    assert due is not None and unpack(due) == [LAPSE, 1800, [b"soon"]]
    assert clock.heartbeat(machine.ends, 0, now_ns + 19 * SECOND_NS) is None, "one at a time"
    clock.part_applied()
    assert clock.heartbeat(machine.ends, 0, now_ns + 19 * SECOND_NS) is not None, "it came to nothing: again"


class Told(NamedTuple):
    """An entry in the log: the time of the slot after it, and when it was proposed."""

    time: int
    true_ns: int


class Replicas:
    """Three replicas of a slot with clocks of their own, of which one leads."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._offsets = [draw.randrange(10**12) for _ in range(3)]
        self._clocks = [LapseClock() for _ in range(3)]
        self._applied = [0, 0, 0]
        self._leader = -1
        self.true_ns = 10**13
        self.told: list[Told] = []

    def elect(self, replica: int) -> None:
        """Another leadership begins: its leader has all in its log, and speaks before it has applied that."""
        self._leader = replica
        unapplied = [entry.time for entry in self.told[self._applied[replica] :]]
        logged = max(unapplied, default=None)
        self._clocks[replica].led(logged, self._state_time(replica), self._now_ns(replica))

    def tell(self) -> None:
        """The leader puts its time into the log."""
        time = self._clocks[self._leader].time(self._state_time(self._leader), self._now_ns(self._leader))
        latest = self.told[-1].time if self.told else 0
        self.told.append(Told(max(time, latest), self.true_ns))

    def apply(self) -> None:
        """Each replica applies some of what it did not."""
        for replica in range(3):
            self._apply(replica, self._draw.randrange(self._applied[replica], len(self.told) + 1))

    def _apply(self, replica: int, upto: int) -> None:
        for entry in self.told[self._applied[replica] : upto]:
            if replica != self._leader:
                self._clocks[replica].applied(entry.time, self._now_ns(replica))
        self._applied[replica] = upto

    def _state_time(self, replica: int) -> int:
        applied = self._applied[replica]
        return self.told[applied - 1].time if applied else 0

    def _now_ns(self, replica: int) -> int:
        return self.true_ns - self._offsets[replica]


def test_no_key_ends_early_whoever_leads() -> None:
    """However late each replica applies, and whenever it began to count: from entry to entry no more than passed."""
    draw = random.Random(7)
    for _ in range(300):
        slot = Replicas(draw)
        for step in range(60):
            slot.true_ns += draw.randrange(5 * TICK_NS * RENEW_TICKS)
            if step == 0 or draw.randrange(4) == 0:
                slot.elect(draw.randrange(3))
            slot.tell()
            slot.apply()
        for first, second in combinations(slot.told, 2):
            # A tick of rounding, which the end of a key has in addition.
            assert (second.time - first.time - 1) * TICK_NS <= second.true_ns - first.true_ns


def test_a_leader_that_is_behind_sets_back_those_who_are_ahead() -> None:
    follower = LapseClock()
    follower.led(None, 0, 0)
    assert follower.time(0, 5 * SECOND_NS) == 500
    follower.applied(251, 5 * SECOND_NS)
    assert follower.time(251, 6 * SECOND_NS) == 351


def test_a_new_leader_goes_on_from_the_last_entry_of_its_log() -> None:
    """Whatever it took the time to be, and although it applies what it has in its log only later."""
    leader = LapseClock()
    leader.applied(69, 0)
    leader.led(229, 69, 5 * SECOND_NS)
    assert leader.time(69, 5 * SECOND_NS) == 229 and leader.time(229, 6 * SECOND_NS) == 329
    entries = [
        Entry(1, 0, b""),
        *(Entry(1, 0, pack(row)) for row in ([LAPSE, 229, []], [CANCEL, 2], [LAPSE, 7, []])),
    ]
    assert latest_of(entries) == 229 and latest_of(entries[:1]) is None


def test_which_key_is_over() -> None:
    entities: dict[Any, Any] = {(MAP, b"k"): Lasting(b"v", 5, 1), (MAP, b"p"): b"v"}
    assert lapse_of(entities, (MAP, b"k"), 5) == [b"k"] and lapse_of(entities, (MAP, b"k"), 4) == []
    assert lapse_of(entities, (MAP, b"p"), 5) == [] and lapse_of(entities, (1, b"k"), 5) == []


def test_a_snapshot_has_the_time_and_the_ends(log: Log) -> None:
    log.lapse(77)
    log.do(b"k", PUT_FOR, b"v", 9)
    log.do(b"p", PUT, b"w")
    copy = SlotMachine(MachineLimits(), 1)
    copy.load(log.machine.dump())
    assert copy.time == 77 and copy.changed_index == log.machine.changed_index == log.index
    assert copy.entities == log.machine.entities and copy.ends.next() == 87
    copy.apply(log.index + 1, pack([LAPSE, 87, [b"k"]]))
    assert list(copy.entities) == [(MAP, b"p")]
