"""Placement: stable, spread, and moving no more than needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.control import placement
from casty.cluster.control.balance import Move, next_move, spread_leaders
from casty.cluster.control.placement import (
    Holders,
    Size,
    control_size,
    fill,
    group_size,
    place,
    rank,
    slot_of,
    slot_of_region,
)


def sized(size: int) -> Size:
    """Return the size of a group while everybody is there."""
    return Size(size, size)


NODES = st.integers(1, 9).map(lambda count: [f"n{number}" for number in range(count)])


def test_group_size_is_the_largest_odd_number_within_both() -> None:
    assert [group_size(3, members) for members in range(1, 7)] == [1, 1, 3, 3, 3, 3]
    assert [group_size(5, members) for members in range(1, 7)] == [1, 1, 3, 3, 5, 5]
    assert [control_size(members) for members in range(1, 8)] == [1, 1, 3, 3, 5, 5, 5]


def test_slots_are_the_same_on_every_machine() -> None:
    assert [slot_of(1, b"hits", 64), slot_of(5, b"hits", 64), slot_of_region("counter", 7, 64)] == [
        11,
        14,
        48,
    ]


@given(NODES, st.integers(1, 5))
def test_a_place_is_filled_once_per_node(nodes: list[str], size: int) -> None:
    replicas = place(3, Holders(), nodes, sized(group_size(size, len(nodes))), {})
    assert len(replicas) == group_size(size, len(nodes))
    assert len(dict.fromkeys(replicas)) == len(replicas)


STANDS = st.lists(st.sampled_from(["staying", "waiting", "ending", "free"]), min_size=1, max_size=9)


@given(STANDS, st.sampled_from([1, 3, 5]), st.data())
def test_places_follow_who_is_there(stands: list[str], size: int, data: st.DataObject) -> None:
    by_stand: dict[str, tuple[str, ...]] = {
        stand: tuple(f"n{at}" for at, one in enumerate(stands) if one == stand) for stand in stands
    }
    stays, waits, ends = (by_stand.get(stand, ()) for stand in ("staying", "waiting", "ending"))
    on_the_way = data.draw(st.integers(0, len((*stays, *waits))))
    coming = (*stays, *waits)[len((*stays, *waits)) - on_the_way :]
    before = len(stays) + len(waits) + len(ends)
    reached = data.draw(st.integers(max(1, before - len(coming)), max(1, before)))
    holders = Holders(stays, waits, ends, coming, reached)
    free = by_stand.get("free", ())
    replicas = fill(holders, free, sized(size))
    assert replicas == tuple(sorted(dict.fromkeys(replicas)))
    has_it = [node for node in holders.staying[:size] if node not in coming]
    assert all(node in replicas for node in has_it), "who stays keeps the place that it has"
    if not any(node in coming for node in waits):
        assert all(node in replicas for node in holders.staying[:size]), "and the one that it should have"
    as_before = tuple(sorted((*stays, *waits, *ends)))
    assert len(replicas) <= size or replicas == as_before, "and no group is too large"
    there = [node for node in replicas if node in stays or node in free]
    if ends and not any(node in free for node in replicas):
        assert 2 * len(there) > len(replicas) or replicas == as_before, "nobody leaves one that cannot be led"
    assert not before or replicas, "a group never loses its last holder"
    if len(replicas) > before:
        assert len(replicas) % 2, "no group grows to an even number"
    taken = [node for node in replicas if node in free]
    waiting = [node for node in replicas if node in holders.waiting]
    assert not waiting or len(taken) == len(free), "nobody waits for one that is down while others are there"
    left_out = [node for node in waits if node not in replicas and node not in coming]
    if taken and ends and left_out and len(replicas) < size:
        assert len(replicas) % 2, "of an odd number no more are needed than of the even one before it"
    if not holders.ending:
        least = before if not coming else reached - 1 + reached % 2
        assert len(replicas) >= min(size, before, least), "and nobody's being down makes a group smaller"


def test_the_place_of_one_that_is_down_goes_to_a_spare_of_any_name() -> None:
    assert fill(Holders(("a", "b"), ("c",)), ["d"], sized(3)) == ("a", "b", "d")
    assert fill(Holders(("a", "b"), ("c",)), [], sized(3)) == ("a", "b", "c")
    assert fill(Holders(("a", "b"), (), ("c",)), [], sized(3)) == ("a", "b")
    assert fill(Holders(("c", "d"), ("b",)), ["e"], sized(5)) == ("c", "d", "e"), (
        "who is down is replaced before a group grows"
    )
    assert fill(Holders(("a", "b", "c")), ["d"], sized(5)) == ("a", "b", "c"), "never an even number"
    assert fill(Holders((), (), ("a",)), [], sized(1)) == ("a",)
    # Of five one may be dead: four that answer make no group of five.
    assert fill(Holders(("a", "b", "c")), ["d", "e"], Size(5, 3)) == ("a", "b", "c")
    assert fill(Holders(("a", "b"), ("c",)), ["d", "e"], Size(5, 3)) == ("a", "b", "d")


def test_nobody_leaves_a_group_to_those_who_are_down() -> None:
    assert fill(Holders((), ("b", "c"), ("a",)), [], sized(3)) == ("a", "b", "c"), "a may be all that is left"
    assert fill(Holders(("b",), ("c",), ("a",)), [], sized(3)) == ("a", "b", "c"), "one of two is no majority"
    assert fill(Holders(("b", "d"), ("c",), ("a",)), [], sized(3)) == ("b", "c", "d")
    assert fill(Holders((), ("b",), ("a",)), ["d"], sized(3)) == ("d",), "who comes takes what it may"
    assert fill(Holders(("b",), ("c",), ("a",)), ["d"], sized(3)) == ("b", "c", "d"), (
        "of three as many are needed"
    )
    assert fill(Holders(("b",), (), ("a",)), ["d"], sized(3)) == ("b", "d")
    assert fill(Holders(("b",), ("c",), ("a",)), ["d", "e"], sized(3)) == ("b", "d", "e")
    assert fill(Holders(("b", "f"), ("c",), ("a", "e")), ["d", "g"], sized(5)) == ("b", "c", "d", "f", "g")


def test_no_group_waits_for_one_that_died_on_its_way_there() -> None:
    grown = Size(5, 3)
    five = Holders(("a", "b", "c", "f"), ("e",), (), ("e", "f"), 3)
    assert fill(five, ["a", "b", "c", "f"], grown) == ("a", "b", "c"), "it stays as large as it is"
    assert fill(five, ["a", "b", "c", "f", "g"], sized(5)) == ("a", "b", "c", "f", "g"), (
        "or another one comes"
    )
    assert fill(five._replace(coming=()), ["a", "b", "c", "f"], grown) == ("a", "b", "c", "e", "f"), (
        "it has a place"
    )
    moved = Holders(("a", "b"), ("f",), (), ("f",), 3)
    assert fill(moved, ["a", "b"], sized(3)) == ("a", "b", "f"), "but no group becomes smaller"
    # Of those that are down the one that holds something gives its place to one that is there.
    assert fill(Holders(("a", "b", "f"), ("c", "e"), (), ("e", "f"), 3), ["a", "b", "f"], grown) == (
        "a",
        "b",
        "f",
    )


def joined(targets: list[tuple[str, ...]], nodes: list[str]) -> list[Move]:
    """Apply moves until none is needed, and return them."""
    moves: list[Move] = []
    while (move := next_move(targets, nodes)) is not None:
        moves.append(move)
        target = [node for node in targets[move.slot] if node != move.leaves]
        targets[move.slot] = tuple(sorted([*target, move.comes]))
    return moves


@given(st.integers(3, 9), st.integers(1, 128))
def test_a_join_moves_its_share_and_no_more(count: int, slots: int) -> None:
    nodes, load = [f"n{number}" for number in range(count)], dict[str, int]()
    targets = [place(slot, Holders(), nodes, sized(3), load) for slot in range(slots)]
    assert max(load.values()) - min(load.get(node, 0) for node in nodes) <= 1
    assert joined(targets, nodes) == []
    moves = joined(targets, [*nodes, "new"])
    assert all(move.comes == "new" for move in moves), "nothing moves between the others"
    assert len(moves) == slots * 3 // (count + 1)
    assert all(len(dict.fromkeys(target)) == 3 for target in targets)


def test_the_places_of_one_that_died_are_spread_over_all_that_are_left() -> None:
    nodes, load = [f"n{number}" for number in range(5)], dict[str, int]()
    targets = [place(slot, Holders(), nodes, sized(3), load) for slot in range(60)]
    left = nodes[1:]
    for slot, target in enumerate(targets):
        staying = tuple(node for node in target if node != "n0")
        lost = tuple(node for node in target if node == "n0")
        targets[slot] = place(slot, Holders(staying, lost), left, sized(3), load)
    assert {node: load[node] for node in left} == dict.fromkeys(left, 45)
    assert load["n0"] == 0


@given(NODES, st.integers(1, 128), st.sampled_from([1, 3, 5]))
def test_preferred_leaders_differ_by_at_most_one(nodes: list[str], slots: int, replication: int) -> None:
    size = group_size(replication, len(nodes))
    load: dict[str, int] = {}
    targets = [place(slot, Holders(), nodes, sized(size), load) for slot in range(slots)]
    preferred = spread_leaders(targets, [None] * slots)
    assert all(leader in target for leader, target in zip(preferred, targets, strict=True))
    if size > 1:
        counts = Counter(preferred)
        holders = sorted({node for target in targets for node in target})
        numbers = [counts[node] for node in holders]
        reachable_everywhere = all(len(target) == len(nodes) for target in targets)
        assert not reachable_everywhere or max(numbers) - min(numbers) <= 1


def test_a_slot_whose_places_are_taken_ranks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked: list[int] = []

    def counted(slot: int, nodes: Sequence[str]) -> list[str]:
        ranked.append(slot)
        return rank(slot, nodes)

    monkeypatch.setattr(placement, "rank", counted)
    nodes = [f"n{number}" for number in range(60)]
    assert place(7, Holders(("n1", "n2", "n3")), nodes, sized(3), {}) == ("n1", "n2", "n3")
    assert ranked == []
    assert len(place(8, Holders(("n1", "n2")), nodes, sized(3), {})) == 3
    assert ranked == [8]


def test_present_leaders_are_kept_when_they_are_balanced() -> None:
    targets = [("a", "b", "c")] * 6
    current = ["a", "a", "b", "b", "c", "c"]
    assert spread_leaders(targets, current) == current


def test_slots_that_are_full_are_not_ranked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [f"n{number}" for number in range(20)]
    load: dict[str, int] = {}
    targets = [place(slot, Holders(), nodes, sized(3), load) for slot in range(64)]
    preferred = spread_leaders(targets, [None] * len(targets))

    def ranked(slot: int, candidates: Sequence[str]) -> list[str]:
        raise AssertionError("a member that comes up again must not cost slots times nodes")

    monkeypatch.setattr(placement, "rank", ranked)
    assert [
        place(slot, Holders(target), nodes, sized(3), load) for slot, target in enumerate(targets)
    ] == targets
    assert spread_leaders(targets, preferred) == preferred


def test_who_died_on_its_way_keeps_its_place_where_all_others_vote_and_are_two() -> None:
    """There is nobody else to give a place up, and a group of two would tolerate less than one of three."""
    holders = Holders(("a", "b"), ("c",), coming=("c",), reached=2)
    assert fill(holders, [], Size(3, 3)) == ("a", "b", "c")
