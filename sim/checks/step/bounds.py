"""Bounds of what nodes and clients keep while they run (9), and what they do when nothing happens any more (17, 47).

Looked at now and then, and only in tables themselves: a count or a property kept beside a table may be as wrong as the
table. What must be over some time after the last call is waited for, and then has to stay over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from casty.address import node_id_of
from casty.cluster.slots.applied import MIN_OUTCOMES
from casty.cluster.slots.session_record import SlotSession
from casty.cluster.slots.window import MORE_ROOM
from casty.consensus import Role
from casty.wire import frames
from casty.wire.registry import default_registry

from ..violation import Violation
from .attempts import Attempts
from .introspection import (
    GroupView,
    control_replica_of,
    gateway_of,
    leaders_of,
    machine_of,
    slot_replica_of,
)
from .remains import UNDER_WAY, WAITING, Sizes, limits_at_rest, too_many

if TYPE_CHECKING:
    from casty.cluster.sessions.gateway import Gateway
    from casty.config import Settings

    from ...world.process import Process
    from ...world.world import World
    from .check import StepChecks

__all__ = ["Bounds"]

LOOK_EVERY_S = 0.25
REST_WITHIN_S = 30
CALLS_END_WITHIN_S = 5
"""Less than any session without calls is kept: what ends with a session must not hide what should have ended before."""
REST_S = 2
_IDLE_RATE = 3
_KEEP_ALIVES = 3
"""How often a session is kept alive within its time to live."""
_FEW = 8
"""Frames that need no reason."""
_IDLE_KINDS = (
    frames.HEARTBEAT,
    frames.HEARTBEAT_ACK,
    frames.PING,
    frames.PONG,
    frames.KEEPALIVE,
    frames.KEEPALIVE_ACK,
)

_URGENT = 64
"""Releases and withdrawals of a session that a gateway numbers beyond the window."""


class Bounds:
    """All bounds of one world.

    Parameters
    ----------
    world
        The world to look into.
    settings
        The cluster's.
    checks
        Knows what runs, and takes the first violation.
    entities, items
        How many names of entities the run uses, and how many items it puts into queues.
    seed
        The run's: which node and which client are looked at closely.
    shortest_ttl_s
        Of all sessions: what keep-alives follow.
    """

    def __init__(
        self,
        world: World,
        settings: Settings,
        checks: StepChecks,
        *,
        entities: int,
        items: int,
        seed: int,
        shortest_ttl_s: float,
    ) -> None:
        self._shortest_ttl_s = shortest_ttl_s
        self._world = world
        self._entities = entities
        self._items = items
        self._seed = seed
        self._settings = settings
        self._registered = len(default_registry.types)
        self._checks = checks
        self._attempts = Attempts(world, checks.report)
        self._calls_end_ns = 0
        self._is_over = False
        world.after(LOOK_EVERY_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._is_over = True

    def _look(self) -> None:
        if self._is_over or self._checks.first is not None:
            return
        for process, host in self._checks.live():
            for group in list(host.groups.values()):
                self._check_log(process, group)
                self._check_sessions(process, group)
        for name, system in self._checks.running_systems():
            self._check_gateway(name, gateway_of(system))
        self._world.after(LOOK_EVERY_S, self._look)

    def _broken(self, subject: str, text: str) -> None:
        self._checks.report(Violation(9, subject, text))

    # -- while it runs

    def _check_log(self, process: Process, group: GroupView) -> None:
        """A log keeps what is retained, what a compaction waits for, and what is not committed yet."""
        settings, core = self._settings, group.core
        entries = core.log.entries
        kept = len(entries)
        under_way = core.last_index - core.commit
        most = settings.retained_entries + settings.snapshot_entries + under_way
        if kept > most:
            self._broken(_place(process, group), f"{kept} entries are kept, at most {most} may be")
        # The last one applied may have gone beyond; with it the log is compacted.
        applied = entries[: max(0, kept - under_way - 1)]
        size = sum([len(entry.data) for entry in applied])
        if size > settings.retained_bytes:
            text = f"{size} applied bytes are kept, at most {settings.retained_bytes} may be"
            self._broken(_place(process, group), text)

    def _check_sessions(self, process: Process, group: GroupView) -> None:
        machine = machine_of(group)
        if machine is None:
            return
        # See `casty/cluster/slots/window.py`.
        room, waiters = MORE_ROOM * self._settings.max_window_replies, self._settings.max_waiters
        outcomes = max(waiters, MIN_OUTCOMES) + waiters
        for number, session in machine.sessions.items():
            if (
                len(session.replies) > room
                or len(session.withdrawn) > room
                or len(session.outcomes) > outcomes
            ):
                self._broken(
                    f"session {number} of {_place(process, group)}", _too_much(session, room, outcomes)
                )

    def _check_gateway(self, name: str, gateway: Gateway | None) -> None:
        if gateway is None:
            return
        window = self._settings.max_window_replies
        for client_session in gateway.sessions_by_slot.values():
            numbered = client_session.next_seq - client_session.ack_watermark
            if numbered > window + _URGENT:
                self._broken(
                    name,
                    f"{numbered} requests are outstanding in slot {client_session.slot}, of a window of {window}",
                )
        table = gateway.core.table
        parked = [row for rows in table.parked.values() for row in (*rows.unnumbered, *rows.routed)]
        if len(parked) != table.parked_count or any(call not in table.calls for call in parked):
            self._broken(name, f"{len(parked)} calls are parked, counted as {table.parked_count}")

    # -- at rest

    async def rest(self) -> None:
        """Wait until nothing goes on that nobody asked for, and see that it stays so."""
        end_ns = self._world.now_ns + REST_WITHIN_S * 10**9
        self._calls_end_ns = self._world.now_ns + CALLS_END_WITHIN_S * 10**9
        while self._checks.first is None:
            versions, sent = self._versions(), dict(self._attempts.frames)
            await asyncio.sleep(REST_S)
            lack = self._lack(versions, sent)
            if lack is None:
                return
            if self._world.now_ns >= end_ns:
                self._checks.report(lack)

    def _lack(self, versions: list[int], sent: dict[int, int]) -> Violation | None:
        """Say what is not at rest, given how it was a little ago."""
        if self._versions() != versions:
            return Violation(
                47, "control group", f"went from versions {versions} to {self._versions()} at rest"
            )
        counts = {kind: count - sent.get(kind, 0) for kind, count in self._attempts.frames.items()}
        heartbeats = sum(counts.pop(kind, 0) for kind in _IDLE_KINDS)
        for name, count, most in (
            ("heartbeats", heartbeats, self._most_heartbeats()),
            ("others", sum(counts.values()), self._heartbeats()),
        ):
            if count > most:
                return Violation(
                    47,
                    "the network",
                    f"{count} frames in {REST_S} s ({name}; by kind {counts}), at most {most}",
                )
        return self._stray() or self._unheard_leader() or self._remaining()

    def _versions(self) -> list[int]:
        """Return which versions of the cluster the nodes have."""
        groups = [host.groups.get(0) for _, host in self._checks.live()]
        found = [None if group is None else control_replica_of(group) for group in groups]
        return sorted(replica.machine.version for replica in found if replica is not None)

    def _heartbeats(self) -> int:
        """Return how many heartbeats and answers nodes that all share a group exchange."""
        nodes = len(self._checks.live())
        return round(2 * nodes * (nodes - 1) * REST_S / self._settings.heartbeat_s) + _FEW

    def _most_heartbeats(self) -> int:
        """Return what may be sent at rest, keep-alives and pings of all gateways among it."""
        links = len(self._world.processes) * len(self._checks.live())
        rows = round(2 * links * REST_S * _KEEP_ALIVES / self._shortest_ttl_s)
        return _IDLE_RATE * (self._heartbeats() + rows + 2 * links * REST_S)

    def _remaining(self) -> Violation | None:
        """Say which table of one node or one client has rows of what is over."""
        names = list(self._world.processes)
        members = sum(name in self._world.node_names for name in names)
        groups = self._checks.groups
        sizes = Sizes(groups, len(names), members, self._entities, self._items, self._registered)
        limits = limits_at_rest(self._settings, sizes)
        running = [name for name, _ in self._checks.running_systems()]
        nodes = [name for name in running if name in self._world.node_names]
        clients = [name for name in running if name not in self._world.node_names]
        if self._seed % 2:
            # Most rows come and go where groups are led: half of the seeds look there.
            nodes = sorted(nodes, key=self._led_by)[-1:]
        for chosen in (nodes, clients):
            if chosen:
                name = chosen[self._seed // 2 % len(chosen)]
                for path, text in too_many(self._world.processes[name], *limits):
                    found = Violation(9, name, f"at rest {text}")
                    if self._should_have_ended(path):
                        self._checks.report(found)
                    return found
        return None

    def _should_have_ended(self, path: str) -> bool:
        """Whether rows of a table are wrong now, whatever ends with a session later."""
        if path not in UNDER_WAY or self._world.now_ns < self._calls_end_ns:
            return False
        return path != WAITING or self._waits_of_the_living()

    def _waits_of_the_living(self) -> bool:
        """Whether a call waits at a slot's leader whose session some client still has.

        Those of the others end with their sessions, which a leader that follows another gives a whole time to live.
        """
        gateways = [gateway_of(system) for _, system in self._checks.running_systems()]
        owned = {
            (client_session.slot, client_session.number)
            for gateway in gateways
            if gateway is not None
            for client_session in gateway.sessions_by_slot.values()
        }
        return any(
            (group.number - 1, session) in owned
            for _, host in self._checks.live()
            for group in host.groups.values()
            for session in _waiting(group)
        )

    def _led_by(self, name: str) -> int:
        hosts = [host for process, host in self._checks.live() if process.name == name]
        return sum(group.core.role is Role.LEADER for host in hosts for group in host.groups.values())

    def _unheard_leader(self) -> Violation | None:
        """Say who takes another node for the leader of a slot, or none: its calls there would not arrive (46)."""
        led = {
            group.number - 1: node_id_of(group.core.id)
            for _, host in self._checks.live()
            for group in host.groups.values()
            if group.core.role is Role.LEADER
        }
        for name, value in self._checks.running_systems():
            leaders = leaders_of(value)
            if leaders is None:
                continue
            for slot in range(self._checks.groups - 1):
                if slot in led and leaders.leader_of(slot) != led[slot]:
                    text = f"takes {leaders.hint_of(slot)} for the leader of slot {slot} at rest, which is {led[slot]}"
                    return Violation(46, name, text)
        return None

    def _stray(self) -> Violation | None:
        """Say which slot has two groups, or replicas that are not those of its configuration (17)."""
        epochs: dict[int, dict[str, int]] = {}
        members: dict[int, tuple[str, ...]] = {}
        for _, host in self._checks.live():
            for group in host.groups.values():
                epochs.setdefault(group.number, {})[group.core.id] = group.epoch
                if group.core.role is Role.LEADER and group.core.membership is not None:
                    members[group.number] = group.core.membership.members
        for number, replicas in epochs.items():
            if len(dict.fromkeys(replicas.values())) > 1:
                return Violation(17, f"group {number}", f"has replicas of several epochs: {replicas}")
            if tuple(sorted(replicas)) != members.get(number):
                return Violation(
                    17,
                    f"group {number}",
                    f"has replicas {sorted(replicas)}, yet members {members.get(number)}",
                )
        return None


def _waiting(group: GroupView) -> Collection[int]:
    """Return the sessions that wait at the leader of a slot, if it is here."""
    replica = slot_replica_of(group)
    return () if replica is None or replica.leader is None else replica.leader.waiting


def _place(process: Process, group: GroupView) -> str:
    return f"group {group.number} at {process.name}"


def _too_much(session: SlotSession, room: int, outcomes: int) -> str:
    """Say what a slot remembers too much of a session."""
    for name, table, most in (
        ("replies", session.replies, room),
        ("withdrawals", session.withdrawn, room),
        ("outcomes", session.outcomes, outcomes),
    ):
        if len(table) > most:
            return f"{len(table)} {name} are kept, at most {most} may be"
    return ""
