"""Which way a slot's leader takes its group to the target. Pure; the core takes the steps (ADR 0036).

Whoever keeps its place leads the change. A leader that is to give up its own hands the slot over first, so that its
entities come to rest in order; where nobody in the group keeps a place it takes the new voters in beside itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from casty.address import node_id_of
from casty.consensus import Core, Membership

__all__ = ["Course", "Told", "course_to", "step_of", "told_by", "voting"]


class Course(NamedTuple):
    """What to do next: walk to `voters`, and if there are `heirs` hand over to one of them before."""

    voters: tuple[str, ...]
    heirs: tuple[str, ...] = ()


def course_to(me: str, membership: Membership, target: Sequence[str], *, is_late: bool = False) -> Course:
    """Return the way from a configuration to the target.

    Parameters
    ----------
    me
        The leader's replica.
    membership
        The configuration in force.
    target
        The replicas that should vote in the end.
    is_late
        Whether handing over failed for long: then the configuration is changed all the same.
    """
    voters = tuple(sorted(target))
    if me in voters or is_late:
        return Course(voters)
    staying = tuple(id for id in voters if id in membership.voters and not membership.outgoing)
    if staying:
        return Course(voters, staying)
    return Course(tuple(sorted((*voters, me))))


class Told(NamedTuple):
    """What a leader tells of its group: in which term, after how many steps of it, and which nodes vote."""

    term: int
    step: int
    node_ids: tuple[str, ...]


def told_by(core: Core) -> Told:
    """Return what the leader of a group tells of it.

    While a configuration is not committed the one before may be in force as well: voters of both are named. A leader's
    configurations stand at growing indexes, and each is committed later than it is begun: so steps grow within a term.
    """
    now, committed = core.membership, core.committed_membership
    assert now is not None, "a leader has a configuration"
    voters = [*now.voters, *now.outgoing]
    if core.membership_index > core.commit and committed is not None:
        voters += [*committed.voters, *committed.outgoing]
    node_ids = tuple(sorted(dict.fromkeys(map(node_id_of, voters))))
    return Told(*step_of(core), node_ids)


def step_of(core: Core) -> tuple[int, int]:
    """Return in which term and after how many steps of it a leader is, as it tells."""
    return core.term, 2 * core.membership_index + (core.membership_index <= core.commit)


def voting(core: Core) -> list[str]:
    """Return the node ids that vote in any configuration of a group that may be in force, sorted; a leader knows."""
    known = [one for one in (core.membership, core.committed_membership) if one is not None]
    voters = [id for membership in known for id in (*membership.voters, *membership.outgoing)]
    return sorted(dict.fromkeys(map(node_id_of, voters)))
