"""A leader: replicates, commits, confirms reads, holds its lease, and steps down when its majority is silent.

Raft paper section 5.3, 5.4.2 and 8; dissertation 6.2 (CheckQuorum), 6.4 (reads), 6.4.1 (leases).

- An entry commits by count only from the leader's own term on; until its first entry has committed a leader
  is not *established*: it has no lease, confirms no read and changes no configuration.
- Lease: a majority (both, if joint) answered messages sent at or after T in this term; each of these voters
  refuses votes for ``election_min`` after it heard us, so nobody else leads before T + election_min x (1 -
  drift).
- From sending TIMEOUT_NOW to the end of its term a leader has no lease: that message, however late, lets
  another campaign over the stickiness of voters.
- A read is confirmed by the lease, or by a majority that answered messages sent at or after the read began.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from casty.consensus.changing import advance_changes, advance_transfer
from casty.consensus.log import NOOP, Entry
from casty.consensus.messages import ACCEPTED, BLANK, integers
from casty.consensus.progress import PROBE, REPLICATE, SNAPSHOT, Progress
from casty.consensus.quorum import majority_value
from casty.consensus.rounds import NEVER_NS
from casty.consensus.sending import arm_retry, send_empty
from casty.consensus.state import State
from casty.consensus.values import Role
from casty.errors import RemoteProtocolError

__all__ = [
    "UNLIMITED_NS",
    "advance_commit",
    "become_leader",
    "confirm_reads",
    "is_answered",
    "is_transfer_overdue",
    "lease_until_ns",
    "on_append_reply",
    "on_snapshot_reply",
    "restart_overrun_snapshots",
    "tick_leader",
]

_MATCH = attrgetter("match")

UNLIMITED_NS = 1 << 62
"""The lease of a lone voter: nobody else can be elected without it."""

SNAPSHOT_PATIENCE = 2
"""Silence, in longest election time-outs, that ends a running snapshot: others wait until it is over."""


def become_leader(state: State, now_ns: int) -> None:
    """Begin to lead with an empty entry of the new term (section 8): it commits what earlier terms left."""
    membership = state.membership
    assert membership is not None and state.role in (Role.CANDIDATE, Role.PRE_CANDIDATE)
    state.role = Role.LEADER
    state.leader = state.id
    state.heard_who = None
    state.leader_since_ns = now_ns
    state.is_established = False
    state.is_lease_barred = False
    state.transfer_to = None
    state.inbound = None
    state.progress = {}
    state.adopt_peers(membership)
    state.uncommitted_bytes = state.data_bytes(state.commit + 1, state.log.last_index)
    state.lead_index = state.log.append(Entry(state.term, NOOP, b""))
    state.check_ns = now_ns + state.timing.election_max_ns
    state.retry_due_ns = 0
    state.deadline_ns = state.check_ns
    state.role_changed = True
    state.dirty = True


# Answers


def on_append_reply(state: State, now_ns: int, sender: str, message: Sequence[object]) -> None:
    """Take a peer's answer to an append or to the end of a snapshot."""
    try:
        _, term, sent_ns, outcome, index, hint, hint_term = message
    except ValueError:
        raise RemoteProtocolError("append reply: expected 7 fields") from None
    if not (
        isinstance(sent_ns, int)
        and isinstance(index, int)
        and isinstance(hint, int)
        and isinstance(hint_term, int)
    ):
        raise RemoteProtocolError("append reply: expected integers")
    progress = state.progress.get(sender)
    if term != state.term or progress is None:
        return
    _answered(state, progress, now_ns, sent_ns)
    if outcome == ACCEPTED:
        _accepted(state, progress, now_ns, index, hint)
    elif outcome == BLANK:
        # A peer that once held entries is not blank: that answer is late.
        if progress.state != SNAPSHOT and not progress.match:
            progress.probe(progress.match + 1)
            progress.is_blank = True
            state.append_due = state.dirty = True
    else:
        _rejected(state, progress, index, hint, hint_term)
    if state.pending_reads:
        confirm_reads(state, now_ns)


def _answered(state: State, progress: Progress, now_ns: int, sent_ns: int) -> None:
    if progress.round_ns < sent_ns <= now_ns and sent_ns >= state.leader_since_ns:
        progress.round_ns = sent_ns
    progress.active_ns = progress.waiting_ns = now_ns
    progress.retry_ns = state.timing.heartbeat_ns


