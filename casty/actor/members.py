"""Members of a cluster as user code sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from casty.address import NodeAddress

__all__ = ["ClusterState", "Member", "MemberStatus"]


class MemberStatus(Enum):
    """Where a member stands in its life."""

    joining = "joining"
    up = "up"
    leaving = "leaving"
    down = "down"
    removed = "removed"


@dataclass(frozen=True, slots=True)
class Member:
    """One node of the cluster.

    Parameters
    ----------
    address
        Where it listens.
    status
        Where it stands.
    roles
        What it was started for, sorted.
    id
        Its node id.
    """

    address: NodeAddress
    status: MemberStatus
    roles: tuple[str, ...]
    id: str


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One version of the membership.

    Parameters
    ----------
    members
        Sorted by node id.
    leader
        Who leads the control group, if known.
    unreachable
        Members that do not answer, sorted by node id.
    """

    members: tuple[Member, ...]
    leader: Member | None
    unreachable: tuple[Member, ...]
