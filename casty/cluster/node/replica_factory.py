"""Creates the groups that the control state names on this node; a message never does.

The first group of a slot is created once, empty, by the processes that its control entry names, under the
slot's epoch. Every later replica starts blank: without a configuration it neither votes nor campaigns, and
waits for the leader's snapshot.

A cluster may have thousands of slots, and a group costs some 40 microseconds to create: a few are created in the turn
that names them, the others in turns of their own, in the order of the slots on every node. Until its group is there a
slot is like one whose node heard of its place a moment later: what is sent to it is lost, and sent again. A founder
that comes late has voted for nobody and acknowledged nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from casty.address import replica_id
from casty.cluster.control.machine import ControlMachine
from casty.cluster.multiraft.host import Group, Host, Replica
from casty.cluster.multiraft.numbers import group_of, slot_of
from casty.config import SECOND_NS, Settings
from casty.consensus import Core, Limits, Membership, Restored, Timing
from casty.ports import Runtime, Timer
from casty.transport.output_batch import OutputBatch

__all__ = ["Groups"]

CREATED_AT_ONCE = 64
"""Groups that are created in one turn: some three milliseconds with the elections that some of them begin."""

MAX_APPEND_BYTES = 512 * 1024
MAX_APPEND_ENTRIES = 1024

MakeReplica = Callable[[int, int, ControlMachine], Replica]
"""Makes the replica of (slot, epoch)."""


def _no(number: int) -> bool:
    del number
    return False


class Groups:
    """The factory of one process's groups."""

    def __init__(
        self,
        host: Host,
        runtime: Runtime,
        settings: Settings,
        me: str,
        make_slot: MakeReplica,
        output: OutputBatch,
        is_failed: Callable[[int], bool] = _no,
    ) -> None:
        self._host = host
        self._output = output
        self._timer: Timer | None = None
        """Set while groups are left to create."""
        self._runtime = runtime
        self._settings = settings
        self._me = me
        self._make_slot = make_slot
        self._is_failed = is_failed
        """Whether the replica of a group failed here: its place is filled under another name, and not at once."""
        self._created: dict[tuple[int, int], None] = {}
        self._timing = Timing(
            int(settings.election_min_s * SECOND_NS),
            int(settings.election_max_s * SECOND_NS),
            int(settings.heartbeat_s * SECOND_NS),
            int(settings.drift * 1_000_000),
        )

    def create(
        self,
        number: int,
        epoch: int,
        membership: Membership | None,
        replica: Replica,
        replica_number: int = 0,
        restored: Restored | None = None,
        *,
        is_new: bool = False,
    ) -> Group:
        """Create one group; `membership` None makes a blank replica, the `replica_number`-th begun anew here.

        `restored` is what the disk has of it, with the configuration that the group began with; the replica has the
        state of the snapshot in it by then. `is_new` says that the disk has nothing of it all the same.
        """
        clock, entropy = self._runtime.clock, self._runtime.entropy
        low, high = self._timing.election_min_ns, self._timing.election_max_ns

        def election_timeout_ns() -> int:
            return low + entropy.below(f"election:{number}", high - low)

        core = Core(
            id=replica_id(self._me, replica_number),
            group=number,
            epoch=epoch,
            membership=membership,
            now_ns=clock.now(),
            timing=self._timing,
            limits=Limits(
                # With the heads of its entries one append fits into a frame, whatever a frame may be here.
                max_append_bytes=min(MAX_APPEND_BYTES, self._settings.max_frame_bytes // 4),
                max_append_entries=MAX_APPEND_ENTRIES,
                max_uncommitted_bytes=self._settings.max_uncommitted_bytes,
                retained_entries=self._settings.retained_entries,
                retained_bytes=self._settings.retained_bytes,
                compact_entries=self._settings.snapshot_entries,
            ),
            rounds=self._host.rounds,
            election_timeout_ns=election_timeout_ns,
            reads="lease" if self._settings.reads == "lease" else "quorum",
            restored=restored,
        )
        group = Group(number, epoch, core, replica)
        group.applied_index = core.applied
        if number:
            self._created[slot_of(number), epoch] = None
        self._host.add(group, membership, is_restored=restored is not None and not is_new)
        return group

    def lost(self, slot: int, epoch: int) -> None:
        """The disk has lost the replica of a slot: its first group was created, and is not created again."""
        self._created[slot, epoch] = None

    def follow(self, machine: ControlMachine, node_id: str) -> None:
        """Create what the control state names on this process and is not here yet, part by part, the first now."""
        self.close()
        self._create_some(machine, node_id, 0)

    def close(self) -> None:
        """Create no more of what was named so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self, machine: ControlMachine, node_id: str, first: int) -> None:
        self._timer = None
        self._output.begin()
        try:
            self._create_some(machine, node_id, first)
        finally:
            self._output.end()

    def _create_some(self, machine: ControlMachine, node_id: str, first: int) -> None:
        """Create the missing groups of slots from `first` on, and see to those that are too many for this turn."""
        member = machine.members.get(node_id)
        if member is None or member.replica_id != self._me:
            return
        left = CREATED_AT_ONCE
        for slot in range(first, len(machine.slots)):
            number, row = group_of(slot), machine.slots[slot]
            if number in self._host.groups or self._is_failed(number) or node_id not in row.target:
                continue
            if row.is_beginning and self._me not in row.first:
                continue  # it may still be named in the place of one that is gone
            if left == 0:
                now_ns = self._runtime.clock.now()
                self._timer = self._runtime.clock.call_at(now_ns, self._go_on, machine, node_id, slot)
                return
            left -= 1
            self._create(machine, node_id, slot)

    def _create(self, machine: ControlMachine, node_id: str, slot: int) -> None:
        row = machine.slots[slot]
        is_founder = self._me in row.first and (slot, row.epoch) not in self._created
        membership = Membership(row.first) if is_founder else None
        number = group_of(slot)
        group = self.create(
            number, row.epoch, membership, self._make_slot(slot, row.epoch, machine),
            self._host.next_number(number, row.epoch),
        )  # fmt: skip
        if is_founder and row.preferred == node_id:
            group.core.campaign(self._runtime.clock.now())
