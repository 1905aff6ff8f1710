"""A data directory in one SQLite file: a worker thread, one transaction for all that waits, synced before it is told.

``records.db`` is in WAL mode with ``synchronous=FULL``: a transaction that is told to be done is in the log file and
was synced. ``lock`` is held for as long as a process has the directory; the system lets it go when the process ends,
however that was. The loop never waits for the disk: it puts requests into a queue, and callbacks come back to it.

What was asked for while a transaction was under way becomes one transaction together. After an error nothing more is
written until the directory is opened anew: SQLite rolled back, so what is there is what was told to be done.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from casty.errors import DiskError, DiskFull
from casty.forks import keep_from_children
from casty.ports import Device

__all__ = ["SqliteDevice", "read_all"]

FILE, LOCK = "records.db", "lock"
MAX_JOINED = 256
"""Batches that become one transaction."""

MAX_ROWS, MAX_ROWS_BYTES = 128, 1024 * 1024
"""Records that one statement puts in, and their bytes; one that is longer is put in alone."""

_REMOVE = "DELETE FROM records WHERE key >= ? AND key < ?"
_INSERTS = tuple(
    ", ".join(("INSERT OR REPLACE INTO records VALUES (?, ?)", *["(?, ?)"] * more))
    for more in range(MAX_ROWS)
)
"""By the number of rows, beginning with one: each is prepared once."""

Changes = Sequence[tuple[bytes, bytes | None, bytes]]
Done = Callable[[DiskError | None], None]
_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Commit(NamedTuple):
    changes: Changes
    done: Done


class _Call(NamedTuple):
    work: Callable[[], Any]
    answer: asyncio.Future[Any]


class SqliteDevice(Device):
    """One data directory.

    Parameters
    ----------
    path
        The directory; it is made when it is not there.

    Bounds: the queue holds what the groups wrote and was not synced; they take no more than their own bounds allow.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._queue: SimpleQueue[_Commit | _Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._database: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._error: DiskError | None = None

    async def open(self) -> None:
        """See `Device.open`."""
        self._loop = asyncio.get_running_loop()
        self._queue = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(self._queue,), name="casty-disk", daemon=True)
        self._thread.start()
        try:
            await self._ask(self._begin)
        except BaseException:
            self.close()
            raise

    def commit(self, changes: Changes, done: Done) -> None:
        """See `Device.commit`."""
        self._queue.put(_Commit(changes, done))

    async def read(self, first: bytes, behind: bytes, most: int = 0) -> list[tuple[bytes, bytes]]:
        """See `Device.read`."""
        rows: list[tuple[bytes, bytes]] = await self._ask(partial(self._select, first, behind, most or -1))
        return rows

    def close(self) -> None:
        """See `Device.close`."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    async def _ask(self, work: Callable[[], Any]) -> Any:
        assert self._loop is not None, "not open"
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put(_Call(work, answer))
        return await answer

    # -- in the worker's thread

    def _run(self, queue: SimpleQueue[_Commit | _Call | None]) -> None:
        held: _Commit | _Call | None = None
        is_held = False
        while True:
            request = held if is_held else queue.get()
            is_held = False
            if request is None:
                break
            if isinstance(request, _Call):
                self._answer(request)
                continue
            commits = [request]
            while not is_held and len(commits) < MAX_JOINED and not queue.empty():
                held = queue.get()
                if isinstance(held, _Commit):
                    commits.append(held)
                else:
                    is_held = True
            self._transact(commits)
        self._end()

    def _transact(self, commits: Sequence[_Commit]) -> None:
        if self._error is None and any(commit.changes for commit in commits):
            try:
                self._write([change for commit in commits for change in commit.changes])
            except (sqlite3.Error, OSError, MemoryError) as error:
                self._error = _described(error, self._path)
        self._tell(partial(_done, commits, self._error))

    def _write(self, changes: Changes) -> None:
        database = self._database
        assert database is not None, "not open"
        statements = _statements(changes)
        try:
            if len(statements) == 1:  # is a transaction by itself
                database.execute(*statements[0])
                return
            database.execute("BEGIN IMMEDIATE")
            for statement in statements:
                database.execute(*statement)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _answer(self, call: _Call) -> None:
        try:
            value = call.work()
        except (sqlite3.Error, OSError, MemoryError) as error:
            self._tell(partial(_fail, call.answer, _described(error, self._path)))
        except DiskError as error:
            self._tell(partial(_fail, call.answer, error))
        else:
            self._tell(partial(_succeed, call.answer, value))

    def _tell(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None, "not open"
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The loop is over, and with it whoever could hear.
            self._error = self._error or DiskError("the event loop is closed")

    def _begin(self) -> None:
        self._error = None
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(self._path / LOCK, self._path)
        self._database = _connected(self._path / FILE)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS records (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"
        )
        _sync_directory(self._path)

    def _select(self, first: bytes, behind: bytes, most: int) -> list[tuple[bytes, bytes]]:
        assert self._database is not None, "not open"
        return list(
            self._database.execute(
                "SELECT key, value FROM records WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
                (first, behind, most),
            )
        )

    def _end(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except sqlite3.Error as error:
                self._error = _described(error, self._path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def read_all(path: str) -> list[tuple[bytes, bytes]]:
    """Return all records of a directory that no process has; raises `DiskError`. It waits for the disk."""
    folder = Path(path)
    if not (folder / FILE).is_file():
        raise DiskError(f"{path}: expected a data directory, found no {FILE} in it")
    lock = _locked(folder / LOCK, folder)
    try:
        database = _connected(folder / FILE)
        try:
            damage = [row[0] for row in database.execute("PRAGMA integrity_check(1)") if row[0] != "ok"]
            if damage:
                raise DiskError(f"{path}: the file is damaged: {damage[0]}")
            return list(database.execute("SELECT key, value FROM records ORDER BY key"))
        finally:
            database.close()
    except (sqlite3.Error, OSError) as error:
        raise _described(error, folder) from None
    finally:
        os.close(lock)


def _statements(changes: Changes) -> list[tuple[str, list[bytes]]]:
    """Return what makes the changes in their order, records that follow each other put in together.

    Each statement lets the loop's thread run, and then waits until that lets go of the interpreter: it may be busy.
    """
    statements: list[tuple[str, list[bytes]]] = []
    values: list[bytes] = []
    size_bytes = 0
    for key, behind, value in changes:
        if behind is not None:
            _put_in(statements, values)
            statements.append((_REMOVE, [key, behind]))
            values, size_bytes = [], 0
            continue
        if len(values) == 2 * MAX_ROWS or size_bytes + len(value) > MAX_ROWS_BYTES:
            _put_in(statements, values)
            values, size_bytes = [], 0
        values += (key, value)
        size_bytes += len(value)
    _put_in(statements, values)
    return statements


def _put_in(statements: list[tuple[str, list[bytes]]], values: list[bytes]) -> None:
    if values:
        statements.append((_INSERTS[len(values) // 2 - 1], values))


def _connected(path: Path) -> sqlite3.Connection:
    # Used by one thread at a time; which one that is changes when the directory is opened anew.
    database = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=2 * MAX_ROWS
    )
    try:
        for setting in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=2000",
            "temp_store=MEMORY",
        ):
            database.execute(f"PRAGMA {setting}").fetchall()
    except BaseException:
        database.close()  # else it has the file locked for as long as somebody has the error
        raise
    return database


def _locked(path: Path, folder: Path) -> int:
    """Return the lock of a directory; the file itself stays."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise DiskError(
            f"data_dir {str(folder)!r} is in use by another process; each node needs a directory of its own"
        ) from None
    keep_from_children(descriptor)
    return descriptor


def _sync_directory(path: Path) -> None:
    """Make the names of new files durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _described(error: Exception, path: Path) -> DiskError:
    code = getattr(error, "sqlite_errorcode", None)
    is_full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in _FULL
    text = f"data_dir {str(path)!r}: {error}"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        text += "; expected a directory, or a path at which one can be made"
    elif code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        text += "; if it was that of a node, move it away and start again: the node is filled from the others"
    return DiskFull(text) if is_full else DiskError(text)


def _done(commits: Sequence[_Commit], error: DiskError | None) -> None:
    for commit in commits:
        commit.done(error)


def _succeed(answer: asyncio.Future[Any], value: object) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail(answer: asyncio.Future[Any], error: DiskError) -> None:
    if not answer.done():
        answer.set_exception(error)
