"""Placement by zones and weights: spread first, then balanced, deterministic, and never for ever on the move."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from casty.cluster.control.balance import (
    Move,
    left_to_move,
    next_move,
    spread_leaders,
    spread_swap,
)
from casty.cluster.control.placement import Holders, Size, crowding, group_size, place
from casty.traits import Traits

Targets = list[tuple[str, ...]]
SLOTS = 24


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, Traits]:
    """Nodes of some zones, or of none, with weights that differ by four at most."""
    zones = st.sampled_from([None, "a", "b", "c"])
    rows = draw(st.lists(st.tuples(zones, st.sampled_from([50, 100, 100, 200])), min_size=1, max_size=8))
    return {f"n{at}": Traits(zone, weight) for at, (zone, weight) in enumerate(rows)}


def placed(fleet: dict[str, Traits], slots: int = SLOTS) -> Targets:
    count = group_size(3, len(fleet))
    load: dict[str, int] = {}
    return [place(slot, Holders(), sorted(fleet), Size(count, count), load, fleet) for slot in range(slots)]


def settled(targets: Targets, fleet: dict[str, Traits]) -> list[Move]:
    """Apply moves until none is needed, and return them."""
    moves: list[Move] = []
    while (move := next_move(targets, sorted(fleet), fleet)) is not None:
        assert move.leaves in targets[move.slot]
        assert move.comes not in targets[move.slot]
        moves.append(move)
        left = [node for node in targets[move.slot] if node != move.leaves]
        targets[move.slot] = tuple(sorted([*left, move.comes]))
        assert len(moves) < 1000, "moves end"
    return moves


def fewest_pairs(fleet: dict[str, Traits], size: int) -> int:
    """Return the least crowding that a group of so many may have."""
    room = Counter((traits.zone or node) for node, traits in fleet.items())
    held = Counter[str]()
    for _ in range(size):
        zone = min((zone for zone in sorted(room) if held[zone] < room[zone]), key=lambda zone: held[zone])
        held[zone] += 1
    return sum(count * (count - 1) // 2 for count in held.values())


@settings(max_examples=40, deadline=None)
@given(fleets())
def test_a_group_is_spread_over_the_zones_that_there_are(fleet: dict[str, Traits]) -> None:
    targets = placed(fleet)
    best = fewest_pairs(fleet, len(targets[0]))
    assert [crowding(target, fleet) for target in targets] == [best] * SLOTS
    settled(targets, fleet)
    assert [crowding(target, fleet) for target in targets] == [best] * SLOTS, "balance crowds none"


@settings(max_examples=40, deadline=None)
@given(fleets())
def test_zones_that_were_told_later_are_used_and_nothing_moves_for_ever(fleet: dict[str, Traits]) -> None:
    targets = placed({node: Traits() for node in fleet})
    expected = [next_move(list(targets), sorted(fleet), dict(reversed(list(fleet.items()))))]
    assert [next_move(list(targets), sorted(fleet), fleet)] == expected, "the order of members tells nothing"
    settled(targets, fleet)
    best = fewest_pairs(fleet, len(targets[0]))
    assert all(crowding(target, fleet) == best for target in targets)
    assert next_move(targets, sorted(fleet), fleet) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([50, 100, 200, 400]), min_size=4, max_size=8))
def test_places_are_as_weights_say(weights: list[int]) -> None:
    fleet = {f"n{at}": Traits(None, weight) for at, weight in enumerate(weights)}
    targets = placed(fleet, 48)
    settled(targets, fleet)
    load = Counter(node for target in targets for node in target)
    for node, traits in fleet.items():
        for other, theirs in fleet.items():
            # No place of one would be less to the other, but where that one has a place in all of these slots.
            mine = Fraction(load[node], traits.weight)
            is_blocked = all(other in target for target in targets if node in target)
            assert is_blocked or mine <= Fraction(load[other] + 1, theirs.weight), (node, other, dict(load))


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 8), st.sampled_from([50, 100, 200]))
def test_a_join_moves_its_share_and_no_more(count: int, weight: int) -> None:
    fleet = {f"n{at}": Traits() for at in range(count)}
    targets = placed(fleet, 48)
    settled(targets, fleet)
    fleet["new"] = Traits(None, weight)
    expected = left_to_move(targets, sorted(fleet), fleet)
    moves = settled(targets, fleet)
    assert all(move.comes == "new" for move in moves), "nothing moves between the others"
    assert expected - 1 <= len(moves) <= expected, (
        "the last slot may be one that the busiest node does not hold"
    )
    assert len(moves) <= 48 * 3 * weight / (100 * count + weight) + 1
    assert left_to_move(targets, sorted(fleet), fleet) == 0


def test_a_zone_that_is_new_gets_one_replica_of_each_slot() -> None:
    fleet = {"a1": Traits("a"), "a2": Traits("a"), "b1": Traits("b"), "b2": Traits("b")}
    targets = placed(fleet)
    fleet["c1"] = Traits("c")
    moves = settled(targets, fleet)
    assert all(move.comes == "c1" for move in moves), "and nobody else anything"
    assert all("c1" in target for target in targets)
    assert len(moves) == SLOTS


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([50, 100, 200]), min_size=3, max_size=3), st.integers(1, 64))
def test_leaderships_are_as_weights_say_and_stay_where_they_may(weights: list[int], slots: int) -> None:
    fleet = {f"n{at}": Traits(None, weight) for at, weight in enumerate(weights)}
    targets = [tuple(sorted(fleet))] * slots
    leaders = spread_leaders(targets, [None] * slots, fleet)
    counts = Counter(leaders)
    for node, traits in fleet.items():
        for other, theirs in fleet.items():
            assert Fraction(counts[node], traits.weight) <= Fraction(counts[other] + 1, theirs.weight)
    assert spread_leaders(targets, leaders, fleet) == leaders, "nothing moves that need not"


def test_of_a_group_that_becomes_smaller_each_zone_keeps_one() -> None:
    fleet = {"a1": Traits("a"), "a2": Traits("a"), "b1": Traits("b"), "b2": Traits("b"), "c1": Traits("c")}
    kept = place(0, Holders(("b2", "a1", "a2", "b1", "c1")), sorted(fleet), Size(3, 3), {}, fleet)
    assert kept == ("a1", "b2", "c1"), "the leader first"


def test_a_voter_of_a_crowded_zone_gives_way_and_the_leader_does_not() -> None:
    fleet = {"a1": Traits("a"), "a2": Traits("a"), "b1": Traits("b"), "c1": Traits("c")}
    for leader, expected in (
        ("a2", ("a2", "b1", "c1")),
        ("a1", ("a1", "b1", "c1")),
        ("b1", ("a1", "b1", "c1")),
    ):
        assert spread_swap(("a1", "a2", "b1"), sorted(fleet), fleet, leader) == expected
    assert spread_swap(("a1", "b1", "c1"), sorted(fleet), fleet, "a1") == ("a1", "b1", "c1")
    assert spread_swap(("a1", "a2", "b1"), ["a1", "a2", "b1"], fleet, "a1") == ("a1", "a2", "b1")
