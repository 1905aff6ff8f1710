"""Where replicas are in the end: exactly where their groups say, as many as there should be, and spread (17, 58).

The number of replicas is counted from who was started and who left, not from what the cluster thinks of its members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from casty.address import node_id_of
from casty.cluster.control.machine import ControlMachine
from casty.consensus import Role
from casty.traits import Traits

from .introspection import GroupView, HostView, control_machine_of, node_of

if TYPE_CHECKING:
    from ...plans.plan import ClusterShape
    from ...world.process import Process

__all__ = ["Gone", "unsettled"]


class Gone:
    """Who is gone for good, and how many were ever there.

    Parameters
    ----------
    started
        The nodes that ever served.
    names
        Those of them who left in order, and who died for good.
    cluster
        Which roles they have.
    """

    def __init__(self, started: Sequence[str], names: Sequence[str], cluster: ClusterShape) -> None:
        self._started = started
        self.names = names
        self._cluster = cluster

    def counted(self, role: str | None) -> int:
        """Return how many there should be with a role, or at all."""
        able = [name for name in self._started if role is None or role in self._cluster.traits_of(name).roles]
        return sum(name not in self.names for name in able)


def unsettled(
    live: Sequence[tuple[Process, HostView]], systems: Mapping[str, object], replication: int, gone: Gone
) -> str | None:
    """Return what is not as it should be in the end; None when all is.

    Parameters
    ----------
    live
        The nodes that run, with their replicas.
    systems
        What they run, by name.
    replication
        The cluster's.
    gone
        Who is not there any more.
    """
    machines = [_machine(systems[process.name]) for process, _ in live]
    machine = max(machines, key=lambda one: one.version)
    voters = _voters(live)
    for slot, row in enumerate(machine.slots):
        held = voters.get(slot + 1, [])
        if held != list(row.target):
            return f"slot {slot} should be at {list(row.target)}, its group says {held}"
    traits = {process.node_id: _traits(systems[process.name]) for process, _ in live}
    wrong = _strays(live, voters) or _remembered(machine, gone)
    for role in dict.fromkeys(row.role for row in machine.slots):
        slots = [slot for slot, row in enumerate(machine.slots) if row.role == role]
        own = {slot + 1: voters[slot + 1] for slot in slots if slot + 1 in voters}
        able = {node: its for node, its in traits.items() if role is None or role in its.roles}
        wrong = wrong or _wrong_size(own, replication, gone.counted(role), len(able))
        wrong = wrong or _misplaced(own, able) or _crowded(own, able) or _uneven(own, able)
    return wrong


def _misplaced(voters: Mapping[int, list[str]], able: Mapping[str, Traits]) -> str | None:
    for number, nodes in voters.items():
        if strangers := [node for node in nodes if node not in able]:
            return f"slot {number - 1} is at {nodes}, of which {strangers} have not its role"
    return None


def _machine(system: object) -> ControlMachine:
    machine = control_machine_of(system)
    assert machine is not None
    return machine


def _voters(live: Sequence[tuple[Process, HostView]]) -> dict[int, list[str]]:
    """Return the nodes of the committed configuration of each slot's group, as its leader knows it."""
    voters: dict[int, list[str]] = {}
    for _, host in live:
        for group in host.groups.values():
            membership = group.core.committed_membership
            if (
                group.number
                and _leads(group)
                and membership is not None
                and membership == group.core.membership
            ):
                voters[group.number] = sorted(node_id_of(key) for key in membership.members)
    return voters


def _leads(group: GroupView) -> bool:
    return group.core.role is Role.LEADER and group.core.is_established


def _wrong_size(voters: Mapping[int, list[str]], replication: int, counted: int, alive: int) -> str | None:
    size = min(replication, counted)
    size -= 1 - size % 2
    for number, nodes in voters.items():
        if len(nodes) > size or (alive >= size and len(nodes) < size):
            return f"slot {number - 1} has {len(nodes)} replicas, {nodes}; of {counted} members it should have {size}"
    return None


def _strays(live: Sequence[tuple[Process, HostView]], voters: Mapping[int, list[str]]) -> str | None:
    for process, host in live:
        for group in host.groups.values():
            if group.number and process.node_id not in voters.get(group.number, ()):
                slot, nodes = group.number - 1, voters.get(group.number)
                return f"{process.name} has a replica of slot {slot}, which is at {nodes}"
    return None


def _crowded(voters: Mapping[int, list[str]], traits: Mapping[str, Traits]) -> str | None:
    """Look for a group of which one zone has two more than another one that has a node for it."""
    for number, nodes in voters.items():
        counts = {_zone(node, traits): 0 for node in traits}
        for node in nodes:
            counts[_zone(node, traits)] = counts.get(_zone(node, traits), 0) + 1
        free = [counts[_zone(node, traits)] for node in traits if node not in nodes]
        if free and max(counts.values()) > max(1, min(free) + 1):
            return f"slot {number - 1} is at {nodes}, while zones have {counts}"
    return None


def _zone(node: str, traits: Mapping[str, Traits]) -> str:
    known = traits.get(node)
    return f"that of {node}" if known is None or known.zone is None else known.zone


def _uneven(voters: Mapping[int, list[str]], traits: Mapping[str, Traits]) -> str | None:
    """Look for a place that would be less to another node, of its zone or where nobody is of any."""
    counts = dict.fromkeys(traits, 0)
    for nodes in voters.values():
        for node in nodes:
            counts[node] = counts.get(node, 0) + 1
    for node, its in traits.items():
        for other, theirs in traits.items():
            may_move = its.zone == theirs.zone and any(
                node in nodes and other not in nodes for nodes in voters.values()
            )
            if may_move and counts[node] * theirs.weight > (counts[other] + 1) * its.weight:
                return f"replicas are not spread as weights say: {counts}"
    return None


def _traits(system: object) -> Traits:
    """Return what a node was started with, not what the cluster thinks."""
    node = node_of(system)
    assert node is not None
    return node.options.traits


def _remembered(machine: ControlMachine, gone: Gone) -> str | None:
    kept = [name for name in gone.names if name in machine.members]
    return f"{kept} are gone for good, and have rows of members" if kept else None
