"""Real processes: a majority lost for good and recovered, with and without disks; a backup of a living cluster."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from casty.cli.processes import HOST, Cluster, NodeProcess, free_ports
from casty.cli.status import fetch_status
from casty.client import ClusterClient
from casty.distributed.facade import Distributed

pytestmark = [pytest.mark.live, pytest.mark.slow]

CALL_S = 40.0
SETTINGS = {"session_ttl_s": 8.0, "max_session_ttl_s": 8.0}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    three = Cluster(3, tmp_path, data=tmp_path, settings=SETTINGS)
    await three.start()
    yield three
    await three.stop()


async def casty(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run one command, which is to end with a code."""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "casty.cli", *map(str, words)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


async def fill(structures: Distributed) -> None:
    for number in range(50):
        await structures.map("m").put(f"k{number}", number)
        await structures.queue("q").enqueue(number)
        await structures.set("s").add(number)
    await structures.counter("c").increment(1234)


async def all_alike(cluster: Cluster) -> None:
    """Wait until every node has committed the same of every slot: else only two of them may have the last entries."""
    async with asyncio.timeout(CALL_S):
        while True:
            found = [await fetch_status(contact, CALL_S) for contact in cluster.contacts]
            commits = [[slot["commit"] for slot in status["slots"]] for status in found]
            if all(commits[0] == other and None not in other for other in commits):
                return


async def check(structures: Distributed) -> None:
    assert await structures.counter("c", timeout=CALL_S).get() == 1234
    assert [await structures.map("m").get(f"k{number}") for number in range(50)] == list(range(50))
    assert [await structures.queue("q").dequeue() for _ in range(51)] == [*range(50), None]
    assert all([await structures.set("s").contains(number) for number in range(50)])


async def test_two_of_three_are_lost_for_good_and_the_third_is_recovered(
    cluster: Cluster, tmp_path: Path
) -> None:
    a, b, c = cluster.nodes.values()
    async with ClusterClient(contact_points=cluster.contacts, system_name=cluster.system) as client:
        await client.ready()
        await fill(client.distributed())
        lock = client.distributed().lock("held", timeout=CALL_S)
        await lock.acquire()
        token = lock.token
        await all_alike(cluster)
        await asyncio.gather(b.kill(), c.kill())
        await a.stop()  # as an operator does before a recovery: what it was told is on its disk then
        new = tmp_path / "new"
        looked = await casty("recover", tmp_path / "a", "--data-dir", new, "--dry-run", "--json")
        document: dict[str, Any] = json.loads(looked.stdout)
        assert len(document["groups"]) == 65 and all(group["may_lack"] for group in document["groups"])
        assert document["groups"][0]["missing"] == ["b", "c"] and not new.exists()
        refused = await casty("recover", tmp_path / "a", "--data-dir", new, code=2)
        assert "say --yes" in refused.stderr and not new.exists()
        made = await casty("recover", tmp_path / "a", "--data-dir", new, "--yes")
        assert "MAY BE LOST: what only b, c stored" in made.stdout and "generation" in made.stderr
        again = await casty("recover", tmp_path / "a", "--data-dir", tmp_path / "other", "--yes", code=1)
        assert "was recovered from it before" in again.stderr
        first = NodeProcess(
            cluster.system, "a", a.port, [a.port], tmp_path / "a2.log", ("--data-dir", str(new)), SETTINGS
        )
        await first.start()
        await first.ready()
        try:
            # The client that held goes on by itself: its hold is lost to it before anybody else has it.
            rival = client.distributed().lock("held", timeout=CALL_S)
            await rival.acquire()
            assert not lock.held and token is not None and rival.token is not None and rival.token > token
            await check(client.distributed())
            # Both that were lost turn up after all: a majority of the old generation.
            for node in (b, c):
                await node.start()
            for node in (b, c):
                assert await node.ended() == 1
                assert "was recovered from it" in node.log_tail()
            status = json.loads((await casty("status", "--contact", f"{HOST}:{a.port}", "--json")).stdout)
            assert [member["id"] for member in status["members"]] == ["a"]
            # With an empty directory they are welcome.
            second = NodeProcess(
                cluster.system, "b", b.port, [a.port], tmp_path / "b2.log",
                ("--data-dir", str(tmp_path / "b2")), SETTINGS,
            )  # fmt: skip
            await second.start()
            await second.ready()
            await second.stop()
        finally:
            await first.stop()


