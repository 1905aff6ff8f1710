"""One replica of one consensus group on its node, what it is a replica of, and what it has stored; see `host`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from casty.address import ReplicaId, process_of, replica_id, replica_number
from casty.cluster.multiraft.snapshot_transfers import Dump, Load
from casty.consensus import Core, Entry, Role, Snapshot

__all__ = ["Group", "Replica", "Write"]


class Write(NamedTuple):
    """What one group wants durable before its messages leave."""

    group: int
    epoch: int
    hard_state: tuple[int, str | None] | None
    first_index: int
    entries: Sequence[Entry]
    snapshot: Snapshot | None


class Replica(Protocol):
    """What a group does with its log; `control/replica.py` and `slots/replica.py` are the two."""

    def apply(self, index: int, entry: Entry) -> None:
        """Apply one committed data entry."""

    def role_changed(self, group: Group) -> None:
        """The core began or ceased to lead, or sees another leader."""

    def serve_read(self, token: int) -> None:
        """A read asked for with this token is confirmed."""

    def refuse_read(self, token: int) -> None:
        """The read cannot be served here any more."""

    def begin_dump(self) -> Dump:
        """Begin to dump the machine's state as of the last applied entry."""
        ...

    def begin_load(self) -> Load:
        """Begin to put a state together that takes the machine's place when it is whole."""
        ...

    def close(self) -> None:
        """Tell everybody who waits here that the answer comes from elsewhere, if at all: the replica failed."""


class Group:
    """One replica of one consensus group."""

    __slots__ = (
        "applied_index", "armed_ns", "core", "epoch", "is_dirty", "is_kept", "number", "renewals", "replica",
        "replica_number", "unkept_terms",
    )  # fmt: skip

    def __init__(self, number: int, epoch: int, core: Core, replica: Replica) -> None:
        self.number = number
        self.epoch = epoch
        self.core = core
        self.replica = replica
        self.replica_number = replica_number(core.id)
        """How often this process began its replica anew."""
        self.renewals: dict[str, int] = {}
        """Process -> the number of its present replica, where it said so; of members of the group only."""
        self.is_dirty = False
        self.armed_ns = 0
        self.applied_index = 0
        """What the machine has applied; the core's own index runs ahead while storage is slow."""
        self.is_kept = True
        """Whether it is on the disk that it is there, where there is a disk; before that nobody may hear of it."""
        self.unkept_terms = 0
        """Terms and votes on their way to the disk."""

    @property
    def is_leading(self) -> bool:
        """Whether this replica leads its group."""
        return self.core.role is Role.LEADER

    def replica_of(self, key: str) -> ReplicaId:
        """Return the id of the present replica of a process: what it said, or what the group knows already."""
        number = self.renewals.get(key, 0) if self.renewals else 0
        for id in self.core.peers:
            # Ids without a number are the usual case, and cost one look each.
            if "~" in id and process_of(id) == key:
                number = max(number, replica_number(id))
        own = self.core.id
        if key == own or ("~" in own and key == process_of(own)):
            number = self.replica_number
        return replica_id(key, number) if number else key

    def renewed(self, key: str, number: int) -> None:
        """Take it that a process began its replica anew."""
        members = dict.fromkeys(process_of(id) for id in self.core.peers)
        self.renewals = {known: at for known, at in self.renewals.items() if known in members}
        if key in members:
            self.renewals[key] = max(self.renewals.get(key, 0), number)
