"""What the file promises beyond the suite: batches, several users of one file, a full disk, other formats."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from casty.errors import JournalConflict, JournalError
from casty.journal.base import Snapshot
from casty.journal.sqlite import FORMAT, SqliteJournal

WRITER = """
import asyncio, sys
from casty.journal.sqlite import SqliteJournal

async def write():
    journal = SqliteJournal(sys.argv[1])
    for number in range(100_000):
        await journal.persist("a", [number], number)
        print(number, flush=True)

asyncio.run(write())
"""


async def _ask(journal: SqliteJournal, statement: str) -> Any:
    def work(connection: sqlite3.Connection) -> Any:
        return connection.execute(statement).fetchall()

    return await journal._do(work)


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(50)]
        writer.kill()
        lines += writer.stdout.readlines()
    acknowledged = int([line for line in lines if line.endswith(b"\n")][-1])
    async with SqliteJournal(path) as journal:
        events = [row.event for row in await journal.load("a")]
    assert events == list(range(len(events)))
    assert acknowledged < len(events) <= acknowledged + 2


async def test_a_write_is_synchronised_in_full(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        assert await _ask(journal, "PRAGMA synchronous") == [(2,)]
        assert await _ask(journal, "PRAGMA journal_mode") == [("wal",)]


async def test_what_waits_is_written_in_one_transaction(tmp_path: Path) -> None:
    commits = 0

    async with SqliteJournal(tmp_path / "journal.db") as journal:
        await journal.persist("first", ["one"], 0)
        connection = journal._connection
        assert connection is not None

        def traced(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        await journal._do(lambda connection: connection.set_trace_callback(traced))
        commits = 0
        await asyncio.gather(*[journal.persist(f"e{number}", ["one"], 0) for number in range(200)])
        assert commits == 2, "the first alone, and all others, which came while it was written"


async def test_one_refusal_is_not_the_others(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        await journal.persist("a", ["one"], 0)
        results = await asyncio.gather(
            journal.persist("a", ["other"], 0), journal.persist("b", ["one"], 0), return_exceptions=True
        )
        assert isinstance(results[0], JournalConflict)
        assert results[1] is None
        assert len(await journal.load("b")) == 1


async def test_two_users_of_one_file(tmp_path: Path) -> None:
    """Neither overwrites the other: every number is written once, and who was late hears so."""
    path = tmp_path / "journal.db"
    async with SqliteJournal(path) as first, SqliteJournal(path) as second:

        async def write(journal: SqliteJournal, name: str) -> int:
            won = 0
            while (last := len(await journal.load("a"))) < 40:
                try:
                    await journal.persist("a", [name], last)
                    won += 1
                except JournalConflict:
                    continue
            return won

        won = await asyncio.gather(write(first, "first"), write(second, "second"))
        events = [row.event for row in await first.load("a")]
        assert (events.count("first"), events.count("second")) == tuple(won)


async def test_a_full_disk(tmp_path: Path) -> None:
    """A typed error, nothing of the batch is there, and it goes on when there is room again."""
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        await journal.persist("a", ["one"], 0)
        ((pages,),) = await _ask(journal, "PRAGMA page_count")
        await _ask(journal, f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(JournalError, match="full"):
            await journal.persist("a", [bytes(100_000)], 1)
        assert len(await journal.load("a")) == 1
        await _ask(journal, "PRAGMA max_page_count = 1000000")
        await journal.persist("a", [bytes(100_000)], 1)
        assert len(await journal.load("a")) == 2


@pytest.mark.parametrize("content", [b"something else" * 1_000, b"a", b"SQLite format 3\n"])
async def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalError, match=r"cannot be opened.*not a database; nothing was written"):
            await journal.load("a")
    assert path.read_bytes() == content
    path.write_bytes(b"")
    async with SqliteJournal(path) as journal:
        await journal.persist("a", [1], 0)
    async with SqliteJournal(tmp_path / "no" / "journal.db") as journal:
        with pytest.raises(JournalError, match="cannot be opened"):
            await journal.persist("a", [1], 0)


async def test_another_format(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with SqliteJournal(path) as journal:
        await journal.persist("a", ["one"], 0)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalError, match=f"expected format {FORMAT}, found {FORMAT + 1}"):
            await journal.load("a")


async def test_after_close(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    writes = [asyncio.ensure_future(journal.persist(f"e{number}", ["one"], 0)) for number in range(3)]
    await asyncio.gather(journal.persist("a", ["one"], 0))
    journal.close()
    journal.close()
    results = await asyncio.gather(*writes, return_exceptions=True)
    with pytest.raises(JournalError, match="closed"):
        await journal.load("a")
    async with SqliteJournal(tmp_path / "journal.db") as again:
        for number, result in enumerate(results):
            assert bool(await again.load(f"e{number}")) == (result is None)


async def test_a_class_that_is_missing(tmp_path: Path) -> None:
    """What cannot be decoded here is a typed error that names it, and stays on record."""
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        await journal.persist("a", ["one", "two"], 0)
        await journal.save_snapshot("a", Snapshot(1, "state"))
        await _ask(journal, "UPDATE events SET event = x'c1' WHERE number = 2")
        await _ask(journal, "UPDATE snapshots SET state = x'c1'")
        with pytest.raises(JournalError, match="event 2 of 'a' cannot be decoded"):
            await journal.load("a")
        with pytest.raises(JournalError, match="the snapshot of 'a' cannot be decoded"):
            await journal.load_snapshot("a")
        assert len(await journal.load("a", limit=1)) == 1


def test_arguments() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="path: expected a path, found 5"):
        SqliteJournal(wrong)
    with pytest.raises(ValueError, match="expected finite seconds"):
        SqliteJournal(busy_timeout_s=-1)
