"""A leadership's soft state: who is heard of, who waits, and what a keep-alive is told."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.multiraft.proposals import answer as give
from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import (
    ABANDON,
    COMMAND,
    EXPIRE,
    OPEN,
    check_keepalive,
)
from casty.distributed.machines.base import EXPIRED, LOCK, NOT_LEADER, OK, WITHDRAWN, Effect
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack, unpack
from tests.kit.gateways import Answers

TTL_NS = 6_000
NAME = b"it"
ACQUIRE, RELEASE = 1, 3


class Slot:
    """A machine with two sessions, 1 and 2, and its leader from instant 1000 on."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1)
        self.index = 0
        for attempt in (b"1", b"2"):
            self.apply(OPEN, attempt, b"")
        self.leader = SlotLeader(self.machine, TTL_NS, 1_000)

    def apply(self, *entry: Any) -> Any:
        self.index += 1
        return self.machine.apply(self.index, pack(list(entry)))

    def lock(self, session: int, seq: int, command: list[Any]) -> Any:
        return self.apply(COMMAND, session, seq, 1, 1, LOCK, NAME, command)

    def row(self, session: int, *lists: list[Any]) -> list[Any]:
        rows = [[[seq, LOCK, NAME] for seq in seqs] for seqs in lists]
        return [0, 1, session, *rows, 1]


@pytest.fixture
def slot() -> Slot:
    return Slot()


def test_everyone_has_a_fresh_ttl_and_is_due_once(slot: Slot) -> None:
    assert slot.leader.due(1_000 + TTL_NS) == []
    slot.leader.keep_alive(slot.row(2, [], [], []), 5_000)
    assert [unpack(entry) for entry in slot.leader.due(1_001 + TTL_NS)] == [[EXPIRE, 1]]
    assert slot.leader.due(1_002 + TTL_NS) == []
    slot.leader.expiry_refused([1])
    assert len(slot.leader.due(1_003 + TTL_NS)) == 1


def test_a_session_whose_expiry_is_in_the_log_is_not_covered(slot: Slot) -> None:
    leader = slot.leader
    assert leader.keep_alive(slot.row(2, [], [], []), 9_000)[0][0] == OK
    assert [unpack(entry) for entry in leader.due(1_001 + TTL_NS)] == [[EXPIRE, 1]]
    assert leader.keep_alive(slot.row(1, [], [], []), 9_001) == ([EXPIRED, [], [], []], None)
    assert leader.keep_alive(slot.row(2, [], [], []), 9_001) == ([OK, [], [], []], None)
    assert leader.keep_alive(slot.row(9, [], [], []), 9_001) == ([EXPIRED, [], [], []], None)
    assert leader.due(1_002 + TTL_NS) == []


def test_an_opening_counts_as_heard(slot: Slot) -> None:
    slot.leader.opened(1, 5_000)
    assert [unpack(entry) for entry in slot.leader.due(2_000 + TTL_NS)] == [[EXPIRE, 2]]


def test_keep_alives_repeat_outcomes_and_name_what_is_lost(slot: Slot) -> None:
    token = slot.lock(1, 1, [ACQUIRE]).reply[1]
    slot.lock(2, 1, [ACQUIRE])
    answer, entry = slot.leader.keep_alive(slot.row(2, [1], [], []), 2_000)
    assert (answer, entry) == ([OK, [], [], []], None), "it still waits"
    granted = slot.lock(1, 2, [RELEASE, token]).effects[0].reply
    answer, entry = slot.leader.keep_alive(slot.row(2, [1, 7], [], []), 2_000)
    assert answer == [OK, [[1, granted]], [], []]
    answer, entry = slot.leader.keep_alive(slot.row(1, [], [1], []), 2_000)
    assert answer == [OK, [], [1], []]
    assert slot.leader.keep_alive(slot.row(2, [], [1], []), 2_000)[0] == [OK, [], [], []]


