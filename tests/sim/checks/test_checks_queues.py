"""What clients see of waiting calls, reservations and dead letters, and what the items of a machine do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.records import record_key
from casty.cluster.slots.schema import ABANDON, COMMAND, EXPIRE, OPEN
from casty.distributed.machines.base import DESTROY, OVERLOADED, QUEUE
from casty.distributed.machines.queue_shapes import ACK, DEQUEUE, ENQUEUE, GET, NACK, REMOVE, RESERVE
from casty.distributed.machines.queue_state import Item, Items
from casty.distributed.machines.record import Record
from casty.wire.pack import pack
from sim.checks.history.queue_rows import LOST, REVIVED, Change
from sim.checks.history.queues import check_queue
from sim.checks.step.queues import QueueItems
from sim.checks.step.refusals import MAXSIZE
from sim.checks.violation import Violation
from tests.sim.checks.histories import Script


def numbers(found: list[Violation]) -> list[int]:
    return sorted({violation.number for violation in found})


def two_items() -> Script:
    script = Script("q")
    for value in (1, 2):
        script.add(10 * value, 10 * value + 5, "queue.put", {"value": value})
    return script


def test_a_proper_history_of_reservations() -> None:
    script = two_items()
    script.add(30, 35, "queue.reserve", {}, 1, until=60)
    script.add(40, 45, "queue.reserve", {}, 2, until=50)
    script.add(50, 55, "queue.nack", {"value": 2, "of": 3}, True)
    script.add(56, 59, "queue.get", {}, 2)
    script.add(60, 65, "queue.ack", {"value": 1, "of": 2}, True)
    script.add(66, 67, "queue.ack", {"value": 1, "of": 2}, False)
    script.add(70, 75, "queue.dequeue", {}, None)
    script.add(80, 80, "queue.drained", {})
    assert not check_queue("q", script.operations)


def test_nobody_else_gets_what_somebody_is_sure_to_have() -> None:
    script = two_items()
    script.add(30, 35, "queue.reserve", {}, 1, until=90)
    script.add(40, 45, "queue.get", {}, 1)
    assert 38 in numbers(check_queue("q", script.operations))
    script = two_items()
    script.add(30, 35, "queue.reserve", {}, 1, until=50)
    script.add(40, 48, "queue.reserve", {}, 1, until=60)
    assert 38 in numbers(check_queue("q", script.operations))


def test_an_item_has_one_end() -> None:
    script = two_items()
    script.add(30, 35, "queue.reserve", {}, 1, until=40)
    script.add(50, 55, "queue.get", {}, 1)
    script.add(60, 65, "queue.ack", {"value": 1, "of": 2}, True)
    assert 39 in numbers(check_queue("q", script.operations))


def test_first_deliveries_are_in_order_unless_somebody_unheard_of_had_one() -> None:
    script = two_items()
    script.add(30, 35, "queue.reserve", {}, 2, until=40)
    script.add(50, 55, "queue.get", {}, 1)
    assert numbers(check_queue("q", script.operations)) == [37]
    script = two_items()
    script.unknown(21, "queue.get", {})
    script.add(30, 35, "queue.reserve", {}, 2, until=40)
    script.add(50, 55, "queue.get", {}, 1)
    assert not check_queue("q", script.operations)


def test_dead_letters_are_not_lost_and_acknowledgements_in_doubt_are() -> None:
    script = two_items()
    script.add(30, 35, "queue.reserve", {}, 1, until=40)
    script.unknown(41, "queue.ack", {"value": 1, "of": 2})
    script.add(50, 55, "queue.dead", {}, 2)
    script.add(60, 60, "queue.drained", {})
    assert not check_queue("q", script.operations)
    script = two_items()
    script.add(30, 35, "queue.reserve", {}, 1, until=40)
    script.add(50, 55, "queue.dead", {}, 2)
    script.add(60, 60, "queue.drained", {})
    assert numbers(check_queue("q", script.operations)) == [36]


class Slot:
    """A machine, and what is said of its items."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1)
        self.found: list[int] = []
        self.items = QueueItems(lambda number, _: self.found.append(number))
        self.index = 0
        self.seq = 0
        self.apply([OPEN, b"1", b"g"])
        self.apply([OPEN, b"2", b"g"])

    @property
    def queue(self) -> Items:
        return self.machine.entities[QUEUE, b"q"]  # type: ignore[no-any-return]

    def apply(self, plain: list[Any], spoil: Callable[[], object] | None = None) -> Any:
        self.index += 1
        self.items.before(self.machine, [(QUEUE, b"q")])
        reply, effects, _ = self.machine.apply(self.index, pack(plain))
        if spoil is not None:
            spoil()
        self.items.after(self.machine, plain, list(reply), effects, is_new=True)
        return reply

    def do(self, session: int, *command: Any, spoil: Callable[[], object] | None = None) -> int:
        self.seq += 1
        self.apply([COMMAND, session, self.seq, 1, 1, QUEUE, b"q", list(command)], spoil)
        return self.seq