def _accepted(state: State, progress: Progress, now_ns: int, index: int, commit: int) -> None:
    if index > state.log.last_index:
        raise RemoteProtocolError(f"append reply: index {index} is past the end {state.log.last_index}")
    progress.acknowledge(index)
    if commit > progress.commit:
        progress.commit = commit
    if progress.state == PROBE:
        if index >= progress.next - 1:
            progress.replicate()
    elif progress.snapshot is not None and index >= progress.snapshot.index:
        progress.replicate()
    if not progress.is_caught_up and progress.state == REPLICATE and index >= progress.round_target:
        progress.end_round(state.log.last_index, now_ns, state.election_min_ns)
    if progress.next <= state.log.last_index:
        state.append_due = state.dirty = True
    elif progress.commit < state.commit:
        arm_retry(state)
    if index > state.commit:
        advance_commit(state, now_ns)
    if state.transfer_to == progress.id:
        advance_transfer(state, progress)


def _rejected(state: State, progress: Progress, previous: int, hint: int, hint_term: int) -> None:
    if progress.state == SNAPSHOT or previous <= progress.match:
        return
    if progress.state == PROBE and previous != progress.next - 1:
        return
    log = state.log
    if progress.state == REPLICATE:
        progress.fall_behind(log.last_index, state.now_ns)
    # The last entry of ours that may match: not above the peer's hint, and of no later term (section 5.3).
    # Below our offset nobody can tell: the peer needs a snapshot.
    found = min(hint, previous - 1)
    if found >= log.offset:
        found, found_term = log.conflict(found, hint_term)
        if found_term > hint_term:
            found -= 1
    progress.probe(max(found, progress.match) + 1)
    state.append_due = state.dirty = True


def on_snapshot_reply(state: State, now_ns: int, sender: str, message: Sequence[object]) -> None:
    """A peer restored the first parts of a snapshot: send on."""
    _, term, sent_ns, index, held = integers(message, 5)
    progress = state.progress.get(sender)
    if term != state.term or progress is None:
        return
    is_resending = progress.retry_ns > state.timing.heartbeat_ns
    _answered(state, progress, now_ns, sent_ns)
    snapshot = progress.snapshot
    if snapshot is None or snapshot.index != index or not snapshot.acknowledge(held):
        return
    if is_resending:
        snapshot.sent = snapshot.acked
    state.append_due = state.dirty = True
    if state.pending_reads:
        confirm_reads(state, now_ns)


# Commit


def advance_commit(state: State, now_ns: int) -> None:
    """Commit what a majority (both, if joint) holds, from our first entry on (section 5.4.2)."""
    membership = state.membership
    assert membership is not None
    values = list(map(_MATCH, state.voter_peers))
    if state.self_in_voters:
        values.append(state.stable)
    commit = majority_value(values)
    if membership.outgoing:
        values = list(map(_MATCH, state.outgoing_peers))
        if state.self_in_outgoing:
            values.append(state.stable)
        commit = min(commit, majority_value(values))
    if commit <= state.commit or commit < state.lead_index:
        return
    previous = state.commit
    state.commit = commit
    state.dirty = True
    if commit == state.log.last_index:
        state.uncommitted_bytes = 0
    else:
        state.uncommitted_bytes -= state.data_bytes(previous + 1, commit)
    if not state.is_established:
        state.is_established = True
        state.role_changed = True
    if previous < state.membership_index <= commit or (
        state.membership_index <= commit and membership.outgoing
    ):
        advance_changes(state, now_ns)
    if state.pending_reads:
        confirm_reads(state, now_ns)
    if state.role is Role.LEADER and state.peers:
        arm_retry(state)


def is_transfer_overdue(state: State, now_ns: int) -> bool:
    """End a transfer that took too long; say whether its TIMEOUT_NOW left, so that we must stand again."""
    if state.transfer_to is None or now_ns < state.transfer_deadline_ns:
        return False
    state.transfer_to = None
    state.role_changed = state.dirty = True
    return state.is_lease_barred


# Lease, reads, CheckQuorum


def _effective_ns(state: State, progress: Progress) -> int:
    answered_ns = state.rounds.answered.get(progress.process, NEVER_NS)
    if (
        answered_ns > progress.round_ns
        and answered_ns >= state.leader_since_ns
        and answered_ns >= progress.since_ns
    ):
        return answered_ns
    return progress.round_ns


def quorum_sent_ns(state: State) -> int:
    """Return the latest T such that a majority (both, if joint) answered a message sent at or after T."""
    peers = state.voter_peers
    if len(peers) == 2 and state.self_in_voters:
        # Three voters, as nearly all groups have: of three values, one of them without end, the middle one.
        # As `_effective_ns` and `majority_value`, of one piece: it is asked at each step of an entity.
        answered, leader_since_ns = state.rounds.answered, state.leader_since_ns
        sent_ns = NEVER_NS
        for progress in peers:
            round_ns = progress.round_ns
            answered_ns = answered.get(progress.process, NEVER_NS)
            if answered_ns > round_ns and answered_ns >= leader_since_ns and answered_ns >= progress.since_ns:
                round_ns = answered_ns
            if round_ns > sent_ns:
                sent_ns = round_ns
    else:
        values = [_effective_ns(state, progress) for progress in peers]
        if state.self_in_voters:
            values.append(UNLIMITED_NS)
        sent_ns = majority_value(values)
    if state.membership is not None and state.membership.outgoing:
        values = [_effective_ns(state, progress) for progress in state.outgoing_peers]
        if state.self_in_outgoing:
            values.append(UNLIMITED_NS)
        sent_ns = min(sent_ns, majority_value(values))
    return sent_ns


