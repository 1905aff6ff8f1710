"""Plain values round-trip, and whatever else arrives is one kind of error."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from casty.errors import EncodingError, RemoteProtocolError
from casty.limits import MAX_ITEMS
from casty.wire.pack import pack, unpack

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
PLAIN = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(PLAIN)
@example(2**64)
@example(-(2**63) - 1)
@example([2**4000, {"a": -(2**64)}])
def test_round_trip(value: object) -> None:
    again = unpack(pack(value))
    assert again == value
    assert type(again) is type(value)


def test_tuples_become_lists() -> None:
    assert unpack(pack((1, (2,)))) == [1, [2]]


@given(st.binary())
def test_any_bytes_are_a_value_or_a_protocol_error(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        value = unpack(data)
        assert pack(unpack(pack(value))) == pack(value)


@given(PLAIN, st.data())
def test_every_truncation_is_refused(value: object, data: st.DataObject) -> None:
    packed = pack(value)
    size = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(RemoteProtocolError):
        unpack(packed[:size])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x01",  # trailing byte
        b"\xc1",  # never used
        b"\x81\x01\x02",  # a key that is no string
        b"\xa2\xff\xfe",  # no UTF-8
        b"\x91" * 5000 + b"\xc0",  # deep
        b"\xdd" + (MAX_ITEMS + 1).to_bytes(4, "big") + b"\xc0" * (MAX_ITEMS + 1),  # too many
        b"\xdd\xff\xff\xff\xff",  # claims four billion
        (b"\xdd" + (1_000_000).to_bytes(4, "big")) * 400,  # nested claims
        b"\xd4\x05\x00",  # unknown extension
        b"\xd6\xff\x00\x00\x00\x01",  # timestamps, three sizes
        b"\x92\x01\xd7\xff" + b"\0" * 8,
        b"\x81\xa1a\xc7\x0c\xff" + b"\0" * 12,
    ],
)
def test_hostile_bytes(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(data)


def test_a_number_of_any_length_is_refused_with_a_short_text() -> None:
    with pytest.raises(RemoteProtocolError, match="expected one msgpack value") as raised:
        unpack(pack(10**5000) + b"\x00")
    assert len(str(raised.value)) < 400


def test_bytes_that_look_like_a_timestamp_are_bytes() -> None:
    value = [b"\xd6\xff\x00\x00\x00\x01", -1]
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("value", [object(), {1, 2}, "\ud800", 1j, msgpack.Timestamp])
def test_what_is_not_plain_is_refused_and_the_packer_goes_on(value: object) -> None:
    with pytest.raises(EncodingError):
        pack([1, value])
    assert pack([1]) == b"\x91\x01"


GOLDEN = {
    b"\xc0": None,
    b"\x93\x01\xff\xc3": [1, -1, True],
    b"\xcb\x3f\xf8" + b"\0" * 6: 1.5,
    b"\x82\xa1a\xc4\x01b\xa0\x90": {"a": b"b", "": []},
    b"\xc7\x09\x01\x01" + b"\0" * 8: 2**64,
}


@pytest.mark.parametrize("data", list(GOLDEN), ids=lambda data: data.hex())
def test_golden_bytes(data: bytes) -> None:
    assert pack(GOLDEN[data]) == data
    assert unpack(data) == GOLDEN[data]


@pytest.mark.parametrize("count", [MAX_ITEMS, MAX_ITEMS + 1])
@pytest.mark.parametrize("make", [list, tuple, lambda items: dict.fromkeys(map(str, items))])
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [1, {"a": (value,)}]])
def test_what_the_other_side_would_refuse_is_refused_here(count: int, make: Any, wrap: Any) -> None:
    value = wrap(make(range(count)))
    if count > MAX_ITEMS:
        with pytest.raises(EncodingError, match=f"at most {MAX_ITEMS} items"):
            pack(value)
    else:
        unpack(pack(value))


def test_a_string_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casty.wire.pack.MAX_BYTES", MAX_ITEMS)
    for value in (b"x" * MAX_ITEMS, "x" * MAX_ITEMS):
        assert unpack(pack([value])) == [value]
    for value in (b"x" * (MAX_ITEMS + 1), "x" * (MAX_ITEMS + 1), "\u00e4" * (MAX_ITEMS // 2 + 1)):
        with pytest.raises(EncodingError, match="bytes in one string"):
            pack([value])


def test_both_sides_nest_alike() -> None:
    taken, refused = list[int](), list[int]()
    for depth in range(980, 1060):
        value: object = 1
        for _ in range(depth):
            value = [value]
        try:
            data = pack(value)
        except EncodingError:
            refused.append(depth)
            continue
        taken.append(depth)
        assert pack(unpack(data)) == data
    assert taken and refused
    assert max(taken) < min(refused)


@pytest.mark.parametrize(
    "bad", [b"", b"\x92\x01", b"\x01\x02", b"\xc1", b"\x81\x01\x01", b"\xc7\x01\x05\x00"]
)
def test_what_cannot_be_read_leaves_nothing_behind(bad: bytes) -> None:
    """No rest of one message is the beginning of the next."""
    for _ in range(3):
        with pytest.raises(RemoteProtocolError):
            unpack(bad)
        assert unpack(pack([1, "a", b"b"])) == [1, "a", b"b"]


@pytest.mark.parametrize("length", [MAX_ITEMS - 5, MAX_ITEMS - 4, MAX_ITEMS, 2 * MAX_ITEMS])
def test_short_and_long_values_are_read_alike(length: int) -> None:
    data = pack(b"x" * length)
    assert unpack(data) == b"x" * length
    for bad in (data[:-1], data + b"\x01"):
        with pytest.raises(RemoteProtocolError):
            unpack(bad)
