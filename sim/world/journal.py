"""A journal outside the simulated cluster: it is slow, fails, fills up, and forgets to answer, as a plan says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from casty import runtime
from casty.errors import JournalError
from casty.journal.base import PAGE, JournalKind, PersistedEvent, Snapshot
from casty.journal.memory import InMemoryJournal

__all__ = ["SimJournal"]

MS_NS = 1_000_000


class SimJournal:
    """An `EventJournal` that every process of a world reaches, and that outlives them all.

    What it says is on record is: its faults are those of the way to it and of its room.

    Parameters
    ----------
    inner
        What is on record, where several ways lead to one journal; None for a new one.
    """

    def __init__(self, inner: InMemoryJournal | None = None) -> None:
        self.inner = InMemoryJournal() if inner is None else inner
        """What is on record; checks read it without its faults."""
        self.on_written: Callable[[str, int, Sequence[object]], None] = _nothing
        """Told of each write: the entity, the number of the first event, and the events."""
        self.on_snapshot: Callable[[str, Snapshot], None] = _no_snapshot
        """Told of each snapshot that was kept: the entity, and the snapshot."""
        self.slow_ms = 2
        """How long a call takes at most, each way."""
        self.is_failing = False
        """Whether every call fails before it does anything."""
        self.is_full = False
        """Whether nothing can be written."""
        self.loses_answers = False
        """Whether every second write is done and its answer lost: the caller hears of a failure."""
        self.writes = 0

    @property
    def kind(self) -> JournalKind:
        """``JournalKind.centralized``."""
        return JournalKind.centralized

    async def _way(self) -> None:
        await runtime.current().clock.sleep(_draw("journal-way", self.slow_ms * MS_NS) / 1e9)

    async def _reach(self) -> None:
        await self._way()
        if self.is_failing:
            raise JournalError("journal: it fails")

    async def persist(self, entity_id: str, events: Sequence[object], expected_sequence_nr: int) -> None:
        """See `EventJournal.persist`."""
        await self._reach()
        if self.is_full:
            raise JournalError("journal: it is full")
        await self.inner.persist(entity_id, events, expected_sequence_nr)
        self.on_written(entity_id, expected_sequence_nr + 1, events)
        self.writes += 1
        await self._way()
        if self.loses_answers and _draw("journal-answer", 2):
            raise JournalError("journal: the answer was lost")

    async def load(
        self, entity_id: str, from_sequence_nr: int = 0, *, limit: int | None = None
    ) -> list[PersistedEvent]:
        """See `EventJournal.load`."""
        await self._reach()
        found = await self.inner.load(entity_id, from_sequence_nr, limit=limit)
        await self._way()
        return found

    async def save_snapshot(self, entity_id: str, snapshot: Snapshot) -> None:
        """See `EventJournal.save_snapshot`."""
        await self._reach()
        if self.is_full:
            raise JournalError("journal: it is full")
        await self.inner.save_snapshot(entity_id, snapshot)
        self.on_snapshot(entity_id, snapshot)

    async def load_snapshot(self, entity_id: str) -> Snapshot | None:
        """See `EventJournal.load_snapshot`."""
        await self._reach()
        return await self.inner.load_snapshot(entity_id)

    async def entity_ids(self, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[str]:
        """See `EventJournal.entity_ids`."""
        await self._reach()
        return await self.inner.entity_ids(prefix, after=after, limit=limit)


def _nothing(entity_id: str, first: int, events: Sequence[object]) -> None:
    """Nobody wants to know."""


def _no_snapshot(entity_id: str, snapshot: Snapshot) -> None:
    """Nobody wants to know."""


def _draw(purpose: str, bound: int) -> int:
    """A draw of the process that asks."""
    return runtime.current().entropy.below(purpose, bound) if bound else 0
