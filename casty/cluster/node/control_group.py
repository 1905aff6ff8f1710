"""This process's part in the control group: how its replica comes to be, and what it proposes there.

The group is created once per process, by the founding that this process agreed to, by its joining, or by the disk. A
founder has the entry that founds the cluster; whoever of them leads first proposes it, also after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from casty.address import node_id_of, process_of
from casty.cluster.control.machine import FOUND, ControlMachine
from casty.cluster.control.replica import CONTROL, ControlReplica, heard_ns
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.multiraft.proposals import NOBODY
from casty.cluster.node.founding_document import founders_of
from casty.cluster.node.replica_factory import Groups
from casty.ports import Clock
from casty.transport.output_batch import OutputBatch
from casty.wire.pack import pack

__all__ = ["ControlGroup"]


class Disk(Protocol):
    """The node's disk, if it has one."""

    def founded(self, document: Mapping[str, Any], entry: bytes) -> None:
        """Note what the node founds with."""

    def joined(self, generation: int) -> None:
        """Note that the node is a member."""


class ControlGroup:
    """The control group as one process has it.

    Parameters
    ----------
    host, groups
        Where its replica is, and what creates it.
    clock, output, disk, node_id
        The node's.
    on_change
        Called when the state of the control group changed.

    Attributes
    ----------
    replica
        The one of this process; it is there, blank, before the group is.
    founding_entry
        What a founder proposes first; empty for a node that joined.
    has_founded
        Whether this process, in this incarnation, agreed to a founding.
    """

    def __init__(
        self,
        host: Host,
        groups: Groups,
        clock: Clock,
        output: OutputBatch,
        node_id: str,
        disk: Disk | None,
        on_change: Callable[[], None],
    ) -> None:
        self._host = host
        self._groups = groups
        self._clock = clock
        self._output = output
        self._node_id = node_id
        self._disk = disk
        self.replica = ControlReplica(on_change, self._role_changed)
        self.founding_entry = b""
        self.has_founded = False

    @property
    def group(self) -> Group | None:
        """The group, once this process founds, has joined or was restored; None too while its replica failed."""
        return self._host.groups.get(CONTROL)

    # -- how it comes to be

    def founded(self, document: dict[str, Any]) -> None:
        """The founding is safe to start: create the group with its founders."""
        self.has_founded = True
        self.founding_entry = pack([FOUND, document])
        if self._disk is not None:
            self._disk.founded(document, self.founding_entry)
        group = self._groups.create(CONTROL, document["generation"], founders_of(document), self.replica)
        if document["founder"] == self._node_id:
            group.core.campaign(self._clock.now())
        self._output.mark_due()

    def joined(self, generation: int) -> None:
        """The cluster has this process as a member: create a blank replica, which the leader fills."""
        if self._disk is not None:
            self._disk.joined(generation)
        self._groups.create(CONTROL, generation, None, self.replica)
        self._output.mark_due()

    def restored(self, founding_entry: bytes) -> None:
        """The disk has the group; if nobody has founded by then, this is what founds it."""
        self.founding_entry = founding_entry

    # -- what goes on in it

    def _role_changed(self, group: Group) -> None:
        if group.is_leading and not self.replica.machine.is_founded and self.founding_entry:
            self.propose(self.founding_entry)

    def propose(self, entry: bytes) -> None:
        """Propose an entry of the control group, if this node leads it."""
        group = self.group
        if group is not None:
            self.replica.propose(group.core, entry, NOBODY, 0)
            self._host.mark(group)

    def leader(self) -> str | None:
        """Return the node id that leads the group, as far as this process knows."""
        group = self.group
        leader = None if group is None else group.core.leader
        return None if leader is None else node_id_of(leader)

    def names_its_leader(self, machine: ControlMachine) -> bool:
        """Whether the process that leads is a member by the state: then the state names whoever there is."""
        group = self.group
        leader = None if group is None else group.core.leader
        row = None if leader is None else machine.members.get(node_id_of(leader))
        return row is not None and leader is not None and row.replica_id == process_of(leader)

    def heard_ns(self, now_ns: int) -> int:
        """Return when its leader was heard of last; 0 where none is known."""
        return heard_ns(self.group, now_ns)
