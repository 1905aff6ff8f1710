"""Planted bugs in joint configurations, one half at a time, and in the arithmetic of leases."""

from __future__ import annotations

from typing import Any

from casty.consensus import election, leading
from casty.consensus.state import State

from .bug import bug_in, shown

__all__ = ["BY_TESTS", "HALVES"]


def _commit_in_old(right: Any) -> Any:
    """What the old majority holds is committed, whatever the new one has."""

    def advance_commit(state: Any, now_ns: int) -> None:
        kept = state.voter_peers, state.self_in_voters
        if state.membership.outgoing:
            state.voter_peers, state.self_in_voters = state.outgoing_peers, state.self_in_outgoing
        right(state, now_ns)
        state.voter_peers, state.self_in_voters = kept

    return advance_commit


def _commit_in_new(right: Any) -> Any:
    """What the new majority holds is committed, whatever the old one has."""

    def advance_commit(state: Any, now_ns: int) -> None:
        membership = state.membership
        state.membership = membership._replace(outgoing=())
        right(state, now_ns)
        if state.membership == membership._replace(outgoing=()):
            state.membership = membership

    return advance_commit


def _won_in_old(right: Any) -> Any:
    """The old majority elects alone."""

    def is_won(membership: Any, votes: Any) -> bool:
        return bool(
            right(membership._replace(voters=membership.outgoing or membership.voters, outgoing=()), votes)
        )

    return is_won


def _won_in_new(right: Any) -> Any:
    """The new majority elects alone."""

    def is_won(membership: Any, votes: Any) -> bool:
        return bool(right(membership._replace(outgoing=()), votes))

    return is_won


def _with_span(span_ns: Any) -> Any:
    def make(right: Any) -> Any:
        def init(state: Any, **fields: Any) -> None:
            right(state, **fields)
            state.lease_span_ns = span_ns(state.timing)

        return init

    return make


def _drift_added(timing: Any) -> int:
    """The bound on drift makes a lease longer."""
    return int(timing.election_min_ns * (1_000_000 + timing.drift_ppm) // 1_000_000)


def _as_long_as_the_longest(timing: Any) -> int:
    """A lease lasts as long as a follower may wait, not as long as it does wait at least."""
    return int(timing.election_max_ns * (1_000_000 - timing.drift_ppm) // 1_000_000)


HALVES = (
    bug_in("elected-in-new-half", "joint majority", "membership", election, "is_won", _won_in_new, True),
    bug_in(
        "commit-in-new-half", "joint majority", "membership", leading, "advance_commit", _commit_in_new, True
    ),
    bug_in(
        "lease-of-longest", "lease", "mixed", State, "__init__", _with_span(_as_long_as_the_longest), True
    ),
)
_JOINT = "tests/scripts/test_scripts.py::test_script[raft/06-joint-finished-by-another]"
_LEASE = "tests/unit/consensus/test_core.py::test_a_heartbeat_from_before_the_leadership_is_no_lease"

BY_TESTS = (
    shown(
        bug_in("commit-in-old-half", "joint majority", "", leading, "advance_commit", _commit_in_old), _JOINT
    ),
    shown(bug_in("elected-in-old-half", "joint majority", "", election, "is_won", _won_in_old), _JOINT),
    shown(bug_in("lease-with-drift", "lease", "", State, "__init__", _with_span(_drift_added)), _LEASE),
)
"""They take a course of events that a script lays down, or are a matter of a few milliseconds."""
