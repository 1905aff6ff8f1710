"""What an event journal is, and what all journals of casty share.

A journal keeps, for each entity, a list of events numbered from 1 without gaps, and at most one snapshot. It is the
arbiter of that list: whoever appends says which number it knows as the last one, and is refused when the journal has
something else there. So of two writers that do not know of each other one is told.

To append again what is there already, under the same numbers and with the same bytes, is success and changes nothing.
A writer that does not know whether its write arrived therefore just repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from casty import runtime
from casty.checks import check_count, check_name, check_text, shown
from casty.errors import EncodingError, JournalConflict, JournalError
from casty.limits import MAX_NUMBER
from casty.wire.codec import Codec, default_codec

__all__ = [
    "PAGE", "EventJournal", "JournalKind", "PersistedEvent", "Row", "Snapshot", "ValueCoder", "ahead",
    "known_events", "now_s",
]  # fmt: skip

PAGE = 1_000
"""How many ids of entities one answer has at most, unless the caller says otherwise."""

EPOCH_S = 1_735_689_600
"""The start of 2025, from which a node's clock counts civil time, in seconds since 1970."""

Row = tuple[int, bytes, float]
"""A stored event: its number, its bytes, and when it was written."""


class JournalKind(Enum):
    """Where a journal stands."""

    local = "local"
    """In this process or on this machine: gone with it, and not seen from others."""

    centralized = "centralized"
    """Reached by every process that may write to it."""


