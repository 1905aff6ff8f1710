"""The checks of what is on record see an answer that came too early, and an event that nobody committed."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.records import record_key
from casty.distributed.machines.base import COUNTER, LOCK, OK
from casty.distributed.machines.record import RECORDED, Record
from sim.checks.history.contracts import WITHOUT_MEMORY, check_contract
from sim.checks.history.queue_rows import Change
from sim.checks.step.records import Records, unwrapped
from sim.checks.violation import Violation
from sim.history import History, Operation

LIFE, ADD = b"life-one", [1, 1]
KEY = (COUNTER, b"hits")


class Watched:
    def __init__(self) -> None:
        self.found: list[Violation] = []
        self.machine = SlotMachine(MachineLimits(), 1)
        self.record = Record(b"journal", LIFE, False)
        self.record.is_live, self.record.number = True, 1
        self.machine.entities[record_key(KEY)] = self.record
        self.records = Records(self.found.append, lambda: [self.machine])
        self.records.written("counter:hits", 1, [["life", LIFE]])

    def commit(self, *commands: list[int]) -> None:
        for command in commands:
            self.record.changed(command)
        self.records.applied(self.machine, *KEY)

    def call(self, kind: str, value: Any) -> Operation:
        history = History()
        operation = history.call("client-1", kind, "hits", {}, 0)
        before = self.records.called(kind, "hits", None)
        if kind == "counter.add":
            self.commit(ADD)
        history.ok(operation, value, 1)
        self.records.answered(operation, before, self.records.called(kind, "hits", None))
        return operation

    @property
    def numbers(self) -> list[int]:
        return [violation.number for violation in self.found]


def test_an_answer_before_its_change_is_on_record_is_seen() -> None:
    watched = Watched()
    watched.call("counter.add", 1)
    assert watched.numbers == [44]


def test_so_is_one_that_rests_on_what_others_did() -> None:
    watched = Watched()
    watched.commit(ADD, ADD)
    watched.call("counter.get", 2)
    assert watched.numbers == [44]
    watched.records.written("counter:hits", 2, [ADD, ADD])
    watched.call("counter.get", 2)
    assert watched.numbers == [44]


def test_what_was_committed_is_taken_under_its_number_only() -> None:
    watched = Watched()
    watched.commit(ADD, [1, 2])
    watched.records.written("counter:hits", 2, [ADD, [1, 2]])
    watched.records.written("counter:hits", 2, [ADD])
    assert watched.numbers == []
    watched.records.written("counter:hits", 3, [ADD])
    assert watched.numbers == [45]


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_full_node_may_refuse_to_read_what_was_lost_during_the_call(is_lost: bool) -> None:
    """It was there at the call and is there at the end: in between it had to be put back, or the refusal is wrong."""
    watched = Watched()
    history = History()
    operation = history.call("client-1", "counter.get", "hits", {}, 0)
    before = watched.records.called("counter.get", "hits", None)
    assert before is not None
    if is_lost:
        later = watched.machine.entities[record_key(KEY)] = Record(b"journal", b"life-two", False)
        assert not before.has_stayed(watched.records.called("counter.get", "hits", None)), "not put back yet"
        later.is_live, later.number = True, 2
    history.failed(operation, WITHOUT_MEMORY, 1)
    is_restored = before.has_stayed(watched.records.called("counter.get", "hits", None))
    broken = check_contract(operation, 0.1, 5.0, has_journal=True, is_restored=is_restored)
    assert (broken is None) is is_lost


def test_what_was_on_record_before_another_life_began_stays_so() -> None:
    watched = Watched()
    written = watched.records.written
    for number in (2, 3):
        written("queue:q", number, [[2]] if number > 2 else [["life", LIFE]])
    assert [watched.records.has(Change(b"q", LIFE, number)) for number in (3, 4)] == [True, False]
    written("queue:q", 4, [["life", b"life-two"], [2]])
    assert [watched.records.has(Change(b"q", LIFE, number)) for number in (3, 4, 5)] == [True, False, False]
    assert [watched.records.has(Change(b"q", b"life-two", number)) for number in (5, 6)] == [True, False]
    assert not watched.records.has(Change(b"q", b"untold", 1)), "nothing of a life that the journal has not"


def test_a_life_begins_once_however_often_its_beginning_is_written() -> None:
    watched = Watched()
    watched.commit(ADD)
    watched.records.written("counter:hits", 1, [["life", LIFE]])
    watched.records.written("counter:hits", 2, [ADD])
    assert watched.numbers == []
    watched.records.written("counter:hits", 3, [["life", LIFE]])
    assert watched.numbers == [45]


def test_a_change_of_an_earlier_life_is_not_taken_after_a_later_one_began() -> None:
    watched = Watched()
    watched.commit(ADD, ADD)
    watched.records.written("counter:hits", 2, [ADD, ["life", b"life-two"]])
    assert watched.numbers == []
    watched.records.written("counter:hits", 4, [ADD])
    assert watched.numbers == [45]
    watched.records.written("counter:hits", 3, [["life", b"life-three"]])
    assert watched.numbers == [45, 45]


def test_who_has_no_record_is_not_asked() -> None:
    watched = Watched()
    assert watched.records.called("lock.acquire", "hits", None) is None
    assert watched.records.called("counter.get", "other", None) is None
    assert watched.records.called("counter.destroy", "hits", None) is None


def test_what_goes_through_a_journal_is_unwrapped() -> None:
    assert unwrapped(COUNTER, ADD, [OK, 1]) == (ADD, [OK, 1])
    assert unwrapped(COUNTER, [RECORDED, b"", 0, ADD], [OK, 1, 5, 4, LIFE]) == (ADD, [OK, 1])
    assert unwrapped(LOCK, [RECORDED, b"", 0, [1]], [OK, 9]) == ([1], [OK, 9])
