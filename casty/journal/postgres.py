"""A journal in a PostgreSQL database, through asyncpg (extra ``postgres``).

The primary key (entity, number) is the arbiter between writers. An append is one statement that inserts only after the
number that its writer expects; where that inserts nothing, a transaction compares what is there. Both may be repeated,
so a lost connection, a restart of the server or a switch to another one is answered by doing it again, for a while.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from casty import runtime
from casty.checks import check_count, check_name, check_seconds, shown
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

__all__ = ["PostgresJournal"]

FORMAT = 1
"""What the tables say about their own layout."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""Between attempts; each pause is twice the one before."""

SCHEMA_LOCK = 0x6361737479
"""Who makes the tables takes this lock: making one twice at a time is an error even where it may exist."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS {prefix}journal (format integer NOT NULL);
CREATE TABLE IF NOT EXISTS {prefix}events (
    entity bytea NOT NULL, number bigint NOT NULL, event bytea NOT NULL, at double precision NOT NULL,
    PRIMARY KEY (entity, number)
);
CREATE TABLE IF NOT EXISTS {prefix}snapshots (
    entity bytea PRIMARY KEY, number bigint NOT NULL, state bytea NOT NULL, at double precision NOT NULL
);
INSERT INTO {prefix}journal SELECT {format} WHERE NOT EXISTS (SELECT FROM {prefix}journal);
"""
_LAST = "SELECT coalesce(max(number), 0) FROM {prefix}events WHERE entity = $1"
_STORED = "SELECT event FROM {prefix}events WHERE entity = $1 AND number > $2 ORDER BY number LIMIT $3"
_APPEND = (
    "INSERT INTO {prefix}events SELECT $1, $2::bigint + place, event, $4 "
    "FROM unnest($3::bytea[]) WITH ORDINALITY AS fresh (event, place) "
    "WHERE (SELECT coalesce(max(number), 0) FROM {prefix}events WHERE entity = $1) = $2"
)
_LOAD = (
    "SELECT number, event, at FROM {prefix}events WHERE entity = $1 AND number >= $2 ORDER BY number LIMIT $3"
)
_KEEP = (
    "INSERT INTO {prefix}snapshots AS kept VALUES ($1, $2, $3, $4) ON CONFLICT (entity) DO UPDATE "
    "SET number = $2, state = $3, at = $4 WHERE kept.number <= $2"
)
_SNAPSHOT = "SELECT number, state, at FROM {prefix}snapshots WHERE entity = $1"
# From one id to the next by the index: asking for the distinct ones reads every event.
_IDS = """
WITH RECURSIVE ids AS (
    (SELECT entity FROM {prefix}events WHERE entity > $1 AND entity >= $2 ORDER BY entity LIMIT 1)
    UNION ALL
    SELECT (SELECT later.entity FROM {prefix}events AS later WHERE later.entity > ids.entity ORDER BY 1 LIMIT 1)
    FROM ids WHERE substr(ids.entity, 1, length($2)) = $2
)
SELECT entity FROM ids WHERE substr(entity, 1, length($2)) = $2 LIMIT $3
"""

T = TypeVar("T")
Work = Callable[[Any], Awaitable[T]]


