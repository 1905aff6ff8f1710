"""Entities whose events are in a journal: all nodes are killed at once, and the log equals what was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from casty import ClusterClient, PostgresJournal, ShardEnvelope, SqliteJournal
from casty.cli.processes import Cluster
from casty.errors import CastyError
from tests.live.ledger_nodes import REGION, SHARDS, WHERE, Note, journal_at
from tests.live.postgres import Server

pytestmark = [pytest.mark.live, pytest.mark.slow]

ENTITIES = [f"ledger-{number}" for number in range(6)]
WITHIN_S = 30.0
MORE = 5
"""So many notes of each entity have to be acknowledged between two disasters."""


class Load:
    """One writer for each entity: each number is noted until that is acknowledged, then the next one."""

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self.acknowledged = dict.fromkeys(ENTITIES, 0)
        self._is_over = False
        self._tasks = [asyncio.create_task(self._write(entity)) for entity in ENTITIES]

    async def _write(self, entity: str) -> None:
        region = self._client.entity_ref(REGION, num_shards=SHARDS)
        while not self._is_over:
            number = self.acknowledged[entity]
            try:
                count = await self._client.ask(
                    region,
                    lambda reply, number=number: ShardEnvelope(entity, Note(number, reply)),
                    timeout=2.0,
                )  # type: ignore[misc]
            except (TimeoutError, CastyError):
                continue
            assert count == number + 1, f"{entity}: the only writer noted {number}, and there are {count}"
            self.acknowledged[entity] = count

    async def go_on(self) -> None:
        """Wait until each entity took some more."""
        before = dict(self.acknowledged)
        async with asyncio.timeout(WITHIN_S):
            while any(self.acknowledged[entity] < before[entity] + MORE for entity in ENTITIES):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_all_is_killed_under_load_and_the_log_is_what_was_acknowledged(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: Server | None = request.getfixturevalue("server") if kind == "postgres" else None
    where = str(tmp_path / "events.db") if server is None else server.dsn
    monkeypatch.setenv(WHERE, where)
    cluster = Cluster(3, tmp_path, extra=("--app", "tests.live.ledger_nodes:app"))
    await cluster.start(WITHIN_S)
    try:
        async with ClusterClient(contact_points=cluster.contacts, system_name=cluster.system) as client:
            await client.ready()
            load = Load(client)
            for _ in range(2):
                await load.go_on()
                await asyncio.gather(*(node.kill() for node in cluster.nodes.values()))
                if server is not None:
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                await cluster.start(WITHIN_S)
            await load.go_on()
            await load.end()
    finally:
        await cluster.stop()
    journal = journal_at(where)
    assert isinstance(journal, SqliteJournal | PostgresJournal)
    async with journal:
        for entity, count in load.acknowledged.items():
            assert [row.event for row in await journal.load(entity)] == list(range(count))
            assert count >= 3 * MORE
            snapshot = await journal.load_snapshot(entity)
            assert snapshot is None or snapshot.state == snapshot.sequence_nr <= count
