"""What the control group knows of one member, and of one slot: rows of its machine. Values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from casty.address import peer_key, replica_id_of, start_of
from casty.traits import Traits

__all__ = ["MAX_FORMER", "MemberRow", "SlotRow", "is_committed", "may_become", "member_of", "slot_row_of"]

NO_TRAITS = Traits()

MAX_FORMER = 8
"""How many replaced incarnations a member's row remembers. A JOIN that more restarts than these overtook is taken."""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One member. `was_up` counts it for the group size: a member that never came up is no replica.

    `is_silent` is advice, as the control leader saw it. `offered` is the number of the newest announcement of services
    that was taken from this incarnation.
    """

    node_id: str
    incarnation: str
    host: str
    port: int
    status: str
    was_up: bool
    is_silent: bool = False
    former: tuple[str, ...] = ()
    """Incarnations that were replaced, the latest last, at most `MAX_FORMER`."""
    offered: int = 0
    traits: Traits = NO_TRAITS
    is_leaving: bool = False
    """Whether it, or an operator, said that it leaves for good: also while it is down, and so it never is up again."""
    # Both follow from the fields above; every heartbeat asks for them, and rows are made seldom.
    key: str = field(init=False, repr=False, compare=False)
    """The peer key of the member's present process."""
    replica_id: str = field(init=False, repr=False, compare=False)
    """Under which key that process takes part in groups."""

    def __post_init__(self) -> None:
        key = peer_key(self.node_id, self.incarnation)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "replica_id", replica_id_of(key))

    @property
    def may_return(self) -> bool:
        """Whether this very process may join again: it was given up, maybe while it was only cut off."""
        return self.status == "removed"

    @property
    def is_counted(self) -> bool:
        """Whether the sizes of groups count it: it was up, and has not left."""
        return self.was_up and not self.is_leaving and self.status != "removed"

    @property
    def stays(self) -> bool:
        """Whether it keeps its places: it is up, or comes again in the place of a process that was."""
        return self.status == "up" or (self.status == "joining" and self.was_up)

    def may_have(self, role: str | None) -> bool:
        """Whether it may have a slot that is limited to a role."""
        return role is None or role in self.traits.roles

    def is_replaced(self, incarnation: str) -> bool:
        """Whether that process is known to have had a successor: what it asked for is out of date.

        So has one with a disk whose node went on with another disk, or none, and one that was started with a copy.
        """
        if incarnation in self.former:
            return True
        key = peer_key(self.node_id, incarnation)
        if incarnation == self.incarnation or not start_of(key):
            return False
        if replica_id_of(key) == self.replica_id:
            return start_of(key) <= start_of(self.key)
        return any(
            replica_id_of(peer_key(self.node_id, former)) == replica_id_of(key) for former in self.former
        )

    def former_of(self, successor: str) -> tuple[str, ...]:
        """Return the incarnations that `successor` takes the place of, the latest last."""
        if (
            successor == self.incarnation
            or replica_id_of(peer_key(self.node_id, successor)) == self.replica_id
        ):
            return self.former
        return (*self.former, self.incarnation)[-MAX_FORMER:]


@dataclass(frozen=True, slots=True)
class SlotRow:
    """One slot. `first` are the processes that create its group; `target` is where its replicas should be."""

    epoch: int
    first: tuple[str, ...]
    target: tuple[str, ...]
    preferred: str | None
    held: tuple[str, ...] = ()
    """The nodes that vote in any configuration that may be in force, as its leader told last, sorted."""
    held_at: tuple[int, int] = (0, 0)
    """When that was: the leader's term, and in this the number of the step; see `course.told_by`."""
    role: str | None = None
    """The role of the nodes that may have it; None for all. It has no first group before there is such a node."""
    dropped: tuple[str, ...] = ()
    """Nodes that a former target named, sorted, until the slot's leader tells that it knows the present one.

    Before, it may be taking them in, and not have told. At most all members: the row of one that is named stays.
    """
    targets: int = 0
    """How many targets it had before this one."""

    @property
    def has_begun(self) -> bool:
        """Whether its group told of itself: before, nothing is kept there, and nobody was answered."""
        return bool(self.held)

    @property
    def is_beginning(self) -> bool:
        """Whether its first group was named and never told of itself: nobody was answered, nothing is kept there."""
        return bool(self.first) and not self.held

    @property
    def is_moving(self) -> bool:
        """Whether its replicas are not where they should be, as far as anybody told."""
        return self.held != self.target

    def names(self, node_id: str) -> bool:
        """Whether a node has a place here, should have one, or may be getting one all the same."""
        return node_id in self.target or node_id in self.held or node_id in self.dropped

    def with_target(self, target: tuple[str, ...], preferred: str | None) -> SlotRow:
        """Return the row with another target, or another preferred leader."""
        if target == self.target:
            return replace(self, preferred=preferred)
        dropped = sorted({*self.dropped, *self.target}.difference(target))
        return replace(
            self, target=target, preferred=preferred, dropped=tuple(dropped), targets=self.targets + 1
        )


def may_become(row: MemberRow, status: str) -> bool:
    """Whether a verdict is taken: late ones bring nobody back who leaves, and remove nobody that is up."""
    if row.status == "removed" or row.status == status:
        return False
    if status == "removed":
        return row.status in ("leaving", "down") or (row.status == "joining" and not row.was_up)
    return status in ("leaving", "down") or not row.is_leaving


def slot_row_of(row: Any) -> SlotRow:
    """Return the row of a slot as it was before it was dumped."""
    epoch, first, target, preferred, held, held_at, role, dropped, targets = row
    return SlotRow(
        epoch,
        tuple(first),
        tuple(target),
        preferred,
        tuple(held),
        tuple(held_at),
        role,
        tuple(dropped),
        targets,
    )


def is_committed(step: int) -> bool:
    """Whether what a slot's leader told at a step of its was committed by then."""
    return step % 2 == 1


def member_of(row: Any) -> MemberRow:
    """Return the row of a member as it was before it was dumped."""
    node_id, incarnation, host, port, status, was_up, is_silent, former, offered, traits, is_leaving = row
    return MemberRow(
        node_id,
        incarnation,
        host,
        port,
        status,
        was_up,
        is_silent,
        tuple(former),
        offered,
        Traits.of_plain(traits),
        is_leaving,
    )
