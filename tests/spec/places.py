"""Where the specification is tried: a simulated cluster, a TCP cluster and a TLS cluster, of three nodes each.

A test is one coroutine function that takes a `Place`; it runs unchanged in each of the three.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casty import ClusterClient, ClusteredActorSystem, Lock, Semaphore, Settings, runtime
from casty.tls import Config
from sim import World
from sim.net.partitions import Undo
from sim.world.clusters import CLUSTER_NAME

__all__ = [
    "SYSTEM",
    "TTL_S",
    "Body",
    "Muffled",
    "Place",
    "RealCluster",
    "queued",
    "run_simulated",
    "run_together",
]

SYSTEM = CLUSTER_NAME
NODES = 3
TTL_S = 4.0
SETTINGS = Settings(slots=8, heartbeat_s=0.1, election_min_s=0.5, election_max_s=0.75, session_ttl_s=TTL_S)
LIMIT_S = 60.0
HOST = "127.0.0.1"
HOLDER = Path(__file__).with_name("holder.py")

Kill = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Muffled:
    """A running client whose hearing is in the hands of the test.

    Parameters
    ----------
    client
        It sends as ever.
    mute
        Lets it hear nothing any more from these nodes, given by their numbers.
    unmute
        Lets it hear again.
    """

    client: ClusterClient
    mute: Callable[[Sequence[int]], None]
    unmute: Callable[[], None]


async def queued(waiter: Lock | Semaphore, probe: Lock | Semaphore) -> asyncio.Task[None]:
    """Begin to wait for a grant, and return when the cluster knows of it.

    `probe` is another handle of the same client on the same name: of its two tries at least the second is
    sent after the request, and what one client asks of one name is taken in the order in which it was sent.
    """
    waiting = asyncio.create_task(waiter.acquire())
    assert [await probe.try_acquire() for _ in range(2)] == [False, False]
    assert not waiting.done()
    return waiting


class Place(ABC):
    """A cluster, and the clients that a test makes of it."""

    def __init__(self, nodes: list[ClusteredActorSystem]) -> None:
        self.nodes = nodes
        self.stack = AsyncExitStack()

    @property
    def points(self) -> list[tuple[str, int]]:
        """Where the nodes are reached."""
        return [tuple(node.self_node) for node in self.nodes]

    @abstractmethod
    def make_client(self, **options: Any) -> ClusterClient:
        """Return a client of this cluster that was not entered yet."""

    @abstractmethod
    async def kill_node(self, index: int) -> None:
        """Let a node die without a word."""

    @abstractmethod
    async def muffled(self, **options: Any) -> Muffled:
        """Return a client that can be made deaf."""

    @abstractmethod
    async def holder(self, name: str) -> Kill:
        """Let a process take the lock and one of two permits of that name; return what kills the process."""

    async def client(self, **options: Any) -> ClusterClient:
        """Return a running client; it is left when the test ends."""
        client = await self.stack.enter_async_context(self.make_client(**options))
        await client.ready()
        return client

    async def sleep(self, seconds: float) -> None:
        """Let time of this world pass."""
        await runtime.current().clock.sleep(seconds)

    def now_s(self) -> float:
        """Return the time of this world."""
        return runtime.current().clock.now() / 1e9

    async def until(self, condition: Callable[[], Awaitable[bool]], within_s: float) -> float:
        """Wait for something, and return how long it took; `AssertionError` when it does not come."""
        began_s = self.now_s()
        while not await condition():
            assert self.now_s() - began_s < within_s, f"not within {within_s} s"
            await self.sleep(0.05)
        return self.now_s() - began_s

    def leader_of(self, kind: str, name: str) -> int:
        """Return which node leads the slot of a structure."""
        located: Any = self.nodes[0].status()
        slot = slot_of_name(kind, name)
        leader = located["slots"][slot]["leader"]
        return [node.node_id for node in self.nodes].index(leader)


def slot_of_name(kind: str, name: str) -> int:
    """Return the slot of a structure, as ``casty status --locate`` does."""
    from casty.cluster.control.placement import slot_of
    from casty.distributed.machines.base import KIND_NAMES

    (number,) = [number for number, text in KIND_NAMES.items() if text == kind]
    return slot_of(number, name.encode(), SETTINGS.slots)


Body = Callable[[Place], Coroutine[Any, Any, None]]


class SimPlace(Place):
    """Three simulated nodes."""

    def __init__(self, world: World, nodes: list[ClusteredActorSystem]) -> None:
        super().__init__(nodes)
        self._world = world
        self._muffled = 0

    def make_client(self, **options: Any) -> ClusterClient:
        """See `Place.make_client`."""
        options = {"contact_points": self.points, "system_name": SYSTEM, **options}
        return ClusterClient(**options)

    async def kill_node(self, index: int) -> None:
        """See `Place.kill_node`."""
        self._world.crash(self._world.node_names[index])

    async def muffled(self, **options: Any) -> Muffled:
        """See `Place.muffled`."""
        self._muffled += 1
        name = f"muffled-{self._muffled}"
        client = await self._world.client(name, **options)
        await client.ready()
        cuts: list[Undo] = []

        def mute(nodes: Sequence[int]) -> None:
            cuts.extend(self._world.cut(self._world.node_names[index], name) for index in nodes)

        def unmute() -> None:
            while cuts:
                cuts.pop().heal()

        return Muffled(client, mute, unmute)

    async def holder(self, name: str) -> Kill:
        """See `Place.holder`."""
        machine = f"holder-of-{name}"
        d = (await self._world.client(machine)).distributed()
        await d.lock(name).acquire()
        await d.semaphore(name, permits=2).acquire()

        async def kill() -> None:
            self._world.crash(machine)

        return kill


def run_simulated(body: Body) -> None:
    """Run a test in a world of its own."""

    async def main(world: World) -> None:
        place = SimPlace(world, await world.cluster(NODES, config=SETTINGS))
        async with place.stack:
            await body(place)

    with World(1) as world:
        world.run(main(world), limit_s=600.0)
        assert world.errors == []


class RealPlace(Place):
    """Three nodes of this process on real sockets."""

    def __init__(self, nodes: list[ClusteredActorSystem], tls: Config | None, paths: list[str]) -> None:
        super().__init__(nodes)
        self._tls = tls
        self._paths = paths

    def make_client(self, **options: Any) -> ClusterClient:
        """See `Place.make_client`."""
        options = {"contact_points": self.points, "system_name": SYSTEM, "tls": self._tls, **options}
        return ClusterClient(**options)

    async def kill_node(self, index: int) -> None:
        """See `Place.kill_node`."""
        await self.nodes[index].abort()

    async def muffled(self, **options: Any) -> Muffled:
        """See `Place.muffled`."""
        proxies = {point: Proxy(point) for point in self.points}
        for proxy in proxies.values():
            await proxy.start()
            self.stack.push_async_callback(proxy.close)
        client = await self.client(address_map=lambda point: proxies[point].address, **options)

        def mute(nodes: Sequence[int]) -> None:
            for index in nodes:
                proxies[self.points[index]].is_muted = True

        def unmute() -> None:
            for proxy in proxies.values():
                proxy.is_muted = False

        return Muffled(client, mute, unmute)

    async def holder(self, name: str) -> Kill:
        """See `Place.holder`."""
        words = [sys.executable, str(HOLDER), SYSTEM, name, str(self.points[0][1]), *self._paths]
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        line = await process.stdout.readline()
        assert line == b"held\n", line

        async def kill() -> None:
            process.kill()
            await process.wait()

        return kill


class Proxy:
    """Passes bytes on between one client and one node; muted, it drops what the node says."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.is_muted = False

    @property
    def address(self) -> tuple[str, int]:
        """Where the client finds it."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return host, port

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._connected, HOST, 0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(*self._target)
        self._writers += [writer, to_there]
        self._tasks += [
            asyncio.create_task(self._pass_on(reader, to_there, can_mute=False)),
            asyncio.create_task(self._pass_on(there, writer, can_mute=True)),
        ]

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, can_mute: bool
    ) -> None:
        # Either end may reset: then there is nothing more to pass on.
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if not (can_mute and self.is_muted):
                    writer.write(data)
        writer.close()

    async def close(self) -> None:
        """End every connection."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._tasks)


