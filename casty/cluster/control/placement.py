"""Which slot an entity lives in, which nodes hold a slot, and who of them should lead. Pure.

Nothing here uses `hash()`: md5 gives every process, version and machine the same answer.
Placement is rendezvous hashing (Thaler and Ravishankar, 1998): each slot ranks the nodes by a hash of
(slot, node) and takes the first ones, so a join or leave moves no more than its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import md5

__all__ = ["group_size", "place", "rank", "slot_of", "slot_of_region", "spread_leaders"]


@lru_cache(maxsize=65536)
def slot_of(kind: int, entity: bytes, slots: int) -> int:
    """Return the slot of a built-in structure: a function of kind, name and key alone."""
    return int.from_bytes(md5(bytes((kind,)) + entity, usedforsecurity=False).digest()[:4], "big") % slots


@lru_cache(maxsize=65536)
def slot_of_region(shard_type: str, shard: int, slots: int) -> int:
    """Return the slot of one shard of a user-defined region."""
    digest = md5(f"region:{shard_type}:{shard}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") % slots


def group_size(replication: int, members: int) -> int:
    """Return the largest odd number not above both: 1, 1, 3, 3, 5 ... members."""
    size = min(replication, members)
    return size if size % 2 else max(1, size - 1)


def rank(slot: int, nodes: Sequence[str]) -> list[str]:
    """Return the nodes in the order in which this slot prefers them."""

    def weight(node: str) -> bytes:
        return md5(f"{slot}:{node}".encode(), usedforsecurity=False).digest()

    return sorted(nodes, key=weight)


def place(slot: int, current: Sequence[str], candidates: Sequence[str], size: int) -> tuple[str, ...]:
    """Return the nodes that should hold `slot`: the holders it has, filled up to `size` from `candidates`.

    A seat is never taken from a holder here; moving replicas only for balance is a separate, throttled step.
    """
    seats = list(current)
    if len(seats) >= size:
        return tuple(sorted(seats))  # the usual case: ranking every node for every slot is what takes time
    for node in rank(slot, candidates):
        if len(seats) >= size:
            break
        if node not in seats:
            seats.append(node)
    return tuple(sorted(seats))


def spread_leaders(targets: Sequence[Sequence[str]], current: Sequence[str | None]) -> list[str | None]:
    """Choose a preferred leader for each slot so that the counts of nodes differ by at most one.

    Keeps `current` where it can; then walks chains of slots from the busiest to an idler node. Nodes that
    hold no slot are not counted.
    """
    nodes = sorted({node for target in targets for node in target})
    preferred: list[str | None] = []
    counts = dict.fromkeys(nodes, 0)
    for slot, target in enumerate(targets):
        chosen = current[slot] if current[slot] in target else None
        if chosen is None and target:
            chosen = min(rank(slot, target), key=counts.__getitem__)
        preferred.append(chosen)
        if chosen is not None:
            counts[chosen] += 1
    while _improve(targets, preferred, counts):
        continue
    return preferred


def _improve(targets: Sequence[Sequence[str]], preferred: list[str | None], counts: dict[str, int]) -> bool:
    led: dict[str, list[int]] = {node: [] for node in counts}
    for slot, node in enumerate(preferred):
        if node is not None:
            led[node].append(slot)
    least = min(counts.values(), default=0)
    busy = sorted(counts, key=lambda node: (-counts[node], node))
    for start in busy:
        if counts[start] - least < 2:
            return False  # neither this one nor those after it have too much
        path = _path_to_idler(start, targets, led, counts)
        if path:
            for slot, node in path:
                preferred[slot] = node
            counts[start] -= 1
            counts[path[-1][1]] += 1
            return True
    return False


def _path_to_idler(
    start: str, targets: Sequence[Sequence[str]], led: Mapping[str, Sequence[int]], counts: Mapping[str, int]
) -> list[tuple[int, str]]:
    """Breadth-first: each step hands one slot led by the last node to another holder of that slot."""
    reached: dict[str, list[tuple[int, str]]] = {start: []}
    queue = [start]
    for node in queue:
        if counts[start] - counts[node] >= 2:
            return reached[node]
        for slot in led[node]:
            for other in targets[slot]:
                if other not in reached:
                    reached[other] = [*reached[node], (slot, other)]
                    queue.append(other)
    return []
