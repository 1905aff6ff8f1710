"""What moves while nobody comes or goes: places, one at a time, and preferred leaderships. Pure.

Zones come first: a group is spread over them as far as there are members. Then each node has the places and leads the
slots that its weight says, changing as little as possible (ADR 0036, 0048).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from casty.cluster.control.placement import (
    NO_TRAITS,
    TraitsOf,
    cost,
    crowding,
    rank,
    replica_counts,
    weight,
    zone_of,
)

__all__ = ["Move", "left_to_move", "next_move", "spread_leaders", "spread_swap"]

Zone = tuple[bool, str]


class Move(NamedTuple):
    """One place of a slot that goes from a node to another."""

    slot: int
    leaves: str
    comes: str


def next_move(
    targets: Sequence[Sequence[str]], nodes: Sequence[str], traits: TraitsOf = NO_TRAITS
) -> Move | None:
    """Return the move that spreads a group over zones, or else makes the shares more equal; None where none does.

    Parameters
    ----------
    targets
        By slot; every holder is one of `nodes`.
    nodes
        Who may have places.
    traits
        What they are like.

    Returns
    -------
    Move | None
        Moves end: the first kind makes fewer pairs that fail together; the second makes no more of these, and the sum
        of squares of places, each over its node's weight, smaller. Among nodes that are alike, that is from one to
        another that has at least two places fewer, so the next one that joins N others is given its share and no more.
    """
    load = dict.fromkeys(nodes, 0) | replica_counts(targets)
    return _spreading(targets, nodes, load, traits) or _balancing(targets, load, traits)


def _spreading(
    targets: Sequence[Sequence[str]], nodes: Sequence[str], load: Mapping[str, int], traits: TraitsOf
) -> Move | None:
    """Return a move from a zone that has two more of a group than another to that one."""
    if not any(node in traits and traits[node].zone is not None for node in nodes):
        return None  # the usual case
    by_zone = _by_zone(sorted(nodes, key=lambda node: (cost(load[node] + 1, node, traits), node)), traits)
    for slot, target in enumerate(targets):
        swap = _swap(target, by_zone, traits)
        if swap is not None:
            crowded, comes = swap
            leaves = max(crowded, key=lambda node: (cost(load[node], node, traits), node))
            return Move(slot, leaves, comes)
    return None


def _by_zone(nodes: Sequence[str], traits: TraitsOf) -> dict[Zone, list[str]]:
    found: dict[Zone, list[str]] = {}
    for node in nodes:
        found.setdefault(zone_of(node, traits), []).append(node)
    return found


def _swap(
    target: Sequence[str], by_zone: Mapping[Zone, Sequence[str]], traits: TraitsOf
) -> tuple[list[str], str] | None:
    """Return who of a group share a zone, and who could take the place of one of them elsewhere; None for nobody."""
    held = _by_zone(target, traits)
    crowded = max(held.values(), key=len, default=[])
    if len(crowded) < 2:
        return None
    best: str | None = None
    fewest = len(crowded) - 1
    for zone, nodes in by_zone.items():
        count = len(held.get(zone, ()))
        free = next((node for node in nodes if node not in target), None) if count < fewest else None
        if free is not None:
            best, fewest = free, count
    return None if best is None else (crowded, best)


def spread_swap(
    voters: Sequence[str], candidates: Sequence[str], traits: TraitsOf, keep: str | None
) -> tuple[str, ...]:
    """Return the voters of a group, one of a crowded zone replaced by a candidate of another where there is one.

    Parameters
    ----------
    voters
        Who votes now.
    candidates
        Who may, the first choice first.
    traits
        What they are like.
    keep
        Who does not give its place up: the leader, which has the others walk.
    """
    swap = _swap(voters, _by_zone(candidates, traits), traits)
    if swap is None:
        return tuple(voters)
    crowded, comes = swap
    leaves = max(node for node in crowded if node != keep)
    return tuple(sorted([*(node for node in voters if node != leaves), comes]))


def _balancing(targets: Sequence[Sequence[str]], load: Mapping[str, int], traits: TraitsOf) -> Move | None:
    """Return a move from who has most for its weight to who would have least, that crowds no zone."""
    held: dict[str, list[int]] = {node: [] for node in load}
    for slot, target in enumerate(targets):
        for node in target:
            held[node].append(slot)
    givers = sorted(load, key=lambda node: (-cost(load[node], node, traits), node))
    takers = sorted(load, key=lambda node: (cost(load[node] + 1, node, traits), node))
    for comes in takers:
        for leaves in givers:
            if cost(load[leaves], leaves, traits) <= cost(load[comes] + 1, comes, traits):
                break
            slots = [
                slot
                for slot in held[leaves]
                if comes not in targets[slot] and _is_as_spread(targets[slot], leaves, comes, traits)
            ]
            if slots:
                return Move(min(slots, key=lambda slot: weight(slot, comes)), leaves, comes)
    return None


def _is_as_spread(target: Sequence[str], leaves: str, comes: str, traits: TraitsOf) -> bool:
    if zone_of(leaves, traits) == zone_of(comes, traits):
        return True
    after = [*(node for node in target if node != leaves), comes]
    return crowding(after, traits) <= crowding(target, traits)


def left_to_move(targets: Sequence[Sequence[str]], nodes: Sequence[str], traits: TraitsOf = NO_TRAITS) -> int:
    """Return how many places are to move for balance: about, as zones and present holders may not allow them all.

    It is 0 where nothing moves any more.
    """
    if next_move(targets, nodes, traits) is None:
        return 0
    load = dict.fromkeys(nodes, 0) | replica_counts(targets)
    share = dict.fromkeys(nodes, 0)
    # Of equal costs what a node has already comes first, so that no more is counted than has to move.
    heap = [(cost(1, node, traits), load[node] < 1, node) for node in nodes]
    heapify(heap)
    for _ in range(sum(load[node] for node in nodes)):
        if not heap:
            break
        _, _, node = heappop(heap)
        share[node] += 1
        if share[node] < len(targets):
            heappush(heap, (cost(share[node] + 1, node, traits), load[node] <= share[node], node))
    return sum(max(0, load[node] - share[node]) for node in nodes)


def spread_leaders(
    targets: Sequence[Sequence[str]], current: Sequence[str | None], traits: TraitsOf = NO_TRAITS
) -> list[str | None]:
    """Choose a preferred leader for each slot so that nodes lead as their weights say; of equals, one more at most.

    Keeps `current` where it can; then walks chains of slots from the busiest to an idler node. Nodes that
    hold no slot are not counted.
    """
    nodes = sorted({node for target in targets for node in target})
    preferred: list[str | None] = []
    counts = dict.fromkeys(nodes, 0)
    for slot, target in enumerate(targets):
        chosen = current[slot] if current[slot] in target else None
        if chosen is None and target:
            chosen = min(rank(slot, target), key=lambda node: cost(counts[node] + 1, node, traits))
        preferred.append(chosen)
        if chosen is not None:
            counts[chosen] += 1
    while _improve(targets, preferred, counts, traits):
        continue
    return preferred


def _improve(
    targets: Sequence[Sequence[str]], preferred: list[str | None], counts: dict[str, int], traits: TraitsOf
) -> bool:
    led: dict[str, list[int]] = {node: [] for node in counts}
    for slot, node in enumerate(preferred):
        if node is not None:
            led[node].append(slot)
    least = min((cost(count + 1, node, traits) for node, count in counts.items()), default=0)
    for start in sorted(counts, key=lambda node: (-cost(counts[node], node, traits), node)):
        if cost(counts[start], start, traits) <= least:
            return False  # neither this one nor those after it have too much
        path = _path_to_idler(start, targets, led, counts, traits)
        if path:
            for slot, node in path:
                preferred[slot] = node
            counts[start] -= 1
            counts[path[-1][1]] += 1
            return True
    return False


def _path_to_idler(
    start: str,
    targets: Sequence[Sequence[str]],
    led: Mapping[str, Sequence[int]],
    counts: Mapping[str, int],
    traits: TraitsOf,
) -> list[tuple[int, str]]:
    """Breadth-first: each step hands one slot led by the last node to another holder of that slot."""
    reached: dict[str, list[tuple[int, str]]] = {start: []}
    queue, much = [start], cost(counts[start], start, traits)
    for node in queue:
        if node != start and much > cost(counts[node] + 1, node, traits):
            return reached[node]
        for slot in led[node]:
            for other in targets[slot]:
                if other not in reached:
                    reached[other] = [*reached[node], (slot, other)]
                    queue.append(other)
    return []
