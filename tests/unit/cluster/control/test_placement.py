"""Placement: stable, spread, and moving no more than needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.control import placement
from casty.cluster.control.placement import group_size, place, rank, slot_of, slot_of_region, spread_leaders

NODES = st.integers(1, 9).map(lambda count: [f"n{number}" for number in range(count)])


def test_group_size_is_the_largest_odd_number_within_both() -> None:
    assert [group_size(3, members) for members in range(1, 7)] == [1, 1, 3, 3, 3, 3]
    assert [group_size(5, members) for members in range(1, 7)] == [1, 1, 3, 3, 5, 5]


def test_slots_are_the_same_on_every_machine() -> None:
    assert [slot_of(1, b"hits", 64), slot_of(5, b"hits", 64), slot_of_region("counter", 7, 64)] == [
        11,
        14,
        48,
    ]


@given(NODES, st.integers(1, 5))
def test_a_place_is_filled_once_per_node(nodes: list[str], size: int) -> None:
    seats = place(3, (), nodes, size)
    assert len(seats) == min(size, len(nodes))
    assert len(dict.fromkeys(seats)) == len(seats)


@given(NODES, NODES)
def test_holders_keep_their_seats(before: list[str], after: list[str]) -> None:
    seats = place(3, (), before, 3)
    assert [node for node in seats if node in place(3, seats, after, 3)] == list(seats)


@given(NODES, st.integers(1, 128), st.sampled_from([1, 3, 5]))
def test_preferred_leaders_differ_by_at_most_one(nodes: list[str], slots: int, replication: int) -> None:
    size = group_size(replication, len(nodes))
    targets = [place(slot, (), nodes, size) for slot in range(slots)]
    preferred = spread_leaders(targets, [None] * slots)
    assert all(leader in target for leader, target in zip(preferred, targets, strict=True))
    if size > 1:
        counts = Counter(preferred)
        holders = sorted({node for target in targets for node in target})
        numbers = [counts[node] for node in holders]
        reachable_everywhere = all(len(target) == len(nodes) for target in targets)
        assert not reachable_everywhere or max(numbers) - min(numbers) <= 1


def test_a_slot_whose_seats_are_taken_ranks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked: list[int] = []

    def counted(slot: int, nodes: Sequence[str]) -> list[str]:
        ranked.append(slot)
        return rank(slot, nodes)

    monkeypatch.setattr(placement, "rank", counted)
    nodes = [f"n{number}" for number in range(60)]
    assert place(7, ("n1", "n2", "n3"), nodes, 3) == ("n1", "n2", "n3")
    assert ranked == []
    assert len(place(8, ("n1", "n2"), nodes, 3)) == 3
    assert ranked == [8]


def test_present_leaders_are_kept_when_they_are_balanced() -> None:
    targets = [("a", "b", "c")] * 6
    current = ["a", "a", "b", "b", "c", "c"]
    assert spread_leaders(targets, current) == current


def test_slots_that_are_full_are_not_ranked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [f"n{number}" for number in range(20)]
    targets = [place(slot, (), nodes, 3) for slot in range(64)]
    preferred = spread_leaders(targets, [None] * len(targets))

    def ranked(slot: int, candidates: Sequence[str]) -> list[str]:
        raise AssertionError("a member that comes up again must not cost slots times nodes")

    monkeypatch.setattr(placement, "rank", ranked)
    assert [place(slot, target, nodes, 3) for slot, target in enumerate(targets)] == targets
    assert spread_leaders(targets, preferred) == preferred
