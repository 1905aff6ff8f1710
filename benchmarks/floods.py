"""What one client that sends as fast as it can takes from another one: floods of each kind of frame. Linux (``/proc``).

A node, the flood and the honest client are processes of their own. Slices with and without the flood follow each other,
so that whatever else disturbs the machine disturbs both. For each kind: the 99th percentile and the longest call of the
honest client, and how much the node's memory grew. The first row floods another node, which the honest client does not
use: what it shows, the flood takes by using the machine. The last row is a frame of reads of one large value.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from benchmarks.measure import quantile
from benchmarks.memory import MEGABYTE, resident_bytes
from casty.cli.processes import NodeProcess, free_ports
from casty.client import ClusterClient
from casty.cluster.control.placement import slot_of
from casty.cluster.slots.operations import OP_READ, OP_WRITE
from casty.cluster.slots.schema import COMMAND, OPEN_FOR
from casty.distributed.machines.base import ELECTION, MAP, QUEUE
from casty.distributed.machines.election import CAMPAIGN
from casty.distributed.machines.queue_shapes import PEEK, RESERVE
from casty.distributed.machines.watching import ENTRIES, NOTHING, WATCH
from casty.wire import frames
from casty.wire.document import Assembly
from casty.wire.framing import frame
from casty.wire.hello import Hello
from casty.wire.pack import pack, unpack

__all__ = ["main"]

SYSTEM = "bench"
ME = "flood#1"
AT_ONCE = 100
LARGE = b"v" * 1_000_000
READ_BYTES = 2**16
HONEST_PAUSE_S = 0.002
TITLES = ("p99 ms", "worst ms", "p99, on", "worst, on", "grown MB")

Make = Callable[[int], bytes]
"""Makes the frame of a number."""


def _actor(number: int, path: str, payload: bytes) -> bytes:
    return frame(frames.ACTOR, pack(["n1", path, ME, number, None, payload]))


def _watch(number: int) -> bytes:
    ref = [14, SYSTEM, f"/w{number}", "127.0.0.1", 1, "flood"]
    return pack([5, "casty.watch", {"watcher": ref}])


def _entity(number: int) -> bytes:
    row = [f"r{number % 5000}", 4, "e", ME, number, 0, None, b"\x01", _home[0]]
    return frame(frames.ENTITY, pack(row))


def _relay(number: int) -> bytes:
    return frame(frames.RELAY, pack(["nobody", "/x", ME, number, None, b"\x01"]))


def _refused(number: int) -> bytes:
    return frame(frames.ENTITY_REFUSED, pack(["n1", f"/$ask/{number}", 0, "no"]))


def _alive(number: int) -> bytes:
    return frame(frames.KEEPALIVE, pack([number, [[number % 64, 1, 1, [], [], [], 0, b"x" * 16]]]))


_cursor: list[object] = [b"", 0, NOTHING, b""]
"""Of who knows nothing: the answer is a page, however empty."""

ELSEWHERE = "another node"

FLOODS: dict[str, Make] = {
    ELSEWHERE: lambda _: frame(frames.STATUS, b""),
    "ping": lambda _: frame(frames.PING, b""),
    "status": lambda _: frame(frames.STATUS, b""),
    "subscribe": lambda _: frame(frames.SUBSCRIBE, b""),
    "keep-alive": _alive,
    "actor, nobody": lambda number: _actor(number, "/nobody", b"\x01"),
    "watch, nobody": lambda number: _actor(number, "/nobody", _watch(number)),
    "watch, living": lambda number: _actor(number, "/$receptionist", _watch(number)),
    "entity, no region": _entity,
    "relay, nobody": _relay,
    "refusal": _refused,
    "open session": lambda number: _request(number, OP_WRITE, pack([1, b"%d" % number, b"gate"])),
    "read": lambda number: _request(number, OP_READ, pack([QUEUE, b"large", [2]])),
    "open for a time": lambda number: _request(
        number, OP_WRITE, pack([OPEN_FOR, b"%d" % number, b"gate", 2**40])
    ),
    "watch of a map": lambda number: _request(number, OP_READ, pack([MAP, b"m", [WATCH, *_cursor, 2**20]])),
    "pages of a map": lambda number: _request(number, OP_READ, pack([MAP, b"", [ENTRIES, b""]])),
    "reserve, nobody": lambda number: _request(
        number, OP_WRITE, _of_nobody(number, QUEUE, [RESERVE, 5, True, None, None])
    ),
    "campaign, nobody": lambda number: _request(
        number, OP_WRITE, _of_nobody(number, ELECTION, [CAMPAIGN, b"me"])
    ),
    "read, 1 MB each": lambda number: _request(number, OP_READ, pack([QUEUE, b"large", [PEEK]])),
}

_home = [""]
"""Generation and id of the cluster, as messages name it; set by the flood's process when it heard the topology."""

_place = [0, 0]
"""Slot of the large queue, and its epoch; set by the flood's process when it heard the topology."""


def _of_nobody(number: int, kind: int, command: list[object]) -> bytes:
    return pack([COMMAND, 1, number, 0, 0, kind, b"large", command])


