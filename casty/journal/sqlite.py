"""A journal in one SQLite file, written by one thread.

Whatever is asked for while a transaction is under way goes into the next one together, so that one fsync serves all of
it. The journal is in WAL mode with full synchronisation: what `persist` returned for survives the end of the process
and of the machine. Several processes of one machine may use one file; each transaction takes the file's write lock
first, so that what it compares is what it appends to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from casty.checks import check_seconds, shown
from casty.errors import JournalError
from casty.journal.base import (
    PAGE,
    JournalKind,
    PersistedEvent,
    Snapshot,
    ValueCoder,
    ahead,
    known_events,
    now_s,
)
from casty.wire.codec import Codec

if TYPE_CHECKING:
    import sqlite3

__all__ = ["SqliteJournal"]

FORMAT = 1

_MAGIC = b"SQLite format 3\0"
"""How each database file of SQLite begins."""
"""What the file says about its own layout."""

BATCH = 1_000
"""How many requests one transaction serves at most."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    entity BLOB NOT NULL, number INTEGER NOT NULL, event BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (entity, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots (
    entity BLOB NOT NULL PRIMARY KEY, number INTEGER NOT NULL, state BLOB NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
"""
_LAST = "SELECT max(number) FROM events WHERE entity = ?"
_STORED = "SELECT event FROM events WHERE entity = ? AND number > ? ORDER BY number LIMIT ?"
_APPEND = "INSERT INTO events VALUES (?, ?, ?, ?)"
_LOAD = "SELECT number, event, at FROM events WHERE entity = ? AND number >= ? ORDER BY number LIMIT ?"
_KEEP = (
    "INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4) ON CONFLICT (entity) DO UPDATE SET number = ?2, state = ?3, at = ?4 "
    "WHERE number <= ?2"
)
_SNAPSHOT = "SELECT number, state, at FROM snapshots WHERE entity = ?"
# From one id to the next by the index: asking for the distinct ones reads every event.
_NEXT_ID = "SELECT entity FROM events WHERE entity > ? ORDER BY entity LIMIT 1"

Work = Callable[["sqlite3.Connection"], Any]


class Request(NamedTuple):
    """Work for the thread, and who waits for it."""

    work: Work
    is_write: bool
    future: asyncio.Future[Any]


class SqliteJournal:
    """An `EventJournal` in a file of its own.

    Parameters
    ----------
    path
        The file, made if it is missing; ``":memory:"`` is none, and lasts as long as this object.
    codec
        Encodes events and states; None is the default one.
    busy_timeout_s
        How long a transaction waits for another process that writes to the file, in seconds.

    Raises
    ------
    TypeError
        The path is none.

    Examples
    --------
    >>> async def main(system: ClusteredActorSystem) -> int:
    ...     async with SqliteJournal("history.db") as journal:
    ...         return await Distributed(system, journal=journal).counter("hits").increment()
    """

    def __init__(
        self, path: Any = ":memory:", *, codec: Codec | None = None, busy_timeout_s: float = 5.0
    ) -> None:
        if not isinstance(path, str) and not hasattr(path, "__fspath__"):
            raise TypeError(f"path: expected a path, found {shown(path)}")
        check_seconds(busy_timeout_s)
        self._path = path
        self._coder = ValueCoder(codec)
        self._busy_timeout_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(1, "casty-journal")
        self._connection: sqlite3.Connection | None = None
        """Made, used and closed in `_thread` only."""
        self._pending: list[Request] = []
        """What the next transactions do; unbounded here, as each row is a call that waits for it."""
        self._is_busy = False
        self._is_closed = False

    @property
    def kind(self) -> JournalKind:
        """``JournalKind.local``."""
        return JournalKind.local

    async def __aenter__(self) -> SqliteJournal:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, after the transaction under way; calls that still wait raise `JournalError`.

        Blocks for as long as that transaction takes. Harmless when it is closed already.
        """
        if self._is_closed:
            return
        self._is_closed = True
        waiting, self._pending = self._pending, []
        for request in waiting:
            if not request.future.done():
                request.future.set_exception(self._closed())
        self._thread.submit(self._disconnect).result()
        self._thread.shutdown()

    def _closed(self) -> JournalError:
        return JournalError(f"journal {self._path}: it is closed; nothing was written")

    # -- the journal's methods

    async def persist(self, entity_id: str, events: Sequence[object], expected_sequence_nr: int) -> None:
        """See `EventJournal.persist`."""
        encoded = self._coder.events(entity_id, events, expected_sequence_nr)
        await self._do(partial(_append, entity_id, encoded, expected_sequence_nr, now_s()), is_write=True)

    async def load(
        self, entity_id: str, from_sequence_nr: int = 0, *, limit: int | None = None
    ) -> list[PersistedEvent]:
        """See `EventJournal.load`."""
        self._coder.check_range(entity_id, from_sequence_nr, limit)
        fields = (entity_id.encode(), from_sequence_nr, -1 if limit is None else limit)
        rows = await self._do(partial(_all, _LOAD, fields))
        return [self._coder.persisted(entity_id, row) for row in rows]

    async def save_snapshot(self, entity_id: str, snapshot: Snapshot) -> None:
        """See `EventJournal.save_snapshot`."""
        data = self._coder.snapshot(entity_id, snapshot)
        await self._do(partial(_keep, entity_id, snapshot, data), is_write=True)

    async def load_snapshot(self, entity_id: str) -> Snapshot | None:
        """See `EventJournal.load_snapshot`."""
        self._coder.check_entity(entity_id)
        rows = await self._do(partial(_all, _SNAPSHOT, (entity_id.encode(),)))
        return self._coder.restored(entity_id, *rows[0]) if rows else None

    async def entity_ids(self, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[str]:
        """See `EventJournal.entity_ids`."""
        self._coder.check_page(prefix, after, limit)
        found: list[str] = await self._do(partial(_ids, prefix.encode(), after.encode(), limit))
        return found

    # -- the thread

    async def _do(self, work: Work, *, is_write: bool = False) -> Any:
        if self._is_closed:
            raise self._closed()
        request = Request(work, is_write, asyncio.get_running_loop().create_future())
        self._pending.append(request)
        if not self._is_busy:
            self._next_batch()
        return await request.future

    def _next_batch(self) -> None:
        """Hand what waits to the thread; what nobody waits for any more is not done."""
        waiting = [request for request in self._pending if not request.future.done()]
        batch, self._pending = waiting[:BATCH], waiting[BATCH:]
        if not batch or self._is_closed:
            self._is_busy = False
            return
        self._is_busy = True
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._transact, batch)
        running.add_done_callback(partial(self._done, batch))

    def _done(self, batch: list[Request], running: asyncio.Future[list[Any]]) -> None:
        error = self._closed() if running.cancelled() else running.exception()
        results: list[Any] = [error] * len(batch) if error is not None else running.result()
        for request, result in zip(batch, results, strict=True):
            if request.future.done():
                continue
            if isinstance(result, BaseException):
                request.future.set_exception(result)
            else:
                request.future.set_result(result)
        self._next_batch()

    def _transact(self, batch: list[Request]) -> list[Any]:
        """Do a batch in one transaction; in the thread."""
        import sqlite3  # not every Python has it

        try:
            connection = self._connected()
        except sqlite3.Error as error:
            raise JournalError(
                f"journal {self._path}: it cannot be opened: {type(error).__name__}: {error}; nothing was written"
            ) from error
        try:
            is_write = any(request.is_write for request in batch)
            # The lock first: what is compared must not change before it is appended to.
            connection.execute("BEGIN IMMEDIATE" if is_write else "BEGIN")
            try:
                results = [_attempt(request.work, connection) for request in batch]
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise JournalError(
                f"journal {self._path}: {type(error).__name__}: {error}; it was written once or not at all: repeat it"
            ) from error
        return results

    def _connected(self) -> sqlite3.Connection:
        import sqlite3

        if self._connection is None:
            self._check_file()
            connection = sqlite3.connect(self._path, timeout=self._busy_timeout_s, isolation_level=None)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _check_file(self) -> None:
        """Refuse somebody else's file: SQLite takes one that is shorter than its header for empty."""
        try:
            with Path(self._path).open("rb") as file:
                head = file.read(len(_MAGIC))
        except OSError:
            return  # ":memory:", or it is made now; what else is wrong SQLite says
        if head and head != _MAGIC:
            raise JournalError(
                f"journal {self._path}: it cannot be opened: expected a database of SQLite, found a file that is not a "
                "database; nothing was written"
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found not in (0, FORMAT):
            raise JournalError(
                f"journal {self._path}: expected format {FORMAT}, found {found}; it was written by another version"
            )
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _attempt(work: Work, connection: sqlite3.Connection) -> Any:
    """Do one request; its own refusal, before it wrote anything, is its own result and not the batch's."""
    try:
        return work(connection)
    except JournalError as error:
        return error


def _all(statement: str, fields: tuple[object, ...], connection: sqlite3.Connection) -> list[Any]:
    return connection.execute(statement, fields).fetchall()


def _last(entity: bytes, connection: sqlite3.Connection) -> int:
    (last,) = connection.execute(_LAST, (entity,)).fetchone()
    return last or 0


def _append(
    entity_id: str, events: list[bytes], expected: int, at_s: float, connection: sqlite3.Connection
) -> None:
    entity = entity_id.encode()
    last = _last(entity, connection)
    stored = [event for (event,) in _all(_STORED, (entity, expected, len(events)), connection)]
    known = known_events(entity_id, last, expected, stored, events)
    rows = [(entity, number, event, at_s) for number, event in enumerate(events[known:], last + 1)]
    connection.executemany(_APPEND, rows)


def _keep(entity_id: str, snapshot: Snapshot, data: bytes, connection: sqlite3.Connection) -> None:
    entity = entity_id.encode()
    last = _last(entity, connection)
    if snapshot.sequence_nr > last:
        raise ahead(entity_id, snapshot.sequence_nr, last)
    connection.execute(_KEEP, (entity, snapshot.sequence_nr, data, float(snapshot.timestamp)))


def _ids(prefix: bytes, after: bytes, limit: int, connection: sqlite3.Connection) -> list[str]:
    found: list[str] = []
    # No id is empty, so that above the prefix less its last place come those that begin with it, and few others.
    entity = after if after >= prefix else prefix[:-1]
    while len(found) < limit:
        row = connection.execute(_NEXT_ID, (entity,)).fetchone()
        if row is None:
            break
        entity = row[0]
        if entity.startswith(prefix):
            found.append(entity.decode())
        elif entity > prefix:
            break
    return found