def test_what_a_queue_does_is_explained_by_its_entries() -> None:
    slot = Slot()
    for data in (b"a", b"b", b"c"):
        slot.do(1, ENQUEUE, data)
    first, second = slot.do(1, RESERVE, 1000, True, None, None), slot.do(2, RESERVE, 1000, True, None, None)
    slot.do(1, DEQUEUE)
    waiting = slot.do(1, GET, None, None)
    slot.do(2, NACK, second)
    assert [row.word for row in slot.items.rows] == ["nack", "moved", "get"]
    slot.apply([ABANDON, 1, 1, [[waiting, QUEUE, b"q"]]])
    assert [(row.word, row.args) for row in slot.items.rows] == [("moved", (b"b", "free"))]
    slot.do(1, ACK, first)
    slot.do(2, RESERVE, 1000, True, None, None)
    slot.apply([EXPIRE, 2])
    slot.do(1, DESTROY)
    assert not slot.found


@pytest.mark.parametrize(
    ("number", "spoil"),
    [
        (36, lambda queue: queue.fresh.pop()),
        (36, lambda queue: queue.fresh.rotate()),
        (38, lambda queue: queue.returned.append(Item(1, b"a", 0))),
        (39, lambda queue: queue.returned.append(Item(2, b"b", 0))),
        (38, lambda queue: queue.reserved.update({(2, 99): next(iter(queue.reserved.values()))})),
        (38, lambda queue: queue.dead.update({1: (b"a", 1)})),
        (9, lambda queue: setattr(queue, "maxsize", 3)),
        (37, lambda queue: queue.getters.update({(1, 98): None})),
        (24, lambda queue: queue.getters.update({(7, 98): None})),
    ],
)
def test_what_nothing_explains_is_told(number: int, spoil: Callable[[Items], object]) -> None:
    slot = Slot()
    for data in (b"a", b"b", b"c", b"d"):
        slot.do(1, ENQUEUE, data)
    slot.do(1, RESERVE, 1000, True, None, None)
    slot.do(1, DEQUEUE)
    assert not slot.found
    slot.do(2, ENQUEUE, b"e", spoil=lambda: spoil(slot.queue))
    assert number in slot.found


@pytest.mark.parametrize(
    ("tail", "free"), [(None, []), ([], []), ([[DESTROY]], [b"a"]), ([[REMOVE, 2], [DESTROY]], [b"a", b"b"])]
)
def test_what_was_reserved_when_a_queue_was_destroyed_off_the_record_is_free_again(
    tail: list[list[int]] | None, free: list[bytes]
) -> None:
    slot = Slot()
    for data in (b"a", b"b"):
        slot.do(1, ENQUEUE, data)
    slot.do(1, RESERVE, 1000, True, None, None)
    slot.do(2, DESTROY)
    if tail is not None:
        slot.machine.entities[record_key((QUEUE, b"q"))] = recorded(tail)
    rows = slot.items.forgotten(slot.machine)
    assert [row.args for row in rows] == [(data, "free") for data in free]
    assert {row.word for row in rows} <= {REVIVED}
    assert [row.undone for row in rows][:1] == [
        Change(b"q", b"life", 3 + len(tail)) for _ in free[:1] if tail
    ]


def recorded(tail: list[list[Any]]) -> Record:
    """A record whose changes up to 3 are known to be on record."""
    record = Record(b"journal", b"life", False)
    record.is_live, record.number = True, 3
    for change in tail:
        record.changed(change)
    return record


def test_what_came_or_left_off_the_record_comes_to_nothing_with_the_memory() -> None:
    slot = Slot()
    for data in (b"a", b"b", b"c"):
        slot.do(1, ENQUEUE, data)
    slot.do(1, DEQUEUE)
    slot.do(1, RESERVE, 1000, True, None, None)
    slot.machine.entities[record_key((QUEUE, b"q"))] = recorded([[ENQUEUE, b"c"], [REMOVE, 1]])
    rows = [(row.word, row.args[0], row.undone) for row in slot.items.forgotten(slot.machine)]
    assert rows == [
        (REVIVED, b"b", None),
        (REVIVED, b"a", Change(b"q", b"life", 5)),
        (LOST, b"c", Change(b"q", b"life", 4)),
    ]


