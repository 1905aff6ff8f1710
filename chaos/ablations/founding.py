"""Planted bugs in founding. The exploration in `tests/unit/cluster/control/test_founding_space.py` finds each of them.

It goes through all that may be late, lost, doubled or restarted among a few nodes; a scenario tries one course a seed.
"""

from __future__ import annotations

from typing import Any

from casty.cluster.control import ballots
from casty.cluster.control.machine import MemberRow

from .bug import Planted, bug_in, shown

__all__ = ["FINISHED_BY_FEWER", "FOUNDING", "LATE_JOIN"]

SAFEGUARD = "one founding"


def _half(_right: Any) -> Any:
    """Half is taken for a majority."""
    return lambda count: max(1, count // 2)


def _free_choice(_right: Any) -> Any:
    """Whoever leads a ballot proposes what it likes."""
    return lambda acceptor: None


def _lowest_vote(_right: Any) -> Any:
    """The document of the lowest ballot is proposed again, not that of the highest."""

    def bound(acceptor: Any) -> Any:
        votes = [row.vote for row in acceptor.promises if row.vote is not None]
        return min(votes, key=lambda vote: vote.ballot).proposal if votes else None

    return bound


def _accepts_lower(right: Any) -> Any:
    """A document is accepted in a ballot below the one that was promised."""

    def accept(acceptor: Any, ballot: Any, proposal: Any) -> Any:
        return right(acceptor._replace(promised=ballot), ballot, proposal)

    return accept


def _promises_lower(right: Any) -> Any:
    """A lower ballot is promised after a higher one."""
    return lambda acceptor, ballot, floor: right(acceptor._replace(promised=ballot), ballot, floor)


def _released(right: Any) -> Any:
    """Who promises a higher ballot forgets what it accepted in a lower one, as after a withdrawal."""

    def promise(acceptor: Any, ballot: Any, floor: int) -> Any:
        return right(acceptor._replace(vote=None) if ballot > acceptor.promised else acceptor, ballot, floor)

    return promise


def _one_replaced(_right: Any) -> Any:
    """A document is given up as soon as one of its founders was restarted."""

    def is_dead(acceptor: Any, proposal: Any) -> bool:
        now = {row.who.seed: row.who.key for row in acceptor.promises}
        return any(now.get(voter.seed, voter.key) != voter.key for voter in proposal.voters)

    return is_dead


def _own_wall(_right: Any) -> Any:
    """The generation is what one wall clock says."""
    return lambda promises: promises[-1].floor


_TESTS = "tests/unit/cluster"


def _majority_is_enough(_right: Any) -> Any:
    """A majority finishes a document, however many a new one needs."""
    return lambda seeds, needed: len(seeds) // 2 + 1


FINISHED_BY_FEWER = shown(
    bug_in("finished-by-fewer", SAFEGUARD, "", ballots, "enough", _majority_is_enough, True),
    f"{_TESTS}/control/test_founding_space.py::test_nor_where_one_that_finished_a_document_restarts",
)

FOUNDING: tuple[Planted, ...] = tuple(
    shown(bug, f"{_TESTS}/control/test_founding_space.py::test_nor_with_more_ballots")
    for bug in (
        bug_in("half-is-a-majority", SAFEGUARD, "", ballots, "majority", _half),
        bug_in("free-choice", SAFEGUARD, "", ballots, "_bound", _free_choice),
        bug_in("lowest-vote", SAFEGUARD, "", ballots, "_bound", _lowest_vote, True),
        bug_in("accepts-lower", SAFEGUARD, "", ballots, "accept", _accepts_lower),
        bug_in("promises-lower", SAFEGUARD, "", ballots, "promise", _promises_lower),
        bug_in("released-by-a-promise", SAFEGUARD, "", ballots, "promise", _released),
        bug_in("one-replaced-is-dead", SAFEGUARD, "", ballots, "_is_dead", _one_replaced, True),
        bug_in("own-wall", "fencing", "", ballots, "_floor", _own_wall, True),
    )
)
"""What may go wrong while blank nodes agree on one document."""

LATE_JOIN: tuple[Planted, ...] = tuple(
    shown(bug, f"{_TESTS}/control/test_control.py::test_a_late_join_of_a_dead_process_does_not_replace_its_successor")
    for bug in (
        bug_in(
            "join-takes-anyone", "members by incarnation", "", MemberRow, "is_replaced",
            lambda _right: lambda row, incarnation: False,
        ),
        bug_in(
            "forgets-predecessors", "members by incarnation", "", MemberRow, "former_of",
            lambda _right: lambda row, successor: (),
        ),
    )
)  # fmt: skip
"""A late JOIN of a dead process replaces its successor."""
