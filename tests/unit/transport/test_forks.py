"""Children that a program forks keep nothing open that others wait for to end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from casty.disk import SqliteDevice
from casty.forks import keep_from_children
from casty.ports import Link
from casty.transport.tcp import TcpTransport

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

HOST = "127.0.0.1"


@contextmanager
def forked() -> Generator[None]:
    """Have a child meanwhile that does nothing, and has what it got."""
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(here, b"!")  # what is done in a child at first is done by now
            signal.pause()
        finally:
            os._exit(0)
    try:
        assert os.read(there, 1) == b"!"
        os.close(there)
        os.close(here)
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


class _Silent:
    """A handler that only knows whether the link is there."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> int | None:
        del data
        return None

    def link_lost(self, reason: BaseException | None) -> None:
        del reason
        self.lost.set()


async def test_the_port_and_the_links_of_a_process_end_with_it() -> None:
    taken, dialled = list[_Silent](), _Silent()

    def take(link: Link) -> _Silent:
        del link
        taken.append(_Silent())
        return taken[-1]

    transport = TcpTransport()
    listener = await transport.listen(HOST, 0, take)
    link = await transport.dial(*listener.address, lambda _: dialled)
    async with asyncio.timeout(5.0):
        while not taken:
            await asyncio.sleep(0)
        with forked():
            link.close()
            await taken[0].lost.wait()
            await listener.close()
            with pytest.raises(ConnectionRefusedError):
                await transport.dial(*listener.address, lambda _: _Silent())
            await (await transport.listen(*listener.address, take)).close()


async def test_a_data_directory_is_free_when_its_process_has_ended(tmp_path: Path) -> None:
    device = SqliteDevice(str(tmp_path / "data"))
    await device.open()
    with forked():
        device.close()
        again = SqliteDevice(str(tmp_path / "data"))
        await again.open()
        again.close()


def test_what_has_the_number_of_such_a_file_later_is_left_alone() -> None:
    ours, other = socket.socketpair()
    keep_from_children(ours.fileno())
    number = ours.fileno()
    reader, writer = os.pipe()
    ours.close()
    os.dup2(writer, number)
    child = os.fork()
    if child == 0:
        try:
            os.write(number, b"through")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"through"
    for descriptor in (reader, writer, number):
        os.close(descriptor)
    other.close()
