"""A hostile world for consensus cores: a seeded network, drifting clocks, crashes, checkers for 10 to 16.

Everything a run does follows from its seed. The world plays the host: it persists, sends, applies, heartbeats,
compacts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

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
    Snapshot,
    Timing,
)
from casty.wire.pack import pack, unpack
from tests.kit.network import Flight
from tests.kit.world import World
from tests.scripts.raft_fields import check_fields
from tests.scripts.raft_snapshots import Snapshots

MS = 1_000_000
TIMING = Timing(1000 * MS, 1500 * MS, 250 * MS, 10_000)
LIMITS = Limits(
    max_append_entries=5,
    max_append_bytes=200,
    max_inflight_appends=3,
    snapshot_window_chunks=2,
    retained_entries=4,
    retained_bytes=400,
    compact_entries=8,
    max_uncommitted_bytes=2000,
)
HEARTBEAT, HEARTBEAT_REPLY = 101, 102


def values_of(data: bytes) -> list[bytes]:
    """Read what `Node.dump` wrote."""
    values: Any = unpack(data)
    return list(values)


class Violation(AssertionError):
    """An invariant broke."""


class Node:
    """One process with one core; `rate` is how its clock runs against true time."""

    def __init__(
        self, world: RaftWorld, id: str, membership: Membership | None, restored: Restored | None = None
    ) -> None:
        self.world = world
        self.id = id
        self.rate = 1 + world.random.choice((-4, 0, 4)) / 1000
        self.offset_ns = world.random.randrange(0, 1000) * MS
        self.rounds = Rounds()
        self.is_alive = True
        self.paused_until = 0
        self.state: list[bytes] = []
        self.applied = 0
        self.unsynced: deque[Ready] = deque()
        self.disk_log: list[Entry] = []
        self.disk_first = 1
        self.disk_snapshot: Snapshot | None = None
        self.disk_state = b""
        self.snapshots = Snapshots(64)
        self.disk_hard: tuple[int, str | None] = (0, None)
        self.hard_seen: tuple[int, str | None] = (0, None)
        self.tick_at = -1
        self.founding = membership
        if restored is not None:
            self.disk_log = list(restored.entries)
            self.disk_snapshot = restored.snapshot
            self.disk_first = 1 if restored.snapshot is None else restored.snapshot.index + 1
            self.disk_hard = self.hard_seen = (restored.term, restored.vote)
        low, high = TIMING.election_min_ns, TIMING.election_max_ns
        self.core = Core(
            id=id,
            group=1,
            epoch=1,
            membership=membership,
            now_ns=self.local_ns(),
            timing=TIMING,
            limits=LIMITS,
            rounds=self.rounds,
            election_timeout_ns=lambda: world.random.randrange(low, high),
            reads=world.reads,
            restored=restored,
        )

    def local_ns(self) -> int:
        return int(self.world.clock.now() * self.rate) + self.offset_ns

    def true_time(self, local_ns: int) -> int:
        return int((local_ns - self.offset_ns) / self.rate) + 1

    def restored(self) -> Restored:
        term, vote = self.disk_hard
        return Restored(term, vote, self.disk_snapshot, list(self.disk_log))

    def dump(self) -> bytes:
        return pack(self.state)


class RaftWorld(World[bytes]):
    """Nodes, their network and the checkers."""

    def __init__(self, seed: int, voters: int = 3, *, loss: float = 0.05, disk: bool = False) -> None:
        super().__init__(1, carry=self._carry)
        self.random = Random(seed)
        self.loss = loss
        self.has_disk = disk
        self.is_disk_slow = disk and seed % 2 == 1
        self.reads: Any = "lease" if seed % 3 else "quorum"
        self.count = 0
        self.nodes: dict[str, Node] = {}
        self.history: dict[int, Entry] = {}
        self.states: dict[int, bytes] = {}
        self.leaders: dict[int, str] = {}
        self.commit = 0
        self.reading: dict[int, int] = {}
        self.served = 0
        self.stats: dict[str, int] = {}
        self.next_number = voters
        self.founders = tuple(f"n{number}#0" for number in range(voters))
        self.goal = list(self.founders)
        for id in self.founders:
            self.add(id, Membership(self.founders))

    def add(self, id: str, membership: Membership | None, restored: Restored | None = None) -> Node:
        node = self.nodes[id] = Node(self, id, membership, restored)
        self.work(node)
        self.at(self.clock.now() + self.random.randrange(250) * MS, lambda: self.heartbeat(node))
        return node

    def at(self, when: int, action: Callable[[], None]) -> None:
        self.count += 1  # what is proposed is named by it: names have many lengths
        self.clock.call_at(max(when, self.clock.now()), action)

    def note(self, name: str) -> None:
        self.stats[name] = self.stats.get(name, 0) + 1

    # Network

    def send(self, sender: str, to: str, message: list[Any]) -> None:
        if self.network.is_cut(sender, to) or self.random.random() < self.loss:
            return
        data = pack(message)
        self.network.copies = 2 if self.loss and self.random.random() < 0.03 else 1
        self.network.send(sender, to, data)

    def _carry(self, flight: Flight[bytes], arrive: Callable[[], None]) -> None:
        delay = self.random.choice((1, 1, 1, 2, 5, 20, 80)) if self.loss else 1
        self.at(self.clock.now() + delay * MS, arrive)

    def receive(self, sender: str, to: str, message: bytes) -> None:
        node = self.nodes.get(to)
        if node is None or not node.is_alive:
            return
        if node.paused_until > self.clock.now():
            late = Flight(sender, to, message)
            self.at(node.paused_until, lambda: self.network.hand_over(late))
            return
        plain: Any = unpack(message)
        if plain[0] == HEARTBEAT:
            self.on_heartbeat(node, sender, plain)
        elif plain[0] == HEARTBEAT_REPLY:
            self.on_heartbeat_reply(node, sender, plain)
        else:
            node.core.step(node.local_ns(), sender, plain)
        self.work(node)

    # Heartbeats, as a host would

    def heartbeat(self, node: Node) -> None:
        if not node.is_alive or self.nodes[node.id] is not node:
            return
        self.at(self.clock.now() + int(250 * MS / node.rate), lambda: self.heartbeat(node))
        core = node.core
        if node.paused_until > self.clock.now() or core.role is not Role.LEADER:
            return
        for peer in core.peers:
            self.send(node.id, peer, [HEARTBEAT, node.local_ns(), core.term, core.membership_index])
        core.change(node.local_ns(), self.goal, ())
        core.commit_hints()
        self.work(node)

    def on_heartbeat(self, node: Node, sender: str, message: list[Any]) -> None:
        core = node.core
        is_equal = core.leader == sender and message[2:] == [core.term, core.membership_index]
        if is_equal:
            node.rounds.heard[sender] = node.local_ns()
        self.send(node.id, sender, [HEARTBEAT_REPLY, message[1], is_equal])

    def on_heartbeat_reply(self, node: Node, sender: str, message: list[Any]) -> None:
        if message[2]:
            if message[1] > node.rounds.answered.get(sender, 0):
                node.rounds.answered[sender] = message[1]
                node.core.rounds_advanced(node.local_ns())
        elif node.core.role is Role.LEADER:
            node.core.probe(node.local_ns(), sender)

    # The host's work

    def work(self, node: Node) -> None:
        while (ready := self.next_ready(node)) is not None:
            if self.is_disk_slow:
                node.unsynced.append(ready)
                delay = self.random.choice((0, 1, 5, 40)) * MS
                self.at(self.clock.now() + delay, lambda: self.synced(node))
            else:
                self.finish(node, ready)
        self.check(node)
        when = max(node.true_time(node.core.deadline_ns), self.clock.now())
        if node.tick_at < self.clock.now() or when < node.tick_at:
            node.tick_at = when
            self.at(when, lambda: self.tick_core(node, when))

    def next_ready(self, node: Node) -> Ready | None:
        restored = node.snapshots.work(node.core, node.local_ns())
        if restored is not None:
            self.install(node, *restored)
        return node.core.ready()

    def synced(self, node: Node) -> None:
        """One more batch is on the disk, in order; a crash before this loses it."""
        if node.is_alive:
            self.finish(node, node.unsynced.popleft())
            self.work(node)

    def finish(self, node: Node, ready: Ready) -> None:
        self.persist(node, ready)
        for to, message in ready.messages:
            self.send(node.id, to, message)
        if ready.entries:
            node.core.stored(ready.first_index + len(ready.entries) - 1, ready.entries[-1].term)
        self.apply(node, ready)
        for token, index in ready.reads:
            self.check_read(node, token, index)
        for token in ready.reads_refused:
            self.reading.pop(token, None)
        if ready.needs_snapshot and node.applied:
            self.note("snapshot asked")
            node.snapshots.begin(node.core, node.local_ns(), node.applied, node.dump())

    def tick_core(self, node: Node, when: int) -> None:
        if not node.is_alive or node.tick_at != when:
            return
        node.tick_at = -1
        if node.paused_until > self.clock.now():
            self.at(node.paused_until, lambda: self.wake(node))
            return
        node.core.tick(node.local_ns())
        self.work(node)

    def wake(self, node: Node) -> None:
        if node.is_alive:
            node.core.tick(node.local_ns())
            self.work(node)

    def persist(self, node: Node, ready: Ready) -> None:
        if ready.hard_state is not None:
            if ready.hard_state[0] < node.disk_hard[0]:
                raise Violation(f"12: {node.id} went back to {ready.hard_state}")
            node.disk_hard = ready.hard_state
        if ready.snapshot is not None:
            node.disk_snapshot = ready.snapshot
            node.disk_state = self.states[ready.snapshot.index]
            node.disk_log = []
            node.disk_first = ready.snapshot.index + 1
        if ready.entries:
            del node.disk_log[ready.first_index - node.disk_first :]
            node.disk_log.extend(ready.entries)

    def install(self, node: Node, snapshot: Snapshot, data: bytes) -> None:
        self.note("snapshot installed")
        if data != self.states.get(snapshot.index):
            raise Violation(f"15: snapshot at {snapshot.index} differs from the replay")
        node.state = values_of(data)
        node.applied = snapshot.index

    def apply(self, node: Node, ready: Ready) -> None:
        index = ready.committed_first
        for entry in ready.committed:
            if index <= node.applied:
                # On its way to the disk while a state that has it already was restored.
                index += 1
                continue
            if index != node.applied + 1:
                raise Violation(f"11: {node.id} applies {index} after {node.applied}")
            known = self.history.setdefault(index, entry)
            if known != entry:
                raise Violation(f"11: {node.id} applies {entry} at {index}, others {known}")
            node.applied = index
            if entry.kind == 0:
                node.state.append(entry.data)
            self.states.setdefault(index, node.dump())
            index += 1
        self.commit = max(self.commit, node.core.commit)
        if node.core.is_log_full and node.applied:  # where the disk is slow the core may be far ahead
            self.compact(node)

    def compact(self, node: Node) -> None:
        self.note("compacted")
        index, data = node.applied, node.dump()
        node.core.compact(index)
        since, membership = node.core.history.item_at(index)
        assert membership is not None
        node.disk_snapshot, node.disk_state = (
            Snapshot(index, self.history[index].term, membership, since),
            data,
        )
        del node.disk_log[: index + 1 - node.disk_first]
        node.disk_first = index + 1

    # Checkers

    def check(self, node: Node) -> None:
        core = node.core
        if core.role is Role.LEADER:
            known = self.leaders.setdefault(core.term, node.id)
            if known != node.id:
                raise Violation(f"10: {known} and {node.id} lead term {core.term}")
        before, node.hard_seen = node.hard_seen, (core.term, core.vote)
        if core.term < before[0] or (core.term == before[0] and before[1] not in (None, core.vote)):
            raise Violation(f"12: {node.id} went from {before} to {node.hard_seen}")
        if not core.applied <= core.commit <= core.last_index:
            raise Violation(
                f"{node.id}: applied {core.applied}, commit {core.commit}, last {core.last_index}"
            )
        self.check_adjacent(node)
        self.check_leases()
        self.check_bounds(node)
        check_fields(core)

    def check_adjacent(self, node: Node) -> None:
        items = [membership for _, membership in node.core.history.items]
        for older, newer in pairwise(items):
            joint = older.outgoing or newer.outgoing
            if older.voters != newer.voters and not (newer.outgoing == older.voters and joint):
                raise Violation(f"13: {older} is followed by {newer}")

    def check_bounds(self, node: Node) -> None:
        core = node.core
        held, last = core.applied - core.log.offset, core.log.last_index
        # A host that is behind its core, for its disk is slow, compacts no further than it has applied.
        held -= core.applied - node.applied
        if held > LIMITS.retained_entries + LIMITS.compact_entries + LIMITS.max_append_entries:
            raise Violation(f"9: {node.id} holds {held} applied entries, {core.log.offset} to {last}")
        entries = core.log.entries[: max(node.applied - core.log.offset, 0)]
        if sum(len(entry.data) for entry in entries[:-1]) > LIMITS.retained_bytes + LIMITS.max_append_bytes:
            raise Violation(f"9: {node.id} holds {[len(entry.data) for entry in entries]} applied bytes")
        if core.log.size_bytes != sum(len(entry.data) for entry in core.log.entries):
            raise Violation(f"{node.id} counts {core.log.size_bytes} bytes in its log")
        if any(len(out.parts) > LIMITS.snapshot_window_chunks for out, _ in node.snapshots.going.values()):
            raise Violation(f"9: {node.id} keeps more parts of a snapshot than its window has")

    def check_leases(self) -> None:
        for node in self.nodes.values():
            if node.is_alive and node.core.lease_until_ns() > node.local_ns():
                self.note("leases seen")
                for other in self.nodes.values():
                    if other.is_alive and other.core.role is Role.LEADER and other.core.term > node.core.term:
                        raise Violation(f"16: {node.id} has a lease and {other.id} leads")
                if self.commit > node.core.commit:
                    raise Violation(
                        f"16: {node.id} has a lease at {node.core.commit}, committed {self.commit}"
                    )

    def check_read(self, node: Node, token: int, index: int) -> None:
        needed = self.reading.pop(token)
        self.served += 1
        if index < needed or node.applied < index:
            raise Violation(f"16: {node.id} reads at {index}, applied {node.applied}, committed {needed}")

    # What a plan may do

    def live(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.is_alive]

    def leader(self) -> Node | None:
        leading = [node for node in self.live() if node.core.role is Role.LEADER]
        return max(leading, key=lambda node: node.core.term, default=None)

    def propose(self) -> bool:
        leading = [
            node
            for node in self.live()
            if node.core.role is Role.LEADER and node.paused_until <= self.clock.now()
        ]
        if not leading:
            return False
        node = self.random.choice(leading)
        self.count += 1
        try:
            node.core.propose(b"%d" % self.count + b"." * self.random.randrange(40))
        except (NotLeading, ProposalRefused):
            return False
        finally:
            self.work(node)
        return True

    def read(self) -> None:
        leading = [
            node
            for node in self.live()
            if node.core.role is Role.LEADER and node.paused_until <= self.clock.now()
        ]
        if leading:
            node = self.random.choice(leading)
            self.count += 1
            self.reading[self.count] = self.commit
            node.core.read(node.local_ns(), self.count)
            self.work(node)

    def may_crash(self, victim: Node) -> bool:
        """Whether every configuration that anyone holds keeps a live majority without the victim."""
        for node in self.nodes.values():
            for _, membership in node.core.history.items if node.is_alive else ():
                for half in (membership.voters, membership.outgoing):
                    alive = [id for id in half if self.nodes[id].is_alive and id != victim.id]
                    if half and 2 * len(alive) <= len(half):
                        return False
        return True

    def crash(self) -> None:
        """Lose a process; with a disk it comes back as itself, without one as a new member."""
        victim = self.random.choice(self.live() or [self.restart_now()])
        if self.has_disk:
            victim.is_alive = False
            self.note("restarted")
            back = self.random.randrange(1, 800) * MS
            self.at(self.clock.now() + back, lambda: self.restart(victim))
        elif victim.id in self.goal and self.may_crash(victim):
            victim.is_alive = False
            self.note("replaced")
            name, _, incarnation = victim.id.partition("#")
            successor = f"{name}#{int(incarnation) + 1}"
            self.goal = [successor if id == victim.id else id for id in self.goal]
            self.add(successor, None)

    def restart_now(self) -> Node:
        """Bring somebody back when everybody is gone."""
        self.pass_s(1)
        return self.live()[0]

    def restart(self, victim: Node) -> None:
        assert not victim.is_alive
        restored = victim.restored()
        node = self.add(victim.id, victim.founding, restored)
        node.applied = 0 if restored.snapshot is None else restored.snapshot.index
        if restored.snapshot is not None:
            node.state = values_of(victim.disk_state)
            node.disk_state = victim.disk_state

    def pause(self) -> None:
        node = self.random.choice(self.live() or [self.restart_now()])
        node.paused_until = self.clock.now() + self.random.randrange(100, 3000) * MS
        self.note("paused")

    def partition(self) -> None:
        ids = [node.id for node in self.live()]
        side = [id for id in ids if self.random.random() < 0.5]
        is_one_way = self.random.random() < 0.3
        links = {}
        for left in side:
            for right in ids:
                if right not in side:
                    links[left, right] = None
                    if not is_one_way:
                        links[right, left] = None
        self.network.cuts.update(links)
        self.note("partitioned")
        self.at(self.clock.now() + self.random.randrange(200, 5000) * MS, lambda: self.heal(links))

    def heal(self, links: dict[tuple[str, str], None]) -> None:
        for link in links:
            self.network.cuts.pop(link, None)

    def transfer(self) -> None:
        node = self.leader()
        if node is not None and node.core.peers and node.paused_until <= self.clock.now():
            if node.core.transfer(node.local_ns(), self.random.choice(node.core.peers)):
                self.note("transferred")
            self.work(node)

    def resize(self) -> None:
        """Aim at another configuration of the nodes that live; new ones join blank."""
        self.note("resized")
        count = self.random.choice((1, 2, 3, 3, 4, 5))
        ids = sorted(self.goal)
        self.random.shuffle(ids)
        while len(ids) < count:
            id = f"n{self.next_number}#0"
            self.next_number += 1
            self.add(id, None)
            ids.append(id)
        self.goal = sorted(ids[:count])

    def end_faults(self) -> None:
        self.loss = 0.0
        self.network.heal()
        for node in self.live():
            node.paused_until = min(node.paused_until, self.clock.now())

    def check_recovered(self) -> None:
        """46: after the faults a leader serves, the goal is reached, and everyone agrees."""
        self.end_faults()
        self.pass_s(10)
        leader = self.leader()
        if leader is None:
            raise Violation("46: no leader 10 s after the faults")
        before = self.commit
        leader.core.propose(b"last")
        leader.core.read(leader.local_ns(), self.count + 1)
        self.reading[self.count + 1] = self.commit
        served = self.served
        self.work(leader)
        self.pass_s(1)
        if self.commit <= before or self.served != served + 1:
            raise Violation("46: the leader does not serve")
        leader = self.leader() or leader
        if leader.core.committed_membership != Membership(tuple(sorted(self.goal))):
            raise Violation(f"46: {leader.core.committed_membership} instead of {self.goal}")
        for id in self.goal:
            if self.nodes[id].applied != leader.applied or self.nodes[id].state != leader.state:
                raise Violation(f"46: {id} applied {self.nodes[id].applied}, the leader {leader.applied}")


ACTIONS = (
    "propose",
    "propose",
    "propose",
    "propose",
    "read",
    "read",
    "crash",
    "pause",
    "partition",
    "transfer",
    "resize",
)


def run_plan(seed: int, steps: int = 120, **options: Any) -> RaftWorld:
    """Run one seed: faults drawn per seed, then recovery."""
    world = RaftWorld(seed, **options)
    random = Random(seed + 1)
    enabled = ["propose", "read"] + [name for name in ACTIONS[6:] if random.random() < 0.6]
    for _ in range(steps):
        name = random.choice(ACTIONS)
        if name in enabled:
            for _ in range(random.choice((1, 1, 3, 8)) if name == "propose" else 1):
                getattr(world, name)()
        world.pass_s(random.choice((1, 5, 30, 100, 400)) / 1000)
    world.check_recovered()
    return world
