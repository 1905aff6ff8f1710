"""Real processes with data directories: killed one by one, killed all at once, and everything acknowledged is there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from casty.cli.processes import Cluster, NodeProcess, StartFailed
from casty.client import ClusterClient
from casty.errors import OutcomeUnknown, Unavailable

pytestmark = [pytest.mark.live, pytest.mark.slow]

CALL_S = 30.0


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    three = Cluster(3, tmp_path, data=tmp_path)
    await three.start()
    yield three
    await three.stop()


class Load:
    """Increments, puts and lock cycles until it is told to stop, with what was acknowledged."""

    def __init__(self, client: ClusterClient) -> None:
        structures = client.distributed()
        self.counter = structures.counter("visits", timeout=CALL_S)
        self.table = structures.map("table", timeout=CALL_S)
        self.lock = structures.lock("lock", timeout=CALL_S)
        self.increments = self.unknown = 0
        self.puts: dict[str, int] = {}
        self.tokens: list[int] = []
        self.is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        contexts: list[Callable[[int], Awaitable[None]]] = [self._increment, self._put, self._cycle]
        self._tasks = [asyncio.create_task(self._repeat(context)) for context in contexts]

    async def end(self) -> None:
        self.is_over = True
        await asyncio.gather(*self._tasks)

    async def _repeat(self, context: Callable[[int], Awaitable[None]]) -> None:
        number = 0
        while not self.is_over:
            await context(number)
            number += 1

    async def _increment(self, number: int) -> None:
        try:
            await self.counter.increment()
            self.increments += 1
        except OutcomeUnknown:
            self.unknown += 1
        except Unavailable:
            return

    async def _put(self, number: int) -> None:
        await self.table.put(f"k{number}", number)
        self.puts[f"k{number}"] = number

    async def _cycle(self, number: int) -> None:
        await self.lock.acquire()
        token = self.lock.token
        if token is not None:
            self.tokens.append(token)
        await self.lock.release()

    async def check(self) -> None:
        """Everything that was acknowledged is there, each once, and tokens grew."""
        value = await self.counter.get()
        assert self.increments <= value <= self.increments + self.unknown
        for key, number in self.puts.items():
            assert await self.table.get(key) == number
        assert self.tokens == sorted(set(self.tokens)) and len(self.tokens) > 5


@asynccontextmanager
async def client_of(cluster: Cluster) -> AsyncIterator[ClusterClient]:
    async with ClusterClient(contact_points=cluster.contacts, system_name=cluster.system) as client:
        await client.ready()
        yield client


async def test_all_nodes_are_killed_at_once_under_load(cluster: Cluster) -> None:
    async with client_of(cluster) as client, client_of(cluster) as other:
        held = client.distributed().lock("held", timeout=CALL_S)
        await held.acquire()
        token = held.token
        load = Load(client)
        load.begin()
        await asyncio.sleep(2)
        for _ in range(2):
            before = load.increments
            await asyncio.gather(*(node.kill() for node in cluster.nodes.values()))
            await cluster.start()
            async with asyncio.timeout(CALL_S):
                while load.increments == before:
                    await asyncio.sleep(0.05)
        await load.end()
        await load.check()
        assert load.increments > 20
        # The lock of a client that lives is its own, or it knows that it is not; the next one has a higher token.
        rival = other.distributed().lock("held", timeout=CALL_S)
        if held.held:
            assert not await rival.try_acquire()
            assert await held.release()
        await rival.acquire()
        assert token is not None and rival.token is not None and rival.token > token


async def test_each_node_is_killed_in_turn_under_load(cluster: Cluster) -> None:
    async with client_of(cluster) as client:
        load = Load(client)
        load.begin()
        await asyncio.sleep(1)
        for node in cluster.nodes.values():
            await node.kill()
            await asyncio.sleep(0.5)
            await node.start()
            await node.ready()
        await load.end()
        await load.check()


async def test_a_directory_is_told_apart_checked_and_locked(cluster: Cluster, tmp_path: Path) -> None:
    async with client_of(cluster) as client:
        await client.distributed().counter("c").increment()
    assert "in use by another process" in check(tmp_path / "a").stderr
    await cluster.stop()
    found = check(tmp_path / "a", "--json")
    document: dict[str, Any] = json.loads(found.stdout)
    assert found.returncode == 0 and document["node_id"] == "a" and len(document["groups"]) == 65
    # A node of another name does not take it.
    node = cluster.nodes["b"]
    other = NodeProcess(
        cluster.system, "b", node.port, [node.port], tmp_path / "b.log", ("--data-dir", str(tmp_path / "a"))
    )  # fmt: skip
    await other.start()
    with pytest.raises(StartFailed, match="belongs to node 'a'"):
        await other.ready()
    assert await other.ended() == 1


def check(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "casty.cli", "disk", "check", str(folder), *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
