"""What becomes of a slot's state in a new generation."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.recovery.renewal import Renewed, renew
from casty.cluster.slots.machine import FORMER, MachineLimits, SlotMachine
from casty.cluster.slots.records import record_key
from casty.cluster.slots.schema import CLOSE, COMMAND, EXPIRE, OPEN, OPEN_FOR
from casty.distributed.machines.base import (
    BARRIER,
    BUSY,
    COUNTER,
    EXPIRED,
    LOCK,
    OK,
    QUEUE,
    QUEUED,
    RECORD,
    SEMAPHORE,
)
from casty.distributed.machines.queue_shapes import ACK, DEQUEUE, ENQUEUE, RESERVE, RESERVED, SIZE
from casty.distributed.machines.record import Record
from casty.errors import RecoveryError
from casty.limits import MAX_GENERATION
from casty.wire.pack import pack

TIMES = {"usual_ms": 15_000, "longest_ms": 300_000}
GENERATION = 50


class Slot:
    """A slot machine and its log."""

    def __init__(self, generation: int = GENERATION) -> None:
        self.machine = SlotMachine(MachineLimits(), generation)
        self.index = 0
        self.seq = 0

    def apply(self, *entry: Any) -> list[Any]:
        self.index += 1
        reply: list[Any] = self.machine.apply(self.index, pack(list(entry))).reply
        return reply

    def open(self, name: bytes) -> int:
        number: int = self.apply(OPEN, name, b"client")[1]
        return number

    def call(self, session: int, kind: int, entity: bytes, *command: Any) -> list[Any]:
        self.seq += 1
        return self.apply(COMMAND, session, self.seq, 1, 1, kind, entity, list(command))


def acquire(slot: Slot, session: int, name: bytes = b"l") -> list[Any]:
    return slot.call(session, LOCK, name, 1)


def test_holds_and_waiters_are_gone_and_tokens_are_above_all_that_were() -> None:
    slot = Slot()
    first, second = slot.open(b"one"), slot.open(b"two")
    token = acquire(slot, first)[1]
    assert acquire(slot, second) == [QUEUED]
    what = renew(slot.machine, GENERATION + 1, b"mark", is_whole=True, **TIMES)
    assert (what.sessions, what.holds, what.waiting) == (2, 1, 1)
    assert list(slot.machine.sessions) == [FORMER] and slot.machine.numbers[2] == 0
    assert slot.apply(COMMAND, first, 99, 1, 1, COUNTER, b"c", [1, 1]) == [EXPIRED]
    assert slot.apply(EXPIRE, FORMER) == [OK]
    third = slot.open(b"three")
    assert acquire(slot, third)[1] > token and acquire(slot, third)[1:2] != [token]


def test_a_reserved_item_is_free_when_nobody_can_believe_in_its_reservation_any_more() -> None:
    slot = Slot()
    first, second = slot.open(b"one"), slot.open(b"two")
    for item in (b"a", b"b", b"c", b"d"):
        slot.call(first, QUEUE, b"q", ENQUEUE, item)
    for session in (first, second, first):
        assert slot.call(session, QUEUE, b"q", RESERVE, 9_000, False, None, None)[0] == OK
    last = slot.seq
    for generation in (
        GENERATION + 1,
        GENERATION + 2,
    ):  # a recovered one that is recovered again keeps them as well
        renew(slot.machine, generation, b"mark-%d" % generation, is_whole=True, **TIMES)
        slot.machine.load(slot.machine.dump())
        session = slot.open(b"three-%d" % generation)
        assert slot.call(session, QUEUE, b"q", ACK, last) == [OK, False]
        assert slot.machine.query(QUEUE, b"q", [RESERVED]) == [OK, 3]
        if generation == GENERATION + 1:
            assert slot.call(session, QUEUE, b"q", DEQUEUE)[1] == b"d"
        assert slot.call(session, QUEUE, b"q", DEQUEUE) == [OK, None]
    assert slot.apply(EXPIRE, FORMER) == [OK]
    assert [slot.call(session, QUEUE, b"q", DEQUEUE)[1] for _ in range(4)] == [b"a", b"b", b"c", None]


@pytest.mark.parametrize("is_whole", [True, False])
def test_many_reserved_items_of_a_queue_that_may_be_left_to_its_journal(is_whole: bool) -> None:
    slot, many = Slot(), 200
    session = slot.open(b"one")
    for number in range(many):
        slot.call(session, QUEUE, b"q", ENQUEUE, b"%d" % number)
        slot.call(session, QUEUE, b"q", RESERVE, 9_000, False, None, None)
    record = Record(b"j", b"l", False)
    record.is_live = True
    slot.machine.change(record_key((QUEUE, b"q")), record)
    renew(slot.machine, GENERATION + 1, b"mark", is_whole=is_whole, **TIMES)
    while slot.apply(EXPIRE, FORMER) == [QUEUED]:
        assert FORMER in slot.machine.sessions
    assert slot.machine.query(QUEUE, b"q", [SIZE]) == [OK, many if is_whole else 0]


def test_a_slot_whose_own_generation_was_raised_is_raised_above_that() -> None:
    slot = Slot()
    slot.machine.raise_generation(GENERATION + 500)
    renew(slot.machine, GENERATION + 1, b"mark", is_whole=True, **TIMES)
    assert slot.machine.numbers[0] == GENERATION + 501
    slot.machine.raise_generation(MAX_GENERATION)
    with pytest.raises(RecoveryError, match="expected a generation of at most"):
        renew(slot.machine, GENERATION + 2, b"other", is_whole=True, **TIMES)


def test_a_closed_slot_grants_nothing_that_excludes_and_nobody_can_open_it_early() -> None:
    slot = Slot()
    renew(slot.machine, GENERATION + 1, b"mark", is_whole=True, **TIMES)
    session = slot.open(b"one")
    assert acquire(slot, session)[0] == BUSY
    assert slot.call(session, SEMAPHORE, b"s", 1, 3, 1)[0] == BUSY
    assert slot.call(session, COUNTER, b"c", 1, 5) == [OK, 5]
    assert slot.call(session, BARRIER, b"b", 1, "p", 2) == [QUEUED]
    assert not slot.machine.sessions[FORMER].is_owned_by(b""), "what a gateway may send has its proof"
    assert slot.apply(OPEN, b"mark2", b"client")[1] != FORMER
    assert slot.apply(EXPIRE, FORMER) == [OK]
    assert acquire(slot, session)[0] == OK


def test_a_session_with_more_than_one_entry_lets_go_ends_as_a_whole() -> None:
    slot = Slot()
    session = slot.open(b"one")
    for number in range(400):
        assert acquire(slot, session, b"l%d" % number)[0] == OK
    slot.apply(CLOSE, session)  # over, and let go in part only
    what = renew(slot.machine, GENERATION + 1, b"mark", is_whole=True, **TIMES)
    assert what.entities == 0 and list(slot.machine.sessions) == [FORMER]


def test_what_is_on_record_is_left_to_its_journal_where_the_state_may_lack_something() -> None:
    slot = Slot()
    session = slot.open(b"one")
    for name in (b"live", b"plain", b"begun"):
        slot.call(session, COUNTER, name, 1, 5)
    live, begun = Record(b"j", b"l", False), Record(b"j", b"l", True)
    live.is_live = True
    slot.machine.change(record_key((COUNTER, b"live")), live)
    slot.machine.change(record_key((COUNTER, b"begun")), begun)
    # Nothing is lost: the record goes on where it was.
    what = renew(slot.machine, GENERATION + 1, b"mark", is_whole=True, **TIMES)
    assert what.on_record == 0 and record_key((COUNTER, b"live")) in slot.machine.entities
    what = renew(slot.machine, GENERATION + 2, b"other", is_whole=False, **TIMES)
    left = sorted(slot.machine.entities)
    assert what.on_record == 1 and left == [(COUNTER, b"begun"), (COUNTER, b"plain")], (
        "what the journal knows nothing of stays"
    )
    assert not [key for key in left if key[0] == RECORD]


def test_a_renewed_state_that_is_renewed_again_counts_no_client() -> None:
    slot = Slot()
    renew(slot.machine, GENERATION + 1, b"mark", is_whole=True, **TIMES)
    assert renew(slot.machine, GENERATION + 2, b"other", is_whole=True, **TIMES) == Renewed()
    assert list(slot.machine.attempts.values()) == [FORMER]


@pytest.mark.parametrize(
    ("own_ms", "is_whole", "closed_ms"),
    [(0, True, 0), (5_000, True, 0), (60_000, True, 60_000), (60_000, False, 300_000), (0, False, 300_000)],
)
def test_it_is_closed_for_as_long_as_any_client_may_believe_in_a_hold(
    own_ms: int, is_whole: bool, closed_ms: int
) -> None:
    """Where something is lost, so may be a session that asked for the longest time to live there is."""
    slot = Slot()
    session = slot.apply(OPEN_FOR, b"one", b"client", own_ms)[1] if own_ms else slot.open(b"one")
    assert acquire(slot, session)[0] == OK
    renew(slot.machine, GENERATION + 1, b"mark", is_whole=is_whole, **TIMES)
    assert slot.machine.sessions[FORMER].ttl_ms == closed_ms


def test_what_is_closed_for_long_stays_so_when_it_is_recovered_again() -> None:
    slot = Slot()
    renew(slot.machine, GENERATION + 1, b"mark", is_whole=False, **TIMES)
    renew(slot.machine, GENERATION + 2, b"other", is_whole=True, **TIMES)
    assert slot.machine.sessions[FORMER].ttl_ms == TIMES["longest_ms"], (
        "clients of the first one may live yet"
    )