class PostgresJournal:
    """An `EventJournal` that every process can reach.

    Parameters
    ----------
    dsn
        Where the database is, as ``postgresql://user:password@host:port/database``; several hosts may be named.
    codec
        Encodes events and states; None is the default one.
    max_connections
        How many connections there are at most, at least 1.
    retry_s
        How long a call is repeated while the server cannot be reached or goes away, in seconds.
    timeout_s
        How long one statement, or the making of a connection, may take, in seconds.
    table_prefix
        What the names of its tables begin with; they are made if they are missing.

    Raises
    ------
    TypeError, ValueError
        As each text says.

    Examples
    --------
    >>> async def main(client: ClusterClient) -> int:
    ...     async with PostgresJournal("postgresql://casty@db.example/history") as journal:
    ...         return await Distributed(client, journal=journal).counter("hits").increment()
    """

    def __init__(
        self,
        dsn: str,
        *,
        codec: Codec | None = None,
        max_connections: int = 8,
        retry_s: float = 10.0,
        timeout_s: float = 10.0,
        table_prefix: str = "casty_",
    ) -> None:
        check_name(dsn, "dsn")
        check_seconds(retry_s)
        check_seconds(timeout_s)
        check_name(table_prefix, "table_prefix")
        if re.fullmatch("[a-z_][a-z0-9_]{0,40}", table_prefix) is None:
            raise ValueError(
                f"table_prefix: expected small letters, digits and underscores, found {shown(table_prefix)}"
            )
        self._dsn = dsn
        self._coder = ValueCoder(codec)
        self._max_connections = check_count("max_connections", max_connections, 1)
        self._retry_s = retry_s
        self._timeout_s = timeout_s
        self._prefix = table_prefix
        self._opening = asyncio.Lock()
        self._pool: Any = None
        self._is_closed = False

    @property
    def kind(self) -> JournalKind:
        """``JournalKind.centralized``."""
        return JournalKind.centralized

    async def __aenter__(self) -> PostgresJournal:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, after the calls under way; harmless when they are closed already."""
        self._is_closed = True
        async with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    # -- the journal's methods

    async def persist(self, entity_id: str, events: Sequence[object], expected_sequence_nr: int) -> None:
        """See `EventJournal.persist`."""
        encoded = self._coder.events(entity_id, events, expected_sequence_nr)
        entity, at_s = entity_id.encode(), now_s()

        async def append(connection: Any) -> None:
            fields = (entity, expected_sequence_nr, encoded, at_s)
            if (
                encoded
                and await connection.execute(self._sql(_APPEND), *fields) == f"INSERT 0 {len(encoded)}"
            ):
                return
            await self._compare(connection, entity_id, encoded, expected_sequence_nr, at_s)

        await self._do(append)

    async def load(
        self, entity_id: str, from_sequence_nr: int = 0, *, limit: int | None = None
    ) -> list[PersistedEvent]:
        """See `EventJournal.load`."""
        self._coder.check_range(entity_id, from_sequence_nr, limit)
        rows = await self._fetch(_LOAD, entity_id.encode(), from_sequence_nr, limit)
        return [self._coder.persisted(entity_id, (number, event, at_s)) for number, event, at_s in rows]

    async def save_snapshot(self, entity_id: str, snapshot: Snapshot) -> None:
        """See `EventJournal.save_snapshot`."""
        data = self._coder.snapshot(entity_id, snapshot)
        entity, number = entity_id.encode(), snapshot.sequence_nr

        async def keep(connection: Any) -> None:
            last = await connection.fetchval(self._sql(_LAST), entity)
            if number > last:
                raise ahead(entity_id, number, last)
            await connection.execute(self._sql(_KEEP), entity, number, data, float(snapshot.timestamp))

        await self._do(keep)

    async def load_snapshot(self, entity_id: str) -> Snapshot | None:
        """See `EventJournal.load_snapshot`."""
        self._coder.check_entity(entity_id)
        rows = await self._fetch(_SNAPSHOT, entity_id.encode())
        return self._coder.restored(entity_id, *rows[0]) if rows else None

    async def entity_ids(self, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[str]:
        """See `EventJournal.entity_ids`."""
        self._coder.check_page(prefix, after, limit)
        rows = await self._fetch(_IDS, after.encode(), prefix.encode(), limit)
        return [row[0].decode() for row in rows]

    # -- the way to the server

    def _sql(self, statement: str) -> str:
        return statement.format(prefix=self._prefix, format=FORMAT)

    async def _fetch(self, statement: str, *fields: object) -> list[Any]:
        async def fetch(connection: Any) -> list[Any]:
            rows: list[Any] = await connection.fetch(self._sql(statement), *fields)
            return rows

        return await self._do(fetch)

    async def _compare(
        self, connection: Any, entity_id: str, events: list[bytes], expected: int, at_s: float
    ) -> None:
        """Look what is there, and append what is missing; another writer between both is a unique violation."""
        entity = entity_id.encode()
        last = await connection.fetchval(self._sql(_LAST), entity)
        rows = await connection.fetch(self._sql(_STORED), entity, expected, len(events))
        known = known_events(entity_id, last, expected, [row[0] for row in rows], events)
        if events[known:]:
            await connection.execute(self._sql(_APPEND), entity, expected + known, events[known:], at_s)

    async def _do(self, work: Work[T]) -> T:
        """Do something on a connection, and again while the server is away or another writer was faster."""
        asyncpg = _driver()
        away = (
            asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError,
            asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.TooManyConnectionsError, OSError,
        )  # fmt: skip
        clock = runtime.current().clock
        end_ns = clock.now() + int(self._retry_s * 1e9)
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                pool = await self._connected()
                async with pool.acquire(timeout=self._timeout_s) as connection:
                    return await work(connection)
            except asyncpg.UniqueViolationError:
                continue  # what the faster one wrote is there now, so the next look sees it
            except away as error:
                if self._is_closed or clock.now() >= end_ns:
                    raise self._failed(error) from error
            except asyncpg.PostgresError as error:
                raise self._failed(error) from error
            await clock.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _failed(self, error: BaseException) -> JournalError:
        return JournalError(
            f"journal in PostgreSQL: {type(error).__name__}: {error}; it was written once or not at all: repeat it"
        )

    async def _connected(self) -> Any:
        if self._pool is None:
            async with self._opening:
                if self._is_closed:
                    raise JournalError("journal in PostgreSQL: it is closed; nothing was written")
                if self._pool is None:
                    self._pool = await self._open()
        return self._pool

    async def _open(self) -> Any:
        pool: Any = await _driver().create_pool(
            self._dsn,
            min_size=0,
            max_size=self._max_connections,
            timeout=self._timeout_s,
            command_timeout=self._timeout_s,
        )
        try:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
                await connection.execute(self._sql(_SCHEMA))
                found = await connection.fetchval(self._sql("SELECT format FROM {prefix}journal"))
        except BaseException:
            pool.terminate()
            raise
        if found != FORMAT:
            pool.terminate()
            raise JournalError(
                f"journal in PostgreSQL: expected format {FORMAT}, found {found}; it was written by another version"
            )
        return pool


def _driver() -> Any:
    try:
        import asyncpg  # an extra: nobody else needs it
    except ImportError as error:
        raise JournalError(
            f"journal in PostgreSQL: expected the package asyncpg, found none ({error}); pip install casty[postgres]"
        ) from error
    return asyncpg
