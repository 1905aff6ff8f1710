"""A session as its gateway has it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.ledger import Ledger
from casty.distributed.core import LOCK

IT = (LOCK, b"it")


def ledger() -> Ledger[str]:
    return Ledger(3, 1, b"attempt", 0)


@given(st.permutations(range(1, 9)), st.integers(0, 8))
def test_low_is_the_first_number_without_an_answer(order: list[int], count: int) -> None:
    one = ledger()
    assert [one.take() for _ in range(8)] == list(range(1, 9))
    for seq in order[:count]:
        one.answered(seq)
        one.answered(seq)
    missing = [seq for seq in range(1, 10) if seq not in order[:count]]
    assert one.low == missing[0]
    assert one.outstanding == 9 - missing[0]


def test_wait_low_is_the_first_that_waits() -> None:
    one = ledger()
    for _ in range(3):
        one.waiting[one.take()] = IT
    assert one.wait_low == 1
    del one.waiting[1]
    assert one.wait_low == 2
    one.waiting.clear()
    assert one.wait_low == 4


def test_an_abandoned_number_keeps_low_down_until_it_is_settled() -> None:
    one = ledger()
    one.take()
    one.answered(one.take())
    one.abandon(1, IT)
    assert (one.low, one.is_idle()) == (1, False)
    one.settle(2)
    assert one.low == 1
    one.settle(1)
    assert (one.low, one.is_idle()) == (3, True)


def test_cover_never_goes_back() -> None:
    one = ledger()
    one.cover(9)
    one.cover(5)
    assert one.covered_until_ns == 9


def test_the_row_names_what_waits_is_held_and_is_abandoned() -> None:
    one = ledger()
    one.number = 7
    one.waiting[1] = IT
    one.held[2] = (IT, "hold")
    one.abandon(3, IT)
    assert one.keep_alive_row() == [3, 1, 7, [[1, *IT]], [[2, *IT]], [[3, *IT]]]
    one.abandon(2, IT)
    one.abandon(1, IT)
    assert one.keep_alive_row()[3:] == [[], [], [[3, *IT], [2, *IT], [1, *IT]]]
