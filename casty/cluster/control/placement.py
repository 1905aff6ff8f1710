"""Which slot an entity lives in, which nodes hold a slot, and who of them should lead. Pure.

Nothing here uses `hash()`: md5 gives every process, version and machine the same answer.
Each slot ranks the nodes by a hash of (slot, node), as rendezvous hashing does (Thaler and Ravishankar, 1998). Of the
nodes that have the fewest places it takes those that it ranks first, so a join or leave moves no more than its share
(ADR 0036).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import md5
from typing import NamedTuple

from casty.distributed.machines.base import EVENTS
from casty.distributed.machines.events import home_of

__all__ = [
    "Holders", "Move", "Size", "control_size", "fill", "group_size", "next_move", "place", "rank", "replica_counts",
    "slot_of", "slot_of_region", "spread_leaders",
]  # fmt: skip


@lru_cache(maxsize=65536)
def slot_of(kind: int, entity: bytes, slots: int) -> int:
    """Return the slot of a structure: a function of kind, name and key alone. A log lies in its entity's slot."""
    home = home_of(entity) if kind == EVENTS else None
    if home is not None:
        return slot_of_region(home.region, home.shard, slots)
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


def control_size(members: int) -> int:
    """Return how many vote in the control group: 1, 1, 3, 3, 5, 5 ..."""
    return group_size(3 if members <= 4 else 5, members)


def weight(slot: int, node: str) -> bytes:
    """Return what `rank` orders by: the lowest comes first."""
    return md5(f"{slot}:{node}".encode(), usedforsecurity=False).digest()


def rank(slot: int, nodes: Sequence[str]) -> list[str]:
    """Return the nodes in the order in which this slot prefers them."""
    return sorted(nodes, key=lambda node: weight(slot, node))


class Holders(NamedTuple):
    """Who has a place in a group now, in the order in which places are kept where there are too many.

    Parameters
    ----------
    staying
        They keep their places.
    waiting
        They are down: their places go to others, if there are any.
    ending
        They leave, or are gone for good.
    """

    staying: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    ending: tuple[str, ...] = ()


class Size(NamedTuple):
    """How many places a group has.

    Parameters
    ----------
    most
        As the members count: more become fewer.
    grown
        As those members count that are there: fewer become so many.
    """

    most: int
    grown: int


def fill(holders: Holders, candidates: Sequence[str], size: Size) -> tuple[str, ...]:
    """Return the nodes that should have the places of a group.

    Parameters
    ----------
    holders
        Who has them now.
    candidates
        Members that are there, the first choice first; holders among them are passed over.
    size
        How many places the group has.

    Returns
    -------
    tuple
        Sorted. Places of those who stay are kept; a group never grows to an even number, and is never empty where it
        had holders.
    """
    before = len(holders.staying) + len(holders.waiting) + len(holders.ending)
    replicas = list(holders.staying[: size.most])
    room = min(size.most, max(before, size.grown)) - len(replicas)
    known = dict.fromkeys((*holders.staying, *holders.ending))
    newcomers = [node for node in candidates if node not in known][: max(0, room)]
    replicas += newcomers
    # Where nobody takes it, the place of one that is down waits for it; it never adds to those that others take.
    kept = min(size.most, len(holders.staying) + len(holders.waiting))
    replicas += [node for node in holders.waiting if node not in newcomers][: max(0, kept - len(replicas))]
    if newcomers and len(replicas) > before and len(replicas) % 2 == 0:
        replicas.remove(newcomers[-1])
    if not replicas:
        replicas = [*holders.waiting, *holders.ending]
    return tuple(sorted(replicas))


def place(
    slot: int, holders: Holders, candidates: Sequence[str], size: Size, load: dict[str, int]
) -> tuple[str, ...]:
    """Return the nodes that should hold `slot`, and count in `load` what they have more or less than before.

    Places go to the candidates that have the fewest, and of these to those that the slot ranks first.
    """
    before = (*holders.staying, *holders.waiting, *holders.ending)
    if len(holders.staying) == size.most == len(before):
        return tuple(sorted(before))  # the usual case: ranking every node for every slot is what takes time
    order = sorted(rank(slot, candidates), key=lambda node: load.get(node, 0))
    replicas = fill(holders, order, size)
    for node in before:
        load[node] = load.get(node, 0) - 1
    for node in replicas:
        load[node] = load.get(node, 0) + 1
    return replicas


def replica_counts(targets: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return how many slots each node should hold."""
    load: dict[str, int] = {}
    for target in targets:
        for node in target:
            load[node] = load.get(node, 0) + 1
    return load


class Move(NamedTuple):
    """One place of a slot that goes from a node to another."""

    slot: int
    leaves: str
    comes: str


def next_move(targets: Sequence[Sequence[str]], nodes: Sequence[str]) -> Move | None:
    """Return the move that makes the numbers of places more equal; None where none does.

    Parameters
    ----------
    targets
        By slot; every holder is one of `nodes`.
    nodes
        Who may have places.

    Returns
    -------
    Move | None
        From a node to one that has at least two places fewer: so moves end, and the next one that joins N others is
        given its share and no more.
    """
    load = dict.fromkeys(nodes, 0) | replica_counts(targets)
    by_load = sorted(load, key=lambda node: (load[node], node))
    for comes in by_load:
        for leaves in reversed(by_load):
            if load[leaves] - load[comes] < 2:
                break
            slots = [slot for slot, target in enumerate(targets) if leaves in target and comes not in target]
            if slots:
                return Move(min(slots, key=lambda slot: weight(slot, comes)), leaves, comes)
    return None


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
