"""Limits of slots: right refusals pass; a refusal below a limit, or growth beyond it, is found whoever counts wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import COMMAND, OPEN
from casty.consensus import Entry
from casty.distributed.machines.barrier import ARRIVE
from casty.distributed.machines.base import BARRIER, COUNTER, LOCK, QUEUE
from casty.distributed.machines.lock import ACQUIRE
from casty.distributed.machines.queue_shapes import GET, PUT
from casty.wire.pack import pack
from sim.checks.step.slots import Slots
from sim.checks.violation import ViolationError

LIMITS = MachineLimits(max_entities=2, max_sessions=2, max_waiters=1)


class Slot:
    """Entries of one slot with small limits, made by two sessions."""

    def __init__(self) -> None:
        self.slots = Slots(lambda: 1, lambda slot, epoch, session: None, LIMITS)
        self._index = 0
        self._seqs = {1: 0, 2: 0}
        self.open(1)
        self.open(2)

    def _put(self, *parts: object) -> None:
        self._index += 1
        self.slots.committed((1, 1), self._index, Entry(1, 0, pack(list(parts))))

    def open(self, number: int) -> None:
        self._put(OPEN, b"attempt-%d" % number, b"client")

    def ask(self, session: int, kind: int, name: bytes, command: list[Any]) -> None:
        self._seqs[session] += 1
        self._put(COMMAND, session, self._seqs[session], 1, 1, kind, name, command)

    @property
    def machine(self) -> SlotMachine:
        return self.slots.shadows[1, 1].machine


def refuse_everything(slot: Slot) -> None:
    """Reach each limit, and be refused once for each."""
    slot.open(3)
    slot.ask(1, LOCK, b"a", [ACQUIRE])
    slot.ask(2, LOCK, b"a", [ACQUIRE])
    slot.ask(1, BARRIER, b"b", [ARRIVE, "party", 2])
    slot.ask(1, COUNTER, b"b", [1, 1])
    slot.ask(2, COUNTER, b"c", [1, 1])


def test_who_finds_a_limit_reached_may_be_refused() -> None:
    slot = Slot()
    refuse_everything(slot)
    counts = slot.slots.counts
    assert [counts[f"refused for {name}"] for name in LIMITS._fields] == [1, 1, 1]


def _no_more_entities(slot: Slot) -> None:
    slot.ask(1, COUNTER, b"a", [1, 1])
    slot.ask(1, COUNTER, b"b", [1, 1])
    slot.ask(1, COUNTER, b"c", [1, 1])


def _one_waits_and_another(slot: Slot) -> None:
    slot.ask(1, LOCK, b"a", [ACQUIRE])
    slot.ask(2, LOCK, b"a", [ACQUIRE])
    slot.ask(2, LOCK, b"a", [ACQUIRE])


def _two_wait_at_a_barrier(slot: Slot) -> None:
    slot.ask(1, BARRIER, b"a", [ARRIVE, "one", 3])
    slot.ask(2, BARRIER, b"a", [ARRIVE, "two", 3])


def _two_wait_for_an_item(slot: Slot) -> None:
    slot.ask(1, QUEUE, b"a", [GET, None, None])
    slot.ask(2, QUEUE, b"a", [GET, None, None])


def _two_wait_for_room(slot: Slot) -> None:
    for number in range(3):
        slot.ask(1, QUEUE, b"a", [PUT, b"item-%d" % number, 1, None])


@pytest.mark.parametrize(
    "context",
    [
        lambda slot: slot.open(3),
        _no_more_entities,
        _one_waits_and_another,
        _two_wait_at_a_barrier,
        _two_wait_for_an_item,
        _two_wait_for_room,
    ],
)
def test_what_grows_beyond_a_limit_is_found(context: Callable[[Slot], None]) -> None:
    slot = Slot()
    slot.machine.limits = MachineLimits(3, 3, 2)
    slot.machine._context.max_waiters = 2
    with pytest.raises(ViolationError, match=r"\d where max_"):
        context(slot)


@pytest.mark.parametrize(
    "context",
    [lambda slot: slot.ask(1, COUNTER, b"a", [1, 1]), _one_waits_and_another, _two_wait_at_a_barrier],
)
def test_who_is_refused_below_a_limit_is_found(context: Callable[[Slot], None]) -> None:
    slot = Slot()
    slot.machine.limits = MachineLimits(0, 2, 0)
    slot.machine._context.max_waiters = 0
    with pytest.raises(ViolationError, match="refused for max_"):
        context(slot)


def test_a_count_of_who_waits_that_never_falls_is_found() -> None:
    slot = Slot()
    slot.ask(1, LOCK, b"a", [ACQUIRE])
    slot.machine._waiting = 1
    with pytest.raises(ViolationError, match="max_waiters = 1, of which 0 are used"):
        slot.ask(2, LOCK, b"a", [ACQUIRE])
