"""The memory budget: full at its bound, open again at the low mark, and small records go on for a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.multiraft.memory_budget import MemoryBudget, Usage, budget_of

MIB = 1 << 20


def budget_at(state: int) -> MemoryBudget:
    budget = MemoryBudget(16 * MIB)
    budget.measured(Usage(state=state))
    return budget


def test_below_its_bound_it_refuses_nothing() -> None:
    budget = budget_at(16 * MIB - 1)
    assert not budget.refuses([], is_record=False)
    assert not budget.refuses([], is_record=True)


def test_at_its_bound_values_are_refused_and_small_records_are_not() -> None:
    budget = budget_at(16 * MIB)
    assert budget.refuses([], is_record=False)
    assert not budget.refuses([], is_record=True)


def test_beyond_the_reserve_nothing_that_grows_is_taken() -> None:
    budget = budget_at(17 * MIB)
    assert budget.refuses([], is_record=True)


@pytest.mark.parametrize(("state", "is_full"), [(15 * MIB, True), (14 * MIB + 1, True), (14 * MIB, False)])
def test_it_opens_again_at_the_low_mark_only(state: int, is_full: bool) -> None:
    budget = budget_at(17 * MIB)
    budget.measured(Usage(state=state))
    assert budget.refuses([], is_record=False) is is_full
    assert budget.refuses([], is_record=True) is is_full


def test_every_part_counts() -> None:
    budget = MemoryBudget(50)
    budget.unread.size_bytes = 10
    budget.measured(Usage(state=10, logs=10, mailboxes=10, transfers=10, buffers=10))
    assert budget.is_full


def test_a_burst_between_two_measurements_is_seen() -> None:
    budget = budget_at(16 * MIB - 1000)
    assert not budget.accepted(500)
    assert not budget.is_full
    assert not budget.accepted(500)
    assert budget.refuses([], is_record=False)
    budget.measured(Usage(state=13 * MIB))
    assert not budget.refuses([], is_record=False), "measured exactly it was less"


def test_it_is_not_called_full_by_a_measurement_that_is_too_old() -> None:
    budget = budget_at(15 * MIB)
    assert not budget.accepted(MIB - 1)
    assert budget.accepted(1), "it has to be measured: as much may have been removed"
    assert not budget.refuses([], is_record=False)
    budget.measured(Usage(state=15 * MIB))
    assert not budget.is_full
    assert budget.accepted(MIB)
    budget.measured(Usage(state=16 * MIB))
    assert budget.is_full


def test_measuring_is_asked_for_only_after_a_share_of_the_budget() -> None:
    budget = budget_at(16 * MIB)
    asked = 0
    for _ in range(1024):
        if budget.accepted(16 << 10):
            asked += 1
            budget.measured(Usage(state=16 * MIB))
    assert asked == 64


def test_messages_are_taken_until_they_would_exhaust_it() -> None:
    budget = budget_at(16 * MIB)
    assert budget.is_full
    assert budget.takes_message(MIB - 1)
    assert not budget.takes_message(MIB)
    budget.unread.size_bytes = MIB // 2
    assert not budget.takes_message(MIB // 2), "unread ones count as they come"
    budget.unread.size_bytes = 0
    assert budget.takes_message(MIB // 2), "and go when they are read"
    budget.measured(Usage(state=17 * MIB))
    assert not budget.takes_message(1)
    budget.measured(Usage(state=15 * MIB))
    assert not budget.takes_message(1), "it opens at the low mark"


def test_what_is_unread_makes_a_node_full_between_two_measurements() -> None:
    budget = budget_at(15 * MIB)
    budget.unread.size_bytes = MIB
    assert not budget.is_full
    budget.accepted(1)
    assert budget.is_full
    budget.unread.size_bytes = 0
    budget.measured(Usage(state=13 * MIB))
    assert not budget.is_full


def test_a_full_peer_counts_in_its_groups_only() -> None:
    budget = budget_at(0)
    budget.heard("b", is_full=True)
    assert budget.refuses(["a", "b"], is_record=False)
    assert not budget.refuses(["a", "b"], is_record=True)
    assert not budget.refuses(["a", "c"], is_record=False)
    budget.heard("b", is_full=False)
    assert not budget.refuses(["a", "b"], is_record=False)


def test_a_peer_that_is_gone_is_forgotten() -> None:
    budget = budget_at(0)
    budget.heard("b", is_full=True)
    budget.forget("b")
    budget.forget("b")
    assert not budget.refuses(["b"], is_record=False)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=60))
def test_whatever_happens_it_is_full_above_the_bound_and_open_below_the_low_mark(
    steps: list[tuple[bool, int]],
) -> None:
    budget = MemoryBudget(100)
    for is_measured, size in steps:
        if is_measured or budget.accepted(size):
            budget.measured(Usage(logs=size))
        assert budget.is_full or budget.used_bytes < budget.budget_bytes
        assert budget.is_full >= budget.is_exhausted
        assert not budget.is_stale or budget.used_bytes < budget.budget_bytes, (
            "it was measured before it was full"
        )
        if is_measured and size <= budget.low_bytes:
            assert not budget.is_full


def test_the_default_is_half_of_what_there_is() -> None:
    assert budget_of(0, 1000) == 500
    assert budget_of(300, 1000) == 300


def test_what_a_peer_said_counts_as_long_as_it_is_asked() -> None:
    budget = MemoryBudget(1_000)
    budget.heard("b#1", is_full=True)
    budget.heard("c#1", is_full=True)
    budget.asks({"c#1": []})
    assert not budget.refuses(["b#1"], is_record=False)
    assert budget.refuses(["c#1"], is_record=False)
