"""The status document: what one node knows about the cluster, stable for programs. See docs/operations.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from casty.address import node_id_of
from casty.cluster.control.machine import ControlMachine
from casty.cluster.control.topology import LeaderTable
from casty.cluster.control.upkeep import places_to_move
from casty.cluster.multiraft.host import Host
from casty.cluster.multiraft.numbers import group_of
from casty.ports import Clock
from casty.wire import frames

__all__ = ["KEPT_NS", "StatusReplies", "status_document"]

KEPT_NS = 50_000_000
"""How old the status may be that a link is sent; so it is made twenty times a second at most, whoever asks."""


class Outbound(Protocol):
    """A link."""

    def send(self, kind: int, body: bytes) -> bool:
        """Stage a frame."""
        ...


class StatusReplies:
    """Answers whoever asks for the status: at the end of the turn, and once however often it asked in it.

    Parameters
    ----------
    clock
        Tells how old the kept status is.
    make
        Returns the status as it is sent.

    Bounds: `_asked` is empty after each turn.
    """

    __slots__ = ("_asked", "_clock", "_kept", "_made_ns", "_make")

    def __init__(self, clock: Clock, make: Callable[[], bytes]) -> None:
        self._clock = clock
        self._make = make
        self._asked: dict[Outbound, None] = {}
        self._kept = b""
        self._made_ns = 0

    def ask(self, link: Outbound) -> None:
        """A link asks."""
        self._asked[link] = None

    def flush(self) -> None:
        """Send it; runs when the groups have settled."""
        if not self._asked:
            return
        asked, self._asked = self._asked, {}
        now_ns = self._clock.now()
        if not self._kept or not 0 <= now_ns - self._made_ns < KEPT_NS:
            self._kept, self._made_ns = self._make(), now_ns
        for link in asked:
            link.send(frames.STATUS_REPLY, self._kept)


def status_document(
    host: Host,
    machine: ControlMachine,
    leaders: LeaderTable,
    is_linked: Callable[[str], bool],
    missing: list[str],
    closed: list[int],
    lost: list[dict[str, object]],
    disk: dict[str, object] | None,
    failure_of: Callable[[int], str | None],
    sessions: int,
    structures: dict[str, int],
    memory: dict[str, object],
    messages: dict[str, int],
) -> dict[str, object]:
    """Return members, leader, slots, sessions, structures in use and memory as a plain value.

    `closed` are the slots led here that grant nothing yet after a recovery, `lost` the
    groups here that lack a leader, `disk` what state the node's disk is in. `failure_of` says why a group, by its
    number, has no replica here after one raised. `leaders` and `is_linked` say who leads a slot that has no replica
    here; `sessions` and `structures` count what the slots led by this node hold; `memory` is its use of its budget,
    `messages` what became of messages of actors that nobody will handle.
    """
    control = host.groups.get(0)
    leader = control.core.leader if control is not None else None
    return {
        "name": machine.name,
        "cluster_id": machine.cluster_id,
        "generation": machine.generation,
        "version": machine.version,
        "replication": machine.replication,
        "leader": None if leader is None else node_id_of(leader),
        "missing": missing,
        "members": [
            {
                "id": row.node_id,
                "address": f"{row.host}:{row.port}",
                "status": row.status,
                "incarnation": row.incarnation,
                "zone": row.traits.zone,
                "weight": row.traits.weight,
                "roles": list(row.traits.roles),
            }
            for row in machine.members.values()
        ],
        "slots": [
            {**_slot(host, machine, leaders, is_linked, slot), "failed": failure_of(group_of(slot))}
            for slot in range(len(machine.slots))
        ],
        "closed": closed,
        "lost": lost,
        "disk": disk,
        "shared_slots": machine.shared_slots,
        "places_to_move": places_to_move(machine),
        "moving": [slot for slot, row in enumerate(machine.slots) if row.is_moving],
        "sessions": sessions,
        "structures": structures,
        "memory": memory,
        "messages": messages,
    }


def _slot(
    host: Host, machine: ControlMachine, leaders: LeaderTable, is_linked: Callable[[str], bool], slot: int
) -> dict[str, object]:
    row = machine.slots[slot]
    group = host.groups.get(group_of(slot))
    hint = leaders.hint_of(slot)
    leader = None if hint is None else hint.leader
    document: dict[str, object] = {
        "slot": slot,
        "epoch": row.epoch,
        "leader": leader if leader is not None and is_linked(leader) else None,
        "replicas": list(row.held),
        "target": list(row.target),
        "role": row.role,
        "term": 0 if hint is None else hint.term,
        "commit": None,
    }
    if group is not None:
        if group.core.membership is not None:
            # Its own group knows better than what was heard of it once.
            document["leader"] = None if group.core.leader is None else node_id_of(group.core.leader)
        document["term"] = group.core.term
        document["commit"] = group.core.commit
        membership = group.core.committed_membership
        if membership is not None:
            document["replicas"] = sorted(node_id_of(key) for key in membership.voters)
    return document
