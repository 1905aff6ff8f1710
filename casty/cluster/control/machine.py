"""The control group's state machine: members, placement, regions and services. Pure.

Every node applies the same entries in the same order, so every node can answer what the cluster looks like.
Who takes the place of whom is derived when an entry is applied: two replicas cannot disagree about it. Moves for the
sake of balance are proposed one by one, and apply only to the targets that they fit (ADR 0036).

Entries are lists, and each is idempotent: a sender that does not know whether its entry was applied sends it again.
What may be taken back carries numbers as well (see `service_offers.py`): a late duplicate must not undo what came after
it. The version grows only when something changed: each version goes out to every client.

====================================================  =====================================================
``[FOUND, document]``                                  the first entry; see `formation.py` for the document
``[JOIN, node_id, incarnation, host, port, traits]``   a process joins, or replaces its dead predecessor; see
                                                       `Traits` for zone, weight and roles
``[STATUS, node_id, incarnation, status]``             up, down or removed, as the control leader saw it; leaving, as
                                                       the member itself wants it
``[REGION, shard_type, num_shards, role]``             a user-defined region, its shard count, and the role of the
                                                       nodes that it is limited to, or None
``[SERVICE, node_id, incarnation, previous, number,    what a process offers changed: rows
changes]``                                             ``[key, ref, is_on]``
``[SILENT, node_id, incarnation, is_silent]``          a member stopped answering the control leader, or answers again
``[PLACE, slot, epoch, leaves, comes]``                a place of a slot goes from one member to another
``[HELD, slot, epoch, term, step, node ids, targets]`` these nodes vote in the slot's group, in any configuration; its
                                                       leader knows so many targets, 0 if it may not be the only one
``[FORGET, node_id, incarnation]``                     no configuration names this removed member any more
====================================================  =====================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from casty.cluster.control.balance import spread_leaders, spread_swap
from casty.cluster.control.outcomes import CONTRADICTS, DONE, MALFORMED, NOT_ON_TOP, TOO_MANY, first_epoch
from casty.cluster.control.placement import (
    Holders,
    Size,
    control_size,
    fill,
    group_size,
    ordered,
    place,
    replica_counts,
)
from casty.cluster.control.rows import (
    MemberRow,
    SlotRow,
    is_committed,
    may_become,
    member_of,
    slot_row_of,
)
from casty.cluster.control.schema import (
    FORGET,
    FOUND,
    HELD,
    JOIN,
    PLACE,
    REGION,
    SERVICE,
    SILENT,
    STATUS,
    check_entry,
)
from casty.cluster.control.service_offers import WHOLE
from casty.cluster.control.service_registry import Registry
from casty.errors import RemoteProtocolError
from casty.limits import MAX_POOL_SLOTS, MAX_POOLS, MAX_REGIONS
from casty.traits import Traits
from casty.wire.pack import pack, unpack

__all__ = [
    "FORGET", "FOUND", "HELD", "JOIN", "MALFORMED", "NOT_ON_TOP", "PLACE", "REGION", "SERVICE", "SILENT", "STATUS",
    "TOO_MANY", "ControlMachine", "MemberRow", "SlotRow", "check_entry", "first_epoch",
]  # fmt: skip

WITHDRAWN_STEP = 2**32
"""Numbers of announcements jump to a multiple of it when what they said was withdrawn for their sender."""

MAX_GIVEN_UP = 256
"""How many processes stay recorded that were given up before they were ever up. Their rows tell a late entry of theirs
from a new one; after so many younger ones nothing of them is on its way any more."""


class ControlMachine:
    """What the control group has agreed on.

    Bounds: `members` has a row per member, one for each that was up and is removed until no configuration names it, and
    one for each of at most `MAX_GIVEN_UP` that were given up before they were up, the one that came first going first;
    which of those that are down are removed is for the control leader to say; `slots` has one per slot, and
    `MAX_POOL_SLOTS` for each of at most `MAX_POOLS` roles in `pools`, `_voters` at most as many, `_wanted` a
    row per member, `former` and `former_members` what their schema allows, `regions` and `region_roles` at most
    `MAX_REGIONS`, `settings` one per agreed setting; for services see `Registry`.
    """

    __slots__ = (
        "_voters", "_wanted", "cluster_id", "former", "former_members", "generation", "members", "name", "pools",
        "region_roles", "regions", "registry", "replication", "settings", "slots", "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.version = 0
        self.generation = 0
        self.cluster_id = ""
        self.former: tuple[tuple[str, int], ...] = ()
        """Of which clusters it takes the place, by id and generation; empty for one that was not recovered."""
        self.former_members: tuple[tuple[str, int], ...] = ()
        """Where their members listened: whoever is there still has to hear of it."""
        self.name = ""
        self.replication = 1
        self.settings: dict[str, float] = {}
        self.members: dict[str, MemberRow] = {}
        self.slots: list[SlotRow] = []
        self.regions: dict[str, int] = {}
        self.region_roles: dict[str, str] = {}
        """Of regions that are limited to a role."""
        self.pools: dict[str, int] = {}
        """By role the first of its slots; they follow each other behind those of all nodes."""
        self.registry = Registry()
        self._voters: dict[int, tuple[str, ...]] = {}
        self._wanted: tuple[object, tuple[tuple[str, ...], tuple[str, ...]]] | None = None
        """What `control_voters` was asked last, members included, and what it said."""

    @property
    def services(self) -> dict[str, dict[str, tuple[str, str]]]:
        """The instances of services, by key and address; see `Registry`."""
        return self.registry.rows

    @property
    def is_founded(self) -> bool:
        """Whether the founding entry was applied."""
        return self.generation > 0

    def apply(self, data: bytes) -> list[object]:
        """Apply one committed entry; returns a reply.

        It is ``[0]``, ``[2, what, recorded, given]`` for what contradicts, ``[TOO_MANY, limit, value, found]``, or
        ``[MALFORMED, text]``. An announcement of services is answered by ``[0, refused rows, instances, their
        bytes]`` or ``[NOT_ON_TOP, recorded number]``, None for a process that is no member now; a status by
        ``[0, what it is]``, None for a process that nobody knows.
        """
        try:
            entry = check_entry(data)
        except RemoteProtocolError as error:
            return [MALFORMED, str(error)]
        self._voters.clear()
        kind = entry[0]
        if kind == FOUND:
            return self._found(entry[1])
        if kind == JOIN:
            return self._join(*entry[1:])
        if kind == STATUS:
            return self._status(*entry[1:])
        if kind == REGION:
            return self._region(*entry[1:])
        if kind == SERVICE:
            return self._service(*entry[1:])
        self._change(kind, *entry[1:])
        return [DONE]

    def _change(self, kind: int, *fields: Any) -> None:
        """Apply what is answered the same whatever it does."""
        if kind == SILENT:
            self._silent(*fields)
        elif kind == PLACE:
            self._place(*fields)
        elif kind == HELD:
            self._held(*fields)
        else:
            self._forget(*fields)

    def _found(self, document: Mapping[str, Any]) -> list[object]:
        if self.is_founded:
            return [DONE]
        self.version += 1
        self.name = document["name"]
        self.generation = document["generation"]
        self.cluster_id = document["cluster_id"]
        self.replication = document["replication"]
        self.settings = dict(document["settings"])
        former = document.get("former", {"clusters": [], "members": []})
        self.former = tuple((cluster_id, generation) for cluster_id, generation in former["clusters"])
        self.former_members = tuple((host, port) for host, port in former["members"])
        for node_id, incarnation, host, port, traits in document["founders"]:
            self.members[node_id] = MemberRow(
                node_id, incarnation, host, port, "up", was_up=True, traits=Traits.of_plain(traits)
            )
        count = group_size(self.replication, len(self.members))
        size = Size(count, count)
        load: dict[str, int] = {}
        nodes = sorted(self.members)
        traits = self.traits
        roles = self._take_over(document)
        # Slots of roles are where their states are: with the founders, until somebody comes who has the role.
        targets = [place(slot, Holders(), nodes, size, load, traits) for slot in range(len(roles))]
        preferred = spread_leaders(targets, [None] * len(targets), traits)
        for target, leader, role in zip(targets, preferred, roles, strict=True):
            first = tuple(sorted(self.members[node_id].replica_id for node_id in target))
            self.slots.append(SlotRow(first_epoch(self.generation), first, target, leader, target, role=role))
        return [DONE]

    def _take_over(self, document: Mapping[str, Any]) -> list[str | None]:
        """Take over the regions of the cluster that this one is made of, if any; return the role of each slot."""
        roles: list[str | None] = [None] * document["slots"]
        for role, count in document.get("pools", ()):
            self.pools.setdefault(role, len(roles))
            roles += [role] * count
        for shard_type, num_shards, role in document.get("regions", ()):
            self.regions[shard_type] = num_shards
            if role is not None:
                self.region_roles[shard_type] = role
        return roles

    @property
    def taken_over(self) -> dict[str, list[list[Any]]]:
        """What a cluster made out of this one begins with: by it the logs of entities are found."""
        regions = [[name, count, self.region_roles.get(name)] for name, count in self.regions.items()]
        pools = [[role, len(slots)] for role, slots in self.slots_by_role().items() if role is not None]
        return {"regions": regions, "pools": pools}

    def _join(self, node_id: str, incarnation: str, host: str, port: int, traits: list[Any]) -> list[object]:
        known = self.members.get(node_id)
        if known is not None and known.incarnation == incarnation and not known.may_return:
            return [DONE]
        if known is not None and known.is_replaced(incarnation):
            # It asked before it died, and its successor is here.
            return [DONE]
        self.version += 1
        # Who left, or was removed, comes as somebody new.
        was_up = known is not None and known.is_counted
        former = known.former_of(incarnation) if known is not None else ()
        offered = known.offered if known is not None and known.incarnation == incarnation else 0
        self.members[node_id] = MemberRow(
            node_id, incarnation, host, port, "joining", was_up, former=former, offered=offered,
            traits=Traits.of_plain(traits),
        )  # fmt: skip
        self.registry.forget(node_id)
        return [DONE]

    def _status(self, node_id: str, incarnation: str, status: str) -> list[object]:
        known = self.members.get(node_id)
        # A verdict about a dead process says nothing about its successor.
        if known is None or known.incarnation != incarnation:
            return [0, None]
        if not may_become(known, status):
            is_needed = status == "leaving" and self._is_needed(known)
            return [0, status if is_needed else known.status]
        self.version += 1
        self.members[node_id] = replace(
            known, status=status, was_up=known.was_up or status == "up",
            is_leaving=known.is_leaving or status == "leaving",
        )  # fmt: skip
        if known.was_up or status == "up":
            self._fill_groups()
        if status == "removed":
            self._withdraw(node_id)
            self._drop_given_up()
        return [0, status]

    def _is_needed(self, row: MemberRow) -> bool:
        """Whether who was removed while it was silent, and asks to leave, may not end yet: something names it."""
        return row.status == "removed" and self.has_replica(row.node_id)

    def _forget(self, node_id: str, incarnation: str) -> None:
        """Drop the row of a removed member, once nothing names it."""
        known = self.members.get(node_id)
        if (
            known is not None
            and known.incarnation == incarnation
            and known.status == "removed"
            and not self.has_replica(node_id)
        ):
            self.version += 1
            del self.members[node_id]

    def has_replica(self, node_id: str) -> bool:
        """Whether a node has a place in a slot, should have one, or may be getting one."""
        return any(row.names(node_id) for row in self.slots)

    def _drop_given_up(self) -> None:
        """Drop the rows that are too many; here they have no services, and a place only where nobody took it."""
        given_up = [row.node_id for row in self.members.values() if row.may_return and not row.was_up]
        for node_id in given_up[:-MAX_GIVEN_UP]:
            if not self.has_replica(node_id):
                del self.members[node_id]

    def _withdraw(self, node_id: str) -> None:
        """A removed process offers nothing; what it sent before is not on top of the number that it would find."""
        self.registry.forget(node_id)
        row = self.members[node_id]
        offered = (row.offered // WITHDRAWN_STEP + 1) * WITHDRAWN_STEP
        self.members[node_id] = replace(row, offered=offered)

    def _silent(self, node_id: str, incarnation: str, is_silent: bool) -> None:
        known = self.members.get(node_id)
        if known is not None and known.incarnation == incarnation and known.is_silent != is_silent:
            self.version += 1
            self.members[node_id] = replace(known, is_silent=is_silent)
            if known.status == "up" and not is_silent:
                self._fill_groups()

    @property
    def counted(self) -> int:
        """How many members the sizes of groups count."""
        return sum(row.is_counted for row in self.members.values())

    def candidates(self, role: str | None = None) -> list[str]:
        """Return the members that may take places, as they answer, in the order in which they joined."""
        rows = self.members.values()
        return [
            row.node_id for row in rows if row.status == "up" and not row.is_silent and row.may_have(role)
        ]

    def size_of(self, role: str | None, candidates: Sequence[str]) -> Size:
        """Return how many places a slot has that is limited to a role."""
        counted = sum(row.is_counted and row.may_have(role) for row in self.members.values())
        return Size(group_size(self.replication, counted), group_size(self.replication, len(candidates)))

    @property
    def shared_slots(self) -> int:
        """How many slots are of all nodes; those of roles follow."""
        return min(self.pools.values(), default=len(self.slots))

    def slots_by_role(self) -> dict[str | None, list[int]]:
        """Return the numbers of the slots of each role, None first."""
        found: dict[str | None, list[int]] = {None: list(range(self.shared_slots))}
        for slot in range(self.shared_slots, len(self.slots)):
            found.setdefault(self.slots[slot].role, []).append(slot)
        return found

    @property
    def traits(self) -> dict[str, Traits]:
        """What the members are like, for placement."""
        return {row.node_id: row.traits for row in self.members.values()}

    def _fill_groups(self) -> None:
        """Give the places of those who do not stay to others, and let groups have the size that they should."""
        targets, traits = [row.target for row in self.slots], self.traits
        for role, slots in self.slots_by_role().items():
            candidates = sorted(self.candidates(role))
            size = self.size_of(role, candidates)
            load = replica_counts([targets[slot] for slot in slots])
            for slot in slots:
                row = self.slots[slot]
                if row.is_beginning:
                    if not candidates or not self._is_gone(row.first):
                        continue  # its first group is as it was named until it says that it is there
                    # Another group, with terms of its own: the former one may have had a leader that nobody heard of.
                    row = replace(row, epoch=row.epoch + 1, first=(), target=(), dropped=())
                    self.slots[slot] = row
                    targets[slot] = ()
                coming = tuple(node_id for node_id in row.target if node_id not in row.held)
                holders = self._holders(row.target, row.preferred, role)
                holders = holders._replace(coming=coming, reached=len(row.held))
                targets[slot] = place(slot, holders, candidates, size, load, traits)
        self._retarget(targets)
        self._begin_groups()

    def _begin_groups(self) -> None:
        """Let the slots have their first groups that had nobody to have them: each serves when it has told of itself.

        Who is named may be dead already, and not known to be. Nothing was answered then, so another group may begin.
        """
        for slot, row in enumerate(self.slots):
            if not row.first and row.target:
                first = tuple(sorted(self.members[node_id].replica_id for node_id in row.target))
                self.slots[slot] = replace(row, first=first)

    def _is_gone(self, replica_ids: Sequence[str]) -> bool:
        """Whether no majority of these processes is there: a group that they begin has no leader now."""
        present = [row.replica_id for row in self.members.values() if row.stays]
        return 2 * sum(replica_id in present for replica_id in replica_ids) <= len(replica_ids)

    def _holders(self, target: Sequence[str], first: str | None, role: str | None = None) -> Holders:
        """Sort the holders of places by what becomes of them; of a group that becomes smaller `first` stays.

        Who came again without the role gives its place up to one that has it.
        """
        by_fate: tuple[list[str], list[str], list[str]] = ([], [], [])
        for node_id in sorted(target, key=lambda node_id: (node_id != first, node_id)):
            row = self.members.get(node_id)
            if row is None or not row.is_counted or not row.may_have(role):
                by_fate[2].append(node_id)
            else:
                by_fate[0 if row.stays else 1].append(node_id)
        staying, waiting, ending = map(tuple, by_fate)
        return Holders(staying, waiting, ending)

    def _retarget(self, targets: Sequence[tuple[str, ...]]) -> None:
        """Take new targets over, and spread the preferred leaderships over those who stay."""
        # Whoever is down leads nothing; where nobody stays it does not matter.
        able = [
            tuple(node_id for node_id in target if self.members[node_id].stays) or target
            for target in targets
        ]
        preferred = [row.preferred for row in self.slots]
        for slots in self.slots_by_role().values():
            led = spread_leaders(
                [able[slot] for slot in slots], [preferred[slot] for slot in slots], self.traits
            )
            for slot, leader in zip(slots, led, strict=True):
                preferred[slot] = leader
        for slot, row in enumerate(self.slots):
            if row.target != targets[slot] or row.preferred != preferred[slot]:
                self.slots[slot] = row.with_target(targets[slot], preferred[slot])

    def _place(self, slot: int, epoch: int, leaves: str, comes: str) -> None:
        """Let a place go from one member to another, if it is there to go."""
        row = self.slots[slot] if slot < len(self.slots) else None
        member = self.members.get(comes)
        if row is None or row.epoch != epoch or member is None or member.status != "up":
            return
        if leaves not in row.target or comes in row.target or not member.may_have(row.role):
            return
        self.version += 1
        target = tuple(sorted([*(node_id for node_id in row.target if node_id != leaves), comes]))
        self._retarget([target if at == slot else other.target for at, other in enumerate(self.slots)])

    def _held(self, slot: int, epoch: int, term: int, step: int, node_ids: list[str], targets: int) -> None:
        """Take what a slot's leader told of its group; no client needs it, so it makes no version."""
        row = self.slots[slot] if slot < len(self.slots) else None
        if row is None or row.epoch != epoch or (term, step) < row.held_at:
            return
        is_news, was_beginning = (term, step) > row.held_at, row.is_beginning
        if targets == row.targets:
            row = replace(row, dropped=())
        if is_news:
            row = replace(row, held=tuple(sorted(dict.fromkeys(node_ids))), held_at=(term, step))
        self.slots[slot] = row
        if is_news and is_committed(step):
            self._reached(slot, row)
        if is_news and was_beginning:
            self._begun()

    def _begun(self) -> None:
        """A group says that it is there: nobody waits any longer to take a place in it, or one that somebody lost."""
        self.version += 1
        self._fill_groups()

    def _reached(self, slot: int, row: SlotRow) -> None:
        """A group was larger already when its target was taken back, as its report came late: it stays so.

        Also where the target names others by now: they come in its places, as those of whom somebody is down.
        """
        most = self.size_of(row.role, ()).most
        members = [self.members.get(node_id) for node_id in row.held]
        is_grown = len(row.target) < len(row.held) <= most and len(row.held) % 2 == 1
        if is_grown and all(one is not None and one.is_counted and one.may_have(row.role) for one in members):
            self.version += 1
            self._retarget([row.held if at == slot else other.target for at, other in enumerate(self.slots)])

    def _region(self, shard_type: str, num_shards: int, role: str | None) -> list[object]:
        recorded = self.regions.get(shard_type)
        if recorded is None:
            if len(self.regions) >= MAX_REGIONS:
                return [TOO_MANY, "MAX_REGIONS", MAX_REGIONS, len(self.regions)]
            if role is not None and role not in self.pools and len(self.pools) >= MAX_POOLS:
                return [TOO_MANY, "MAX_POOLS", MAX_POOLS, len(self.pools)]
            self.regions[shard_type] = num_shards
            if role is not None:
                self.region_roles[shard_type] = role
                self._open_pool(role)
            self.version += 1
        elif recorded != num_shards:
            return [CONTRADICTS, "num_shards", recorded, num_shards]
        elif self.region_roles.get(shard_type) != role:
            return [CONTRADICTS, "role", self.region_roles.get(shard_type), role]
        return [DONE]

    def _open_pool(self, role: str) -> None:
        """Add the slots of a role, if it has none; they are empty until a node has it."""
        if role in self.pools or not self.is_founded:
            return
        count = min(self.shared_slots, MAX_POOL_SLOTS)
        self.pools[role] = len(self.slots)
        self.slots += [SlotRow(first_epoch(self.generation), (), (), None, role=role) for _ in range(count)]
        self._fill_groups()

    def _service(
        self, node_id: str, incarnation: str, previous: int, number: int, rows: list[list[Any]]
    ) -> list[object]:
        member = self.members.get(node_id)
        if member is None or member.incarnation != incarnation or member.status == "removed":
            return [NOT_ON_TOP, None]
        owner = (node_id, incarnation)
        changes = [(str(key), str(ref), bool(is_on)) for key, ref, is_on in rows]
        if number > member.offered and previous in (member.offered, WHOLE):
            self._announce(member, number, changes, is_whole=previous == WHOLE)
        elif number != member.offered:
            return [NOT_ON_TOP, member.offered]
        registry = self.registry
        return [0, registry.refused(changes, owner), registry.count, registry.size_bytes]

    def _announce(
        self, member: MemberRow, number: int, changes: list[tuple[str, str, bool]], *, is_whole: bool
    ) -> None:
        owner = (member.node_id, member.incarnation)
        has_changed = is_whole and self.registry.forget(member.node_id)
        for key, ref, is_on in changes:
            has_changed = self.registry.change(key, ref, owner, is_on=is_on) or has_changed
        self.members[member.node_id] = replace(member, offered=number)
        self.version += has_changed

    def control_voters(
        self, current: Sequence[str], leader: str | None = None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return (voters, learners) that the control group should have, as peer keys.

        Voters keep their places while they stay; a node id keeps its place over restarts. All other members follow as
        learners. `current` are the node ids that vote now; `leader`, who leads, keeps its place before the others.
        Once all of them are there, one that shares a zone gives its place to a member of a zone with fewer.
        """
        asked = (tuple(self.members.values()), tuple(current), leader)
        if self._wanted is not None and self._wanted[0] == asked:
            return self._wanted[1]  # the usual case at a heartbeat: nothing that it depends on has changed
        found = self._control_voters(current, leader)
        self._wanted = (asked, found)
        return found

    def _control_voters(
        self, current: Sequence[str], leader: str | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        rows = [row for row in self.members.values() if row.status != "removed"]
        candidates, traits = self.candidates(), self.traits
        size = Size(control_size(self.counted), control_size(len(candidates)))
        holders = self._holders([node_id for node_id in current if node_id in self.members], leader)
        voters = fill(*ordered(holders, candidates, size, {}, traits), size)
        if sorted(voters) == sorted(current) and all(node_id in candidates for node_id in voters):
            voters = spread_swap(voters, candidates, traits, leader)
        keys = tuple(sorted(self.members[node_id].replica_id for node_id in voters))
        return keys, tuple(sorted(row.replica_id for row in rows if row.replica_id not in keys))

    def slot_voters(self, slot: int) -> tuple[str, ...]:
        """Return the peer keys that should hold a slot: the present process of each target node."""
        voters = self._voters.get(slot)
        if voters is None:
            voters = tuple(sorted(self.members[node_id].replica_id for node_id in self.slots[slot].target))
            self._voters[slot] = voters
        return voters

    def dump(self) -> bytes:
        """Return the whole state; `load` of it gives an equal machine."""
        members = [
            [m.node_id, m.incarnation, m.host, m.port, m.status, m.was_up, m.is_silent, m.former, m.offered,
             m.traits.plain, m.is_leaving]
            for m in self.members.values()
        ]  # fmt: skip
        slots = [
            [
                row.epoch,
                row.first,
                row.target,
                row.preferred,
                row.held,
                row.held_at,
                row.role,
                row.dropped,
                row.targets,
            ]
            for row in self.slots
        ]
        return pack(
            [self.version, self.generation, self.cluster_id, self.name, self.replication, self.settings,
             members, slots, self.regions, self.region_roles, self.pools, self.registry.dump(), self.former,
             self.former_members]
        )  # fmt: skip

    def load(self, data: bytes) -> None:
        """Replace the state by a dumped one."""
        fields: Any = unpack(data)
        self._voters.clear()
        (
            self.version, self.generation, self.cluster_id, self.name, self.replication, self.settings,
            members, slots, self.regions, self.region_roles, self.pools, services, former, former_members,
        ) = fields  # fmt: skip
        self.former = tuple((cluster_id, generation) for cluster_id, generation in former)
        self.former_members = tuple((host, port) for host, port in former_members)
        self.members = {row[0]: member_of(row) for row in members}
        self.slots = [slot_row_of(row) for row in slots]
        self.registry.load(services)
