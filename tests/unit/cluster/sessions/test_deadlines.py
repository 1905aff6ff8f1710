"""Deadlines of calls: each at its instant while it is live, and ended ones swept out by a few with each new one."""

from __future__ import annotations

import random

import pytest

from casty.cluster.sessions.call import MIN_SWEEP, MOST_AT_ONCE, SWEPT_AT_ONCE, Deadlines
from tests.kit.clock import ManualClock

SECOND = 1_000_000_000


class Book:
    """Who is live, what was called when, and how often anybody asked."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.live: dict[int, int] = {}
        self.due: list[tuple[int, int]] = []
        self.asked = 0
        self.deadlines = Deadlines(self.clock, self._on_due, self._is_live)

    def _is_live(self, when_ns: int, key: int) -> bool:
        self.asked += 1
        return self.live.get(key) == when_ns

    def _on_due(self, key: int) -> None:
        self.due.append((self.clock.now(), key))
        del self.live[key]

    def add(self, key: int, when_ns: int) -> None:
        self.live[key] = when_ns
        self.deadlines.add(when_ns, key)

    @property
    def entries(self) -> int:
        return len(self.deadlines._heap) + len(self.deadlines._swept)


@pytest.mark.parametrize("live", [0, 100, 20_000])
def test_a_new_one_costs_a_few_looks_and_the_ended_are_no_multiple_of_the_living(live: int) -> None:
    book = Book()
    for key in range(1, live + 1):
        book.add(key, book.clock.now() + 60 * SECOND)
    book.asked = most = 0
    for key in range(live + 1, live + 60_000):
        before = book.asked
        book.add(key, book.clock.now() + 60 * SECOND)
        del book.live[key]
        assert book.asked - before <= SWEPT_AT_ONCE
        most = max(most, book.entries)
    assert most <= max(3 * (live + 1), 2 * MIN_SWEEP)


@pytest.mark.parametrize("seed", range(6))
def test_each_comes_at_its_instant_in_order_whatever_is_swept(seed: int) -> None:
    draw, book, expected = random.Random(seed), Book(), {}
    for key in range(1, 12_000):
        when_ns = book.clock.now() + draw.randrange(1, 90) * SECOND // 10
        book.add(key, when_ns)
        expected[key] = when_ns
        if draw.random() < 0.8:
            ended = draw.choice((key, key // 2 + 1, draw.randrange(1, key + 1)))
            book.live.pop(ended, None)
        if draw.random() < 0.002:
            book.clock.advance(draw.random())
    left = dict(book.live)
    book.clock.advance(100)
    assert not book.live
    called = {key: at_ns for at_ns, key in book.due}
    assert len(called) == len(book.due)
    assert all(called[key] == expected[key] for key in left)
    assert [at_ns for at_ns, _ in book.due] == sorted(at_ns for at_ns, _ in book.due)


def test_what_is_due_at_once_comes_in_parts_from_both_heaps() -> None:
    book = Book()
    at_ns = book.clock.now() + SECOND
    for key in range(1, 7 * MIN_SWEEP // 3):
        book.add(key, at_ns)
    assert book.deadlines._swept
    assert book.deadlines._heap
    book.clock.now_ns = at_ns
    book.deadlines._fire()
    assert len(book.due) == MOST_AT_ONCE
    book.clock.advance(0.001)
    assert [key for _, key in book.due] == list(range(1, 7 * MIN_SWEEP // 3))
