"""Whether a node may say ``ready``: it serves, and it holds the places that its predecessor had."""

from __future__ import annotations

from casty.address import node_id_of, process_of
from casty.cluster.control.machine import ControlMachine
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.multiraft.numbers import group_of
from casty.config import SECOND_NS

__all__ = ["Readiness"]

NO_MAJORITY_NS = 5 * SECOND_NS


class Readiness:
    """Looks at the groups of one node.

    A slot without a leader for 5 s has no majority: nobody waits for it, it is named instead.

    Parameters
    ----------
    host, node_id
        The node's.
    incarnation
        Under which the members have to know it; None for a node that has no place before they do.
    """

    def __init__(self, host: Host, node_id: str, incarnation: str | None) -> None:
        self._incarnation = incarnation
        self._host = host
        self._node_id = node_id
        self._leaderless_since_ns: dict[int, int] = {}

    def missing(self, machine: ControlMachine, now_ns: int) -> list[str]:
        """Return what is still to come, in words; empty when the node is ready."""
        me = machine.members.get(self._node_id)
        if me is None or me.status != "up" or self._incarnation not in (None, me.incarnation):
            return ["membership"]
        control = self._host.groups.get(0)
        if control is None:
            return ["the control group"]
        missing = [] if control.core.leader is not None else ["a leader of the control group"]
        membership = control.core.membership
        voting = () if membership is None else membership.voters
        voters, _ = machine.control_voters(sorted(node_id_of(key) for key in voting))
        if process_of(control.core.id) in voters and not self._has_replica(control):
            missing.append("a place in the control group")
        for slot, row in enumerate(machine.slots):
            if self._node_id in row.target and not self._holds(slot, now_ns):
                missing.append(f"a place in slot {slot}")
        return missing

    def _holds(self, slot: int, now_ns: int) -> bool:
        group = self._host.groups.get(group_of(slot))
        if group is not None and self._has_replica(group):
            self._leaderless_since_ns.pop(slot, None)
            return True
        if group is None or group.core.leader is not None:
            self._leaderless_since_ns.pop(slot, None)
            return False
        since_ns = self._leaderless_since_ns.setdefault(slot, now_ns)
        return now_ns - since_ns > NO_MAJORITY_NS

    def _has_replica(self, group: Group) -> bool:
        core = group.core
        membership = core.membership
        return (
            core.leader is not None
            and membership is not None
            and core.id in membership.voters
            and not membership.outgoing
            and core.applied >= core.commit > 0
        )
