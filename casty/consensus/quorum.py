"""Majorities, single and joint (Raft paper section 6): a joint decision needs both."""

from __future__ import annotations

from collections.abc import Mapping

from casty.consensus.membership import Membership

__all__ = ["is_lost", "is_won", "majority_value"]


def majority_value(values: list[int]) -> int:
    """Return the largest value that a majority reaches; sorts in place. Empty means no objection.

    >>> majority_value([5, 9, 7])
    7
    >>> majority_value([4, 3])
    3
    """
    values.sort()
    return values[(len(values) - 1) // 2]


def is_won(membership: Membership, votes: Mapping[str, bool]) -> bool:
    """Whether a majority, of each half if joint, granted."""
    return _has_majority(membership.voters, votes, True) and (
        not membership.outgoing or _has_majority(membership.outgoing, votes, True)
    )


def is_lost(membership: Membership, votes: Mapping[str, bool]) -> bool:
    """Whether so many of a half refused that its majority is out of reach."""
    return _is_blocked(membership.voters, votes) or (
        bool(membership.outgoing) and _is_blocked(membership.outgoing, votes)
    )


def _has_majority(voters: tuple[str, ...], votes: Mapping[str, bool], answer: bool) -> bool:
    return 2 * sum(votes.get(voter) is answer for voter in voters) > len(voters)


def _is_blocked(voters: tuple[str, ...], votes: Mapping[str, bool]) -> bool:
    return 2 * sum(votes.get(voter) is False for voter in voters) >= len(voters)
