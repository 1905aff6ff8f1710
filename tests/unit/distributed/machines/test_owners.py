"""The index of requests by session, and the tables of a line that are made when the first request comes into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.distributed.machines.base import OK
from casty.distributed.machines.wait_queue import Owners, Share, WaitQueue

KEYS = st.tuples(st.integers(1, 3), st.integers(1, 4))


@given(st.lists(KEYS))
def test_the_index_knows_exactly_what_is_there(steps: list[tuple[int, int]]) -> None:
    """Each step puts a request in that is not there, and takes out one that is."""
    owners, there = Owners(), dict[tuple[int, int], None]()
    for key in steps:
        if key in there:
            owners.remove(key)
            del there[key]
        else:
            owners.add(key)
            there[key] = None
        for session in range(4):
            mine = [key for key in there if key[0] == session]
            assert owners.of(session) == mine
            assert (session in owners) == bool(mine)


@pytest.mark.parametrize("before", [[], [2], [2, 3]])
def test_what_is_not_there_is_not_taken_out(before: list[int]) -> None:
    owners = Owners()
    for seq in before:
        owners.add((1, seq))
    with pytest.raises(KeyError):
        owners.remove((1, 7))
    assert owners.of(1) == [(1, seq) for seq in before]


@pytest.mark.parametrize("before", [[2], [2, 3]])
def test_nothing_is_put_in_twice(before: list[int]) -> None:
    owners = Owners()
    for seq in before:
        owners.add((1, seq))
    with pytest.raises(AssertionError, match="twice"):
        owners.add((1, 2))


def test_lines_share_no_table() -> None:
    one, other = WaitQueue(1), WaitQueue(1)
    one.wait((1, 1), Share(1, 1))
    one.revoke({(1, 2): Share(2, 1)})
    one.dismiss({(1, 3): [OK]})
    assert (dict(other.waiters), dict(other.revoked), dict(other.dismissed)) == ({}, {}, {})
    with pytest.raises(TypeError):
        other.waiters[1, 4] = Share(3, 1)


def test_a_line_ends_with_its_hold_only_where_nobody_else_is_there() -> None:
    line = WaitQueue(2)
    line.grants[1, 1] = Share(1, 1)
    assert line.is_of_one()
    line.wait((1, 2), Share(2, 1))
    assert not line.is_of_one()
    del line.waiters[1, 2]
    assert line.is_of_one()
    line.capacity = 3  # resized: the number is kept
    assert not line.is_of_one()
