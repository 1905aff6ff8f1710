"""What a node or client believes about the cluster: an immutable snapshot plus leader hints. Pure.

The snapshot comes from applied control entries and only moves forward, by (generation, version). The hints
are soft state, ordered by term within a slot epoch: a late hint of an old term never replaces a newer one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from casty.cluster.control.machine import ControlMachine
from casty.cluster.control.placement import slot_of, slot_of_region
from casty.distributed.machines.base import EVENTS
from casty.distributed.machines.events import home_of
from casty.errors import RemoteProtocolError
from casty.traits import Traits

__all__ = ["LEADER", "Hint", "LeaderTable", "MemberInfo", "Topology", "hints_of", "learn_hints"]


NO_TRAITS = Traits()


class MemberInfo(NamedTuple):
    """A member as clients need it."""

    node_id: str
    incarnation: str
    host: str
    port: int
    status: str
    is_silent: bool = False
    offered: int = 0
    """The number of the newest announcement of services that this version shows."""
    traits: Traits = NO_TRAITS

    @property
    def plain(self) -> list[object]:
        """Return it as a plain value for the wire."""
        return [*self[:-1], self.traits.plain]

    @staticmethod
    def of_plain(row: Any) -> MemberInfo:
        """Return what `plain` wrote; raises `ValueError`, `TypeError` or `LookupError` for what it did not."""
        node_id, incarnation, host, port, status, is_silent, offered, traits = row
        return MemberInfo(
            node_id,
            incarnation,
            host,
            int(port),
            status,
            bool(is_silent),
            int(offered),
            Traits.of_plain(traits),
        )


class Hint(NamedTuple):
    """Who leads a slot, as somebody heard it; `leader` None when the term has no leader yet."""

    epoch: int
    term: int
    leader: str | None
    elected: int
    """The newest term of the epoch that is known to have had a leader; 0: none."""


class LeaderTable:
    """The newest hint of every slot.

    A majority of the replicas knows a term that had a leader, so it cannot go back behind that one. A term without a
    leader may be known to nobody but one candidate, and gone with it while the leader of the term before leads on:
    nothing is outdated by it, and it is not told to others.

    Bounds: a row per slot.
    """

    __slots__ = ("_hints", "changed")

    def __init__(self) -> None:
        self._hints: dict[int, Hint] = {}
        self.changed: dict[int, None] = {}

    def learn(self, slot: int, epoch: int, term: int, leader: str | None) -> bool:
        """Take a hint if it is news; equal terms only fill in a leader that was not known."""
        known = self._hints.get(slot)
        elected = 0
        if known is not None:
            if epoch < known.epoch:
                return False
            if epoch == known.epoch:
                elected = known.elected
                if leader is None:
                    if term <= known.term:
                        return False
                elif term < elected or (term == elected and known.leader is not None):
                    return False
        self._hints[slot] = Hint(epoch, term, leader, elected if leader is None else term)
        self.changed[slot] = None
        return True

    def leader_of(self, slot: int) -> str | None:
        """Return the node id that leads the slot, if any is known."""
        known = self._hints.get(slot)
        return None if known is None else known.leader

    def hint_of(self, slot: int) -> Hint | None:
        """Return the newest hint of the slot."""
        return self._hints.get(slot)

    def rows(self, slots: Iterable[int] | None = None) -> list[list[object]]:
        """Return the hints that name a leader as plain rows, of `slots` or of all."""
        chosen = self._hints if slots is None else [slot for slot in slots if slot in self._hints]
        hints = [(slot, self._hints[slot]) for slot in chosen]
        return [[slot, hint.epoch, hint.term, hint.leader] for slot, hint in hints if hint.leader is not None]

    def clear(self) -> None:
        """Forget everything: another generation has other terms."""
        self._hints.clear()


LEADER = 3
"""Where such a row has the leader."""


@dataclass(frozen=True, slots=True)
class Topology:
    """One version of the cluster.

    Parameters
    ----------
    generation, cluster_id, version
        Identity and age; versions grow within a generation.
    ttl_s, drift
        The session TTL in seconds and the bound of the ratio of two clocks' rates.
    members
        By node id.
    slots
        (epoch, node ids of its replicas) by slot number.
    regions, services
        Shard counts by region; per service key the rows (ref uri, node id).
    region_roles, pools
        The roles of regions that are limited to one; by role the first of its slots, which are behind those of all
        nodes.
    leaders
        The leader table that goes with this observer; shared by all its snapshots.
    """

    generation: int
    cluster_id: str
    version: int
    ttl_s: float
    drift: float
    members: dict[str, MemberInfo]
    slots: tuple[tuple[int, tuple[str, ...]], ...]
    regions: dict[str, int]
    services: dict[str, tuple[tuple[str, str], ...]]
    leaders: LeaderTable
    region_roles: dict[str, str] = field(default_factory=dict)
    pools: dict[str, int] = field(default_factory=dict)
    shared_slots: int = field(init=False, repr=False, compare=False)
    """How many slots are of all nodes: those of structures, and of regions without a role. Every call asks for it."""

    home: str = field(init=False, repr=False, compare=False)
    """What messages name the cluster and its generation by."""

    def __post_init__(self) -> None:
        """Count the slots of all nodes, and write down what every message says."""
        count = min(self.pools.values()) if self.pools else len(self.slots)
        object.__setattr__(self, "shared_slots", count)
        object.__setattr__(self, "home", f"{self.generation}:{self.cluster_id}")

    def slot_of_shard(self, shard_type: str, shard: int) -> int:
        """Return the slot of a shard of a region: one of those of its role, where it is limited to one."""
        role = self.region_roles.get(shard_type)
        if role is None or role not in self.pools:
            return slot_of_region(shard_type, shard, self.shared_slots)
        first = self.pools[role]
        behind = min((other for other in self.pools.values() if other > first), default=len(self.slots))
        return first + slot_of_region(shard_type, shard, behind - first)

    def slot_of(self, kind: int, entity: bytes) -> int:
        """Return the slot of a structure. A log lies in its entity's slot: with a role, in one of that role."""
        if kind == EVENTS and self.pools:
            home = home_of(entity)
            if home is not None:
                return self.slot_of_shard(home.region, home.shard)
        return slot_of(kind, entity, self.shared_slots)

    def leader_of(self, slot: int) -> str | None:
        """Return the node id that leads a slot, if any is known."""
        return self.leaders.leader_of(slot)

    def epoch_of(self, slot: int) -> int:
        """Return the slot's epoch."""
        return self.slots[slot][0]

    @property
    def order(self) -> tuple[int, int]:
        """What decides which of two snapshots is newer."""
        return (self.generation, self.version)