def test_abandoned_numbers_are_proposed_until_they_are_settled(slot: Slot) -> None:
    slot.lock(1, 1, [ACQUIRE])
    row = slot.row(1, [], [], [1, 5])
    answer, entry = slot.leader.keep_alive(row, 2_000)
    assert answer == [OK, [], [], []]
    assert entry is not None
    assert unpack(entry) == [ABANDON, 1, 1, [[1, LOCK, NAME], [5, LOCK, NAME]]]
    assert slot.leader.keep_alive(row, 2_001)[1] is None, "not again at once"
    assert slot.leader.keep_alive(row, 2_001 + TTL_NS // 6)[1] == entry
    slot.machine.apply(9, entry)
    assert slot.leader.keep_alive(row, 2_002) == ([OK, [], [], [1, 5]], None)


def test_outcomes_go_to_the_newest_call_once(slot: Slot) -> None:
    old, new = Answers(), Answers()
    slot.leader.wait(1, 1, old, 10)
    slot.leader.wait(1, 1, new, 11)
    slot.leader.wait(1, 2, new, 12)
    slot.leader.withdraw(1, 2)
    effects = [Effect(1, 1, [OK, 5]), Effect(1, 2, [OK, 6]), Effect(2, 1, [OK, 7])]
    slot.leader.resolve(effects)
    slot.leader.resolve(effects)
    assert (old.calls, new.calls) == ([], [(12, [WITHDRAWN]), (11, [OK, 5])])


def test_who_waits_hears_of_the_end_of_the_leadership_or_the_session(slot: Slot) -> None:
    answers = Answers()
    slot.leader.wait(1, 1, answers, 10)
    slot.leader.wait(2, 1, answers, 20)
    slot.leader.ended(1)
    give(slot.leader.take_waiting([NOT_LEADER, None, 3]))
    give(slot.leader.take_waiting([NOT_LEADER, None, 3]))
    assert answers.calls == [(10, [EXPIRED]), (20, [NOT_LEADER, None, 3])]


@pytest.mark.parametrize("bad", [None, [1], [[1, 2]], [["1", LOCK, NAME]], [[1, LOCK, "text"]]])
def test_rows_of_strangers_are_refused(bad: Any) -> None:
    for place in (3, 4, 5):
        row: list[Any] = [0, 1, 1, [], [], [], 1]
        row[place] = bad
        with pytest.raises(RemoteProtocolError):
            check_keepalive(row)


def many(count: int) -> tuple[Slot, list[int]]:
    """Further sessions, opened under this leader one instant after the other, each waiting for the lock."""
    slot, sessions = Slot(), list[int]()
    for number in range(count):
        session = slot.apply(OPEN, b"many-%d" % number, b"").reply[1]
        slot.leader.opened(session, 1_001 + number)
        slot.lock(session, 1, [ACQUIRE])
        slot.leader.wait(session, 1, Answers(), number)
        sessions.append(session)
    return slot, sessions


def expired(slot: Slot, now_ns: int, work: int) -> list[int]:
    return [unpack(entry)[1] for entry in slot.leader.due(now_ns, work)]  # type: ignore[index]


def test_very_many_sessions_expire_in_pieces_the_longest_silence_first() -> None:
    slot, sessions = many(50)
    now_ns = 100_000
    pieces = []
    while len(pieces) < 100 and (piece := expired(slot, now_ns, 10)):
        pieces.append(piece)
        for session in piece:
            ended = slot.apply(EXPIRE, session)
            slot.leader.resolve(ended.effects)
            slot.leader.ended(session)
    assert [session for piece in pieces for session in piece] == [1, 2, *sessions]
    assert max(map(len, pieces)) <= 10
    assert not slot.machine.sessions and not slot.machine.entities
    assert not slot.leader.waiting and not len(slot.leader._heard) and not slot.leader._expiring


def test_a_session_that_costs_more_than_a_piece_goes_alone() -> None:
    slot, sessions = many(1)
    for seq in range(2, 30):
        slot.lock(sessions[0], seq, [ACQUIRE])
    assert expired(slot, 100_000, 10) == [1, 2]
    assert expired(slot, 100_000, 10) == sessions
    assert expired(slot, 100_000, 10) == []


def test_who_was_heard_of_meanwhile_goes_to_the_end() -> None:
    slot, sessions = many(3)
    slot.leader.keep_alive(slot.row(sessions[0], [], [], []), 5_000)
    assert expired(slot, 2_000 + TTL_NS, 100) == [1, 2, *sessions[1:]]
    assert expired(slot, 5_000 + TTL_NS, 100) == []
    assert expired(slot, 5_001 + TTL_NS, 100) == sessions[:1]


def test_a_refused_expiry_is_due_again_before_all_others() -> None:
    slot, sessions = many(2)
    assert expired(slot, 100_000, 1) == [1]
    slot.leader.expiry_refused([1])
    slot.leader.expiry_refused([77])
    assert expired(slot, 100_000, 100) == [1, 2, *sessions]


def test_the_end_of_a_session_answers_its_own_calls_only() -> None:
    slot = Slot()
    first, second = Answers(), Answers()
    for seq in (1, 2):
        slot.leader.wait(1, seq, first, seq)
        slot.leader.wait(2, seq, second, seq)
    slot.leader.ended(1)
    assert first.calls == [(1, [EXPIRED]), (2, [EXPIRED])]
    assert second.calls == []
    slot.leader.resolve([Effect(2, 1, [OK, 5])])
    slot.leader.withdraw(2, 2)
    assert second.calls == [(1, [OK, 5]), (2, [WITHDRAWN])]
