"""Hints of leaders: newer terms count, and a term that nobody won outdates nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.control.topology import LeaderTable, learn_hints

HINTS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 4), st.sampled_from(["a", "b", None])), max_size=12
)


def table_of(*hints: tuple[int, int, str | None]) -> LeaderTable:
    table = LeaderTable()
    for hint in hints:
        table.learn(0, *hint)
    return table


def test_a_late_hint_of_an_older_leader_changes_nothing() -> None:
    table = table_of((1, 3, "b"))
    assert not table.learn(0, 1, 2, "a")
    assert table.leader_of(0) == "b"


def test_a_leader_is_found_again_after_a_term_that_nobody_won() -> None:
    table = table_of((1, 1, "a"), (1, 2, None))
    assert table.leader_of(0) is None
    assert table.learn(0, 1, 1, "a")
    assert table.leader_of(0) == "a"


def test_a_term_without_a_leader_is_not_told_to_others() -> None:
    table = table_of((1, 1, "a"), (1, 2, None))
    assert table.rows() == table.rows([0]) == []
    assert table.learn(0, 1, 2, "b")
    assert table.rows() == [[0, 1, 2, "b"]]


def test_what_an_older_node_says_of_a_term_without_a_leader_is_no_news() -> None:
    table = table_of((1, 1, "a"))
    assert not learn_hints(table, [[0, 1, 2, None]], 1)
    assert table.leader_of(0) == "a"


@given(HINTS, st.integers(1, 4))
def test_whatever_was_heard_the_leader_of_the_newest_won_term_is_believed(
    hints: list[tuple[int, int, str | None]], term: int
) -> None:
    table = table_of(*hints)
    won = [(epoch, number) for epoch, number, leader in hints if leader is not None]
    newest = max([*won, (2, term)])
    before = table.leader_of(0)
    table.learn(0, *newest, "leads")
    assert table.leader_of(0) == ("leads" if newest not in won or before is None else before)
