"""A session as its gateway has it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.sessions.core.client_session import ClientSession, Held
from casty.distributed.machines.base import LOCK
from casty.wire.pack import pack

IT = (LOCK, b"it")


def client_session() -> ClientSession:
    return ClientSession(3, 1, b"attempt", 0)


@given(st.permutations(range(1, 9)), st.integers(0, 8))
def test_low_is_the_first_number_without_an_answer(order: list[int], count: int) -> None:
    one = client_session()
    assert [one.take() for _ in range(8)] == list(range(1, 9))
    for seq in order[:count]:
        one.answered(seq)
        one.answered(seq)
    missing = [seq for seq in range(1, 10) if seq not in order[:count]]
    assert one.ack_watermark == missing[0]
    assert one.outstanding == 9 - missing[0]


def test_wait_low_is_the_first_that_waits() -> None:
    one = client_session()
    for _ in range(3):
        one.waiting[one.take()] = IT
    assert one.wait_watermark == 1
    del one.waiting[1]
    assert one.wait_watermark == 2
    one.waiting.clear()
    assert one.wait_watermark == 4


def test_an_abandoned_number_keeps_low_down_until_it_is_settled() -> None:
    one = client_session()
    one.take()
    one.answered(one.take())
    one.abandon(1, IT)
    assert (one.ack_watermark, one.is_idle()) == (1, False)
    one.cleared(2)
    assert one.ack_watermark == 1
    one.cleared(1)
    assert (one.ack_watermark, one.is_idle()) == (3, True)


def test_cover_never_goes_back() -> None:
    one = client_session()
    one.cover(9)
    one.cover(5)
    assert one.covered_until_ns == 9


def test_the_row_names_what_waits_is_held_and_is_abandoned() -> None:
    one = client_session()
    one.number = 7
    one.waiting[1] = IT
    one.hold(Held(one, 2, IT, 1))
    one.abandon(3, IT)
    assert rows_of(one) == [[3, 1, 7, [[1, *IT]], [[2, *IT]], [[3, *IT]], 1, b"attempt"]]
    one.abandon(2, IT)
    one.abandon(1, IT)
    assert rows_of(one) == [[3, 1, 7, [], [], [[3, *IT], [2, *IT], [1, *IT]], 1, b"attempt"]]


def rows_of(one: ClientSession, limit_bytes: int = 10_000) -> list[list[object]]:
    return [row for row, _ in one.keep_alive_rows(limit_bytes)]


@given(
    names=st.lists(st.binary(max_size=60), max_size=40),
    kinds=st.lists(st.integers(0, 2), min_size=40, max_size=40),
    limit_bytes=st.integers(1, 400),
)
def test_rows_name_everything_once_and_are_no_longer_than_they_may(
    names: list[bytes], kinds: list[int], limit_bytes: int
) -> None:
    one = client_session()
    one.number = 7
    tables: list[dict[int, Any]] = [one.waiting, one.held, one.abandoned]
    for seq, name in enumerate(names):
        entity = (5, name)
        tables[kinds[seq]][seq] = Held(one, seq, entity, 1) if kinds[seq] == 1 else entity
    rows = list(one.keep_alive_rows(limit_bytes))
    for row, size_bytes in rows:
        lists: Any = row[3:6]
        assert len(pack(row)) <= size_bytes
        assert size_bytes <= limit_bytes or sum(len(named) for named in lists) <= 1
    plain: list[Any] = [row for row, _ in rows]
    found = [[part for row in plain for part in row[3 + kind]] for kind in range(3)]
    expected = [[[seq, 5, name] for seq, name in enumerate(names) if kinds[seq] == kind] for kind in range(3)]
    assert found == expected
