"""Deadlines of calls: each at its instant while it is live, and ended ones swept out by a few with each new one."""

from __future__ import annotations

import random

import pytest

from casty.cluster.sessions.core.deadlines import MIN_SWEEP, MOST_AT_ONCE, SWEPT_AT_ONCE, Deadlines
from casty.cluster.sessions.core.effects import Step, WakeAt

SECOND = 1_000_000_000


class Book:
    """Who is live, what was called when, and how often anybody asked."""

    def __init__(self) -> None:
        self.step = Step()
        self.alarm_ns: int | None = None
        self.live: dict[int, int] = {}
        self.due: list[tuple[int, int]] = []
        self.asked = 0
        self.deadlines = Deadlines(self.step, self._is_live)

    def _is_live(self, when_ns: int, key: int) -> bool:
        self.asked += 1
        return self.live.get(key) == when_ns

    def add(self, key: int, when_ns: int) -> None:
        self.live[key] = when_ns
        self.deadlines.add(when_ns, key)
        self._perform()

    def _perform(self) -> None:
        for effect in self.step.effects:
            assert isinstance(effect, WakeAt)
            self.alarm_ns = effect.when_ns
        self.step.effects.clear()

    def wake(self) -> None:
        """The alarm comes: take one part of what is due."""
        self.alarm_ns = None
        for key in self.deadlines.due():
            self.due.append((self.step.now_ns, key))
            del self.live[key]
        self._perform()

    def advance(self, seconds: float) -> None:
        end_ns = self.step.now_ns + int(seconds * SECOND)
        while self.alarm_ns is not None and self.alarm_ns <= end_ns:
            self.step.now_ns = max(self.step.now_ns, self.alarm_ns)
            self.wake()
        self.step.now_ns = end_ns

    @property
    def entries(self) -> int:
        return len(self.deadlines._heap) + len(self.deadlines._swept)


@pytest.mark.parametrize("live", [0, 100, 20_000])
def test_a_new_one_costs_a_few_looks_and_the_ended_are_no_multiple_of_the_living(live: int) -> None:
    book = Book()
    for key in range(1, live + 1):
        book.add(key, book.step.now_ns + 60 * SECOND)
    book.asked = most = 0
    for key in range(live + 1, live + 60_000):
        before = book.asked
        book.add(key, book.step.now_ns + 60 * SECOND)
        del book.live[key]
        assert book.asked - before <= SWEPT_AT_ONCE
        most = max(most, book.entries)
    assert most <= max(3 * (live + 1), 2 * MIN_SWEEP)


@pytest.mark.parametrize("seed", range(6))
def test_each_comes_at_its_instant_in_order_whatever_is_swept(seed: int) -> None:
    draw, book, expected = random.Random(seed), Book(), {}
    for key in range(1, 12_000):
        when_ns = book.step.now_ns + draw.randrange(1, 90) * SECOND // 10
        book.add(key, when_ns)
        expected[key] = when_ns
        if draw.random() < 0.8:
            ended = draw.choice((key, key // 2 + 1, draw.randrange(1, key + 1)))
            book.live.pop(ended, None)
        if draw.random() < 0.002:
            book.advance(draw.random())
    left = dict(book.live)
    book.advance(100)
    assert not book.live
    called = {key: at_ns for at_ns, key in book.due}
    assert len(called) == len(book.due)
    assert all(called[key] == expected[key] for key in left)
    assert [at_ns for at_ns, _ in book.due] == sorted(at_ns for at_ns, _ in book.due)


def test_what_is_due_at_once_comes_in_parts_from_both_heaps() -> None:
    book = Book()
    at_ns = book.step.now_ns + SECOND
    for key in range(1, 7 * MIN_SWEEP // 3):
        book.add(key, at_ns)
    assert book.deadlines._swept
    assert book.deadlines._heap
    book.step.now_ns = at_ns
    book.wake()
    assert len(book.due) == MOST_AT_ONCE
    book.advance(0.001)
    assert [key for _, key in book.due] == list(range(1, 7 * MIN_SWEEP // 3))
