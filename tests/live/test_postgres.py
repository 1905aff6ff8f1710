"""The journal in PostgreSQL, over the public suite and over restarts of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from casty.errors import JournalError
from casty.journal.postgres import PostgresJournal
from casty.testing.journal_suite import CHECKS, Check
from tests.live.postgres import Server

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("number", range(len(CHECKS)), ids=[check.__name__ for check in CHECKS])
async def test_suite(number: int, server: Server) -> None:
    check: Check = CHECKS[number]
    async with PostgresJournal(server.dsn, table_prefix=f"suite{number}_") as journal:
        await check(journal)


async def test_a_crash_of_the_server_loses_nothing_and_is_bridged(server: Server) -> None:
    """Writers go on over two crashes; each event is there once, in order, and none that was acknowledged is missing."""
    async with PostgresJournal(server.dsn, table_prefix="crash_", retry_s=30) as journal:
        acknowledged = [0] * 4

        async def write(entity: int) -> None:
            for number in range(80):
                await journal.persist(f"e{entity}", [number], number)
                acknowledged[entity] = number + 1

        writers = [asyncio.ensure_future(write(entity)) for entity in range(4)]
        for reached in (20, 50):
            while min(acknowledged) < reached:
                await asyncio.sleep(0.01)
            before = list(acknowledged)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            for entity, count in enumerate(before):
                assert len(await journal.load(f"e{entity}")) >= count
        await asyncio.gather(*writers)
        for entity in range(4):
            assert [row.event for row in await journal.load(f"e{entity}")] == list(range(80))


async def test_a_server_that_stays_away_is_a_typed_error(server: Server) -> None:
    async with PostgresJournal(server.dsn.replace("5432", "5433"), retry_s=0.3) as journal:
        with pytest.raises(JournalError, match="PostgreSQL"):
            await journal.persist("a", ["one"], 0)


async def test_two_processes_tables_made_at_once(server: Server) -> None:
    journals = [PostgresJournal(server.dsn, table_prefix="same_") for _ in range(6)]
    try:
        await asyncio.gather(*[journal.persist("a", ["one"], 0) for journal in journals])
        assert len(await journals[0].load("a")) == 1
    finally:
        for journal in journals:
            await journal.close()


async def test_a_full_disk_is_a_typed_error(server: Server) -> None:
    """What the server refuses for itself is not repeated."""
    async with PostgresJournal(server.dsn, table_prefix="full_") as journal:
        await journal.persist("a", ["one"], 0)
        async with journal._pool.acquire() as connection:
            await connection.execute("ALTER TABLE full_events ADD CONSTRAINT disk_full CHECK (number < 2)")
        with pytest.raises(JournalError, match="once or not at all"):
            await journal.persist("a", ["two"], 1)
        assert len(await journal.load("a")) == 1


async def test_after_close(server: Server) -> None:
    journal = PostgresJournal(server.dsn, table_prefix="closed_")
    await journal.persist("a", ["one"], 0)
    await journal.close()
    await journal.close()
    with pytest.raises(JournalError, match="closed"):
        await journal.load("a")


def test_arguments() -> None:
    with pytest.raises(ValueError, match="table_prefix: expected"):
        PostgresJournal("postgresql:///x", table_prefix="x; DROP TABLE users")
    with pytest.raises(ValueError, match="dsn: expected"):
        PostgresJournal("")
    with pytest.raises(ValueError, match="max_connections: expected"):
        PostgresJournal("postgresql:///x", max_connections=0)