class RealCluster:
    """A cluster that runs in a thread of its own, for all the tests that leave it as it is.

    Parameters
    ----------
    tls
        None for plain TCP.
    paths
        Of certificate chain and authority, for processes of their own.
    """

    def __init__(self, tls: Config | None = None, paths: list[str] | None = None) -> None:
        self.name = "tcp" if tls is None else "tls"
        self.tls = tls
        self._paths = paths or []
        self._reported: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, context: self._reported.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._nodes: list[ClusteredActorSystem] = []
        self._begin(self._start()).result()

    def _begin(self, main: Coroutine[Any, Any, None]) -> Future[None]:
        async def limited() -> None:
            async with asyncio.timeout(LIMIT_S):
                await main

        return asyncio.run_coroutine_threadsafe(limited(), self._loop)

    async def _start(self) -> None:
        ports = free_ports(NODES)
        seeds = [(HOST, port) for port in ports]
        self._nodes = [
            ClusteredActorSystem(
                name=SYSTEM, host=HOST, port=port, seed_nodes=seeds, config=SETTINGS, tls=self.tls,
                required_quorum=NODES,
            )
            for port in ports
        ]  # fmt: skip
        await asyncio.gather(*(node.__aenter__() for node in self._nodes))

    def begin(self, body: Body) -> Future[None]:
        """Begin to run a test."""
        return self._begin(self._tried(body))

    async def _tried(self, body: Body) -> None:
        place = RealPlace(self._nodes, self.tls, self._paths)
        async with place.stack:
            await body(place)
        # What a callback or a forgotten task raised: nobody else would hear of it.
        assert self._reported == []

    def run(self, body: Body) -> None:
        """Run a test."""
        self.begin(body).result()

    def close(self) -> None:
        """Stop the nodes and the thread."""
        self._begin(self._stop()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()

    async def _stop(self) -> None:
        await asyncio.gather(*(node.abort() for node in self._nodes))


def run_together(clusters: Sequence[RealCluster], body: Body) -> None:
    """Run a test in a simulated cluster, then in all of these at the same time."""
    run_simulated(body)
    running = [cluster.begin(body) for cluster in clusters]
    failures = [future.exception() for future in running]
    for cluster, failure in zip(clusters, failures, strict=True):
        if failure is not None:
            failure.add_note(f"world: {cluster.name}")
    raised = [failure for failure in failures if failure is not None]
    if raised:
        raise BaseExceptionGroup("the test failed on real sockets", raised)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((HOST, 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
