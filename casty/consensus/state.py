"""The fields of a replica and the moves that every role shares.

The role modules - `following`, `election`, `leading`, `changing` - are functions over this one state;
`core.Core` adds the interface for the host. Nothing here reads a clock or draws: times and time-outs come in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from casty.address import process_of
from casty.consensus.log import DATA, MEMBERSHIP, Entry, Log, bytes_of
from casty.consensus.membership import History, Membership, decode
from casty.consensus.progress import Progress
from casty.consensus.rounds import Rounds
from casty.consensus.snapshot import Inbound, Snapshot
from casty.consensus.values import Limits, Ready, Role, Timing

__all__ = ["State"]


class State:
    """One replica of one group.

    Of indexes, always: ``log.offset <= applied <= commit <= log.last_index`` and ``stable <= log.last_index``. Neither
    of `commit` and `stable` bounds the other: a majority of others may have stored what is not durable here yet. Of
    times: all are of the local clock, none is sent but to be sent back, and nothing here is later than `now_ns` except
    for what is to come (`deadline_ns`, `refuse_until_ns`, `check_ns`, `retry_due_ns`, `ask_again_ns`,
    `transfer_deadline_ns`).
    """

    __slots__ = (
        "append_due",
        "applied",
        "applied_bytes",
        "ask_again_ns",
        "check_ns",
        "commit",
        "deadline_ns",
        "dirty",
        "draw_timeout_ns",
        "election_min_ns",
        "epoch",
        "group",
        "heard_ns",
        "heard_who",
        "history",
        "id",
        "inbound",
        "is_established",
        "is_forced",
        "is_hard_state_due",
        "is_lease_barred",
        "lead_index",
        "leader",
        "leader_since_ns",
        "lease_known_ns",
        "lease_span_ns",
        "limits",
        "log",
        "membership",
        "membership_index",
        "now_ns",
        "out",
        "outgoing_peers",
        "peers",
        "pending_reads",
        "progress",
        "reads_by_lease",
        "ready_reads",
        "ready_refused",
        "refuse_until_ns",
        "retry_due_ns",
        "role",
        "role_changed",
        "rounds",
        "self_in_outgoing",
        "self_in_voters",
        "slow_learner",
        "snapshot_to_store",
        "snapshot_wanted",
        "stable",
        "term",
        "timeout_ns",
        "timer_ns",
        "timing",
        "transfer_deadline_ns",
        "transfer_to",
        "uncommitted_bytes",
        "unsaved_index",
        "vote",
        "voter_peers",
        "votes",
    )

    def __init__(
        self,
        *,
        id: str,
        group: int,
        epoch: int,
        now_ns: int,
        timing: Timing,
        limits: Limits,
        rounds: Rounds,
        election_timeout_ns: Callable[[], int],
        reads: Literal["lease", "quorum"],
    ) -> None:
        self.id = id
        """Never changes; a process that lost its memory comes back under another one, for it may have voted."""
        self.group = group
        self.epoch = epoch
        """Which group of its slot; never changes, and the core compares it with nothing: its host does."""
        self.timing = timing
        """The same on all replicas: a voter that keeps quiet for less than a leader's lease makes two leaders."""
        self.limits = limits
        self.rounds = rounds
        """Of the host, which alone writes it, and shared by all its groups; only read here."""
        self.draw_timeout_ns = election_timeout_ns
        """Returns between `election_min_ns` and ``timing.election_max_ns``, another one each time."""
        self.reads_by_lease = reads == "lease"
        self.election_min_ns = timing.election_min_ns
        """So long we vote for nobody else after a leader's message: what its lease rests on."""
        # Rounded down: a lease may end early, never late.
        self.lease_span_ns = timing.election_min_ns * (1_000_000 - timing.drift_ppm) // 1_000_000
        """What the slowest clock has of `election_min_ns` when the fastest has all of it; counts from a send time."""
        self.now_ns = now_ns
        """The newest time that came in; never ahead of the caller's clock."""

        self.term = 0
        """Never falls; only `set_hard_state` and a restart set it, and no entry of the log has a later one."""
        self.vote: str | None = None
        """Whom we voted for in `term`, once: None may become a name, a name becomes None with a new term only."""
        self.log = Log()
        """Entries up to `commit` are never replaced; later ones go when another leader's differ (`truncate`)."""
        self.commit = 0
        """Never falls. A majority has stored what is up to here, and every later leader has it."""
        self.applied = 0
        """Handed out for the machine up to here, each entry once and in order; so it is changed by `take_ready` and
        by what takes the machine's place, a snapshot."""
        self.applied_bytes = 0
        """Data bytes of the applied entries that the log still holds."""
        self.stable = 0
        """The log is durable here up to this index; only these entries count for our own commit vote. Falls where
        entries are replaced, which then have to be stored anew."""
        self.history = History(0, None)
        """The configurations of the log: the newest committed one and any later."""
        self.membership: Membership | None = None
        """The newest of `history`, in force from its append on, committed or not; None for a blank replica, which
        promises and votes nothing."""
        self.membership_index = 0
        """Where it stands. While it is above `commit` a leader appends no other one: two at once need not overlap. One
        just elected may have inherited two, of which the first is committed and not known to be."""
        self._start_as_follower(now_ns)
        self._start_outbox()
        self._start_leader_fields(now_ns)

    def _start_as_follower(self, now_ns: int) -> None:
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        """Who leads `term`: set once a term, as there is no second one. We ourselves exactly while we lead, None
        while it is unknown and while we stand."""
        self.heard_who: str | None = None
        """The leader we heard last; kept when we cease to follow it, for its lease may still hold."""
        self.heard_ns = now_ns
        """When it last showed life by a message of this group; heartbeats are in `rounds`. See `last_heard_ns`."""
        self.refuse_until_ns = now_ns
        """No promise and no vote before this: set by a restart alone, for what was heard before it is not known."""
        self.timer_ns = now_ns
        """The election timer counts from here, or from the leader's last sign of life if that is later."""
        self.timeout_ns = self.draw_timeout_ns()
        """How long the silence has to be this time; drawn anew with each `restart_timer`, or two stand at once for
        ever."""
        self.deadline_ns = now_ns + self.timeout_ns
        """The host ticks by then. Never later than the first thing that is due; earlier costs a tick for nothing."""
        self.votes: dict[str, bool] = {}
        """What voters answered in this candidacy, our own included; a row per voter of `membership` at most, and our
        own where only the last committed configuration has us. Says nothing in the other roles."""
        self.is_forced = False
        """Whether we stand because our leader asked for it: then voters need not have lost sight of it."""
        self.ask_again_ns = 0
        """When those who did not answer this candidacy are asked once more; 0 when that is done, or nobody was
        asked."""
        self.inbound: Inbound | None = None
        """The one snapshot that comes in, of `leader` and ending above `commit`; it goes with either. Never while we
        lead."""

    def _start_outbox(self) -> None:
        self.dirty = False
        """Whether `Core.ready` may have anything; whoever changes what it hands out sets this, or the host never
        asks."""
        self.out: list[tuple[str, list[object]]] = []
        """To whom and what, in the order of their making. They leave after what is handed out with them is stored."""
        self.is_hard_state_due = False
        """Whether `term` and `vote` are not what was handed out last; they must be durable before `out` leaves."""
        self.unsaved_index = 1
        """Entries from here on were not handed out for storage yet."""
        self.snapshot_to_store: Snapshot | None = None
        """What replaced the log since the last time: it is restored already, and begins the log on the disk anew."""
        self.snapshot_wanted = False
        """Whether a peer's progress says `needs_snapshot`; the host makes one at a time, each when its turn comes."""
        self.ready_reads: list[tuple[int, int]] = []
        """Confirmed reads: the token, and the index that has to be applied before the answer is read."""
        self.ready_refused: list[int] = []
        """Tokens of reads that this leadership does not confirm any more; each token comes out once, here or
        above."""
        self.role_changed = False
        """Whether anything of role, leader, configuration, readiness to serve or lease may differ from the last
        time."""

    def _start_leader_fields(self, now_ns: int) -> None:
        # The first and the two that begin with `self_` follow `membership` in any role; the rest means something while
        # we lead only, and begins anew with each leadership.
        self.peers: tuple[str, ...] = ()
        """All of `membership` but ourselves, voters and learners, in its order."""
        self.progress: dict[str, Progress] = {}
        """A row for each of `peers` while we lead, none otherwise; it goes when its peer leaves the configuration."""
        self.voter_peers: list[Progress] = []
        """The rows of those who vote in the newest configuration: with ourselves, where we do, one majority of
        two."""
        self.outgoing_peers: list[Progress] = []
        """The rows of those who vote in the one that a joint configuration leaves; empty unless it is joint."""
        self.self_in_voters = False
        """Whether we are one of the voters. A leader that is not leads until that configuration is committed."""
        self.self_in_outgoing = False
        self.leader_since_ns = now_ns
        """What peers answered to messages sent before this says nothing of our lease."""
        self.lead_index = 0
        """Index of the first entry of our leadership; from its commit on we are established."""
        self.is_established = False
        """Whether an entry of our own term is committed. Before that there is no lease, no confirmed read and no
        change of the configuration: what earlier leaders committed may not be known to be (Raft paper section
        5.4.2)."""
        self.is_lease_barred = False
        """Whether TIMEOUT_NOW left in this term. Never taken back while we lead: however late it comes, another may
        stand over the stickiness of voters."""
        self.lease_known_ns = 0
        """Our lease does not end before this; 0 from whatever may end it sooner than it seemed: the end of leadership,
        another configuration, a hand-over. Answers of peers only prolong it."""
        self.slow_learner: Progress | None = None
        """A row of `progress` that had its rounds and did not catch up; proposals may wait for it (`is_throttled`).
        Decided anew with each step towards a configuration."""
        self.transfer_to: str | None = None
        """Who is to lead instead; a voter that replicates. Meanwhile nothing is proposed, so that it can have all of
        it."""
        self.transfer_deadline_ns = 0
        """When that has taken too long: an election timeout after its begin."""
        self.check_ns = 0
        """When to look whether a majority answered lately; a leader that was silent to it for a timeout steps
        down."""
        self.retry_due_ns = 0
        """When unanswered messages are looked after; 0 when nothing is unanswered, else at most a heartbeat ahead."""
        self.append_due = False
        """Whether `send_due` may have anything to send: appends are made once per `Ready`, never at the proposal."""
        self.uncommitted_bytes = 0
        """Data bytes of the entries above `commit`; at most ``limits.max_uncommitted_bytes``, or one proposal where
        that is larger, besides what earlier leaders left."""
        self.pending_reads: list[tuple[int, int]] = []
        """(token, when it began) of reads without a confirmation, in the order of their begin, as they are confirmed
        up to a time; at most ``limits.max_pending_reads``. None is left behind when we cease to lead."""

    # Sending and time

    def send(self, to: str, message: list[object]) -> None:
        """Queue a message for the next `Ready`."""
        self.out.append((to, message))
        self.dirty = True

    def wake_at(self, deadline_ns: int) -> None:
        """Ask for a tick no later than this."""
        self.deadline_ns = min(self.deadline_ns, deadline_ns)

    def last_heard_ns(self) -> int:
        """Return when the leader last showed life, by this group's messages or by heartbeats that covered it."""
        if self.leader is None or self.leader == self.id:
            return self.heard_ns
        return max(self.heard_ns, self.rounds.heard.get(process_of(self.leader), self.heard_ns))

    def is_sticky(self, now_ns: int, candidate: str) -> bool:
        """Whether a leader other than the candidate may still hold a lease that rests on us.

        A leader that asks for votes gave its own lease up, so it is not protected against itself.
        """
        if self.role is Role.LEADER:
            return True
        if self.heard_who is None or self.heard_who == candidate:
            return False
        return now_ns - self.last_heard_ns() < self.election_min_ns

    # Terms and roles

    def become_follower(self, now_ns: int, term: int, leader: str | None) -> None:
        """Follow `leader` (None: not known yet) in `term`, whatever we were."""
        assert term >= self.term, (term, self.term)
        self.heard_ns = self.last_heard_ns()
        if self.role is Role.LEADER:
            self._stop_leading()
        if term > self.term:
            self.set_hard_state(term, None)
        self.role = Role.FOLLOWER
        self.votes = {}
        self.is_forced = False
        self.leader = leader
        if self.inbound is not None and leader is not None and leader != self.inbound.sender:
            # Nobody sends the rest of it: this leader may have all that we need in its log.
            self.inbound = None
        if leader is not None:
            self.heard_who = leader
            self.heard_ns = now_ns
        self.restart_timer(now_ns)
        self.role_changed = True
        self.dirty = True

    def set_hard_state(self, term: int, vote: str | None) -> None:
        """Change term and vote; both are durable before any message that follows from them leaves."""
        self.term = term
        self.vote = vote
        self.is_hard_state_due = True
        self.dirty = True

    def restart_timer(self, now_ns: int) -> None:
        """Draw a new election timeout and count from now."""
        self.timer_ns = now_ns
        self.timeout_ns = self.draw_timeout_ns()
        self.deadline_ns = now_ns + self.timeout_ns
        self.ask_again_ns = 0

    def _stop_leading(self) -> None:
        self.lease_known_ns = 0
        self.ready_refused.extend(token for token, _ in self.pending_reads)
        self.pending_reads = []
        self.progress = {}
        self.voter_peers = []
        self.outgoing_peers = []
        self.is_established = False
        self.transfer_to = None
        self.slow_learner = None
        self.append_due = False
        self.snapshot_wanted = False
        self.retry_due_ns = 0
        self.uncommitted_bytes = 0
        self.heard_who = None

    # Configuration

    @property
    def is_promotable(self) -> bool:
        """Whether we may stand: we vote in our newest configuration, or in the last committed one.

        The second case is a leader removed by an uncommitted entry that only it may hold (thesis 4.2.2).
        Nobody whose log lacks the entry could win its vote, so it must be able to finish the change.
        """
        membership = self.membership
        if membership is None or membership.has_voter(self.id):
            return membership is not None
        committed = self.history.at(self.commit) if self.membership_index > self.commit else None
        return committed is not None and committed.has_voter(self.id)

    def adopt_membership(self) -> None:
        """Take up the newest configuration of the log; it is in force from its append on (Raft paper section 6)."""
        self.membership_index, membership = self.history.latest
        self.membership = membership
        if membership is None:
            self.peers = ()
            self.self_in_voters = self.self_in_outgoing = False
            return
        self.peers = tuple(id for id in membership.members if id != self.id)
        self.self_in_voters = self.id in membership.voters
        self.self_in_outgoing = self.id in membership.outgoing
        self.role_changed = True
        self.dirty = True
        if self.role is Role.LEADER:
            self.adopt_peers(membership)

    def adopt_peers(self, membership: Membership) -> None:
        """Leader: keep one progress per peer of the configuration."""
        self.lease_known_ns = 0
        self.progress = {
            id: self.progress.get(id)
            or Progress(id, self.log.last_index, self.now_ns, self.timing.heartbeat_ns)
            for id in self.peers
        }
        self.voter_peers = [self.progress[id] for id in membership.voters if id != self.id]
        self.outgoing_peers = [self.progress[id] for id in membership.outgoing if id != self.id]
        self.append_due = True

    # Log

    def take_entries(self, entries: list[Entry], first: int) -> None:
        """Follower: append entries at `first`, which is right after our last one."""
        log = self.log
        assert first == log.last_index + 1
        decoded: list[tuple[int, Membership]] = []
        for index, entry in enumerate(entries, first):
            if entry[1] == MEMBERSHIP:
                decoded.append((index, decode(entry.data)))
        log.extend(entries)
        if first < self.unsaved_index:
            self.unsaved_index = first
        if decoded:
            for index, membership in decoded:
                self.history.add(index, membership)
            self.adopt_membership()
        self.dirty = True

    def truncate(self, first: int) -> None:
        """Drop entries from `first` on: another leader's log replaces them."""
        assert first > self.commit, (first, self.commit)
        self.log.truncate(first)
        self.stable = min(self.stable, first - 1)
        self.unsaved_index = min(self.unsaved_index, first)
        if self.history.truncate(first):
            self.adopt_membership()

    def reset_log(self, snapshot: Snapshot) -> None:
        """Let a snapshot stand for everything up to its index."""
        self.log = Log(snapshot.index, snapshot.term)
        self.history = History(snapshot.since, snapshot.membership)
        self.commit = self.applied = self.stable = snapshot.index
        self.unsaved_index = snapshot.index + 1
        self.applied_bytes = 0
        self.adopt_membership()

    # Handing out

    def take_ready(self) -> Ready:
        """Collect everything that changed since the last time."""
        ready = Ready(self.out)
        self.out = []
        self.dirty = False
        if self.is_hard_state_due:
            self.is_hard_state_due = False
            ready.hard_state = (self.term, self.vote)
        log = self.log
        if self.unsaved_index <= log.last_index:
            ready.first_index = self.unsaved_index
            ready.entries = log.slice(self.unsaved_index, log.last_index)
            self.unsaved_index = log.last_index + 1
        if self.snapshot_to_store is not None:
            ready.snapshot, self.snapshot_to_store = self.snapshot_to_store, None
        if self.commit > self.applied:
            ready.committed_first = self.applied + 1
            ready.committed = log.slice(self.applied + 1, self.commit)
            self.applied = self.commit
            committed = ready.committed
            self.applied_bytes += len(committed[0][2]) if len(committed) == 1 else bytes_of(committed)
        if self.ready_reads:
            ready.reads, self.ready_reads = self.ready_reads, []
        if self.ready_refused:
            ready.reads_refused, self.ready_refused = self.ready_refused, []
        if self.snapshot_wanted:
            ready.needs_snapshot = self.applied > 0
        if self.role_changed:
            ready.role_changed, self.role_changed = True, False
        return ready

    def data_bytes(self, first: int, last: int) -> int:
        """Return the size of the proposals between two indexes."""
        return sum(len(entry.data) for entry in self.log.slice(first, last) if entry.kind == DATA)
