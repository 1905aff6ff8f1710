"""One replica of one consensus group as a value: it eats messages, proposals and ticks, and hands out work.

Raft (Ongaro and Ousterhout 2014; Ongaro's dissertation) with PreVote, CheckQuorum, leases, joint membership
changes, learners, chunked snapshots and leadership transfer.

States: FOLLOWER (also learners and blank replicas) -> PRE_CANDIDATE -> CANDIDATE -> LEADER, and back to
FOLLOWER from anywhere. The transitions are in `following`, `election`, `leading` and `changing`; the
messages, and what happens when one is lost, in `messages`.

The host calls `ready` after every input, persists what it finds, sends, reports `stored`, installs and
applies, answers reads; in this order. Heartbeats belong to the host too: their results come in through `Rounds`,
`peer_round` and `heard_from`, so that a quiet group is not stepped at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from casty.consensus import changing, election, following, leading, messages
from casty.consensus.log import DATA, MEMBERSHIP, Entry, Log, bytes_of
from casty.consensus.membership import History, Membership, decode
from casty.consensus.progress import STATE_NAMES
from casty.consensus.rounds import Rounds
from casty.consensus.sending import send_due, send_empty
from casty.consensus.snapshot import Inbound, Outbound, Part, Snapshot
from casty.consensus.state import State
from casty.consensus.values import (
    Limits,
    NotLeading,
    ProgressReport,
    ProposalRefused,
    Ready,
    Restored,
    Role,
    Timing,
)
from casty.errors import RemoteProtocolError
from casty.tuples import new_tuple

__all__ = ["Core"]


class Core(State):
    """One replica of one group.

    Parameters
    ----------
    id
        Our peer key.
    group, epoch
        Which group; for the host, the core does not look at them.
    membership
        The founding configuration, or None for a blank replica, which waits for a snapshot.
    now_ns
        The host's clock, as in every later call.
    timing, limits
        Times and bounds.
    rounds
        The node's heartbeats, written by the host.
    election_timeout_ns
        Draws a timeout between ``timing.election_min_ns`` and ``timing.election_max_ns``.
    reads
        ``lease`` or ``quorum``: how reads are confirmed.
    restored
        What the disk gave back; such a voter refuses votes for one election timeout. The host has already
        restored its machine from the snapshot.
    """

    __slots__ = ()

    def __init__(
        self,
        *,
        id: str,
        group: int,
        epoch: int,
        membership: Membership | None,
        now_ns: int,
        timing: Timing,
        limits: Limits,
        rounds: Rounds,
        election_timeout_ns: Callable[[], int],
        reads: Literal["lease", "quorum"] = "lease",
        restored: Restored | None = None,
    ) -> None:
        assert now_ns >= 0, "clocks never show less than 0: times that never came are below"
        super().__init__(
            id=id,
            group=group,
            epoch=epoch,
            now_ns=now_ns,
            timing=timing,
            limits=limits,
            rounds=rounds,
            election_timeout_ns=election_timeout_ns,
            reads=reads,
        )
        self.history = History(0, membership)
        if restored is not None:
            self._restore(restored, now_ns)
        self.adopt_membership()
        if election.is_alone(self.membership, id):
            self.deadline_ns = self.refuse_until_ns

    def _restore(self, restored: Restored, now_ns: int) -> None:
        self.term, self.vote = restored.term, restored.vote
        snapshot = restored.snapshot
        if snapshot is not None:
            is_whole = restored.offset is None
            offset = snapshot.index if restored.offset is None else restored.offset
            self.log = Log(offset, snapshot.term if is_whole else restored.offset_term)
            self.history = History(snapshot.since, snapshot.membership)
            self.commit = self.applied = snapshot.index
        self.log.extend(list(restored.entries))
        for index, entry in enumerate(restored.entries, self.log.offset + 1):
            if entry.kind == MEMBERSHIP and index > self.commit:
                self.history.add(index, decode(entry.data))
        if self.applied > self.log.offset:
            self.applied_bytes = bytes_of(self.log.slice(self.log.offset + 1, self.applied))
        self.stable = self.log.last_index
        self.unsaved_index = self.log.last_index + 1
        if len(self.history.items) > 1 or not election.is_alone(self.history.latest[1], self.id):
            # Just before the process ended we may have heard a leader whose lease rests on our silence.
            self.refuse_until_ns = now_ns + max(self.timing.election_max_ns, restored.quiet_ns)

    # What the host reads

    @property
    def last_index(self) -> int:
        """Index of the last entry."""
        return self.log.last_index

    @property
    def first_index(self) -> int:
        """Index of the first entry that is not compacted away."""
        return self.log.offset + 1

    @property
    def committed_membership(self) -> Membership | None:
        """The newest committed configuration."""
        return self.history.at(self.commit)

    @property
    def wants_round(self) -> bool:
        """Whether reads wait for a round of heartbeats."""
        return bool(self.pending_reads)

    lease_until_ns = leading.lease_until_ns
    """Return until when nobody else can lead; 0 without a lease, far away for a lone voter."""

    def lease_beyond_ns(self, after_ns: int) -> int:
        """Return what `lease_until_ns` does, or some earlier instant that is later than `after_ns`.

        Each step of an entity asks: most are answered by what was found at an earlier one.
        """
        if self.lease_known_ns <= after_ns:
            self.lease_known_ns = self.lease_until_ns()
        return self.lease_known_ns

    def progress_of(self, peer: str) -> ProgressReport | None:
        """Return how far the leader knows `peer` to be."""
        progress = self.progress.get(peer)
        if progress is None:
            return None
        return ProgressReport(
            progress.match, progress.next, STATE_NAMES[progress.state], progress.is_caught_up
        )

    # Messages and time

    def step(self, now_ns: int, sender: str, message: Sequence[object]) -> None:
        """Take one message of the process `sender`.

        Raises
        ------
        RemoteProtocolError
            When the message is not one that any correct replica sends.
        """
        self.now_ns = now_ns
        try:
            kind, term = message[0], message[1]
        except IndexError:
            raise RemoteProtocolError("consensus message: expected a type and a term") from None
        if not isinstance(kind, int) or not isinstance(term, int) or term < 0:
            raise RemoteProtocolError("consensus message: expected a type and a term")
        if kind == messages.APPEND:
            following.on_append(self, now_ns, sender, message)
        elif kind == messages.APPEND_REPLY or kind == messages.SNAPSHOT_REPLY:
            self._on_reply(now_ns, sender, kind, term, message)
        elif kind == messages.TIMEOUT_NOW:
            if term == self.term and self.leader == sender and self.is_promotable:
                election.stand_forced(self, now_ns)
        elif kind in _HANDLERS:
            _HANDLERS[kind](self, now_ns, sender, message)
        else:
            raise RemoteProtocolError(f"consensus message: unknown type {kind}")

    def _on_reply(self, now_ns: int, sender: str, kind: int, term: int, message: Sequence[object]) -> None:
        if self.role is not Role.LEADER:
            return
        if term > self.term:
            if sender in self.progress:
                # A member has a higher term and would never follow us; it comes back only to a leader above it.
                self.become_follower(now_ns, term, None)
                self._stand_again(now_ns)
        elif kind == messages.APPEND_REPLY:
            leading.on_append_reply(self, now_ns, sender, message)
        else:
            leading.on_snapshot_reply(self, now_ns, sender, message)

    def _stand_again(self, now_ns: int) -> None:
        if self.is_promotable:
            election.stand(self, now_ns)

    def tick(self, now_ns: int) -> None:
        """Do what is due; harmless when nothing is."""
        self.now_ns = now_ns
        if self.role is not Role.LEADER:
            election.tick_follower(self, now_ns)
        elif leading.is_transfer_overdue(self, now_ns):
            self.become_follower(now_ns, self.term, None)
            self._stand_again(now_ns)
        else:
            leading.tick_leader(self, now_ns)

    def heard_from(self, peer: str, now_ns: int) -> None:
        """Count a sign of life of our leader that covered this group."""
        if self.leader == peer and self.role is not Role.LEADER:
            self.heard_ns = max(self.heard_ns, now_ns)

    def peer_round(self, peer: str, sent_ns: int) -> None:
        """Count that `peer` answered, for this group, a heartbeat sent at `sent_ns`."""
        progress = self.progress.get(peer)
        if progress is not None and sent_ns >= self.leader_since_ns and sent_ns >= progress.since_ns:
            progress.round_ns = max(progress.round_ns, sent_ns)

    def rounds_advanced(self, now_ns: int) -> None:
        """Look whether reads are confirmed now."""
        self.now_ns = now_ns
        if self.pending_reads:
            leading.confirm_reads(self, now_ns)

    # The leader

    def propose(self, data: bytes) -> int:
        """Append a data entry and return its index.

        Raises
        ------
        NotLeading
            When this replica does not lead.
        ProposalRefused
            When the leader takes nothing right now: hand-over, too much uncommitted, a learner catching up.
        """
        if self.role is not Role.LEADER:
            raise NotLeading(self.leader, self.term)
        if self.transfer_to is not None:
            raise ProposalRefused(f"leadership is being handed to {self.transfer_to}")
        uncommitted_bytes = self.uncommitted_bytes + len(data)
        if uncommitted_bytes > self.limits.max_uncommitted_bytes and self.uncommitted_bytes:
            raise ProposalRefused(f"max_uncommitted_bytes ({self.limits.max_uncommitted_bytes}) is reached")
        if self.slow_learner is not None and changing.is_throttled(self):
            raise ProposalRefused(f"{self.slow_learner.id} is catching up")
        self.uncommitted_bytes = uncommitted_bytes
        self.append_due = self.dirty = True
        return self.log.append(new_tuple(Entry, (self.term, DATA, data)))

    def read(self, now_ns: int, token: int) -> None:
        """Ask for a confirmed read; it comes out of `Ready.reads` or `Ready.reads_refused`."""
        self.now_ns = now_ns
        if self.role is not Role.LEADER or len(self.pending_reads) >= self.limits.max_pending_reads:
            self.ready_refused.append(token)
            self.dirty = True
            return
        self.pending_reads.append((token, now_ns))
        leading.confirm_reads(self, now_ns)

    def probe(self, now_ns: int, peer: str) -> None:
        """Send an append to `peer` now: its row differed."""
        self.now_ns = now_ns
        progress = self.progress.get(peer)
        if progress is not None and progress.snapshot is None:
            send_empty(self, progress)

    def commit_hints(self) -> None:
        """Tell peers a commit index that no append has told them yet."""
        for progress in self.progress.values():
            if (
                progress.commit_sent < self.commit
                and progress.is_idle
                and progress.next > self.log.last_index
            ):
                send_empty(self, progress)

    def campaign(self, now_ns: int) -> None:
        """Stand for election now, unless a leader is alive."""
        self.now_ns = now_ns
        if self.role is not Role.FOLLOWER or not self.is_promotable or now_ns < self.refuse_until_ns:
            return
        if not self.is_sticky(now_ns, self.id):
            election.stand(self, now_ns)

    def transfer(self, now_ns: int, to: str) -> bool:
        """Hand leadership to `to`; False when that cannot begin now."""
        self.now_ns = now_ns
        return self.role is Role.LEADER and changing.begin_transfer(self, now_ns, to)

    def change(self, now_ns: int, voters: Sequence[str], learners: Sequence[str]) -> bool:
        """Walk one step towards a configuration; call again until it answers False.

        False: it is reached and committed, or this replica does not lead. No step is taken to voters of whom no
        majority answers.
        """
        self.now_ns = now_ns
        return self.role is Role.LEADER and changing.step_towards(
            self, voters, learners, is_answered=lambda ids: leading.is_answered(self, ids)
        )

    # Storage and snapshots

    def ready(self) -> Ready | None:
        """Return the work since the last call, once; None when there is nothing."""
        if not self.dirty:
            return None
        if self.append_due:
            send_due(self)
        return self.take_ready()

    def stored(self, last_index: int, term: int) -> None:
        """Learn that the log is durable up to `last_index`, whose entry has this term."""
        log = self.log
        if not self.stable < last_index <= log.last_index:
            return
        # What a majority stored may be compacted before it is durable here; it is not replaced by anything any more.
        if last_index < log.offset or log.matches(last_index, term):
            self.stable = last_index
            if self.role is Role.LEADER and last_index > self.commit:
                leading.advance_commit(self, self.now_ns)

    @property
    def is_log_full(self) -> bool:
        """Whether the log holds as many applied entries, or bytes of them, as it may: `compact` it now."""
        limits = self.limits
        if self.applied_bytes > limits.retained_bytes:
            return True
        return self.applied - self.log.offset >= limits.retained_entries + limits.compact_entries

    def part_restored(self, inbound: Inbound) -> bool:
        """Learn that the oldest part of `Core.inbound` that waits was restored; it is acknowledged now.

        True: it was the last. The restored state has to take the machine's place at once, before anything else is
        handed out; where that fails, this core must not be used again.
        """
        assert inbound is self.inbound and inbound.parts
        return following.part_restored(self, inbound)

    def compact(self, index: int) -> None:
        """Let the machine, which has applied all up to `index`, stand for the log before it.

        A tail of the log stays for peers a little behind, and a longer one, still within the bounds of `Limits`,
        for a peer that is being sent a snapshot. No peer makes the log longer than that: one that is overrun needs
        another snapshot.
        """
        assert index <= self.applied, (index, self.applied)
        limits, log = self.limits, self.log
        keep_from = log.retained_from(index, limits.retained_entries, limits.retained_bytes // 2)
        needed = [
            progress.snapshot.index for progress in self.progress.values() if progress.snapshot is not None
        ]
        if needed and min(needed) < keep_from:
            # An eighth below the bound, so that not every entry is followed by a compaction.
            entries = limits.retained_entries + limits.compact_entries - max(limits.compact_entries // 8, 1)
            longest = log.retained_from(index, entries, limits.retained_bytes * 7 // 8)
            keep_from = max(longest, min(needed))
        self.applied_bytes -= log.compact(keep_from)
        self.history.compact(keep_from)
        leading.restart_overrun_snapshots(self)

    def begin_snapshot(self, now_ns: int, index: int) -> str | None:
        """Answer `Ready.needs_snapshot`: the machine's state at `index` is going to be sent, in parts.

        Returns
        -------
        str | None
            The peer that gets it, each its own. None when nobody needs one any more. A peer that was silent lately is
            asked where it is first; it comes again.
        """
        assert index <= self.applied, (index, self.applied)
        self.now_ns = now_ns
        self.snapshot_wanted = False
        for progress in self.progress.values():
            if not progress.needs_snapshot:
                continue
            if now_ns - progress.active_ns > self.timing.election_max_ns or index < self.log.offset:
                progress.ask(max(self.log.offset, progress.match) + 1)
                self.append_due = self.dirty = True
            elif index <= progress.match:
                progress.probe(progress.match + 1)
                self.append_due = self.dirty = True
            else:
                since, membership = self.history.item_at(index)
                assert membership is not None
                snapshot = Snapshot(index, self.log.term_at(index), membership, since)
                progress.install(Outbound(snapshot, now_ns), self.timing.heartbeat_ns)
                progress.waiting_ns = now_ns
                self.snapshot_wanted = any(other.needs_snapshot for other in self.progress.values())
                return progress.id
        return None

    def outbound(self, peer: str) -> Outbound | None:
        """Return the snapshot that a peer is being sent; another one, or None, once it is over."""
        progress = self.progress.get(peer)
        return None if progress is None else progress.snapshot

    def wants_part(self, outbound: Outbound) -> bool:
        """Whether the next part of a snapshot is to be made now."""
        return not outbound.is_whole and len(outbound.parts) < self.limits.snapshot_window_chunks

    def provide_part(self, now_ns: int, outbound: Outbound, data: bytes, is_last: bool) -> None:
        """Send the next part."""
        self.now_ns = now_ns
        outbound.add(Part(data, is_last))
        self.append_due = self.dirty = True


_HANDLERS: dict[int, Callable[[State, int, str, Sequence[object]], None]] = {
    messages.VOTE: election.on_vote,
    messages.VOTE_REPLY: election.on_vote_reply,
    messages.PRE_VOTE: election.on_pre_vote,
    messages.PRE_VOTE_REPLY: election.on_pre_vote_reply,
    messages.SNAPSHOT: following.on_snapshot,
}