def _request(number: int, operation: int, payload: bytes) -> bytes:
    return frame(frames.REQUEST, pack([[number, *_place, operation, payload, b"p" * 16]]))


class _Stream:
    """The flood's link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def next(self, wanted: int) -> bytes:
        """Return the body of the next frame of a kind."""
        while True:
            head = await self.reader.readexactly(5)
            body = await self.reader.readexactly(int.from_bytes(head[:4], "big") - 1)
            if head[4] == wanted:
                return body

    async def drain(self) -> None:
        """Read and forget whatever comes."""
        while await self.reader.read(READ_BYTES):
            pass


async def _flood(kind: str, port: int) -> None:
    """Send until standard input ends."""
    loop = asyncio.get_running_loop()
    link = _Stream(*await asyncio.open_connection("127.0.0.1", port))
    hello = Hello(SYSTEM, "client", "flood", "1", "127.0.0.1", 1, 2**24)
    link.writer.write(frame(frames.HELLO, hello.encode()))
    await link.next(frames.WELCOME)
    link.writer.write(frame(frames.SUBSCRIBE, b""))
    assembly = Assembly()
    while (document := assembly.take(await link.next(frames.TOPOLOGY))) is None:
        pass
    plain: object = unpack(document)
    assert isinstance(plain, list)
    slots = plain[1][6]
    _home[0] = f"{plain[1][0]}:{plain[1][1]}"
    _place[:] = [slot_of(QUEUE, b"large", len(slots)), 0]
    _place[1] = slots[_place[0]][0]
    over = loop.run_in_executor(None, sys.stdin.read)
    draining = asyncio.ensure_future(link.drain())
    make, numbers = FLOODS[kind], itertools.count(1)
    sent = 0
    with suppress(OSError):
        while not over.done():
            link.writer.write(b"".join(make(next(numbers)) for _ in range(AT_ONCE)))
            sent += AT_ONCE
            sending = asyncio.ensure_future(link.writer.drain())
            await asyncio.wait([over, draining, sending], return_when="FIRST_COMPLETED")
            if draining.done():
                raise RuntimeError(f"the node ended the link of the flood {kind!r}: see its log")
            await asyncio.sleep(0)
    link.writer.transport.abort()
    draining.cancel()
    print(sent, flush=True)


async def _calls(client: ClusterClient, seconds: float, times_s: list[float]) -> None:
    """Call one after the other for so long."""
    counter = client.distributed().counter("honest", timeout=60)
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        began_s = time.perf_counter()
        await counter.increment()
        times_s.append(time.perf_counter() - began_s)
        await asyncio.sleep(HONEST_PAUSE_S)


async def _measure(kind: str, client: ClusterClient, port: int, pid: int, options: argparse.Namespace) -> str:
    """Return the row of one kind."""
    quiet_s, flooded_s = list[float](), list[float]()
    before, most, sent = resident_bytes(pid), 0, 0
    for _ in range(options.slices):
        await _calls(client, options.seconds, quiet_s)
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.floods", "--flood", kind, "--port", str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        await asyncio.sleep(1)  # until it is under way
        await _calls(client, options.seconds, flooded_s)
        most = max(most, resident_bytes(pid))
        loop = asyncio.get_running_loop()
        output, _ = await loop.run_in_executor(None, process.communicate, "")
        if process.returncode:
            raise RuntimeError(f"the flood {kind!r} ended with {process.returncode}")
        sent += int(output or 0)
        await asyncio.sleep(1)  # until what it left is worked off
    numbers = [1e3 * value for times in (quiet_s, flooded_s) for value in (quantile(times, 0.99), max(times))]
    grown = (most - before) / MEGABYTE
    return f"{kind:<20}" + "".join(f" {value:>9.2f}" for value in numbers) + f" {grown:>9.1f} {sent:>10,}"


async def _start(stack: AsyncExitStack, folder: str, name: str) -> NodeProcess:
    """Start a cluster of one node, which ends with the stack."""
    port = free_ports(1)[0]
    node = NodeProcess(SYSTEM, name, port, [port], Path(folder) / name, ("--log-level", "error"))
    stack.push_async_callback(node.kill)
    await node.start()
    await node.ready()
    return node


async def _run(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="casty-floods-"))
        node, other = [await _start(stack, folder, name) for name in ("n1", "n2")]
        assert node.pid is not None
        points = [("127.0.0.1", node.port)]
        client = await stack.enter_async_context(ClusterClient(contact_points=points, system_name=SYSTEM))
        await client.ready()
        await client.distributed().queue[bytes]("large").enqueue(LARGE)
        await _calls(client, 1, [])
        print(f"{'':<20}" + "".join(f" {title:>9}" for title in TITLES) + f" {'sent':>10}")
        for kind in options.kinds:
            port = other.port if kind == ELSEWHERE else node.port
            print(await _measure(kind, client, port, node.pid, options), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=list(FLOODS), default=list(FLOODS), metavar="KIND")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each slice")
    parser.add_argument("--slices", type=int, default=3, help="of each kind, with and without")
    parser.add_argument("--flood", choices=list(FLOODS), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    asyncio.run(_run(options) if options.flood is None else _flood(options.flood, options.port))


if __name__ == "__main__":
    main()
