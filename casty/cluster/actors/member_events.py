"""Membership as actors see it: events on the event stream."""

from __future__ import annotations

from typing import NamedTuple

from casty.actor.events import MemberLeft, MemberUp, ReachableMember, UnreachableMember
from casty.actor.local import LocalSystem
from casty.cluster.control.public_view import cluster_state
from casty.cluster.control.topology import Topology
from casty.members import Member, MemberStatus

__all__ = ["Membership"]


class _Known(NamedTuple):
    incarnation: str
    is_silent: bool
    member: Member


class Membership:
    """Compares each topology with the one before.

    A member is unreachable from the moment in which the control leader says that it is silent, at the latest
    when it is down, until it is neither.

    Parameters
    ----------
    local
        Where events are published.
    """

    def __init__(self, local: LocalSystem) -> None:
        self._local = local
        self._members: dict[str, _Known] = {}

    def follow(self, topology: Topology) -> None:
        """Publish what a topology says that the former one did not."""
        for member in cluster_state(topology, None).members:
            row = topology.members[member.id]
            is_silent = row.is_silent or member.status is MemberStatus.down
            self._compare(_Known(row.incarnation, is_silent, member), self._members.get(member.id))
        for node_id, known in list(self._members.items()):
            row_now = topology.members.get(node_id)
            if row_now is None or row_now.status == MemberStatus.removed.value:
                del self._members[node_id]
                self._local.publish(MemberLeft(known.member))

    def _compare(self, now: _Known, before: _Known | None) -> None:
        member = now.member
        self._members[member.id] = now
        is_same = before is not None and before.incarnation == now.incarnation
        status_before = before.member.status if before is not None and is_same else None
        was_silent = before is not None and before.is_silent
        if now.is_silent and not was_silent:
            self._local.publish(UnreachableMember(member))
        elif was_silent and not now.is_silent:
            self._local.publish(ReachableMember(member))
        if member.status is MemberStatus.up and status_before not in (MemberStatus.up, MemberStatus.down):
            self._local.publish(MemberUp(member))
