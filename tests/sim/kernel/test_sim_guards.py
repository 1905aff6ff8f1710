"""No simulated code reaches real time, entropy, sockets, threads or files."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import random
import secrets
import socket
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Callable

import pytest

from sim import EscapeError, World

ESCAPES: list[tuple[str, Callable[[], object]]] = [
    ("time.time", lambda: time.time()),
    ("time.monotonic", lambda: time.monotonic()),
    ("time.perf_counter_ns", lambda: time.perf_counter_ns()),
    ("time.sleep", lambda: vars(time)["sleep"](0)),
    ("random.random", lambda: random.random()),
    ("random.shuffle", lambda: random.shuffle([1])),
    ("random._urandom", lambda: random.SystemRandom().getrandbits(8)),
    ("os.urandom", lambda: os.urandom(1)),
    ("secrets.token_bytes", lambda: secrets.token_bytes(1)),
    ("uuid.uuid4", lambda: uuid.uuid4()),
    ("uuid.uuid1", lambda: uuid.uuid1()),
    ("socket.__init__", lambda: socket.socket()),
    ("socket.getaddrinfo", lambda: socket.getaddrinfo("localhost", 1)),
    ("Thread.start", lambda: threading.Thread(target=int).start()),
    ("subprocess.Popen", lambda: subprocess.Popen(["true"])),
    ("os.fork", lambda: os.fork()),
    ("builtins.open", lambda: open("/dev/null")),
    ("io.open", lambda: io.open("/dev/null")),  # noqa: UP020
    ("os.open", lambda: os.open("/dev/null", os.O_RDONLY)),
    ("sqlite3.connect", lambda: sqlite3.connect(":memory:")),
]


@pytest.mark.parametrize(("what", "call"), ESCAPES, ids=[what for what, _ in ESCAPES])
def test_escape_raises_and_names_the_replacement(what: str, call: Callable[[], object]) -> None:
    async def main() -> None:
        with pytest.raises(EscapeError, match="would leave the simulation; ") as caught:
            call()
        assert caught.value.what == what
        assert caught.value.instead

    with World(1) as world:
        world.run(main())


def test_fences_come_down_after_each_run() -> None:
    before = (time.time, random.random, os.urandom, open, socket.socket.__init__, threading.Thread.start)
    with World(1) as world:
        world.run(asyncio.sleep(1))
        with pytest.raises(ZeroDivisionError):
            world.run(failing())
    assert before == (
        time.time,
        random.random,
        os.urandom,
        open,
        socket.socket.__init__,
        threading.Thread.start,
    )


async def failing() -> None:
    raise ZeroDivisionError


def test_other_threads_are_not_fenced() -> None:
    read = threading.Event()
    stamps: list[float] = []
    asked = threading.Event()

    def other() -> None:
        asked.wait(10)
        stamps.append(time.time())
        read.set()

    async def main() -> None:
        asked.set()
        assert read.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    with World(1) as world:
        world.run(main())
    thread.join()
    assert stamps


def test_logging_has_virtual_time(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        await asyncio.sleep(60)
        logging.getLogger("probe").warning("now")

    with World(1) as world:
        world.run(main())
    assert caplog.records[0].created == 1_735_689_600 + 60


def test_a_fence_kept_by_an_import_is_harmless_later() -> None:
    kept: list[Callable[[], float]] = []

    async def main() -> None:
        kept.append(time.monotonic)

    with World(1) as world:
        world.run(main())
    assert kept[0]() > 0
