"""Conversations of a group as text: commands in, transcript out.

See `tests.kit.script` for the form of a script. Nothing happens that a command does not ask for: time stands, messages
wait, nobody heartbeats.
`python -m tests.scripts.raft_script FILE...` writes the transcripts anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from casty.consensus import (
    Core,
    Entry,
    Limits,
    Membership,
    NotLeading,
    ProposalRefused,
    Ready,
    Restored,
    Role,
    Rounds,
    Timing,
)
from casty.consensus import messages as m
from casty.consensus.leading import UNLIMITED_NS
from casty.wire.pack import pack, unpack
from tests.kit.script import Script, rewrite
from tests.kit.world import World
from tests.scripts.raft_snapshots import Snapshots

MS = 1_000_000
TIMING = Timing(1000 * MS, 1500 * MS, 250 * MS, 10_000)
LIMITS = Limits(
    snapshot_window_chunks=2,
    retained_entries=0,
    compact_entries=1000,
    max_uncommitted_bytes=64,
)
KINDS = ("data", "noop", "config")


def text_of(message: Sequence[Any]) -> str:
    """Return a message in words."""
    kind, term = message[0], message[1]
    if kind == m.APPEND:
        entries = " ".join(f"{term}:{entry_text(kind, data)}" for term, kind, data in message[6])
        return f"append t{term} after {message[2]}/t{message[3]} commit {message[4]} [{entries}]"
    if kind == m.APPEND_REPLY:
        outcome = ("accepted", "rejected", "blank")[message[3]]
        hint = f" hint {message[5]}/t{message[6]}" if message[3] == m.REJECTED else ""
        return f"append-reply t{term} {outcome} {message[4]}{hint}"
    if kind == m.VOTE:
        return f"vote t{term} log {message[2]}/t{message[3]}{' forced' if message[4] else ''}"
    if kind == m.VOTE_REPLY:
        return f"vote-reply t{term} {'granted' if message[2] else 'refused'}"
    if kind == m.PRE_VOTE:
        return f"pre-vote t{term} log {message[2]}/t{message[3]}"
    if kind == m.PRE_VOTE_REPLY:
        return f"pre-vote-reply t{term} {'granted' if message[2] else 'refused'} for t{message[3]}"
    if kind == m.SNAPSHOT:
        piece = f"part {message[10]} of {len(message[12])} bytes{', the last' if message[11] else ''}"
        return f"snapshot t{term} at {message[3]}/t{message[4]} {piece}"
    if kind == m.SNAPSHOT_REPLY:
        return f"snapshot-reply t{term} at {message[3]} held {message[4]}"
    return f"timeout-now t{term}"


def entry_text(kind: int, data: bytes) -> str:
    """Return an entry in words."""
    return data.decode() if kind == 0 else KINDS[kind]


def membership_text(membership: Membership | None) -> str:
    """Return a configuration as ``voters|outgoing|learners``."""
    if membership is None:
        return "blank"
    return "|".join(",".join(half) or "-" for half in membership)


class RaftScript(Script):
    """One group, driven by commands."""

    def __init__(self) -> None:
        super().__init__()
        self.cores: dict[str, Core] = {}
        self.rounds: dict[str, Rounds] = {}
        self.states: dict[str, list[str]] = {}
        self.snapshots: dict[str, Snapshots] = {}
        self.world: World[bytes] = World(0, receive=self._receive, lost=self._lost)

    def _create(self, id: str, membership: Membership | None, restored: Restored | None = None) -> None:
        position = len(self.cores)
        self.rounds[id] = Rounds()
        self.states[id] = []
        self.snapshots[id] = Snapshots(8)
        self.cores[id] = Core(
            id=id,
            group=1,
            epoch=1,
            membership=membership,
            now_ns=self.world.clock.now(),
            timing=TIMING,
            limits=LIMITS,
            rounds=self.rounds[id],
            election_timeout_ns=lambda: (1000 + 100 * position) * MS,
            restored=restored,
        )

    # Set-up

    def do_cluster(self, *ids: str) -> None:
        """Create founding voters: cluster a b c."""
        for id in ids:
            self._create(id, Membership(tuple(sorted(ids))))

    def do_blank(self, *ids: str) -> None:
        """Create blank replicas: blank d."""
        for id in ids:
            self._create(id, None)

    def do_log(self, id: str, voters: str, term: str, *terms: str) -> None:
        """Create a voter back from disk: log a a,b,c 6 1 1 4 (its term, then the terms of its entries)."""
        entries = [Entry(int(each), 0, f"{id}{index}".encode()) for index, each in enumerate(terms, 1)]
        restored = Restored(int(term), None, None, entries)
        self._create(id, Membership(tuple(voters.split(","))), restored)

    def do_restart(self, id: str) -> None:
        """Let a process end and come back from its disk."""
        core = self.cores.pop(id)
        assert core.first_index == 1, "this disk has no snapshots"
        restored = Restored(core.term, core.vote, None, list(core.log.entries))
        self.world.network.lose(lambda flight: flight.to == id)
        self._create(id, core.history.items[0][1], restored)

    # Inputs

    def do_campaign(self, id: str) -> None:
        """Let a replica stand."""
        self.cores[id].campaign(self.world.clock.now())
        self._settle(id)

    def do_propose(self, id: str, *values: str) -> None:
        """Propose values in one turn."""
        for value in values:
            try:
                self.cores[id].propose(value.encode())
            except NotLeading as error:
                self.out.append(f"{id}: not leading, leader {error.leader}")
            except ProposalRefused as error:
                self.out.append(f"{id}: refused: {error.reason}")
        self._settle(id)

    def do_read(self, id: str, token: str) -> None:
        """Ask for a read."""
        self.cores[id].read(self.world.clock.now(), int(token))
        self._settle(id)

    def do_transfer(self, id: str, to: str) -> None:
        """Hand leadership over."""
        if not self.cores[id].transfer(self.world.clock.now(), to):
            self.out.append(f"{id}: no transfer")
        self._settle(id)

    def do_change(self, id: str, voters: str, learners: str = "") -> None:
        """Walk one step: change a b,c,d e."""
        is_open = self.cores[id].change(
            self.world.clock.now(), voters.split(","), [each for each in learners.split(",") if each]
        )
        self.out.append(f"{id}: {'on the way' if is_open else 'reached'}")
        self._settle(id)

    def do_compact(self, id: str) -> None:
        """Let the state stand for all that is applied."""
        core = self.cores[id]
        core.compact(core.applied)
        self.out.append(f"{id}: log begins at {core.first_index}")

    def do_hints(self, id: str) -> None:
        """Spread the commit index."""
        self.cores[id].commit_hints()
        self._settle(id)

    def do_probe(self, id: str, peer: str) -> None:
        """Send an append now."""
        self.cores[id].probe(self.world.clock.now(), peer)
        self._settle(id)

    def do_time(self, milliseconds: str) -> None:
        """Let time pass and tick everybody, in order."""
        self.world.clock.skip(int(milliseconds) / 1000)
        for id in self.cores:
            self.cores[id].tick(self.world.clock.now())
            self._settle(id)

    def do_wait(self, milliseconds: str) -> None:
        """Let time pass and tick nobody."""
        self.world.clock.skip(int(milliseconds) / 1000)

    def do_beat(self, id: str) -> None:
        """Let a leader heartbeat; whoever agrees on term and configuration answers at once."""
        core = self.cores[id]
        for peer in core.peers:
            other = self.cores.get(peer)
            if (
                other is None
                or self.world.network.is_cut(id, peer)
                or self.world.network.is_cut(peer, id)
                or other.leader != id
            ):
                continue
            if (other.term, other.membership_index) == (core.term, core.membership_index):
                self.rounds[peer].heard[id] = self.world.clock.now()
                self.rounds[id].answered[peer] = self.world.clock.now()
        core.rounds_advanced(self.world.clock.now())
        self._settle(id)

    # Network

    def do_cut(self, *links: str) -> None:
        """Cut links: cut a-b a>c."""
        self.world.network.cut(*links)

    def do_isolate(self, id: str) -> None:
        """Cut every link of one process."""
        self.world.network.isolate(id, *self.cores)

    def do_heal(self) -> None:
        """Restore every link."""
        self.world.network.heal()

    def do_lose(self) -> None:
        """Lose everything under way."""
        self.out.append(f"lost {self.world.network.lose()}")

    def do_deliver(self, rounds: str = "99") -> None:
        """Deliver what is under way, and what follows from it, for some hops."""
        self.world.network.deliver(int(rounds))

    def _receive(self, sender: str, to: str, data: bytes) -> None:
        message: Any = unpack(data)
        if to not in self.cores:
            self._lost(sender, to, data)
            return
        self.out.append(f"{sender} -> {to} {text_of(message)}")
        self.cores[to].step(self.world.clock.now(), sender, message)
        self._settle(to)

    def _lost(self, sender: str, to: str, data: bytes) -> None:
        self.out.append(f"{sender} -> {to} {text_of(cast(Any, unpack(data)))} LOST")

    # Looking

    def do_state(self, *ids: str) -> None:
        """Show replicas."""
        for id in ids or self.cores:
            core = self.cores[id]
            log = f"log {core.first_index}-{core.last_index}/t{core.log.last_term} commit {core.commit}"
            self.out.append(
                f"{id}: {core.role.value} t{core.term} leader {core.leader} {log} "
                f"{membership_text(core.membership)} [{' '.join(self.states[id])}]"
            )

    def do_terms(self, *ids: str) -> None:
        """Show the terms of every entry."""
        for id in ids or self.cores:
            self.out.append(f"{id}: {' '.join(str(entry.term) for entry in self.cores[id].log.entries)}")

    def do_lease(self, id: str) -> None:
        """Show how long a lease lasts from now."""
        until = self.cores[id].lease_until_ns()
        left = "unlimited" if until == UNLIMITED_NS else f"{max(until - self.world.clock.now(), 0) // MS} ms"
        self.out.append(f"{id}: lease {left if until else 'none'}")

    def do_progress(self, id: str) -> None:
        """Show what a leader knows of its peers."""
        for peer in self.cores[id].peers:
            report = self.cores[id].progress_of(peer)
            assert report is not None
            caught_up = " caught up" if report.is_caught_up else ""
            self.out.append(f"{id}: {peer} {report.state} match {report.match} next {report.next}{caught_up}")

    # The host's work

    def _settle(self, id: str) -> None:
        core = self.cores[id]
        while (ready := self._next_ready(id)) is not None:
            for to, message in ready.messages:
                self.world.network.send(id, to, pack(message))
            if ready.entries:
                core.stored(ready.first_index + len(ready.entries) - 1, ready.entries[-1].term)
            self._apply(id, ready)
            if ready.needs_snapshot:
                data = ",".join(self.states[id]).encode()
                self.snapshots[id].begin(core, self.world.clock.now(), core.applied, data)
            if ready.role_changed and core.role is Role.LEADER and core.applied < core.lead_index:
                self.out.append(f"{id}: leads t{core.term}")

    def _next_ready(self, id: str) -> Ready | None:
        restored = self.snapshots[id].work(self.cores[id], self.world.clock.now())
        if restored is not None:
            snapshot, data = restored
            self.out.append(f"{id}: installs {snapshot.index}")
            self.states[id] = [value for value in data.decode().split(",") if value]
        return self.cores[id].ready()

    def _apply(self, id: str, ready: Ready) -> None:
        for index, entry in enumerate(ready.committed, ready.committed_first):
            self.out.append(f"{id}: applies {index} {entry_text(entry.kind, entry.data)}")
            if entry.kind == 0:
                self.states[id].append(entry.data.decode())
        for token, index in ready.reads:
            self.out.append(f"{id}: read {token} at {index}")
        for token in ready.reads_refused:
            self.out.append(f"{id}: read {token} refused")


if __name__ == "__main__":
    rewrite(RaftScript)
