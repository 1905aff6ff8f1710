"""Where the specification is tried: a simulated cluster, a TCP cluster and a TLS cluster, of three nodes each.

A test is one coroutine function that takes a `Place`; it runs unchanged in each of the three.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from casty import ClusterClient, ClusteredActorSystem, Settings, runtime
from casty.tls import Config
from sim import World
from sim.cluster import CLUSTER_NAME
from sim.faults import Undo

__all__ = ["SYSTEM", "TTL_S", "Body", "Place", "RealCluster", "run_simulated"]

SYSTEM = CLUSTER_NAME
NODES = 3
TTL_S = 4.0
SETTINGS = Settings(slots=8, heartbeat_s=0.1, election_min_s=0.5, election_max_s=0.75, session_ttl_s=TTL_S)
LIMIT_S = 60.0
HOST = "127.0.0.1"
HOLDER = Path(__file__).with_name("holder.py")

Kill = Callable[[], Awaitable[None]]
Switch = Callable[[], None]


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
    async def mutable_client(self) -> tuple[ClusterClient, Switch, Switch]:
        """Return a running client, what lets it hear nothing any more, and what lets it hear again."""

    @abstractmethod
    async def holder(self, lock: str) -> Kill:
        """Let a process of its own take a lock, and return what kills that process."""

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
    from casty.cluster.placement import slot_of
    from casty.distributed.core import KIND_NAMES

    (number,) = [number for number, text in KIND_NAMES.items() if text == kind]
    return slot_of(number, name.encode(), SETTINGS.slots)


Body = Callable[[Place], Coroutine[Any, Any, None]]


class SimPlace(Place):
    """Three simulated nodes."""

    def __init__(self, world: World, nodes: list[ClusteredActorSystem]) -> None:
        super().__init__(nodes)
        self._world = world
        self._holders = 0

    def make_client(self, **options: Any) -> ClusterClient:
        """See `Place.make_client`."""
        options = {"contact_points": self.points, "system_name": SYSTEM, **options}
        return ClusterClient(**options)

    async def kill_node(self, index: int) -> None:
        """See `Place.kill_node`."""
        self._world.crash(self._world.node_names[index])

    async def mutable_client(self) -> tuple[ClusterClient, Switch, Switch]:
        """See `Place.mutable_client`."""
        client = await self._world.client("mutable")
        cuts: list[Undo] = []

        def mute() -> None:
            cuts.extend(self._world.cut(name, "mutable") for name in self._world.node_names)

        def unmute() -> None:
            for cut in cuts:
                cut.heal()

        return client, mute, unmute

    async def holder(self, lock: str) -> Kill:
        """See `Place.holder`."""
        self._holders += 1
        name = f"holder-{self._holders}"
        client = await self._world.client(name)
        await client.distributed().lock(lock).acquire()

        async def kill() -> None:
            self._world.crash(name)

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

    async def mutable_client(self) -> tuple[ClusterClient, Switch, Switch]:
        """See `Place.mutable_client`."""
        proxies = {point: Proxy(point) for point in self.points}
        for proxy in proxies.values():
            await proxy.start()
            self.stack.push_async_callback(proxy.close)
        client = await self.client(address_map=lambda point: proxies[point].address)

        def switch(is_muted: bool) -> None:
            for proxy in proxies.values():
                proxy.is_muted = is_muted

        return client, partial(switch, True), partial(switch, False)

    async def holder(self, lock: str) -> Kill:
        """See `Place.holder`."""
        words = [sys.executable, str(HOLDER), SYSTEM, lock, str(self.points[0][1]), *self._paths]
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
        self._tls = tls
        self._paths = paths or []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._nodes: list[ClusteredActorSystem] = []
        self._run(self._start())

    def _run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(main, self._loop).result(LIMIT_S)

    async def _start(self) -> None:
        ports = free_ports(NODES)
        seeds = [(HOST, port) for port in ports]
        self._nodes = [
            ClusteredActorSystem(
                name=SYSTEM, host=HOST, port=port, seed_nodes=seeds, config=SETTINGS, tls=self._tls,
                required_quorum=NODES,
            )
            for port in ports
        ]  # fmt: skip
        await asyncio.gather(*(node.__aenter__() for node in self._nodes))

    def run(self, body: Body) -> None:
        """Run a test."""

        async def main() -> None:
            place = RealPlace(self._nodes, self._tls, self._paths)
            async with place.stack:
                await body(place)

        self._run(main())

    def close(self) -> None:
        """Stop the nodes and the thread."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()

    async def _stop(self) -> None:
        await asyncio.gather(*(node.abort() for node in self._nodes))


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((HOST, 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
