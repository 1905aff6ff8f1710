"""Real nodes with few descriptors and many clients: those served go on, the rest are refused, members get in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from casty.cli.processes import HOST, NodeProcess, free_ports
from casty.cli.status import fetch_status
from casty.client import ClusterClient
from casty.errors import CastyError

pytestmark = [pytest.mark.live, pytest.mark.slow]

DESCRIPTORS = 64
CLIENTS = 80


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[NodeProcess]]:
    """Three nodes that may have 64 descriptors each."""
    ports = free_ports(3)
    three = [
        NodeProcess(
            "few", f"n{index}", port, ports, tmp_path / f"n{index}.log",
            launcher=("prlimit", f"--nofile={DESCRIPTORS}"),
        )
        for index, port in enumerate(ports)
    ]  # fmt: skip
    for node in three:
        await node.start()
    for node in three:
        await node.ready()
    yield three
    for node in three:
        await node.kill()
        assert len(node.log_path.read_text()) < 20_000, "a line now and then says it"


async def increment(client: ClusterClient) -> bool:
    try:
        await client.distributed().counter("x", timeout=10).increment()
    except CastyError:
        return False
    return True


async def test_members_and_status_get_in_while_clients_fill_the_nodes(nodes: list[NodeProcess]) -> None:
    contacts = [(HOST, node.port) for node in nodes]
    clients = [ClusterClient(contact_points=contacts, system_name="few") for _ in range(CLIENTS)]
    for client in clients:
        await client.__aenter__()
    served = sum(await asyncio.gather(*map(increment, clients)))
    # Each node takes 32: a client that is refused by one may still be served through another.
    assert served >= 32
    await nodes[0].kill()
    await nodes[0].start()
    assert (await nodes[0].ready()).startswith("ready")
    document = await fetch_status(contacts[0])
    assert [member["status"] for member in document["members"]] == ["up"] * 3
    assert any("clients are refused" in node.log_path.read_text() for node in nodes)
    for client in clients:
        await client.__aexit__(None, None, None)
    async with ClusterClient(contact_points=contacts, system_name="few") as late:
        assert await increment(late), "there is room again"
