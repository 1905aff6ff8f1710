"""What the survivors of a cluster have, which of them knows most of each group, and what may be lost. Pure.

A log that ends in a later term, or in the same term with a higher index, has every entry that was committed before
and that the other one has: the rule by which a voter refuses its vote. So the most advanced survivor of a group is
the one that would win an election among them, and its whole log counts, also what nobody knows to be committed: those
who are lost may have acknowledged it.

What was acknowledged was stored by a majority of a configuration. If those who are missing are no majority of it, each
majority has a survivor, and nothing acknowledged is lost. Else something may be: what only the missing ones stored.
In a joint configuration a majority of both halves stored it, so it takes one half that the missing ones do not rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from casty.address import node_id_of, process_of
from casty.consensus import MEMBERSHIP, Membership
from casty.consensus.membership import decode as decode_membership
from casty.durable.loading import Stored
from casty.durable.records import Manifest

__all__ = ["GroupReport", "Held", "Survivor", "choose", "held_of", "is_ahead", "lost_voters"]


class Held(NamedTuple):
    """One replica of one group as a survivor has it.

    Parameters
    ----------
    id
        Under which name it takes part.
    epoch
        Of its group.
    last_term, last_index
        Of the last entry of its log, or of its snapshot where that is all; 0 for one that never had an entry.
    memberships
        The configurations from its snapshot on, the latest last; empty for a replica that began blank and was told
        nothing: it counts for nothing.
    damage
        Why it cannot be read; None when all is well.
    """

    id: str
    epoch: int
    last_term: int
    last_index: int
    memberships: tuple[Membership, ...]
    damage: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a group can go on from it."""
        return self.damage is None and bool(self.memberships)


class Survivor(NamedTuple):
    """One data directory that was found: where, whose, and its replicas by group."""

    source: str
    manifest: Manifest
    groups: Mapping[int, Held]


class GroupReport(NamedTuple):
    """What is known of one group.

    Parameters
    ----------
    number
        0 is the control group, slot n is n + 1.
    chosen
        Which survivor knows most, by its place among them; None where nobody has a replica that can be read.
    held
        What each survivor has, usable or not, by its place.
    missing
        The voters of the latest configuration, by node id, that are not among the survivors with a usable replica.
    may_lack
        Whether something that was acknowledged may be missing.
    """

    number: int
    chosen: int | None
    held: Mapping[int, Held]
    missing: tuple[str, ...]
    may_lack: bool


def is_ahead(one: Held, other: Held) -> bool:
    """Whether one replica knows more than another of the same group."""
    return (one.epoch, one.last_term, one.last_index) > (other.epoch, other.last_term, other.last_index)


def lost_voters(membership: Membership, present: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the voters that are not present, and whether what they alone stored may have been acknowledged.

    Examples
    --------
    >>> lost_voters(Membership(("a#1", "b#1", "c#1")), ["a#1", "b#1"])
    (('c#1',), False)
    >>> lost_voters(Membership(("a#1", "b#1", "c#1")), ["a#1"])
    (('b#1', 'c#1'), True)
    """
    halves = [half for half in (membership.voters, membership.outgoing) if half]
    missing = dict.fromkeys(voter for half in halves for voter in half if voter not in present)
    rules = [sum(voter in missing for voter in half) >= len(half) // 2 + 1 for half in halves]
    return tuple(missing), bool(rules) and all(rules)


def choose(number: int, survivors: Sequence[Survivor], least_epoch: int = 0) -> GroupReport:
    """Return who knows most of a group.

    Whether something may be missing is asked of every configuration since the snapshot, not of the latest one only:
    that one may never have been committed, and what was acknowledged since rests on an earlier one.

    Parameters
    ----------
    number
        Which group.
    survivors
        All of one cluster.
    least_epoch
        Of the group, as the control group has it: a replica of an earlier one was given up.
    """
    held = {place: one.groups[number] for place, one in enumerate(survivors) if number in one.groups}
    usable = {place: row for place, row in held.items() if row.is_usable and row.epoch >= least_epoch}
    best: int | None = None
    for place, row in usable.items():
        if best is None or is_ahead(row, usable[best]):
            best = place
    if best is None:
        return GroupReport(number, None, held, (), True)
    present = [row.id for row in usable.values() if row.epoch == usable[best].epoch]
    found = [lost_voters(membership, present) for membership in usable[best].memberships]
    missing = tuple(dict.fromkeys(node_id_of(process_of(id)) for id in found[-1][0]))
    return GroupReport(number, best, held, missing, any(may_lack for _, may_lack in found))


def held_of(id: str, stored: Stored) -> Held:
    """Return what one replica has, from its records."""
    restored, row = stored.restored, stored.row
    snapshot, entries = restored.snapshot, restored.entries
    memberships = [] if row.membership is None else [row.membership]
    if snapshot is not None:
        memberships = [snapshot.membership]
    since = 0 if snapshot is None else snapshot.index
    for index, entry in enumerate(entries, (restored.offset or 0) + 1):
        if entry.kind == MEMBERSHIP and index > since:
            memberships.append(decode_membership(entry.data))
    last_index = (restored.offset or 0) + len(entries)
    last_term = entries[-1].term if entries else restored.offset_term
    return Held(id, row.epoch, last_term, last_index, tuple(memberships))
