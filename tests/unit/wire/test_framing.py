"""Frames survive any fragmentation, and illegal ones are refused before they are buffered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.errors import RemoteProtocolError
from casty.wire.framing import FrameBuffer, frame, frame_header

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8)


@given(FRAMES, st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_any_fragmentation_gives_the_same_frames(sent: list[tuple[int, bytes]], sizes: list[int]) -> None:
    stream = b"".join(frame(kind, body) for kind, body in sent)
    buffer, found, start, turn = FrameBuffer(100), [], 0, 0
    while start < len(stream):
        size = sizes[turn % len(sizes)]
        found += buffer.feed(stream[start : start + size])
        start, turn = start + size, turn + 1
    assert found == sent
    assert buffer.held_bytes == 0


def test_a_frame_in_many_small_pieces_costs_one_join() -> None:
    buffer = FrameBuffer(2**20)
    stream = frame(7, b"x" * 100_000)
    found = [item for index in range(len(stream)) for item in buffer.feed(stream[index : index + 1])]
    assert found == [(7, b"x" * 100_000)]


def test_the_limit_counts_the_kind() -> None:
    assert FrameBuffer(11).feed(frame(1, b"x" * 10)) == [(1, b"x" * 10)]
    with pytest.raises(RemoteProtocolError, match="at most 10 bytes, found one of 11"):
        FrameBuffer(10).feed(frame(1, b"x" * 10))


@pytest.mark.parametrize("size", [4, 5])
def test_an_oversized_length_is_refused_with_its_last_byte(size: int) -> None:
    buffer = FrameBuffer(4096)
    assert buffer.feed(frame_header(1, 2**31)[:3]) == []
    with pytest.raises(RemoteProtocolError, match="at most 4096"):
        buffer.feed(frame_header(1, 2**31)[3:size])


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="length 0"):
        FrameBuffer(10).feed(b"\0\0\0\0")


@pytest.mark.parametrize("first", [0x15, 0x16])
def test_tls_is_named(first: int) -> None:
    with pytest.raises(RemoteProtocolError, match="found TLS"):
        FrameBuffer(4096).feed(bytes([first, 3, 1, 2, 0, 1, 0]))


def test_the_limit_may_rise_behind_the_first_frame() -> None:
    buffer = FrameBuffer(10)
    assert buffer.feed_one(frame(2, b"hello") + frame(3, b"x" * 50) + frame(4, b"")) == (2, b"hello")
    buffer.limit_bytes = 100
    assert buffer.feed(b"") == [(3, b"x" * 50), (4, b"")]


def test_feed_one_waits_for_a_whole_frame() -> None:
    buffer = FrameBuffer(10)
    assert buffer.feed_one(frame(2, b"hello")[:7]) is None
    assert buffer.feed_one(frame(2, b"hello")[7:]) == (2, b"hello")
