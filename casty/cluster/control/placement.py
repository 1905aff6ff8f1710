"""Which slot an entity lives in, which nodes hold a slot, and who of them should lead. Pure.

Nothing here uses `hash()`: md5 gives every process, version and machine the same answer.
Each slot ranks the nodes by a hash of (slot, node), as rendezvous hashing does (Thaler and Ravishankar, 1998). For a
place it prefers a zone that has fewest of the group, in it the nodes that have the fewest places for their weight, and
of these those that it ranks first: so a join or leave moves no more than its share (ADR 0036, 0048). `balance.py` says
what moves while nobody comes or goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import md5
from typing import NamedTuple

from casty.distributed.machines.base import EVENTS
from casty.distributed.machines.events import home_of
from casty.traits import USUAL_WEIGHT, Traits

__all__ = [
    "NO_TRAITS", "Holders", "Size", "TraitsOf", "control_size", "cost", "crowding", "fill", "group_size", "odd",
    "ordered", "place", "rank", "replica_counts", "slot_of", "slot_of_region", "weight", "zone_of",
]  # fmt: skip


TraitsOf = Mapping[str, Traits]
"""What nodes are like, by their ids; one that is not in it is like any other."""

NO_TRAITS: TraitsOf = {}
COST_BITS = 20
"""Costs are compared as whole numbers, the same on every machine; two that differ by a millionth may be equal."""


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


def odd(size: int) -> int:
    """Return the size of a group that tolerates as much as one of this size."""
    return size - 1 + size % 2


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
    coming
        Those of them that should have a place, and vote in no configuration that is known.
    reached
        In how many places the group is, as far as is known; of no account where nobody is coming.
    """

    staying: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    ending: tuple[str, ...] = ()
    coming: tuple[str, ...] = ()
    reached: int = 0


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
        had holders. What should have become larger does not wait for one that died on its way there. Nobody gives a
        place up for a group of which no majority is there.
    """
    before = len(holders.staying) + len(holders.waiting) + len(holders.ending)
    replicas = list(holders.staying[: size.most])
    room = min(size.most, max(before, size.grown)) - len(replicas)
    known = dict.fromkeys((*holders.staying, *holders.ending))
    newcomers = [node for node in candidates if node not in known][: max(0, room)]
    replicas += newcomers
    # Where nobody takes it, the place of one that is down waits for it; it never adds to those that others take.
    kept = min(size.most, len(holders.staying) + len(holders.waiting))
    waiting = [node for node in holders.waiting if node not in newcomers]
    replicas += [node for node in waiting if node not in holders.coming][: max(0, kept - len(replicas))]
    late = [node for node in waiting if node in holders.coming]
    reached = odd(holders.reached)
    replicas += late[: max(0, min(kept, reached) - len(replicas))]
    if newcomers and len(replicas) > before and len(replicas) % 2 == 0:
        replicas.remove(newcomers[-1])
    elif len(replicas) > reached and len(replicas) % 2 == 0 and any(node not in replicas for node in late):
        _make_odd(replicas, late, holders)
    if newcomers and holders.ending and len(replicas) % 2 == 0 and len(replicas) < size.most:
        # Somebody came in the place of one that leaves, and none in that of one that is down. A majority of an odd
        # number has no more members than one of the even number before it: to wait for that one costs nothing.
        replicas += [node for node in waiting if node not in replicas and node not in holders.coming][:1]
    up = sum(node in holders.staying for node in replicas)
    if (holders.ending or not replicas) and not newcomers and 2 * up <= len(replicas):
        # Nobody could lead such a group. Whoever leaves may be all that is left of the one before.
        replicas = [*holders.staying, *holders.waiting, *holders.ending]
    return tuple(sorted(replicas))


def _make_odd(replicas: list[str], late: Sequence[str], holders: Holders) -> None:
    """Take a place from a group that is not to become larger after all: of one that is down before one that comes.

    Where all of them are up and vote, who is late keeps its place.
    """
    spare = [*holders.coming, *(node for node in holders.waiting if node not in holders.coming)]
    found = [node for node in spare if node in replicas]
    if found:
        replicas.remove(found[-1])
    else:
        replicas.append(next(node for node in late if node not in replicas))


def zone_of(node: str, traits: TraitsOf) -> tuple[bool, str]:
    """Return what fails together with a node: its zone, or, where it has none, itself alone."""
    known = traits.get(node)
    return (False, node) if known is None or known.zone is None else (True, known.zone)


def weight_of(node: str, traits: TraitsOf) -> int:
    """Return how much a node takes to what others do."""
    known = traits.get(node)
    return USUAL_WEIGHT if known is None else known.weight


def cost(replicas: int, node: str, traits: TraitsOf) -> int:
    """Return what `replicas` are to a node: the same number is half of it to one of twice the weight."""
    return (replicas << COST_BITS) // weight_of(node, traits)


def crowding(target: Sequence[str], traits: TraitsOf) -> int:
    """Return how many pairs of the holders of a group fail together: 0 where each is in a zone of its own."""
    counts: dict[tuple[bool, str], int] = {}
    for node in target:
        zone = zone_of(node, traits)
        counts[zone] = counts.get(zone, 0) + 1
    return sum(count * (count - 1) // 2 for count in counts.values())


def _by_choice(
    answered: Sequence[str], candidates: Sequence[str], most: int, load: Mapping[str, int], traits: TraitsOf
) -> list[str]:
    """Return the first choices of a group for its next places, at most so many.

    Each is of the zone that has fewest of the group so far, in it of those that have the least for their weight, and of
    these the first of `candidates`.
    """
    counts: dict[tuple[bool, str], int] = {}
    for node in answered:
        zone = zone_of(node, traits)
        counts[zone] = counts.get(zone, 0) + 1
    known = dict.fromkeys(answered)
    left = [(zone_of(node, traits), node) for node in candidates if node not in known]
    # Whoever has least comes first, so the first one of each zone is the only one of it to look at.
    left.sort(key=lambda row: cost(load.get(row[1], 0) + 1, row[1], traits))
    chosen: list[str] = []
    while left and len(chosen) < most:
        zone, node = min(left, key=lambda row: counts.get(row[0], 0))
        counts[zone] = counts.get(zone, 0) + 1
        left.remove((zone, node))
        chosen.append(node)
    return chosen


def ordered(
    holders: Holders, candidates: Sequence[str], size: Size, load: Mapping[str, int], traits: TraitsOf
) -> tuple[Holders, list[str]]:
    """Return holders and candidates for `fill`, the first choices first.

    Parameters
    ----------
    holders, candidates, size
        See `fill`; of equal candidates the first counts.
    load
        How many places each node has.
    traits
        What the nodes are like.
    """
    staying = holders.staying
    if len(staying) > size.most:
        kept = _by_choice(staying[:1], staying[1:], size.most - 1, {}, traits)
        staying = (*staying[:1], *kept)
    choices = _by_choice(staying, [*candidates], size.most, load, traits)
    return holders._replace(staying=staying), choices


def place(
    slot: int,
    holders: Holders,
    candidates: Sequence[str],
    size: Size,
    load: dict[str, int],
    traits: TraitsOf = NO_TRAITS,
) -> tuple[str, ...]:
    """Return the nodes that should hold `slot`, and count in `load` what they have more or less than before.

    Parameters
    ----------
    slot, holders, candidates, size
        See `fill`; who is a candidate counts, not in which order.
    load
        How many places each node has.
    traits
        What the nodes are like.
    """
    before = (*holders.staying, *holders.waiting, *holders.ending)
    if len(holders.staying) == size.most == len(before):
        return tuple(sorted(before))  # the usual case: ranking every node for every slot is what takes time
    replicas = fill(*ordered(holders, rank(slot, candidates), size, load, traits), size)
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
