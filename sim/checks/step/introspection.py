"""How white-box checkers look into processes: as what they are, with the types of the library.

`node_of`, `client_core_of` and `actors_of` are the ways in. Nothing is read by name, so a checker that reads what is
not there, or takes it for something else, does not pass the type checkers. What users have is read in `protected`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from casty.client import ClusterClient
from casty.cluster.control.replica import ControlReplica
from casty.cluster.slots.replica import SlotReplica
from casty.consensus import Core
from casty.system import ClusteredActorSystem

from .protected import OfClient, OfSystem

if TYPE_CHECKING:
    from casty.cluster.actors.wiring import ClusterActors
    from casty.cluster.client import ClientCore
    from casty.cluster.control.machine import ControlMachine
    from casty.cluster.control.topology import LeaderTable
    from casty.cluster.multiraft.group import Replica
    from casty.cluster.multiraft.host import Host
    from casty.cluster.node.node import Node
    from casty.cluster.sessions.gateway import Gateway
    from casty.cluster.slots.machine import SlotMachine

    from ...world.process import Process

__all__ = [
    "GroupView", "HostView", "InFront", "actors_of", "client_core_of", "control_machine_of", "control_replica_of",
    "gateway_of", "host_of", "leaders_of", "machine_of", "missing_of", "node_of", "slot_replica_of",
]  # fmt: skip


class GroupView(Protocol):
    """One replica of one group."""

    @property
    def number(self) -> int:
        """0: the control group; slot s is s + 1."""
        ...

    @property
    def epoch(self) -> int:
        """Which group of that number."""
        ...

    @property
    def core(self) -> Core:
        """Its consensus."""
        ...

    @property
    def applied_index(self) -> int:
        """What its machine has applied."""
        ...

    @property
    def replica(self) -> Replica:
        """What its log is for, or what a fault has put in front of that."""
        ...


class HostView(Protocol):
    """All replicas of one node."""

    @property
    def groups(self) -> Mapping[int, GroupView]:
        """By number."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether its groups are not driven any more."""
        ...


class InFront:
    """What a fault puts in front of a replica: whoever looks at the replica itself looks through it."""

    inner: Replica


def node_of(value: object) -> Node | None:
    """Return the node of a `ClusteredActorSystem`, None before it listens; a client has none."""
    return OfSystem.node_of(value) if isinstance(value, ClusteredActorSystem) else None


def client_core_of(value: object) -> ClientCore | None:
    """Return what a client has in place of a node; a system has none."""
    return OfClient.core_of(value) if isinstance(value, ClusterClient) else None


def actors_of(value: object) -> ClusterActors | None:
    """Return the actors of a system or client; None before and after it has any."""
    if isinstance(value, ClusteredActorSystem):
        return OfSystem.actors_of(value)
    return OfClient.actors_of(value) if isinstance(value, ClusterClient) else None


def host_of(system: object) -> Host | None:
    """Return the replicas of a system, None before it listens."""
    node = node_of(system)
    return None if node is None else node.host


def control_machine_of(system: object) -> ControlMachine | None:
    """Return the control state as a system knows it, None before it listens."""
    node = node_of(system)
    return None if node is None else node.control.machine


def missing_of(system: object) -> list[str]:
    """Return what a node still waits for before it is ready."""
    node = node_of(system)
    return ["start"] if node is None else node.missing


def slot_replica_of(group: GroupView) -> SlotReplica | None:
    """Return the replica of a slot, None for the control group."""
    if not group.number:
        return None
    replica = _behind(group.replica)
    assert isinstance(replica, SlotReplica), "a slot has no other kind"
    return replica


def control_replica_of(group: GroupView) -> ControlReplica | None:
    """Return the replica of the control group, None for a slot."""
    if group.number:
        return None
    replica = _behind(group.replica)
    assert isinstance(replica, ControlReplica), "the control group has no other kind"
    return replica


def _behind(replica: Replica) -> Replica:
    while isinstance(replica, InFront):
        replica = replica.inner
    return replica


def machine_of(group: GroupView) -> SlotMachine | None:
    """Return the machine of a slot's replica, None for the control group."""
    replica = slot_replica_of(group)
    return None if replica is None else replica.machine


def gateway_of(value: object) -> Gateway | None:
    """Return the gateway of a system or a client."""
    side = node_of(value) or client_core_of(value)
    return None if side is None else side.gateway


def leaders_of(value: object) -> LeaderTable | None:
    """Return whom a system or a client takes for the leaders of slots."""
    side = node_of(value) or client_core_of(value)
    return None if side is None else side.leaders


def is_alive(process: Process, value: object) -> bool:
    """Whether this value is what the process runs now."""
    return process.is_up and process.value is value