def is_answered(state: State, voters: Sequence[str]) -> bool:
    """Whether a majority of these replicas, this one among them or not, answered within one election timeout."""
    since_ns = state.now_ns - state.timing.election_max_ns
    found = [state.progress.get(id) for id in voters if id != state.id]
    answered = sum(one is not None and _effective_ns(state, one) >= since_ns for one in found)
    return 2 * (answered + (state.id in voters)) > len(voters)


def lease_until_ns(state: State) -> int:
    """Return when our lease ends; 0 without one."""
    if state.role is not Role.LEADER or not state.is_established or state.is_lease_barred:
        return 0
    sent_ns = quorum_sent_ns(state)
    if sent_ns == UNLIMITED_NS:
        return UNLIMITED_NS
    return sent_ns + state.lease_span_ns if sent_ns >= state.leader_since_ns else 0


def confirm_reads(state: State, now_ns: int) -> None:
    """Hand out the pending reads that are confirmed; they are in order of their begin."""
    if not state.is_established:
        return
    if state.reads_by_lease and now_ns < lease_until_ns(state):
        confirmed = len(state.pending_reads)
    else:
        sent_ns = quorum_sent_ns(state)
        confirmed = 0
        for _, began_ns in state.pending_reads:
            if began_ns > sent_ns:
                break
            confirmed += 1
    if confirmed:
        state.ready_reads.extend((token, state.commit) for token, _ in state.pending_reads[:confirmed])
        del state.pending_reads[:confirmed]
        state.dirty = True


def tick_leader(state: State, now_ns: int) -> None:
    """Send again what was not answered, spread the commit index, step down without a majority."""
    if now_ns >= state.check_ns:
        heard_ns = max(quorum_sent_ns(state), state.leader_since_ns)
        if heard_ns != UNLIMITED_NS and now_ns - heard_ns >= state.timing.election_max_ns:
            state.become_follower(now_ns, state.term, None)
            return
        state.check_ns = min(heard_ns, now_ns) + state.timing.election_max_ns
    if state.retry_due_ns and now_ns >= state.retry_due_ns:
        state.retry_due_ns = 0
        for progress in state.progress.values():
            _retry(state, progress, now_ns)
    if state.pending_reads:
        confirm_reads(state, now_ns)
    state.deadline_ns = state.check_ns
    if state.retry_due_ns:
        state.wake_at(state.retry_due_ns)
    if state.transfer_to is not None:
        state.wake_at(state.transfer_deadline_ns)


def _retry(state: State, progress: Progress, now_ns: int) -> None:
    is_overdue = now_ns - progress.waiting_ns >= progress.retry_ns
    if progress.is_outstanding:
        if is_overdue:
            _back_off(state, progress, now_ns)
            _send_again(state, progress, now_ns)
    elif progress.is_idle and progress.commit < state.commit and progress.next > state.log.last_index:
        if progress.commit_sent < state.commit:
            progress.waiting_ns = now_ns
            send_empty(state, progress)
        elif is_overdue:
            _back_off(state, progress, now_ns)
            send_empty(state, progress)
    if progress.is_outstanding or progress.commit < state.commit:
        arm_retry(state)


def _back_off(state: State, progress: Progress, now_ns: int) -> None:
    progress.waiting_ns = now_ns
    progress.retry_ns = min(2 * progress.retry_ns, 4 * state.timing.heartbeat_ns)


def _send_again(state: State, progress: Progress, now_ns: int) -> None:
    silent_ns = now_ns - progress.active_ns
    snapshot = progress.snapshot
    if snapshot is not None and silent_ns < SNAPSHOT_PATIENCE * state.timing.election_max_ns:
        snapshot.sent = snapshot.acked
    else:
        progress.fall_behind(state.log.last_index, now_ns)
        look_from = progress.next if progress.state == PROBE else progress.match + 1
        progress.ask(max(look_from, state.log.offset + 1))
    state.append_due = state.dirty = True


def restart_overrun_snapshots(state: State) -> None:
    """Give up every running snapshot whose log is compacted away: its peer needs one of now."""
    for progress in state.progress.values():
        if progress.snapshot is not None and progress.snapshot.index < state.log.offset:
            progress.count_round(state.log.last_index, state.now_ns)
            progress.ask(state.log.offset + 1)
            state.append_due = state.dirty = True
