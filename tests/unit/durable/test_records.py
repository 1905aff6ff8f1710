"""Records: what was written is read, and whatever else is there is found out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.consensus import Entry, Membership, Snapshot
from casty.durable import records
from casty.durable.loading import load_group
from casty.durable.records import Corrupt, GroupRow, Head, Manifest
from casty.errors import DiskError

ROW = GroupRow(7, 0, Membership(("a#1", "b#2")))
MANIFEST = Manifest(
    "shop", "a", "1", 3, 1_500, "c1", 60, {"drift": 0.01}, b"founding", (("10.0.0.1", 25520),), {0: ROW, 5: ROW}
)  # fmt: skip
HEAD = Head(4, 2, 100, Snapshot(9, 2, Membership(("a#1",), ("b#2",), ()), 8), 6, 1)


def entry(group: int, index: int, term: int, data: bytes = b"x") -> tuple[bytes, bytes]:
    key = records.log_key(group, index)
    return key, records.encode_entry(key, Entry(term, 0, data))


def hard(group: int, term: int, vote: str | None = None) -> tuple[bytes, bytes]:
    return records.hard_key(group), records.encode_hard_state(group, term, vote)


def head(group: int, value: Head = HEAD) -> tuple[bytes, bytes]:
    return records.head_key(group), records.encode_head(group, value)


def test_all_kinds_come_back() -> None:
    assert records.decode_manifest(records.encode_manifest(MANIFEST)) == MANIFEST
    assert records.decode_hard_state(3, hard(3, 5, "b#2")[1]) == (5, "b#2")
    assert records.decode_head(3, head(3)[1]) == HEAD
    key, value = entry(3, 8, 2)
    assert records.decode_entry(key, value) == Entry(2, 0, b"x") and records.index_of(key) == 8
    part = records.part_key(3, 4, 1)
    assert records.decode_part(part, records.encode_part(part, b"state")) == b"state"
    assert [records.group_of(key) for key in (records.MANIFEST, key, part)] == [None, 3, 3]


@given(st.integers(0, 2**32 - 2), st.integers(1, 2**60), st.integers(1, 2**60))
def test_keys_stand_in_the_order_of_their_numbers(group: int, one: int, other: int) -> None:
    assert (records.log_key(group, one) < records.log_key(group, other)) == (one < other)
    assert records.log_key(group, one) < records.part_key(group, one, other) < records.head_key(group)
    assert records.head_key(group) < records.hard_key(group + 1)


@given(st.integers(0, 200), st.integers(1, 255))
def test_any_byte_that_changed_is_found(place: int, difference: int) -> None:
    value = bytearray(records.encode_manifest(MANIFEST))
    value[place % len(value)] ^= difference
    with pytest.raises(DiskError):
        records.decode_manifest(bytes(value))


@given(st.integers(0, 100))
def test_a_torn_record_is_found(length: int) -> None:
    _, value = hard(3, 5, "b#2")
    with pytest.raises(Corrupt):
        records.decode_hard_state(3, value[: length % len(value)])


def test_a_record_in_another_ones_place_is_found() -> None:
    key, value = entry(3, 8, 2)
    with pytest.raises(Corrupt):
        records.decode_entry(records.log_key(3, 9), value)
    with pytest.raises(Corrupt):
        records.decode_entry(records.log_key(4, 8), value)
    with pytest.raises(Corrupt):
        records.decode_hard_state(4, hard(3, 5)[1])
    assert records.decode_entry(key, value).term == 2


def test_a_directory_of_another_version_is_refused_by_its_number() -> None:
    value = records.encode_manifest(MANIFEST)
    with pytest.raises(DiskError, match="format 9, this version of casty reads 4") as caught:
        records.decode_manifest(b"\x09" + value[1:])
    assert not isinstance(caught.value, Corrupt), "it is whole, and not ours to give up"


# -- groups


def test_a_group_comes_back_with_its_log() -> None:
    stored = load_group(3, ROW, [hard(3, 4, "a#1"), entry(3, 1, 2), entry(3, 2, 4)], 99)
    restored = stored.restored
    assert (restored.term, restored.vote, restored.offset, restored.quiet_ns) == (4, "a#1", 0, 99)
    assert [one.term for one in restored.entries] == [2, 4] and stored.head is None


def test_a_log_may_reach_back_before_its_snapshot() -> None:
    rows = [hard(3, 4), *[entry(3, index, 2) for index in range(7, 12)], head(3)]
    restored = load_group(3, ROW, rows, 0).restored
    assert restored.snapshot == HEAD.snapshot
    assert (restored.offset, restored.offset_term, len(restored.entries)) == (6, 1, 5)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([hard(3, 4), entry(3, 1, 2), entry(3, 3, 2)], "lacks entry 2"),
        ([hard(3, 4), entry(3, 2, 2)], "begins with entry 2, expected 1"),
        ([hard(3, 4), entry(3, 1, 3), entry(3, 2, 2)], "from term 3 back to 2"),
        ([entry(3, 1, 1)], "never in a term above 0"),
        ([hard(3, 1), entry(3, 1, 2)], "never in a term above 1"),
        ([hard(3, 4), head(3)], "ends before entry 9"),
        ([hard(3, 4), entry(3, 7, 2), head(3)], "ends before entry 9"),
        ([hard(3, 1), *[entry(3, index, 1) for index in range(7, 10)], head(3)], "never in a term above 1"),
        ([(records.hard_key(3), b"")], "expected more than"),
    ],
)
def test_what_does_not_fit_together_is_no_replica(rows: list[tuple[bytes, bytes]], text: str) -> None:
    with pytest.raises(Corrupt, match=text):
        load_group(3, ROW, rows, 0)
