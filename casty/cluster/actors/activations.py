"""What lives in the regions of one node: each activation, its lease, and what is known of its region."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from casty.actor.behavior import Behavior
from casty.actor.cell import READ_OUT, Cell
from casty.cluster.actors.passivation import Recent
from casty.cluster.actors.senders import Heard
from casty.ports import Clock

if TYPE_CHECKING:
    from casty.cluster.control.topology import Topology

__all__ = ["Activation", "ActivationLease", "EntityActivated", "EntityStopped", "HostedRegion"]


class EntityActivated(NamedTuple):
    """A volatile entity began to live on this node."""

    slot: int
    path: str


class EntityStopped(NamedTuple):
    """A volatile entity is gone from this node."""

    slot: int
    path: str


class HostedRegion(NamedTuple):
    """A region that this node hosts."""

    factory: Callable[[str], Behavior[Any]]
    num_shards: int
    recent: Recent | None
    """Its activations here; None where it has no limits, and nobody asks."""
    role: str | None = None

    def is_placed(self, shard_type: str, topology: Topology) -> bool:
        """Whether its slots are known: of one with a role they are those of all nodes before it is recorded."""
        return self.role is None or topology.region_roles.get(shard_type) == self.role


class ActivationLease:
    """How long one activation may act: while its node leads the slot alone, and nobody revoked it."""

    __slots__ = ("_clock", "_is_over", "_until_ns", "slot")

    def __init__(self, clock: Clock, until_ns: Callable[[int, int], int], slot: int) -> None:
        self.slot = slot
        self._clock = clock
        self._until_ns = until_ns
        self._is_over = False

    def lasts(self) -> bool:
        """Whether it may act now."""
        if self._is_over:
            return False
        now_ns = self._clock.now()
        self._is_over = self._until_ns(self.slot, now_ns) <= now_ns
        return not self._is_over

    def revoke(self) -> None:
        """It does not yield, and the slot moves on."""
        self._is_over = True


class Activation:
    """One living entity. `heard` has the last numbers of those that send to it; see there for its bound."""

    __slots__ = ("cell", "entity", "heard", "is_draining", "lease", "region")

    def __init__(
        self, entity: tuple[str, str], region: HostedRegion, cell: Cell, heard: Heard, lease: ActivationLease
    ) -> None:
        self.entity = entity
        """The name of its region, and its id."""
        self.region = region
        """That region as it was hosted when this began."""
        self.cell = cell
        self.heard = heard
        self.lease = lease
        self.is_draining = False

    @property
    def is_at_work(self) -> bool:
        """Whether a message is in hand or unread."""
        return self.cell.is_busy or not self.cell.mailbox.empty()

    @property
    def comes_back(self) -> bool | None:
        """Whether it has a log that brings it back; None while it starts."""
        return True if self.cell.has_log else (False if self.cell.is_ready else None)

    def takes(self, *, is_inside: bool) -> bool:
        """Whether it takes a message, of another entity of its slot or from elsewhere."""
        return not self.cell.is_stopping and (is_inside or not self.is_draining)

    def drain(self) -> None:
        """Let it stop behind its mail."""
        if not self.is_draining:
            self.is_draining = True
            self.cell.mailbox.put_beyond(READ_OUT)
