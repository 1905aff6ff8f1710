"""Elections: PreVote, votes, and standing for leader.

Raft paper section 5.2 and 5.4.1; PreVote and stickiness: dissertation 9.6 and 4.2.3; forced votes: 3.10.

A silence of one timeout makes a follower a pre-candidate: it asks whether it could win the next term, and
nobody's term moves. With a majority of promises it becomes a candidate of that term. A voter that heard from
a live leader within ``election_min`` promises and votes nothing, without taking the asked term over: that
leader's lease rests on it. Only a vote that the leader itself asked for (``forced``: it gave its lease up)
passes.

A candidate outside our configuration is refused, unless its log is strictly ahead of ours: then ours may lack
the very entry that made it a voter, and refusing would leave a group with a majority alive without a leader.
A blank replica promises and votes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from casty.consensus.leading import become_leader
from casty.consensus.membership import Membership
from casty.consensus.messages import PRE_VOTE, PRE_VOTE_REPLY, VOTE, VOTE_REPLY, integers
from casty.consensus.quorum import is_lost, is_won
from casty.consensus.state import State
from casty.consensus.values import Role

__all__ = [
    "is_alone",
    "on_pre_vote",
    "on_pre_vote_reply",
    "on_vote",
    "on_vote_reply",
    "stand",
    "stand_forced",
    "tick_follower",
]


def tick_follower(state: State, now_ns: int) -> None:
    """Stand for election after a silence of one timeout."""
    due_ns = max(state.timer_ns, state.last_heard_ns()) + state.timeout_ns
    if is_alone(state.membership, state.id) and _is_free(state, now_ns):
        stand(state, now_ns)
    elif now_ns < due_ns:
        state.deadline_ns = due_ns
        if state.ask_again_ns and now_ns >= state.ask_again_ns:
            state.ask_again_ns = 0
            _ask_again(state)
        elif state.ask_again_ns:
            state.wake_at(state.ask_again_ns)
    elif state.is_promotable:
        stand(state, now_ns)
    else:
        state.restart_timer(now_ns)


def is_alone(membership: Membership | None, id: str) -> bool:
    """Whether `id` is the only voter and so need not wait for anyone."""
    return membership is not None and membership.voters == (id,) and not membership.outgoing


def _is_free(state: State, now_ns: int) -> bool:
    """Whether no lease can rest on our silence: who made us the only voter may not know that it committed."""
    return now_ns >= state.refuse_until_ns and not state.is_sticky(now_ns, state.id)


def stand(state: State, now_ns: int) -> None:
    """Ask, as a pre-candidate, whether we would win the next term."""
    assert state.is_promotable
    _drop_leader(state, now_ns, Role.PRE_CANDIDATE)
    state.votes = {state.id: True}
    if not _count_promises(state, now_ns):
        _ask(state, now_ns)


def stand_forced(state: State, now_ns: int) -> None:
    """Stand at once and over the stickiness of others: our leader asked for it."""
    _become_candidate(state, now_ns, is_forced=True)


def _drop_leader(state: State, now_ns: int, role: Role) -> None:
    state.heard_ns = state.last_heard_ns()
    state.leader = None
    state.role = role
    state.is_forced = False
    state.restart_timer(now_ns)
    state.role_changed = True
    state.dirty = True


def _ask(state: State, now_ns: int) -> None:
    """Ask all voters, and those who do not answer once more after a heartbeat."""
    state.ask_again_ns = now_ns + state.timing.heartbeat_ns
    state.wake_at(state.ask_again_ns)
    _ask_again(state)


def _ask_again(state: State) -> None:
    membership, log = state.membership, state.log
    assert membership is not None
    for voter in state.peers:
        if membership.has_voter(voter) and voter not in state.votes:
            if state.role is Role.PRE_CANDIDATE:
                state.send(voter, [PRE_VOTE, state.term + 1, log.last_index, log.last_term])
            else:
                state.send(voter, [VOTE, state.term, log.last_index, log.last_term, int(state.is_forced)])


def _count_promises(state: State, now_ns: int) -> bool:
    assert state.membership is not None
    if is_won(state.membership, state.votes):
        _become_candidate(state, now_ns, is_forced=False)
        return True
    return False


def _become_candidate(state: State, now_ns: int, *, is_forced: bool) -> None:
    _drop_leader(state, now_ns, Role.CANDIDATE)
    state.set_hard_state(state.term + 1, state.id)
    state.is_forced = is_forced
    state.votes = {state.id: True}
    if not _count_votes(state, now_ns):
        _ask(state, now_ns)


def _count_votes(state: State, now_ns: int) -> bool:
    assert state.membership is not None
    if is_won(state.membership, state.votes):
        become_leader(state, now_ns)
        return True
    return False


def _may_promise(state: State, now_ns: int, candidate: str, last_index: int, last_term: int) -> bool:
    membership, log = state.membership, state.log
    if membership is None or now_ns < state.refuse_until_ns:
        return False
    ours, theirs = (log.last_term, log.last_index), (last_term, last_index)
    return theirs > ours or (theirs == ours and membership.has_voter(candidate))


def on_pre_vote(state: State, now_ns: int, sender: str, message: Sequence[object]) -> None:
    """Promise a vote for the asked term, or not; nothing changes here."""
    _, asked, last_index, last_term = integers(message, 4)
    granted = (
        asked > state.term
        and not state.is_sticky(now_ns, sender)
        and _may_promise(state, now_ns, sender, last_index, last_term)
    )
    state.send(sender, [PRE_VOTE_REPLY, state.term, int(granted), asked])


def on_pre_vote_reply(state: State, now_ns: int, sender: str, message: Sequence[object]) -> None:
    """Count a promise; a voter with a higher term makes us ask again above that one."""
    _, term, granted, asked = integers(message, 4)
    if state.role is not Role.PRE_CANDIDATE or not _is_voter(state, sender):
        return
    if term > state.term:
        state.become_follower(now_ns, term, None)
    elif asked == state.term + 1:
        state.votes[sender] = bool(granted)
        _count_promises(state, now_ns)


def on_vote(state: State, now_ns: int, sender: str, message: Sequence[object]) -> None:
    """Vote for at most one candidate of a term."""
    _, term, last_index, last_term, forced = integers(message, 5)
    is_worthy = _may_promise(state, now_ns, sender, last_index, last_term)
    granted = False
    if (is_worthy or _is_voter(state, sender)) and _may_move(state, now_ns, sender, bool(forced)):
        if term > state.term:
            state.become_follower(now_ns, term, None)
        granted = is_worthy and term == state.term and state.leader is None and state.vote in (None, sender)
        if granted:
            state.set_hard_state(term, sender)
            state.restart_timer(now_ns)
    state.send(sender, [VOTE_REPLY, state.term, int(granted)])


def _may_move(state: State, now_ns: int, candidate: str, is_forced: bool) -> bool:
    """Whether a candidate's term may replace ours; see the head of this module."""
    if state.membership is None or now_ns < state.refuse_until_ns:
        return False
    return is_forced or not state.is_sticky(now_ns, candidate)


def on_vote_reply(state: State, now_ns: int, sender: str, message: Sequence[object]) -> None:
    """Count a vote; give up when a majority is out of reach."""
    _, term, granted = integers(message, 3)
    if not _is_voter(state, sender):
        return
    if term > state.term:
        if state.role in (Role.CANDIDATE, Role.PRE_CANDIDATE):
            state.become_follower(now_ns, term, None)
    elif term == state.term and state.role is Role.CANDIDATE:
        state.votes[sender] = bool(granted)
        if not _count_votes(state, now_ns) and state.membership and is_lost(state.membership, state.votes):
            state.become_follower(now_ns, term, None)


def _is_voter(state: State, id: str) -> bool:
    return state.membership is not None and state.membership.has_voter(id)
