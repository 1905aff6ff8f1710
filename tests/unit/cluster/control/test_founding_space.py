"""One founding, in every course of it: the bounds are small in the quick test and larger in the slow one."""

from __future__ import annotations

import pytest

from chaos.ablations.bug import Planted, planted
from chaos.ablations.founding import FINISHED_BY_FEWER, FOUNDING
from tests.unit.cluster.control.founding_space import Broken, Space

SIDES = {0: (0, 1, 2), 2: (1, 2, 3, 4)}
"""Of five nodes: the first leader gets through to three, the second to those and the others."""


@pytest.mark.parametrize(
    ("nodes", "needed", "ballots", "restarts"),
    [(1, 1, 2, 0), (2, 2, 2, 1), (3, 3, 2, 0), (3, 2, 2, 0)],
)
def test_one_document_at_most_is_started(nodes: int, needed: int, ballots: int, restarts: int) -> None:
    space = Space(nodes, needed, (0, 1)[:nodes], ballots, restarts)
    assert space.explore() > nodes
    assert space.most_started == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "needed", "restarts"), [(3, 3, 1), (3, 2, 1), (4, 3, 0)], ids=lambda number: str(number)
)
def test_nor_with_more_nodes_and_restarts(nodes: int, needed: int, restarts: int) -> None:
    Space(nodes, needed, (0, 1), 2, restarts).explore()


@pytest.mark.slow
def test_nor_with_five_nodes() -> None:
    space = Space(5, 3, (0, 2), 2, 0, SIDES)
    space.explore()
    assert space.most_started == 1


@pytest.mark.slow
def test_what_the_documents_say_of_three_of_five_is_so() -> None:
    """With the smallest quorum one seed that restarts after it gave its word may let two foundings serve."""
    with pytest.raises(Broken, match=r"started after 1|serve at once"):
        Space(5, 3, (0, 2), 2, 1, SIDES).explore()


@pytest.mark.slow
def test_nor_with_more_ballots() -> None:
    _explore_all()


@pytest.mark.slow
def test_nor_where_one_that_finished_a_document_restarts() -> None:
    """A ballot of before waits with a promise of before; it takes as many seeds to finish a document as to make one."""
    space = Space(3, 3, (0, 1), 3, 1)
    space.explore()
    assert space.most_started == 1


@pytest.mark.slow
def test_finishing_with_fewer_seeds_than_a_new_document_needs_is_found() -> None:
    with planted(FINISHED_BY_FEWER), pytest.raises(Broken, match="started after 1"):
        Space(3, 3, (0, 1), 3, 1).explore()


@pytest.mark.slow
@pytest.mark.parametrize("bug", FOUNDING, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Planted) -> None:
    with planted(bug), pytest.raises(Broken):
        _explore_all()


def _explore_all() -> None:
    for nodes, needed, ballots, restarts in ((3, 2, 2, 0), (2, 2, 2, 1), (3, 3, 2, 1), (3, 2, 3, 0)):
        Space(nodes, needed, (0, 1), ballots, restarts).explore()
