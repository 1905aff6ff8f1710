"""Where an event-sourced actor's events are: what it needs of a log, and the one that a journal is."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeVar

from casty import runtime
from casty.checks import shown
from casty.errors import CastyError, EncodingError, JournalConflict, JournalError, MessageTooLarge
from casty.journal.base import EventJournal, Snapshot
from casty.wire.codec import default_codec

__all__ = ["EventStore", "JournalStore", "PersistRefused"]

PAGE = 1_000
"""Events that are loaded at once."""

ATTEMPTS = 4
"""How often a write to a journal that fails is tried, before the actor fails."""

PAUSE_S = 0.1
"""Seconds between the first two attempts; it doubles."""

MAX_BATCH = 1_000
"""Events of one `persist`."""

T = TypeVar("T")


class PersistRefused(Exception):
    """Nothing was appended, and nothing will be: the command may be refused, and the actor goes on.

    Parameters
    ----------
    error
        Why.
    """

    def __init__(self, error: CastyError) -> None:
        super().__init__(str(error))
        self.error = error


class EventStore(Protocol):
    """The log of one actor, as one activation of it uses it, one call at a time."""

    async def open(self) -> tuple[int, object]:
        """Become the writer; returns the snapshot's number and state, ``(0, None)`` without one."""
        ...

    async def events_after(self, number: int) -> Sequence[object]:
        """Return the next events after a number; none if that is the last one."""
        ...

    async def persist(self, expected: int, events: Sequence[object]) -> None:
        """Append events after number `expected`, all of them; they are committed when it returns.

        Raises
        ------
        PersistRefused
            None of them was appended.
        JournalConflict
            Somebody else writes: this activation is stale.
        JournalError
            It failed, and nobody knows whether they were appended.
        """
        ...

    async def save_snapshot(self, number: int, state: object) -> None:
        """Keep the state after event `number`; raises as `persist` does."""
        ...

    @property
    def wants_snapshot(self) -> bool:
        """Whether it needs one now, so that it stays within its bounds."""
        ...

    def copy(self, state: object) -> object:
        """Return the state as it would come back; itself where it cannot be encoded."""
        ...


def check_batch(events: Sequence[object]) -> None:
    """Raise `PersistRefused` for more events than one batch may have."""
    if len(events) > MAX_BATCH:
        raise PersistRefused(
            MessageTooLarge(f"persisted: expected at most {MAX_BATCH} events at once, found {len(events)}")
        )


class JournalStore:
    """A journal as the log.

    Parameters
    ----------
    journal
        Numbers the events, and refuses whoever does not know the last one.
    entity_id
        Whose events.
    """

    wants_snapshot = False

    def __init__(self, journal: EventJournal, entity_id: str) -> None:
        self._journal = journal
        self._entity_id = entity_id

    async def open(self) -> tuple[int, object]:
        """See `EventStore.open`. Nobody is fenced: whoever is stale hears so with its next event."""
        snapshot = await self._typed(self._journal.load_snapshot(self._entity_id))
        return (0, None) if snapshot is None else (snapshot.sequence_nr, snapshot.state)

    async def events_after(self, number: int) -> Sequence[object]:
        """See `EventStore.events_after`."""
        rows = await self._typed(self._journal.load(self._entity_id, number + 1, limit=PAGE))
        if rows and rows[0].sequence_nr != number + 1:
            raise JournalError(
                f"journal: expected event {number + 1} of {self._entity_id!r}, found {rows[0].sequence_nr}: events are "
                "missing that no snapshot has; restore them"
            )
        return [row.event for row in rows]

    async def persist(self, expected: int, events: Sequence[object]) -> None:
        """See `EventStore.persist`. A write that failed is repeated: the same events again are success."""
        check_batch(events)
        clock = runtime.current().clock
        for attempt in range(ATTEMPTS):
            try:
                await self._typed(self._journal.persist(self._entity_id, events, expected))
                return
            except JournalConflict:
                raise
            except EncodingError as error:
                raise PersistRefused(EncodingError(str(error))) from error
            except JournalError:
                if attempt == ATTEMPTS - 1:
                    raise
            await clock.sleep(PAUSE_S * 2**attempt)

    async def save_snapshot(self, number: int, state: object) -> None:
        """See `EventStore.save_snapshot`."""
        try:
            await self._typed(self._journal.save_snapshot(self._entity_id, Snapshot(number, state)))
        except EncodingError as error:
            raise PersistRefused(EncodingError(str(error))) from error

    async def _typed(self, work: Awaitable[T]) -> T:
        """Return what the journal does; whatever it raises is a `JournalError`, or says that it cannot encode."""
        try:
            return await work
        except (JournalError, EncodingError):
            raise
        except Exception as error:  # the journal is the user's, and so is what it raises
            raise JournalError(
                f"journal {shown(self._journal)}: {type(error).__qualname__}: {shown(str(error), 300)}"
            ) from error

    def copy(self, state: object) -> object:
        """See `EventStore.copy`."""
        codec = default_codec()
        try:
            return codec.decode(codec.encode(state))
        except EncodingError:
            return state
