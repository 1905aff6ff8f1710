"""The public picture of a cluster, made out of a topology."""

from __future__ import annotations

from casty.address import NodeAddress
from casty.cluster.control.topology import Topology
from casty.members import ClusterState, Member, MemberStatus, TopologySnapshot

__all__ = ["cluster_state", "topology_snapshot"]


def cluster_state(topology: Topology, leader_id: str | None) -> ClusterState:
    """Return the public picture of a topology."""
    rows = [row for row in topology.members.values() if row.status != "removed"]
    members = tuple(
        Member(
            NodeAddress(row.host, row.port),
            MemberStatus(row.status),
            frozenset(row.traits.roles),
            row.node_id,
            row.traits.zone,
            row.traits.weight,
        )
        for row in rows
    )
    leader = None if leader_id is None else topology.members.get(leader_id)
    silent = tuple(NodeAddress(row.host, row.port) for row in rows if row.is_silent)
    return ClusterState(members, None if leader is None else NodeAddress(leader.host, leader.port), silent)


def topology_snapshot(topology: Topology, leader_id: str | None) -> TopologySnapshot:
    """Return the public snapshot of a topology."""
    state = cluster_state(topology, leader_id)
    registry = {key: tuple(ref for ref, _ in rows) for key, rows in topology.services.items()}
    return TopologySnapshot(
        topology.generation, topology.version, state.members, state.leader, state.unreachable, registry
    )
