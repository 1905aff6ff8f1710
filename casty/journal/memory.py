"""A journal in the memory of this process: for tests, and for programs that want no other."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from casty.journal.base import (
    PAGE,
    JournalKind,
    PersistedEvent,
    Row,
    Snapshot,
    ValueCoder,
    ahead,
    known_events,
    now_s,
)
from casty.wire.codec import Codec

__all__ = ["InMemoryJournal"]


class InMemoryJournal:
    """An `EventJournal` that lives as long as this object; without a bound.

    Parameters
    ----------
    codec
        Encodes events and states, as every journal does: what cannot be stored elsewhere cannot be stored here.

    Examples
    --------
    >>> async def main(system: ClusteredActorSystem) -> int:
    ...     d = Distributed(system, journal=InMemoryJournal())
    ...     return await d.counter("hits").increment()
    """

    def __init__(self, *, codec: Codec | None = None) -> None:
        self._coder = ValueCoder(codec)
        self._events: dict[str, list[Row]] = {}
        """By entity: event n at n - 1. No empty list."""
        self._snapshots: dict[str, Row] = {}
        self._ids: list[str] = []
        """The keys of `_events`, sorted."""

    @property
    def kind(self) -> JournalKind:
        """``JournalKind.local``."""
        return JournalKind.local

    async def persist(self, entity_id: str, events: Sequence[object], expected_sequence_nr: int) -> None:
        """See `EventJournal.persist`."""
        encoded = self._coder.events(entity_id, events, expected_sequence_nr)
        rows = self._events.get(entity_id, [])
        stored = [data for _, data, _ in rows[expected_sequence_nr : expected_sequence_nr + len(encoded)]]
        known = known_events(entity_id, len(rows), expected_sequence_nr, stored, encoded)
        fresh = encoded[known:]
        if not fresh:
            return
        if entity_id not in self._events:
            self._events[entity_id] = rows
            insort(self._ids, entity_id)
        at_s = now_s()
        rows.extend((number, data, at_s) for number, data in enumerate(fresh, len(rows) + 1))

    async def load(
        self, entity_id: str, from_sequence_nr: int = 0, *, limit: int | None = None
    ) -> list[PersistedEvent]:
        """See `EventJournal.load`."""
        self._coder.check_range(entity_id, from_sequence_nr, limit)
        first = max(from_sequence_nr, 1) - 1
        rows = self._events.get(entity_id, [])[first : None if limit is None else first + limit]
        return [self._coder.persisted(entity_id, row) for row in rows]

    async def save_snapshot(self, entity_id: str, snapshot: Snapshot) -> None:
        """See `EventJournal.save_snapshot`."""
        data = self._coder.snapshot(entity_id, snapshot)
        last = len(self._events.get(entity_id, []))
        if snapshot.sequence_nr > last:
            raise ahead(entity_id, snapshot.sequence_nr, last)
        known = self._snapshots.get(entity_id)
        if known is None or known[0] <= snapshot.sequence_nr:
            self._snapshots[entity_id] = (snapshot.sequence_nr, data, float(snapshot.timestamp))

    async def load_snapshot(self, entity_id: str) -> Snapshot | None:
        """See `EventJournal.load_snapshot`."""
        self._coder.check_entity(entity_id)
        row = self._snapshots.get(entity_id)
        return None if row is None else self._coder.restored(entity_id, *row)

    async def entity_ids(self, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[str]:
        """See `EventJournal.entity_ids`."""
        self._coder.check_page(prefix, after, limit)
        found: list[str] = []
        for number in range(bisect_left(self._ids, max(prefix, after)), len(self._ids)):
            entity_id = self._ids[number]
            if len(found) == limit or not entity_id.startswith(prefix):
                break
            if entity_id > after:
                found.append(entity_id)
        return found