def of_machine(machine: ControlMachine, leaders: LeaderTable) -> Topology:
    """Return the topology that applied control entries say."""
    return Topology(
        generation=machine.generation,
        cluster_id=machine.cluster_id,
        version=machine.version,
        ttl_s=float(machine.settings["session_ttl_s"]),
        drift=float(machine.settings["drift"]),
        members={
            row.node_id: MemberInfo(
                row.node_id,
                row.incarnation,
                row.host,
                row.port,
                row.status,
                row.is_silent,
                row.offered,
                row.traits,
            )
            for row in machine.members.values()
        },
        slots=tuple((row.epoch, row.target) for row in machine.slots),
        regions=dict(machine.regions),
        services={
            key: tuple((ref, owner[0]) for ref, owner in refs.items())
            for key, refs in machine.services.items()
        },
        leaders=leaders,
        region_roles=dict(machine.region_roles),
        pools=dict(machine.pools),
    )


def to_plain(topology: Topology) -> list[object]:
    """Return the snapshot and all hints as a plain value for the wire."""
    return [
        topology.generation, topology.cluster_id, topology.version, topology.ttl_s, topology.drift,
        [member.plain for member in topology.members.values()],
        [[epoch, list(nodes)] for epoch, nodes in topology.slots],
        topology.regions,
        {key: [list(row) for row in rows] for key, rows in topology.services.items()},
        topology.region_roles, topology.pools, topology.leaders.rows(),
    ]  # fmt: skip


def from_plain(plain: Any, leaders: LeaderTable) -> Topology:
    """Return what `to_plain` wrote, with the observer's own leader table; the hints are in the last field."""
    try:
        (generation, cluster_id, version, ttl_s, drift, members, slots, regions, services, roles, pools,
         _) = plain  # fmt: skip
        return Topology(
            generation=int(generation),
            cluster_id=str(cluster_id),
            version=int(version),
            ttl_s=float(ttl_s),
            drift=float(drift),
            members={row[0]: MemberInfo.of_plain(row) for row in members},
            slots=tuple((int(epoch), tuple(nodes)) for epoch, nodes in slots),
            regions=dict(regions),
            services={key: tuple((row[0], row[1]) for row in rows) for key, rows in services.items()},
            leaders=leaders,
            region_roles={str(name): str(role) for name, role in roles.items()},
            pools={str(role): int(first) for role, first in pools.items()},
        )
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise RemoteProtocolError(f"topology: expected twelve well-formed fields: {error}") from error


def hints_of(plain: Any) -> Any:
    """Return the rows of leader hints of a value that `from_plain` took."""
    return plain[-1]


def learn_hints(leaders: LeaderTable, rows: Any, slots: int) -> bool:
    """Take hint rows of somebody else; True if any was news."""
    if not isinstance(rows, list):
        raise RemoteProtocolError("hints: expected a list of rows")
    news = False
    for row in rows:
        if (
            not isinstance(row, list)
            or len(row) != 4
            or not all(isinstance(number, int) for number in row[:3])
        ):
            raise RemoteProtocolError("hints: expected [slot, epoch, term, leader] rows")
        # A term without a leader outdates nothing; see `LeaderTable`.
        slot, _, _, leader = row
        if 0 <= slot < slots and isinstance(leader, str):
            news = leaders.learn(*row) or news
    return news