def test_numbers_of_a_destroyed_queue_are_not_taken_for_those_of_the_next() -> None:
    slot = Slot()
    slot.do(1, ENQUEUE, b"a")
    slot.do(1, DESTROY)
    slot.do(1, ENQUEUE, b"b")
    slot.do(1, DEQUEUE)
    tail = [[REMOVE, 1], [DESTROY], [ENQUEUE, b"b"], [REMOVE, 1]]
    slot.machine.entities[record_key((QUEUE, b"q"))] = recorded(tail)
    rows = [
        (row.word, row.args[0], row.undone and row.undone.number)
        for row in slot.items.forgotten(slot.machine)
    ]
    assert rows == [(REVIVED, b"b", 7), (LOST, b"b", 6), (REVIVED, b"a", 4)]


def test_an_item_that_was_restored_and_taken_at_once_is_known() -> None:
    """No entry is looked at while a history is put together: what it brought is there before the next one."""
    slot = Slot()
    slot.do(1, ENQUEUE, b"a")
    slot.items = QueueItems(lambda number, _: slot.found.append(number))
    slot.do(1, DEQUEUE)
    slot.machine.entities[record_key((QUEUE, b"q"))] = recorded([[REMOVE, 1]])
    assert [row.args for row in slot.items.forgotten(slot.machine)] == [(b"a", "free")]
    assert not slot.found


def test_who_is_refused_for_want_of_room_finds_none() -> None:
    slot = Slot()
    for _ in range(3):
        slot.do(1, ENQUEUE, b"a", 2, None)
    assert not slot.found, "the third had no room"
    slot.do(1, DEQUEUE)
    plain = [COMMAND, 1, 9, 1, 1, QUEUE, b"q", [ENQUEUE, b"a", 2, None]]
    slot.items.before(slot.machine, [(QUEUE, b"q")])
    slot.items.after(slot.machine, plain, [OVERLOADED, MAXSIZE, 2], (), is_new=True)
    assert slot.found == [9]


@pytest.mark.parametrize("operation", [(GET, None, None), (RESERVE, 3_000, True, None, None)])
def test_what_goes_around_requests_that_one_entry_withdraws_is_free_again(operation: tuple[Any, ...]) -> None:
    slot = Slot()
    first, second = slot.do(1, *operation), slot.do(1, *operation)
    slot.do(2, ENQUEUE, b"a")
    slot.apply([ABANDON, 1, second + 1, [[first, QUEUE, b"q"], [second, QUEUE, b"q"]]])
    words = [row.word for row in slot.items.rows]
    assert words in (["moved", "get", "moved"], ["moved", "reserve", "moved"])
    slot.do(2, DEQUEUE)
    assert slot.found == []


def test_what_died_on_its_way_among_the_withdrawn_was_free_in_between() -> None:
    slot = Slot()
    reserving = (RESERVE, 3_000, True, None, 2)
    first, second = slot.do(1, *reserving), slot.do(1, *reserving)
    slot.do(2, ENQUEUE, b"a")
    slot.apply([ABANDON, 1, second + 1, [[first, QUEUE, b"q"], [second, QUEUE, b"q"]]])
    rows = [(row.word, row.args) for row in slot.items.rows]
    assert rows == [("moved", (b"a", "free")), ("reserve", ()), ("moved", (b"a", "dead"))]
    assert slot.found == []


def test_what_two_of_the_withdrawn_gave_back_before_it_died_was_free_each_time() -> None:
    slot = Slot()
    reserving = (RESERVE, 3_000, True, None, 2)
    first, second, third = slot.do(1, *reserving), slot.do(1, GET, None, None), slot.do(1, *reserving)
    slot.do(2, ENQUEUE, b"a")
    slot.apply([ABANDON, 1, third + 1, [[seq, QUEUE, b"q"] for seq in (first, second, third)]])
    rows = [(row.word, row.args) for row in slot.items.rows]
    free, dead = ("moved", (b"a", "free")), ("moved", (b"a", "dead"))
    assert rows == [free, ("get", ()), free, ("reserve", ()), dead]
    assert slot.found == []


def test_what_was_given_to_a_request_is_not_there_any_more() -> None:
    slot = Slot()
    waiting = slot.do(1, GET, None, None)
    slot.do(2, ENQUEUE, b"a", spoil=lambda: slot.queue.put_back(Item(1, b"a", 0), is_dead=False))
    assert slot.found == [39], waiting
