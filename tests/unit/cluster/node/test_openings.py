"""How many sessions a link may open: some thousand at once, and then a few hundred a second."""

from __future__ import annotations

from casty.cluster.node.openings import AT_ONCE, EACH_NS, Openings
from casty.config import BOUNDS, SECOND_NS


def opened(openings: Openings, now_ns: int, asked: int) -> int:
    return sum(openings.takes(now_ns) for _ in range(asked))


def test_so_many_at_once_and_one_more_after_each_while() -> None:
    openings = Openings()
    assert opened(openings, SECOND_NS, 2 * AT_ONCE) == AT_ONCE
    assert opened(openings, SECOND_NS + EACH_NS - 1, 5) == 0
    assert opened(openings, SECOND_NS + EACH_NS, 5) == 1
    assert opened(openings, SECOND_NS + 11 * EACH_NS, 50) == 10


def test_what_was_refused_counts_for_nothing() -> None:
    openings = Openings()
    assert opened(openings, SECOND_NS, 10 * AT_ONCE) == AT_ONCE
    assert opened(openings, SECOND_NS + 3 * EACH_NS, AT_ONCE) == 3


def test_a_link_that_rested_has_its_share_again_and_no_more() -> None:
    openings = Openings()
    opened(openings, SECOND_NS, AT_ONCE)
    assert opened(openings, 1000 * SECOND_NS, 2 * AT_ONCE) == AT_ONCE


def test_a_client_may_use_all_slots_of_any_cluster_and_begin_anew() -> None:
    openings = Openings()
    assert opened(openings, SECOND_NS, 2 * int(BOUNDS["slots"].high)) == 2 * int(BOUNDS["slots"].high)
