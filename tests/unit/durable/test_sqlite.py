"""A data directory on a real disk: transactions, one process at a time, no room, and what a kill leaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.disk import MAX_ROWS, SqliteDevice, _statements, read_all
from casty.errors import DiskError, DiskFull

BEHIND = b"\xff"


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[SqliteDevice]:
    made = SqliteDevice(str(tmp_path / "data"))
    await made.open()
    yield made
    made.close()


async def commit(device: SqliteDevice, *changes: tuple[bytes, bytes | None, bytes]) -> DiskError | None:
    done: asyncio.Future[DiskError | None] = asyncio.get_running_loop().create_future()
    device.commit(changes, done.set_result)
    return await done


async def test_batches_are_there_in_order(device: SqliteDevice) -> None:
    assert await commit(device, (b"b", None, b"2"), (b"a", None, b"1"), (b"c", None, b"3")) is None
    assert await device.read(b"a", b"c") == [(b"a", b"1"), (b"b", b"2")]
    assert await device.read(b"", BEHIND, 1) == [(b"a", b"1")]
    assert await commit(device, (b"a", b"c", b""), (b"a", None, b"new")) is None
    assert await device.read(b"", BEHIND) == [(b"a", b"new"), (b"c", b"3")]


_KEYS = st.binary(min_size=1, max_size=2)
_CHANGES = st.lists(
    st.one_of(st.tuples(_KEYS, st.none(), st.binary(max_size=9)), st.tuples(_KEYS, _KEYS, st.just(b""))),
    max_size=40,
)


@given(_CHANGES, st.integers(1, 4), st.integers(1, 20))
def test_records_that_are_put_in_together_are_there_as_if_one_by_one(
    changes: list[tuple[bytes, bytes | None, bytes]], rows: int, rows_bytes: int
) -> None:
    """Removals stand between them, keys come again, and one statement takes so many rows or bytes."""
    expected: dict[bytes, bytes] = {}
    for key, behind, value in changes:
        if behind is None:
            expected[key] = value
        else:
            expected = {other: kept for other, kept in expected.items() if not key <= other < behind}
    with pytest.MonkeyPatch.context() as patch, contextlib.closing(sqlite3.connect(":memory:")) as database:
        patch.setattr("casty.disk.MAX_ROWS", rows)
        patch.setattr("casty.disk.MAX_ROWS_BYTES", rows_bytes)
        database.execute("CREATE TABLE records (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        for statement, values in _statements(changes):
            assert len(values) <= 2 * rows
            database.execute(statement, values)
        assert dict(database.execute("SELECT key, value FROM records")) == expected


async def test_a_batch_of_any_size_is_there(device: SqliteDevice) -> None:
    records = [(b"%06d" % number, b"x" * (number % 5) * 20_000) for number in range(3 * MAX_ROWS + 1)]
    assert await commit(device, *((key, None, value) for key, value in records)) is None
    assert await device.read(b"", BEHIND) == records


async def test_all_that_waits_is_told_in_the_order_in_which_it_was_asked(device: SqliteDevice) -> None:
    told: list[int] = []
    for number in range(600):
        device.commit([(b"%d" % number, None, b"x")], lambda error, number=number: told.append(number))
    assert not told, "never at once"
    assert len(await device.read(b"", BEHIND)) == 600, "a read sees what was asked for before it"
    assert told == list(range(600))


async def test_it_is_synced_at_each_commit(device: SqliteDevice, tmp_path: Path) -> None:
    database = device._database
    assert database is not None
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)


async def test_nobody_else_reads_a_directory_that_it_made(device: SqliteDevice, tmp_path: Path) -> None:
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


async def test_one_process_has_it_at_a_time(device: SqliteDevice, tmp_path: Path) -> None:
    other = SqliteDevice(str(tmp_path / "data"))
    with pytest.raises(DiskError, match="in use by another process"):
        await other.open()
    with pytest.raises(DiskError, match="in use by another process"):
        read_all(str(tmp_path / "data"))
    device.close()
    await other.open()
    other.close()


async def test_without_room_nothing_of_a_batch_is_there_and_nothing_after_it(device: SqliteDevice) -> None:
    assert await commit(device, (b"a", None, b"1")) is None
    database = device._database
    assert database is not None
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count={pages + 2}").fetchall()
    error = await commit(device, (b"b", None, b"2"), (b"c", None, bytes(200_000)))
    assert isinstance(error, DiskFull) and "data_dir" in str(error)
    assert await commit(device, (b"d", None, b"4")) is error
    device.close()
    await device.open()
    assert await device.read(b"", BEHIND) == [(b"a", b"1")]
    assert await commit(device, (b"d", None, b"4")) is None


async def test_a_file_that_is_no_database_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"no database" * 1000)
    with pytest.raises(DiskError, match=f"{tmp_path}.*move it away and start again") as first:
        await SqliteDevice(str(tmp_path)).open()
    with pytest.raises(DiskError, match=str(tmp_path)) as second:
        read_all(str(tmp_path))
    # Whoever keeps the errors keeps nothing of the file.
    assert first.value and second.value
    assert not [fd for fd in Path("/proc/self/fd").iterdir() if leads_to(fd, tmp_path)]
    (tmp_path / "records.db").write_bytes(b"")
    device = SqliteDevice(str(tmp_path))
    await device.open()
    device.close()


def leads_to(descriptor: Path, folder: Path) -> bool:
    try:
        return descriptor.readlink().is_relative_to(folder)
    except FileNotFoundError:  # that of the listing
        return False


async def test_where_no_directory_can_be_made_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "data", tmp_path / "file"):
        with pytest.raises(DiskError, match=r"data_dir.*expected a directory"):
            await SqliteDevice(str(path)).open()
    with pytest.raises(DiskError, match="expected a data directory"):
        read_all(str(tmp_path))


WRITER = """
import asyncio, sys
from casty.disk import SqliteDevice

async def main():
    device = SqliteDevice(sys.argv[1])
    await device.open()
    number = 0
    while True:
        done = asyncio.get_running_loop().create_future()
        rows = [(b"%08d-%d" % (number, part), None, bytes(3000)) for part in range(3)]
        device.commit(rows, done.set_result)
        assert await done is None
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_killed_process_leaves_what_it_was_told_and_no_half_of_a_batch(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    with subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        told = -1
        for line in writer.stdout:
            told = int(line)
            if told == 60:
                os.kill(writer.pid, signal.SIGKILL)
                break
        told = max([told, *map(int, writer.stdout.read().split())])
    numbers = [int(key[:8]) for key, _ in read_all(folder)]
    assert numbers == sorted([*range(max(numbers) + 1)] * 3), "batches are whole, and none is missing"
    assert told <= max(numbers) <= told + 1


def test_damage_of_the_file_is_told(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "records.db")
    database.execute("CREATE TABLE records (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
    database.executemany("INSERT INTO records VALUES (?, ?)", [(b"%d" % n, bytes(500)) for n in range(200)])
    database.commit()
    database.close()
    data = bytearray((tmp_path / "records.db").read_bytes())
    data[4096:4160] = bytes(64)
    (tmp_path / "records.db").write_bytes(data)
    with pytest.raises(DiskError, match=r"damaged|malformed|image"):
        read_all(str(tmp_path))
