"""A leader changes its group: membership, one step at a time, and leadership.

Raft paper section 6, dissertation 4.2 (catch-up, removed leaders), 4.3 (joint consensus) and 3.10 (transfer).

A change of voters always goes: add the new voters as learners, wait until they are caught up and a majority of
the new configuration answers, joint configuration, new configuration. At most one configuration entry is
uncommitted. Whoever leads when a joint configuration is committed appends the one that ends it. A leader that
is no voter of the new configuration leads until that is committed, then lets the most advanced voter stand and
steps down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from casty.consensus.log import MEMBERSHIP, Entry, bytes_of
from casty.consensus.membership import Membership, encode
from casty.consensus.messages import TIMEOUT_NOW
from casty.consensus.progress import PROBE, REPLICATE, Progress
from casty.consensus.sending import send_due
from casty.consensus.state import State
from casty.consensus.values import Role

__all__ = ["advance_changes", "advance_transfer", "begin_transfer", "is_throttled", "step_towards"]


def step_towards(
    state: State,
    voters: Sequence[str],
    learners: Sequence[str],
    *,
    is_answered: Callable[[Sequence[str]], bool],
) -> bool:
    """Take one step towards a configuration if one is possible now; say whether it is still to be reached.

    Parameters
    ----------
    is_answered
        Whether a majority of some replicas answered of late.
    """
    target = Membership(_sorted(voters), (), _sorted(learners))
    assert target.voters and not any(id in target.voters for id in target.learners), target
    membership = state.membership
    assert membership is not None and state.role is Role.LEADER
    state.slow_learner = None
    if membership == target:
        return state.membership_index > state.commit
    is_blocked = state.membership_index > state.commit or membership.outgoing or state.transfer_to is not None
    if state.is_established and not is_blocked:
        _step(state, membership, target, is_answered)
    return True


def _sorted(ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(dict.fromkeys(ids)))


def _step(
    state: State, membership: Membership, target: Membership, is_answered: Callable[[Sequence[str]], bool]
) -> None:
    newcomers = [id for id in target.voters if id not in membership.voters]
    learners = _sorted([id for id in (*target.learners, *newcomers) if id not in membership.voters])
    if learners != membership.learners:
        append_membership(state, Membership(membership.voters, (), learners))
        return
    if target.voters == membership.voters:
        return
    behind = [progress for id in newcomers if not (progress := state.progress[id]).is_caught_up]
    if not behind:
        # Those who keep their places may be dead. A joint configuration without both majorities ends nowhere, and the
        # voters that are to go would have been enough.
        if is_answered(target.voters):
            append_membership(state, Membership(target.voters, membership.voters, target.learners))
        return
    rounds = state.limits.catch_up_rounds
    state.slow_learner = next((progress for progress in behind if progress.round_count >= rounds), None)


def is_throttled(state: State) -> bool:
    """Whether proposals wait for a learner that ten rounds did not bring up to date."""
    slow = state.slow_learner
    if slow is None or slow.is_caught_up or slow.state == PROBE:
        return False
    if slow.snapshot is None:
        return state.log.last_index - slow.match > state.limits.throttled_lag_entries
    # Its snapshots were overrun by compaction: let it have one, unless it died meanwhile.
    if state.now_ns - slow.active_ns >= state.timing.election_max_ns:
        return False
    limits, log = state.limits, state.log
    room = min(limits.throttled_lag_entries, (limits.retained_entries + limits.compact_entries) // 2)
    if log.last_index - slow.snapshot.index > room:
        return True
    return bytes_of(log.slice(slow.snapshot.index + 1, log.last_index)) > limits.retained_bytes // 2


def append_membership(state: State, membership: Membership) -> None:
    """Append a configuration; it is in force at once."""
    assert state.is_established and state.membership_index <= state.commit
    index = state.log.append(Entry(state.term, MEMBERSHIP, encode(membership)))
    state.history.add(index, membership)
    state.adopt_membership()


def advance_changes(state: State, now_ns: int) -> None:
    """Go on after the newest configuration has committed."""
    membership = state.membership
    assert membership is not None and state.membership_index <= state.commit
    state.role_changed = True
    if membership.outgoing:
        append_membership(state, Membership(membership.voters, (), membership.learners))
    elif not state.self_in_voters:
        heir = max(state.voter_peers, key=_match)
        send_due(state)
        state.send(heir.id, [TIMEOUT_NOW, state.term])
        state.become_follower(now_ns, state.term, None)


def _match(progress: Progress) -> int:
    return progress.match


def begin_transfer(state: State, now_ns: int, to: str) -> bool:
    """Hand leadership to a voter that replicates; proposals wait until it is over."""
    progress = state.progress.get(to)
    if progress is None or progress not in state.voter_peers or progress.state != REPLICATE:
        return False
    if state.transfer_to is not None or not state.is_established:
        return state.transfer_to == to
    state.transfer_to = to
    state.transfer_deadline_ns = now_ns + state.election_min_ns
    state.wake_at(state.transfer_deadline_ns)
    advance_transfer(state, progress)
    return True


def advance_transfer(state: State, progress: Progress) -> None:
    """Tell the heir to stand once it holds the whole log; from then on this term has no lease."""
    if not state.is_lease_barred and progress.match == state.log.last_index:
        state.is_lease_barred = True
        state.lease_known_ns = 0
        state.role_changed = True
        state.send(progress.id, [TIMEOUT_NOW, state.term])
