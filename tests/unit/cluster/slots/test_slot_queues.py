"""Queues in a slot: what sessions had when they end, what a withdrawal undoes, what goes on record, visibility."""

from __future__ import annotations

from typing import Any

from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import ENDED_AT_ONCE, MachineLimits, SlotMachine
from casty.cluster.slots.schema import ABANDON, COMMAND, EXPIRE, OPEN
from casty.cluster.slots.visibility import MIN_SWEEP
from casty.distributed.machines.base import EXPIRED, OK, OVERLOADED, QUEUE, QUEUED, WITHDRAWN
from casty.distributed.machines.queue_shapes import (
    ACK,
    DEQUEUE,
    ENQUEUE,
    ENQUEUE_AS,
    GET,
    NACK,
    PUT,
    PUT_BACK,
    REMOVE,
    RESERVE,
    RESERVED,
    SET_ASIDE,
    SETUP,
    SIZE,
)
from casty.distributed.machines.record import BEGIN, RECORDED, RESTORE, TAIL
from casty.wire.pack import pack, unpack

Q = b"q"
JOURNAL, LIFE = b"journal", b"life"
SECOND_NS = 1_000_000_000


class Slot:
    """A machine with three sessions, numbered 1 to 3."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1)
        self.index = 0
        self.seqs = {1: 0, 2: 0, 3: 0}
        self.effects: list[Any] = []
        for name in (b"1", b"2", b"3"):
            self.apply([OPEN, name, b"g"])

    def apply(self, entry: list[Any]) -> list[Any]:
        self.index += 1
        reply, effects, _ = self.machine.apply(self.index, pack(entry))
        self.effects += [(effect.session, effect.seq, list(effect.reply[:3])) for effect in effects]
        return list(reply)

    def do(self, session: int, *command: Any, low: int = 1, wait_low: int = 1) -> list[Any]:
        self.seqs[session] += 1
        return self.apply([COMMAND, session, self.seqs[session], low, wait_low, QUEUE, Q, list(command)])

    def reserve(self, session: int, visibility_ms: int = 1_000) -> list[Any]:
        return self.do(session, RESERVE, visibility_ms, True, None, None)

    def ask(self, query: int) -> Any:
        return self.machine.query(QUEUE, Q, [query])[1]

    def told(self) -> list[Any]:
        effects, self.effects = self.effects, []
        return effects


def test_who_waits_is_served_in_the_order_of_requests() -> None:
    slot = Slot()
    assert slot.do(1, GET, None, None) == slot.reserve(2) == slot.do(3, GET, None, None) == [QUEUED]
    for data in (b"a", b"b", b"c"):
        slot.do(1, ENQUEUE, data)
    assert [(session, reply[1] if session != 2 else reply[2]) for session, _, reply in slot.told()] == [
        (1, b"a"), (2, b"b"), (3, b"c"),
    ]  # fmt: skip


def test_a_reserved_item_keeps_its_place() -> None:
    slot = Slot()
    assert slot.do(1, ENQUEUE_AS, b"a", 1, None) == [OK, None]
    slot.reserve(2)
    assert slot.do(1, ENQUEUE, b"b") == [OVERLOADED, "maxsize", 1]
    assert slot.do(1, PUT, b"c", None, None) == [QUEUED]
    assert slot.do(2, ACK, 1)[1] is True
    assert slot.told() == [(1, 3, [OK, None])]
    assert slot.do(3, DEQUEUE)[1] == b"c"


def test_a_withdrawn_call_gives_back_what_it_took() -> None:
    slot = Slot()
    for data in (b"a", b"b"):
        slot.do(1, ENQUEUE, data)
    assert slot.do(2, DEQUEUE)[:2] == [OK, b"a"]
    assert slot.do(3, GET, None, None)[:2] == [OK, b"b"]
    slot.apply([ABANDON, 3, 1, [[1, QUEUE, Q]]])
    slot.apply([ABANDON, 2, 1, [[1, QUEUE, Q]]])
    assert slot.do(1, DEQUEUE)[:2] == [OK, b"a"], "in their order"
    assert slot.apply([COMMAND, 2, 1, 1, 1, QUEUE, Q, [DEQUEUE]]) == [WITHDRAWN]
    slot.apply([ABANDON, 2, 1, [[1, QUEUE, Q]]])
    assert slot.ask(SIZE) == 1, "once"


def test_what_a_waiter_got_goes_on_to_the_next_one_if_it_is_withdrawn() -> None:
    slot = Slot()
    assert slot.do(1, GET, None, None) == slot.do(2, GET, None, None) == [QUEUED]
    slot.do(3, ENQUEUE, b"a")
    slot.apply([ABANDON, 1, 1, [[1, QUEUE, Q]]])
    assert slot.told() == [(1, 1, [OK, b"a", 1]), (2, 1, [OK, b"a", 1])]
    assert slot.machine.numbers[2] == 0, "nobody waits"


def test_what_is_confirmed_is_not_given_back() -> None:
    slot = Slot()
    slot.do(1, ENQUEUE, b"a")
    assert slot.do(1, DEQUEUE)[:2] == [OK, b"a"]
    slot.apply([ABANDON, 1, 1, [[2, QUEUE, b""]]])
    slot.apply([ABANDON, 1, 1, [[2, QUEUE, Q]]])
    assert slot.ask(SIZE) == 0
    slot.do(2, ENQUEUE, b"b")
    slot.do(2, DEQUEUE)
    slot.do(2, DEQUEUE, low=3, wait_low=3)
    slot.apply([ABANDON, 2, 1, [[2, QUEUE, Q]]])
    assert slot.ask(SIZE) == 0


def test_an_item_goes_back_to_the_queue_that_it_came_from_only() -> None:
    slot = Slot()
    slot.do(1, ENQUEUE, b"a")
    taken = slot.do(1, DEQUEUE)
    slot.do(2, 0)
    slot.do(2, ENQUEUE, b"new")
    slot.do(2, ENQUEUE, b"er")
    slot.do(2, DEQUEUE)
    assert slot.do(1, PUT_BACK, *taken[1:]) == [OK, False]
    slot.apply([ABANDON, 1, 1, [[2, QUEUE, Q]]])
    assert slot.do(2, DEQUEUE)[:2] == [OK, b"er"]


def test_a_session_that_ends_in_parts_is_served_no_more() -> None:
    slot = Slot()
    for _ in range(ENDED_AT_ONCE + 4):
        assert slot.do(1, GET, None, None) == [QUEUED]
    slot.reserve(1)
    assert slot.do(2, GET, None, None) == [QUEUED]
    assert slot.apply([EXPIRE, 1]) == [QUEUED]
    slot.do(3, ENQUEUE, b"a")
    assert slot.told() == [(2, 1, [OK, b"a", 1])], "the first who is not over"
    assert slot.do(1, GET, None, None) == [EXPIRED]
    assert slot.reserve(2) == [QUEUED]
    slot.do(3, ENQUEUE, b"b")
    assert [row[:2] for row in slot.told()] == [(2, 2)]
    assert slot.apply([EXPIRE, 1]) == [OK]
    assert slot.machine.entities[QUEUE, Q].reserved[2, 2].deliveries == 1, "nobody else was delivered it"
    assert slot.machine.numbers[2] == 0


def test_a_session_gives_back_in_order_what_it_had() -> None:
    slot = Slot()
    for data in (b"a", b"b", b"c"):
        slot.do(1, ENQUEUE, data)
    for _ in range(3):
        slot.reserve(2)
    slot.do(2, GET, None, None)
    assert slot.do(3, GET, None, None) == [QUEUED]
    slot.apply([EXPIRE, 2])
    assert slot.told() == [(3, 1, [OK, b"a", 1])]
    assert [slot.do(3, DEQUEUE)[1] for _ in range(2)] == [b"b", b"c"]
    assert slot.do(2, ACK, 1) == [EXPIRED]


def test_kept_outcomes_are_weighed() -> None:
    slot = Slot()
    slot.do(1, GET, None, None)
    before = slot.machine.weights.reply_bytes
    slot.do(2, ENQUEUE, b"x" * 5_000)
    assert slot.machine.weights.reply_bytes > before + 5_000
    slot.do(1, ENQUEUE, b"y", low=2, wait_low=2)
    assert slot.machine.weights.reply_bytes < 1_000


# -- records


def recorded(slot: Slot) -> Slot:
    assert slot.do(1, BEGIN, JOURNAL, LIFE)[0] == OK
    assert slot.do(1, RESTORE, JOURNAL, LIFE, 0, [], 1)[0] == OK
    return slot


def tail(slot: Slot) -> list[Any]:
    return list(slot.machine.query(QUEUE, Q, [TAIL, LIFE, 0, 10**9])[2])


def wrapped(slot: Slot, session: int, *command: Any) -> list[Any]:
    return slot.do(session, RECORDED, JOURNAL, 0, list(command))


def test_what_others_are_served_is_on_record_and_who_waits_is_told_no_position() -> None:
    slot = recorded(Slot())
    assert wrapped(slot, 2, GET, 5, None) == [QUEUED]
    assert wrapped(slot, 1, ENQUEUE, b"a") == [OK, None, 3, 1, LIFE], (
        "its own change; that it was taken is another"
    )
    assert slot.told()[0][2] == [OK, b"a", 1]
    assert tail(slot) == [[SETUP, 5, None, 1], [ENQUEUE, b"a"], [REMOVE, 1]]
    assert wrapped(slot, 1, DEQUEUE) == [OK, None, 4, 1, LIFE]


def test_reservations_are_not_on_record_but_what_becomes_of_items_is() -> None:
    slot = recorded(Slot())
    for data in (b"a", b"b"):
        wrapped(slot, 1, 11, data, None, 1)
    before = len(tail(slot))
    first, second = wrapped(slot, 2, RESERVE, 1_000, True, None, None), slot.reserve(3)
    assert (first[0], len(first), second[2]) == (OK, 5, b"b")
    assert len(tail(slot)) == before
    assert wrapped(slot, 2, ACK, 1)[:3] == [OK, True, 1]
    slot.apply([EXPIRE, 3])
    assert tail(slot)[before:] == [[REMOVE, 1], [SET_ASIDE, 2]]
    assert slot.ask(RESERVED) == 0


def test_what_is_put_back_is_on_record() -> None:
    slot = recorded(Slot())
    wrapped(slot, 1, ENQUEUE, b"a")
    wrapped(slot, 2, DEQUEUE)
    slot.apply([ABANDON, 2, 1, [[1, QUEUE, Q]]])
    assert tail(slot)[-1] == [PUT_BACK, b"a", 1, 0, None, False]


# -- visibility


def leader_of(slot: Slot) -> SlotLeader:
    return SlotLeader(slot.machine, 10 * SECOND_NS, 0)


def test_a_reservation_ends_its_visibility_after_a_keep_alive_named_it() -> None:
    slot = Slot()
    slot.do(1, ENQUEUE, b"a")
    slot.reserve(2, 2_000)
    leader = leader_of(slot)
    assert leader.visibility.due(100 * SECOND_NS, 10) == [], "nobody heard of it: the session's time rules"
    for at_s in (5, 6):
        leader.keep_alive([0, 1, 2, [], [[1, QUEUE, Q]], [], 1], at_s * SECOND_NS)
    assert leader.visibility.due(7 * SECOND_NS - 1, 10) == []
    (entry,) = leader.visibility.due(7 * SECOND_NS, 10)
    assert unpack(entry) == [ABANDON, 2, 1, [[1, QUEUE, Q]]]
    assert leader.visibility.due(8 * SECOND_NS, 10) == []
    slot.apply(unpack(entry))  # type: ignore[arg-type]
    assert (slot.ask(SIZE), slot.ask(RESERVED)) == (1, 0)
    assert slot.do(2, ACK, 1)[:2] == [OK, False]
    row, _ = leader.keep_alive([0, 1, 2, [], [[1, QUEUE, Q]], [], 1], 8 * SECOND_NS)
    assert row[2] == [1], "its owner hears that it is lost"


def test_what_was_acked_in_time_is_not_withdrawn_and_not_remembered() -> None:
    slot = Slot()
    leader = leader_of(slot)
    for number in range(MIN_SWEEP + 1):
        slot.do(1, ENQUEUE, b"a")
        slot.reserve(2, 10_000)
        seq = slot.seqs[2]
        leader.keep_alive([0, 1, 2, [], [[seq, QUEUE, Q]], [], 1], SECOND_NS)
        assert slot.do(2, ACK if number % 2 else NACK, seq)[1] is True
        if not number % 2:
            slot.do(1, DEQUEUE)
    assert len(leader.visibility._ends) <= 1
    assert leader.visibility.due(100 * SECOND_NS, 10) == []