async def test_a_backup_of_a_living_cluster_is_restored_into_a_new_one(
    cluster: Cluster, tmp_path: Path
) -> None:
    file, new, port = tmp_path / "shop.backup", tmp_path / "new", free_ports(1)[0]
    async with ClusterClient(contact_points=cluster.contacts, system_name=cluster.system) as client:
        await client.ready()
        structures = client.distributed()
        await fill(structures)
        lock = structures.lock("held", timeout=CALL_S)
        await lock.acquire()
        token = lock.token
        contact = f"{HOST}:{cluster.contacts[1][1]}"
        await casty("backup", file, "--contact", contact)
        await structures.counter("c").increment()
    assert file.stat().st_mode & 0o077 == 0 and not list(tmp_path.glob("*.unfinished"))
    words = ("--data-dir", new, "--node-id", "n1", "--host", HOST, "--port", port, "--name", "restored")
    torn = tmp_path / "torn"
    torn.write_bytes(file.read_bytes()[:-20])
    refused = await casty("restore", torn, *words, code=1)
    assert "cut off" in refused.stderr and not new.exists() and not list(tmp_path.glob("*.unfinished"))
    made = json.loads((await casty("restore", file, *words, "--json")).stdout)
    assert made["holds_freed"] == 1 and made["slots"] == 64
    node = NodeProcess(
        "restored", "n1", port, [port], tmp_path / "n1.log", ("--data-dir", str(new)), SETTINGS
    )
    await node.start()
    await node.ready()
    try:
        async with ClusterClient(contact_points=[(HOST, port)], system_name="restored") as client:
            await client.ready()
            await check(client.distributed())
            lock = client.distributed().lock("held", timeout=CALL_S)
            await lock.acquire()
            assert token is not None and lock.token is not None and lock.token > token
    finally:
        await node.stop()


async def test_a_survivor_in_memory_hands_over_what_it_has(tmp_path: Path) -> None:
    cluster = Cluster(3, tmp_path, settings=SETTINGS)
    await cluster.start()
    a, b, c = cluster.nodes.values()
    contact, saved, new = f"{HOST}:{a.port}", tmp_path / "saved", tmp_path / "new"
    try:
        async with ClusterClient(contact_points=cluster.contacts, system_name=cluster.system) as client:
            await client.ready()
            await fill(client.distributed())
        await all_alike(cluster)
        healthy = await casty("salvage", saved, "--contact", contact, "--yes", code=1)
        assert "nothing is lost that it could save" in healthy.stderr and not saved.exists()
        await asyncio.gather(b.kill(), c.kill())
        async with asyncio.timeout(CALL_S):
            while len((await fetch_status((HOST, a.port), CALL_S))["lost"]) < 65:
                pass
        status = json.loads((await casty("status", "--contact", contact, "--json", code=3)).stdout)
        assert all(row["unreachable"] == ["b", "c"] and row["lacks_majority"] for row in status["lost"])
        await casty("salvage", saved, "--contact", contact, "--yes")
        assert await a.ended() == 0
        await casty("recover", saved, "--data-dir", new, "--yes")
        node = NodeProcess(
            cluster.system, "a", a.port, [a.port], tmp_path / "a2.log", ("--data-dir", str(new)), SETTINGS
        )
        await node.start()
        await node.ready()
        try:
            async with ClusterClient(contact_points=[(HOST, a.port)], system_name=cluster.system) as client:
                await client.ready()
                await check(client.distributed())
        finally:
            await node.stop()
    finally:
        await cluster.stop()
