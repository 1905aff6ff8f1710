"""What waits for the end of a turn: the order of frames, and messages that follow each other in one of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from casty.limits import MAX_BUNDLE
from casty.transport.staging import BUNDLED, Staging
from casty.wire import frames
from casty.wire.framing import HEADER_BYTES, FrameBuffer
from casty.wire.pack import pack, unpack

MOST = 1000
KINDS = (frames.ACTOR, frames.ENTITY, frames.RELAY, frames.WATCH, frames.CONSENSUS)
Sent = tuple[int, bytes]


def taken_apart(data: bytes) -> list[list[Sent]]:
    """Return the messages of each frame, as whoever takes it sees them."""
    buffer = FrameBuffer(MOST)
    cut = buffer.feed(data)
    assert buffer.held_bytes == 0
    found: list[list[Sent]] = []
    for kind, body in cut:
        if kind == frames.BUNDLE:
            plain: Any = unpack(body)
            inner, rows = plain
            found.append([(inner, pack(row)) for row in rows])
        else:
            found.append([(kind, body)])
    return found


def staged(sent: list[Sent]) -> list[list[Sent]]:
    """Stage all of them, and return what comes out; the bytes were told as they are."""
    staging = Staging()
    told = [staging.add(kind, body, b"", MOST) for kind, body in sent]
    data = b"".join(staging.take())
    assert sum(told) == len(data)
    assert all(more <= HEADER_BYTES + len(body) for more, (_, body) in zip(told, sent, strict=True))
    assert staging.take() == [], "nothing is sent twice"
    return taken_apart(data)


def body(number: int) -> bytes:
    return pack([number, "/path", b"x" * (number % 5)])


@pytest.mark.parametrize("kinds", list(itertools.product(KINDS, repeat=4)))
def test_everything_comes_out_as_it_was_sent_and_in_its_order(kinds: tuple[int, ...]) -> None:
    sent = [(kind, body(number)) for number, kind in enumerate(kinds)]
    found = staged(sent)
    assert [one for several in found for one in several] == sent
    runs = [(kind, len(list(run))) for kind, run in itertools.groupby(kinds)]
    assert len(found) == sum(1 if kind in BUNDLED else count for kind, count in runs)


def test_one_message_goes_in_a_frame_of_its_own_kind() -> None:
    staging = Staging()
    staging.add(frames.ACTOR, body(1), b"", MOST)
    assert FrameBuffer(MOST).feed(b"".join(staging.take())) == [(frames.ACTOR, body(1))]
    staging.add(frames.ACTOR, body(2), b"", MOST)
    assert FrameBuffer(MOST).feed(b"".join(staging.take())) == [(frames.ACTOR, body(2))], "a turn later"


def test_a_bundle_has_no_more_messages_than_are_taken() -> None:
    sent = [(frames.ENTITY, b"\x01")] * (2 * MAX_BUNDLE + 1)
    assert [len(several) for several in staged(sent)] == [MAX_BUNDLE, MAX_BUNDLE, 1]


@pytest.mark.parametrize(
    "size_bytes", [1, 100, 330, 331, 332, 333, 490, 494, 495, 496, 900, MOST - 4, MOST - 1]
)
def test_a_bundle_is_no_longer_than_a_frame_may_be(size_bytes: int) -> None:
    long = pack(b"x" * (size_bytes - 2)) if size_bytes > 2 else b"\x01"
    long = long[:size_bytes] if len(long) <= size_bytes else pack(b"x" * (size_bytes - 3))
    sent = [(frames.ACTOR, long)] * 7
    assert [one for several in staged(sent) for one in several] == sent


def test_what_comes_in_two_pieces_is_no_part_of_a_bundle() -> None:
    staging = Staging()
    for start, rest in [
        (b"\x92\x01", b"\x02"),
        (b"\x92\x01", b"\x02"),
        (b"\x92\x01\x02", b""),
        (b"\x92\x01", b"\x02"),
    ]:
        staging.add(frames.ACTOR, start, rest, MOST)
    data = b"".join(staging.take())
    assert FrameBuffer(MOST).feed(data) == [(frames.ACTOR, b"\x92\x01\x02")] * 4
