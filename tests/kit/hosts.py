"""Processes with real cores and their heartbeats, on one clock and a network that a test moves."""

from __future__ import annotations

from typing import Any

from casty.cluster.multiraft.heartbeats import Heartbeats
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.multiraft.memory_budget import MemoryBudget, Usage
from casty.cluster.multiraft.snapshot_transfers import Whole, WholeLoad
from casty.consensus import Core, Entry, Limits, Membership, Timing
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.world import World

__all__ = ["MS", "TIMING", "TTL_NS", "Applied", "Frame", "HostWorld", "Process"]

MS = 1_000_000
TIMING = Timing(1000 * MS, 1500 * MS, 250 * MS, 10_000)
TTL_NS = 15_000 * MS
EPOCH = 7
BUDGET = 1 << 30

Frame = tuple[int, bytes]
"""A kind and a body."""


class Applied:
    """A replica whose state is what it applied, in parts of a few bytes; `fails_at` raises when it is applied."""

    def __init__(self) -> None:
        self.state: list[bytes] = []
        self.is_closed = False
        self.fails_at = b""

    def apply(self, index: int, entry: Entry) -> None:
        if entry.data == self.fails_at:
            raise MemoryError(index)
        self.state.append(entry.data)

    def role_changed(self, group: Group) -> None:
        """Not looked at."""

    def serve_read(self, token: int) -> None:
        """Nobody reads."""

    def refuse_read(self, token: int) -> None:
        """Nobody reads."""

    def begin_dump(self) -> Whole:
        return Whole(pack(self.state), 8)

    def begin_load(self) -> WholeLoad:
        return WholeLoad(self._load)

    def _load(self, data: bytes) -> None:
        state: Any = unpack(data)
        self.state = state

    def close(self) -> None:
        self.is_closed = True


class Process:
    """One process: its host, its heartbeats, its memory budget, and who answered it."""

    def __init__(self, world: HostWorld, key: str) -> None:
        self.world = world
        self.key = key
        self.budget = MemoryBudget(BUDGET)
        self.host = Host(world.ports().runtime, self._send, 1 << 20)
        self.answered: list[str] = []
        """Who answered a heartbeat, in order."""
        self.heartbeats = Heartbeats(
            self.host, world.clock, key, self._send, lambda peer, sent_ns: self.answered.append(peer), self.budget,
            TTL_NS,
        )  # fmt: skip

    def _send(self, to: str, kind: int, body: bytes) -> bool:
        return self.world.network.send(self.key, to, (kind, body))

    def fill(self, *, is_full: bool) -> None:
        """Use up the memory budget, or nothing of it."""
        self.budget.measured(Usage(state=BUDGET if is_full else 0))

    def take(self, sender: str, frame: Frame) -> None:
        kind, body = frame
        if kind == frames.CONSENSUS:
            self.host.on_consensus(sender, body)
        else:
            self.heartbeats.on_frame(sender, kind, body)
        self.host.settle()


class HostWorld(World[Frame]):
    """Processes by key; a heartbeat is sent by `heartbeat` only."""

    def __init__(self, *keys: str) -> None:
        super().__init__(1_000 * TTL_NS)
        self.at = {key: Process(self, key) for key in keys}

    def receive(self, sender: str, to: str, message: Frame) -> None:
        self.at[to].take(sender, message)

    def group(self, number: int, *ids: str, epoch: int = EPOCH) -> None:
        """Create a group of these replicas: a key, or a key and its number as ``a~2``."""
        members = Membership(tuple(sorted(ids)))
        for position, id in enumerate(ids):
            host = self.at[id.partition("~")[0]].host
            core = Core(
                id=id, group=number, epoch=epoch, membership=members, now_ns=self.clock.now(), timing=TIMING,
                limits=Limits(), rounds=host.rounds,
                election_timeout_ns=lambda late_ns=100 * MS * position: 1000 * MS + late_ns,
            )  # fmt: skip
            host.add(Group(number, epoch, core, Applied()))

    def core(self, key: str, number: int = 1) -> Core:
        return self.at[key].host.groups[number].core

    def lead(self, key: str, number: int = 1) -> None:
        """Let a process campaign for a group, and deliver all that follows."""
        host = self.at[key].host
        host.groups[number].core.campaign(self.clock.now())
        host.mark(host.groups[number])
        host.settle()
        self.network.deliver()

    def heartbeat(self, key: str) -> None:
        """Let a process send its heartbeats; they are under way."""
        self.at[key].heartbeats.heartbeat()

    def round(self, key: str) -> None:
        """Let a process send its heartbeats, and deliver all that follows."""
        self.heartbeat(key)
        self.network.deliver()

    def lease_ms(self, key: str, number: int = 1) -> int:
        """Return for how long a leader's lease lasts from now, in milliseconds; 0 without one."""
        return max(0, self.core(key, number).lease_until_ns() - self.clock.now()) // MS