@dataclass(frozen=True, slots=True)
class PersistedEvent:
    """An event on record.

    Parameters
    ----------
    sequence_nr
        Its number; the first of an entity is 1, and there are no gaps.
    event
        What was persisted.
    timestamp
        When, in seconds since 1970, by the clock of whoever wrote it and to the second. For people: nothing is decided
        by it.
    """

    sequence_nr: int
    event: object
    timestamp: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an entity after some event.

    Parameters
    ----------
    sequence_nr
        The last event that is in it; at least 1.
    state
        The state.
    timestamp
        When, in seconds since 1970; for people.
    """

    sequence_nr: int
    state: object
    timestamp: float = 0.0


@runtime_checkable
class EventJournal(Protocol):
    """Durable history of entities. `InMemoryJournal`, `SqliteJournal` and `PostgresJournal` are such; write your own.

    Whoever writes one runs `casty.testing.journal_suite` over it. Every method raises `JournalError` where the journal
    fails; then a write was done once or not at all, and may be repeated.

    Examples
    --------
    >>> async def history(journal: EventJournal) -> list[object]:
    ...     await journal.persist("order-1", ["placed", "paid"], 0)
    ...     return [row.event for row in await journal.load("order-1")]
    """

    @property
    def kind(self) -> JournalKind:
        """Where it stands."""
        ...

    async def persist(self, entity_id: str, events: Sequence[object], expected_sequence_nr: int) -> None:
        """Append events, all or none; when this returns they survive whatever the journal promises to survive.

        Parameters
        ----------
        entity_id
            Whose events; not empty.
        events
            What the codec encodes. They get the numbers after `expected_sequence_nr`, in order.
        expected_sequence_nr
            The number of the last event that the writer knows of; 0 for none.

        Raises
        ------
        JournalConflict
            The journal has other events under these numbers, or lacks some before them: the writer is stale. What is
            there already with the same bytes is no conflict.
        JournalError
            The journal failed.
        EncodingError
            An event cannot be encoded.
        """
        ...

    async def load(
        self, entity_id: str, from_sequence_nr: int = 0, *, limit: int | None = None
    ) -> list[PersistedEvent]:
        """Return the events from a number on, that one included, in order.

        Parameters
        ----------
        entity_id
            Whose events; one that has none has an empty list.
        from_sequence_nr
            The first number wanted.
        limit
            How many at most; None is all.

        Raises
        ------
        JournalError
            The journal failed, or an event cannot be decoded here.
        """
        ...

    async def save_snapshot(self, entity_id: str, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of an older one; one that is older than what is kept changes nothing.

        Raises
        ------
        JournalConflict
            It is ahead of the events on record.
        JournalError
            The journal failed.
        """
        ...

    async def load_snapshot(self, entity_id: str) -> Snapshot | None:
        """Return the latest snapshot, None without one; raises `JournalError` as `load` does."""
        ...

    async def entity_ids(self, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[str]:
        """Return the ids of entities that have events, sorted by code points.

        Parameters
        ----------
        prefix
            What they begin with.
        after
            Only ids above this one: the last of the page before.
        limit
            How many at most, at least 1.
        """
        ...


def known_events(
    entity_id: str, last: int, expected: int, stored: Sequence[bytes], events: Sequence[bytes]
) -> int:
    """Return how many of the events are on record already; raises `JournalConflict` where others are.

    Parameters
    ----------
    entity_id
        Named in the error.
    last
        The number of the last event on record.
    expected
        The number before the first of `events`.
    stored
        What is on record after `expected`, as far as `events` reaches.
    events
        What is to be appended.
    """
    if last < expected:
        raise JournalConflict(
            f"journal: expected {expected} events of {shown(entity_id)}, found {last}; load what is on record and "
            "decide anew",
            expected,
        )
    for number, (found, event) in enumerate(zip(stored, events, strict=False), expected + 1):
        if found != event:
            raise JournalConflict(
                f"journal: expected no other event under number {number} of {shown(entity_id)}, found one; another "
                "writer was faster: load what is on record and decide anew",
                number,
            )
    return min(len(stored), len(events))


class ValueCoder:
    """Checks arguments, and turns values into the bytes that are on record and back.

    Parameters
    ----------
    codec
        For events and states; None is the default one.
    """

    __slots__ = ("_codec",)

    def __init__(self, codec: Codec | None = None) -> None:
        self._codec = codec or default_codec()

    @staticmethod
    def check_entity(entity_id: object) -> None:
        """Raise `TypeError` or `ValueError` unless it can be the id of an entity."""
        check_name(entity_id, "entity_id")

    def events(self, entity_id: object, events: object, expected: int) -> list[bytes]:
        """Return the bytes of the arguments of `EventJournal.persist`."""
        self.check_entity(entity_id)
        check_count("expected_sequence_nr", expected, 0, MAX_NUMBER)
        if isinstance(events, (str, bytes)) or not isinstance(events, Sequence):
            raise TypeError(f"events: expected a sequence of events, found {shown(events)}")
        return [self._codec.encode(event) for event in list[object](events)]

    def check_range(self, entity_id: object, first: int, limit: int | None) -> None:
        """Check the arguments of `EventJournal.load`."""
        self.check_entity(entity_id)
        check_count("from_sequence_nr", first, 0, MAX_NUMBER)
        if limit is not None:
            check_count("limit", limit, 1, MAX_NUMBER)

    def snapshot(self, entity_id: object, snapshot: object) -> bytes:
        """Return the bytes of the state of `EventJournal.save_snapshot`."""
        self.check_entity(entity_id)
        if not isinstance(snapshot, Snapshot):
            raise TypeError(f"snapshot: expected a Snapshot, found {shown(snapshot)}")
        check_count("snapshot.sequence_nr", snapshot.sequence_nr, 1, MAX_NUMBER)
        return self._codec.encode(snapshot.state)

    @staticmethod
    def check_page(prefix: object, after: object, limit: int) -> None:
        """Check the arguments of `EventJournal.entity_ids`."""
        check_text(prefix, "prefix")
        check_text(after, "after")
        check_count("limit", limit, 1, MAX_NUMBER)

    def persisted(self, entity_id: str, row: Row) -> PersistedEvent:
        """Return a stored event; `JournalError` where it cannot be decoded here."""
        number, data, at_s = row
        return PersistedEvent(number, self._value(entity_id, f"event {number}", data), at_s)

    def restored(self, entity_id: str, number: int, data: bytes, at_s: float) -> Snapshot:
        """Return a stored snapshot; `JournalError` where it cannot be decoded here."""
        return Snapshot(number, self._value(entity_id, "the snapshot", data), at_s)

    def _value(self, entity_id: str, what: str, data: bytes) -> object:
        try:
            return self._codec.decode(data)
        except EncodingError as error:
            raise JournalError(
                f"journal: {what} of {shown(entity_id)} cannot be decoded here ({len(data)} bytes): {error}"
            ) from error


def ahead(entity_id: str, number: int, last: int) -> JournalConflict:
    """Return the error of a snapshot that is ahead of the events."""
    return JournalConflict(
        f"journal: expected a snapshot of at most event {last}, the last of {shown(entity_id)} on record, "
        f"found {number}",
        number,
    )


def now_s() -> float:
    """Return civil time in seconds since 1970, by this process's clock."""
    return float(EPOCH_S + runtime.current().clock.wall_s())
