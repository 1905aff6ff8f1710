"""``casty node`` and ``casty status`` as real processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from casty.cli.processes import HOST, Cluster, NodeProcess, StartFailed, free_ports
from casty.cli.status import Place, fetch_status, locate
from casty.client import ClusterClient
from casty.errors import Unavailable

LED_WITHIN_S, DOWN_WITHIN_S, LOOK_S = 20.0, 30.0, 0.05

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    three = Cluster(3, tmp_path)
    await three.start()
    yield three
    await three.stop()


def casty(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "casty.cli", *words], capture_output=True, text=True, timeout=30, check=False
    )


async def led_status(contact: tuple[str, int]) -> dict[str, Any]:
    """Ask until every slot has a leader: one that is handed over to its preferred node has none for an instant."""
    async with asyncio.timeout(LED_WITHIN_S):
        while True:
            document = await fetch_status(contact)
            if all(slot["leader"] is not None for slot in document["slots"]):
                return document
            await asyncio.sleep(LOOK_S)


async def test_three_nodes_serve_and_say_so(cluster: Cluster) -> None:
    document = await led_status(cluster.contacts[0])
    assert [(member["id"], member["status"]) for member in document["members"]] == [
        ("a", "up"), ("b", "up"), ("c", "up"),
    ]  # fmt: skip
    assert [member["address"] for member in document["members"]] == [
        f"{host}:{port}" for host, port in cluster.contacts
    ]
    assert len(document["slots"]) == 64
    for slot in document["slots"]:
        assert slot["leader"] in cluster.nodes
        assert slot["replicas"] == ["a", "b", "c"]
        assert slot["term"] >= 1
        assert slot["commit"] >= 1


async def test_status_in_words_and_as_json(cluster: Cluster) -> None:
    contact = "{}:{}".format(*cluster.contacts[1])
    words = casty("status", "--contact", contact)
    assert words.returncode == 0, words.stderr
    assert "64 slots" in words.stdout
    document = json.loads(casty("status", "--contact", contact, "--json").stdout)
    assert {"members", "slots", "leader", "sessions", "structures"} <= set(document)
    place = json.loads(casty("status", "--contact", contact, "--locate", "map:stock:a", "--json").stdout)
    assert place == locate(document, Place.parse("map:stock:a"))


async def test_a_client_uses_what_no_node_ever_named(cluster: Cluster) -> None:
    async with ClusterClient(contact_points=cluster.contacts, system_name=cluster.system) as client:
        assert await client.distributed().counter("visits").increment(5) == 5


async def test_sigterm_ends_cleanly_and_the_rest_serves_on(cluster: Cluster) -> None:
    async with ClusterClient(contact_points=cluster.contacts, system_name=cluster.system) as client:
        counter = client.distributed().counter("visits", timeout=10.0)
        await counter.increment()
        assert await cluster.nodes["b"].stop() == 0
        assert await counter.increment() == 2
        await cluster.nodes["b"].start()
        assert (await cluster.nodes["b"].ready()).startswith("ready b")
        assert await counter.increment() == 3


async def test_the_others_log_that_a_killed_node_is_down(cluster: Cluster) -> None:
    await cluster.nodes["b"].kill()
    async with asyncio.timeout(DOWN_WITHIN_S):
        while "member b at" not in (tail := cluster.nodes["a"].log_tail()) or "is down" not in tail:
            await asyncio.sleep(LOOK_S)


async def test_a_node_that_cannot_listen_says_why(cluster: Cluster, tmp_path: Path) -> None:
    port = cluster.contacts[0][1]
    node = NodeProcess("other", "x", port, [port], tmp_path / "x.log")
    await node.start()
    with pytest.raises(StartFailed, match="address already in use"):
        await node.ready()


async def test_an_app_runs_with_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "visits_app.py").write_text(
        "async def main(system):\n    await system.distributed().counter('visits').increment(7)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    port = free_ports(1)[0]
    node = NodeProcess("solo", "a", port, [port], tmp_path / "a.log", ["--app", "visits_app:main"])
    await node.start()
    await node.ready()
    try:
        async with ClusterClient(contact_points=[(HOST, port)], system_name="solo") as client:
            counter = client.distributed().counter("visits")
            while await counter.get() != 7:
                pass
    finally:
        assert await node.stop() == 0


async def test_an_app_that_fails_ends_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_app.py").write_text("async def main(system):\n    raise ValueError('no such shop')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    port = free_ports(1)[0]
    node = NodeProcess("solo", "a", port, [port], tmp_path / "a.log", ["--app", "broken_app:main"])
    await node.start()
    await node.ready()
    assert await node.ended() == 1
    assert "no such shop" in node.log_tail()


async def test_nobody_there() -> None:
    with pytest.raises(Unavailable, match="no status from"):
        await fetch_status((HOST, free_ports(1)[0]), timeout_s=0.3)
    result = casty("status", "--contact", f"{HOST}:{free_ports(1)[0]}", "--timeout", "0.3")
    assert (result.returncode, result.stdout) == (1, "")
    assert "no status from" in result.stderr
