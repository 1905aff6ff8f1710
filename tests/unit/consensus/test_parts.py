"""Log, quorum, configurations and snapshot buffers on their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.consensus.log import Entry, Log
from casty.consensus.membership import History, Membership, decode, encode
from casty.consensus.quorum import is_lost, is_won, majority_value
from casty.consensus.snapshot import Inbound, Outbound, Part, Snapshot
from casty.errors import RemoteProtocolError

IDS = st.lists(st.sampled_from("abcdefg"), max_size=5, unique=True).map(lambda ids: tuple(sorted(ids)))


def log_of(*terms: int, offset: int = 0, offset_term: int = 0) -> Log:
    log = Log(offset, offset_term)
    log.extend([Entry(term, 0, b"") for term in terms])
    return log


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7))
def test_majority_value(values: list[int]) -> None:
    reached = majority_value(list(values))
    assert 2 * sum(value >= reached for value in values) > len(values)
    assert not any(
        2 * sum(value >= more for value in values) > len(values) for more in values if more > reached
    )


@given(
    st.lists(st.integers(1, 4), max_size=8).map(sorted), st.lists(st.integers(1, 4), max_size=8).map(sorted)
)
def test_conflict_never_skips_a_match(left: list[int], right: list[int]) -> None:
    """Walking back by both ends' hints never jumps below the last index where two legal logs agree."""
    ours, theirs = log_of(*left), log_of(*right)
    agreed = 0
    while agreed < min(len(left), len(right)) and left[agreed] == right[agreed]:
        agreed += 1
    hint, hint_term = theirs.conflict(ours.last_index, ours.last_term)
    found, _ = ours.conflict(hint, hint_term)
    assert found >= agreed or ours.term_at(agreed) > hint_term or hint < agreed


def test_log_compaction_keeps_terms() -> None:
    log = log_of(1, 1, 2, 3)
    log.compact(3)
    assert (log.offset, log.term_at(3), log.last_index) == (3, 2, 4)
    assert log.matches(3, 2) and not log.matches(2, 1) and not log.matches(5, 3)
    assert log.conflict(9, 9) == (4, 3)
    assert log.conflict(4, 1) == (3, 2)
    log.truncate(4)
    assert (log.last_index, log.last_term) == (3, 2)


def test_retained_tail_is_bounded_both_ways() -> None:
    log = Log()
    log.extend([Entry(1, 0, b"x" * 10) for _ in range(10)])
    assert log.retained_from(10, 3, 1000) == 7
    assert log.retained_from(10, 100, 25) == 8
    assert log.retained_from(10, 0, 25) == 10


def test_joint_votes_need_both_halves() -> None:
    joint = Membership(("a", "b", "c"), ("c", "d", "e"), ("f",))
    assert not is_won(joint, {"a": True, "b": True, "f": True})
    assert not is_won(joint, {"a": True, "b": True, "d": True})
    assert is_won(joint, {"a": True, "c": True, "d": True})
    assert is_lost(joint, {"d": False, "e": False})
    assert not is_lost(joint, {"a": False, "d": False})


@given(IDS.filter(bool), IDS, IDS)
def test_membership_entry_round_trips(
    voters: tuple[str, ...], outgoing: tuple[str, ...], learners: tuple[str, ...]
) -> None:
    membership = Membership(voters, outgoing, tuple(id for id in learners if id not in voters))
    assert decode(encode(membership)) == membership


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[[],[],[]]",
        b'[["a"],[]]',
        b'[["b","a"],[],[]]',
        b'[["a"],[],["a"]]',
        b"[[1],[],[]]",
        b"\xff",
    ],
)
def test_bad_membership_entries_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(data)


def test_history_follows_truncation_and_compaction() -> None:
    one, two, three = (Membership((id,)) for id in "abc")
    history = History(0, one)
    history.add(3, two)
    history.add(7, three)
    assert (history.at(2), history.at(3), history.at(9)) == (one, two, three)
    assert history.truncate(7) and not history.truncate(7)
    history.compact(5)
    assert history.items == [(3, two)] and history.at(2) is None


def test_parts_are_taken_in_order_only() -> None:
    inbound = Inbound(2, Snapshot(9, 2, Membership(("a",))), 4, "a")
    assert not inbound.take(1, Part(b"b", True), 8)
    assert inbound.take(0, Part(b"a", False), 8) and not inbound.take(0, Part(b"a", False), 8)
    assert not inbound.take(1, Part(b"b", True), 1), "no room"
    assert inbound.take(1, Part(b"b", True), 8) and not inbound.take(2, Part(b"c", False), 8)
    assert inbound.is_for(2, 9, 4) and not inbound.is_for(3, 9, 4) and not inbound.is_for(2, 9, 5)


def test_parts_are_kept_until_they_are_restored() -> None:
    outbound = Outbound(Snapshot(9, 2, Membership(("a",))), 4)
    outbound.add(Part(b"a", False))
    outbound.add(Part(b"b", True))
    assert not outbound.acknowledge(3)
    assert outbound.acknowledge(1) and [part.data for part in outbound.parts] == [b"b"]
    assert outbound.acknowledge(0) and outbound.acknowledge(2) and not outbound.parts
