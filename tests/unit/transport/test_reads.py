"""How much is read of a socket in one turn of the loop."""

from __future__ import annotations

import asyncio

import pytest
import trustme

from casty.ports import Link
from casty.tls import Config
from casty.transport.tcp import LEAST_READ_BYTES, MOST_READ_BYTES, TcpTransport
from casty.wire.framing import FrameBuffer, frame
from tests.contract.environments import HOST, contexts_of

SMALL, LONG = frame(40, b"x" * 60), frame(40, b"y" * (2 * MOST_READ_BYTES))


class Reader:
    """Cuts frames and notes how long each read was."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.buffer = FrameBuffer(1 << 24)
        self.reads: list[int] = []
        self.frames: list[int] = []
        self.changed = asyncio.Event()

    def data_received(self, data: bytes) -> int:
        self.reads.append(len(data))
        self.frames += [len(body) for _, body in self.buffer.feed(data)]
        self.changed.set()
        return self.buffer.missing_bytes

    def link_lost(self, reason: BaseException | None) -> None:
        self.changed.set()

    async def until(self, count: int) -> None:
        while len(self.frames) < count:
            self.changed.clear()
            await self.changed.wait()


async def _receive(sent: bytes, count: int, tls: Config | None) -> Reader:
    transport = TcpTransport()
    taken: asyncio.Queue[Reader] = asyncio.Queue()

    def take(link: Link) -> Reader:
        reader = Reader(link)
        taken.put_nowait(reader)
        return reader

    listener = await transport.listen(HOST, 0, take, tls=tls)
    near = await transport.dial(*listener.address, Reader, tls=tls)
    near.write(sent)
    reader = await taken.get()
    await reader.until(count)
    near.abort()
    reader.link.abort()
    await listener.close()
    return reader


@pytest.mark.parametrize("is_tls", [False, True])
async def test_many_small_frames_are_read_a_few_at_a_time(is_tls: bool) -> None:
    tls = contexts_of(trustme.CA(), HOST) if is_tls else None
    reader = await _receive(SMALL * 10_000, 10_000, tls)
    assert reader.frames == [60] * 10_000
    assert max(reader.reads) <= LEAST_READ_BYTES + 16 * 1024 * is_tls  # TLS gives whole records


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_long_frame_is_read_in_long_pieces_and_what_follows_in_small_ones(is_tls: bool) -> None:
    tls = contexts_of(trustme.CA(), HOST) if is_tls else None
    reader = await _receive(SMALL + LONG + SMALL * 5_000, 5_002, tls)
    assert reader.frames == [60, len(LONG) - 5, *[60] * 5_000]
    assert max(reader.reads) > 2 * LEAST_READ_BYTES
    assert max(reader.reads[-10:]) <= LEAST_READ_BYTES + 16 * 1024 * is_tls


def test_what_is_missing_of_a_frame_is_known() -> None:
    buffer = FrameBuffer(1_000)
    assert buffer.missing_bytes == 0
    buffer.feed(frame(40, b"z" * 100)[:45])
    assert buffer.missing_bytes == 60
    buffer.feed(frame(40, b"z" * 100)[45:])
    assert buffer.missing_bytes == 0
