"""The members of a cluster and who leads, as immutable values that the public sees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from casty.address import NodeAddress
from casty.traits import USUAL_WEIGHT

__all__ = ["ClusterState", "Member", "MemberStatus", "TopologySnapshot"]


class MemberStatus(Enum):
    """What the cluster thinks of a member."""

    joining = "joining"
    up = "up"
    leaving = "leaving"
    down = "down"
    removed = "removed"


@dataclass(frozen=True, slots=True)
class Member:
    """One member.

    Parameters
    ----------
    address
        Where it listens.
    status
        What the cluster thinks of it.
    roles
        What it was configured for.
    id
        Its node id.
    zone
        What it fails together with; None when it was not told.
    weight
        How much it takes to what others do; 100 is usual.
    """

    address: NodeAddress
    status: MemberStatus
    roles: frozenset[str]
    id: str
    zone: str | None = None
    weight: int = USUAL_WEIGHT


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The members as this node knows them.

    Parameters
    ----------
    members
        Every member that is not removed, in the order in which they joined.
    leader
        Where the leader of the control group listens; None while there is none.
    unreachable
        Members that are silent, as the control leader sees it.
    """

    members: tuple[Member, ...]
    leader: NodeAddress | None
    unreachable: tuple[NodeAddress, ...]


@dataclass(frozen=True, slots=True)
class TopologySnapshot:
    """One version of the topology, as nodes and clients have it; see `ClusteredActorSystem.topology`.

    Parameters
    ----------
    generation, version
        Its age: versions grow within a generation.
    members, leader, unreachable
        As in `ClusterState`. Who leads the control group, only its members know; None elsewhere.
    registry
        Addresses of the instances of each service, by its key's name.
    """

    generation: int
    version: int
    members: tuple[Member, ...]
    leader: NodeAddress | None
    unreachable: tuple[NodeAddress, ...]
    registry: dict[str, tuple[str, ...]]
