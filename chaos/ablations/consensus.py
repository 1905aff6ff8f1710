"""Planted bugs in consensus: leases, votes, commits, configurations."""

from __future__ import annotations

from typing import Any

from casty.consensus import changing, election, following, leading
from casty.consensus.state import State

from .bug import Planted, bug_in

__all__ = ["CONSENSUS"]


def _longer(right: Any) -> Any:
    """A lease lasts twice as long as voters keep still."""

    def init(state: Any, **fields: Any) -> None:
        right(state, **fields)
        state.lease_span_ns *= 2

    return init


def _forgets_votes(right: Any) -> Any:
    """A voter does not remember for whom it voted."""

    def set_hard_state(state: Any, term: int, vote: str | None) -> None:
        right(state, term, vote if vote == state.id else None)

    return set_hard_state


def _votes_for_anyone(*_: Any) -> bool:
    """A voter does not ask how long the candidate's log is."""
    return True


def _old_terms_too(right: Any) -> Any:
    """Entries of earlier terms commit by count (figure 8 of the Raft paper)."""

    def advance_commit(state: Any, now_ns: int) -> None:
        lead_index, state.lead_index = state.lead_index, 0
        right(state, now_ns)
        state.lead_index = lead_index

    return advance_commit


def _never_checks(right: Any) -> Any:
    """A leader without its majority goes on."""

    def tick_leader(state: Any, now_ns: int) -> None:
        state.check_ns = now_ns + state.timing.election_max_ns
        right(state, now_ns)

    return tick_leader


def _unconfirmed(state: Any, now_ns: int) -> None:
    """Reads are answered without asking whether we still lead."""
    del now_ns
    state.ready_reads.extend((token, state.commit) for token, _ in state.pending_reads)
    state.pending_reads.clear()
    state.dirty = True


def _in_one_step(right: Any) -> Any:
    """Voters change without a joint configuration."""

    def append_membership(state: Any, membership: Any) -> None:
        right(state, membership._replace(outgoing=()))

    return append_membership


def _keeps_conflicts(right: Any) -> Any:
    """A follower keeps entries that contradict its leader's."""

    def store(state: Any, first: int, entries: list[Any]) -> None:
        behind = max(0, state.log.last_index + 1 - first)
        if entries[behind:]:
            right(state, first + behind, entries[behind:])

    return store


CONSENSUS = (
    bug_in("lease-too-long", "lease", "mixed", State, "__init__", _longer),
    bug_in("never-steps-down", "lease", "mixed", leading, "tick_leader", _never_checks),
    Planted("read-unconfirmed", "lease", "map", leading, "confirm_reads", _unconfirmed, True),
    bug_in("vote-forgotten", "vote", "mixed", State, "set_hard_state", _forgets_votes, True),
    Planted("vote-for-anyone", "vote", "mixed", election, "_may_promise", _votes_for_anyone),
    bug_in("commit-old-terms", "commit rule", "mixed", leading, "advance_commit", _old_terms_too, True),
    bug_in("conflicts-kept", "commit rule", "mixed", following, "_store", _keeps_conflicts),
    bug_in("change-in-one-step", "membership", "mixed", changing, "append_membership", _in_one_step),
)
