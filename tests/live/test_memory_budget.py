"""Real nodes with little memory: they refuse what grows and can be emptied, where they once ended for good."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from casty.cli.processes import HOST, NodeProcess, free_ports
from casty.cli.status import fetch_status
from casty.client import ClusterClient
from casty.distributed.queue import Queue
from casty.errors import Overloaded

pytestmark = [pytest.mark.live, pytest.mark.slow]

LIMIT_BYTES = 400 << 20
ITEM_BYTES = 500_000
MOST_ITEMS = 1_000


@pytest.fixture
async def contacts(tmp_path: Path) -> AsyncIterator[list[tuple[str, int]]]:
    """Three nodes that may map 400 MB each, with the default budget."""
    ports = free_ports(3)
    nodes = [
        NodeProcess(
            "small", f"n{index}", port, ports, tmp_path / f"n{index}.log",
            launcher=("prlimit", f"--as={LIMIT_BYTES}"),
        )
        for index, port in enumerate(ports)
    ]  # fmt: skip
    for node in nodes:
        await node.start()
    for node in nodes:
        await node.ready()
    yield [(HOST, port) for port in ports]
    for node in nodes:
        assert node.is_running, node.log_tail()
        await node.kill()
        text = node.log_path.read_text()
        assert "MemoryError" not in text
        assert len(text) < 20_000, "one line says it"


async def test_a_full_cluster_says_so_and_can_be_emptied(contacts: list[tuple[str, int]]) -> None:
    async with ClusterClient(contact_points=contacts, system_name="small") as client:
        await client.ready(timeout=30)
        distributed = client.distributed()
        queue = distributed.queue[bytes]("jobs", timeout=20)
        acknowledged, refusal = await _fill(queue)
        assert acknowledged > 50
        assert "memory budget" in refusal
        assert "queue 'jobs' " in refusal
        assert await distributed.counter("other").increment() == 1
        async with distributed.lock("another") as lock:
            assert lock.held
        assert await queue.size() == acknowledged
        memory = (await fetch_status(contacts[0]))["memory"]
        assert memory["budget_bytes"] == LIMIT_BYTES // 2
        assert memory["used_bytes"] <= memory["budget_bytes"] * 17 // 16

    async with ClusterClient(contact_points=contacts, system_name="small") as newcomer:
        await newcomer.ready(timeout=30)
        queue = newcomer.distributed().queue[bytes]("jobs", timeout=20)
        for left in range(acknowledged, 0, -1):
            item = await queue.dequeue()
            assert item is not None, f"{left} of {acknowledged} items are missing"
            assert len(item) == ITEM_BYTES
        assert await queue.dequeue() is None
        async with asyncio.timeout(20):
            while not await _is_taken(queue):
                await asyncio.sleep(0)
        again, refusal = await _fill(queue)
        assert again > acknowledged // 2, "what was removed is free again"
        assert "memory budget" in refusal
        assert await queue.size() == again + 1
        assert await queue.dequeue() == b"small"


async def _fill(queue: Queue[bytes]) -> tuple[int, str]:
    """Enqueue until that is refused; return how many items were taken, and why no more."""
    for acknowledged in range(MOST_ITEMS):
        try:
            await queue.enqueue(os.urandom(ITEM_BYTES))
        except Overloaded as error:
            return acknowledged, str(error)
    raise AssertionError(f"{MOST_ITEMS} items of {ITEM_BYTES} bytes were taken")


async def _is_taken(queue: Queue[bytes]) -> bool:
    try:
        await queue.enqueue(b"small")
    except Overloaded:
        return False
    return True
