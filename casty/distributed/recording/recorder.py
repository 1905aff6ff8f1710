"""Puts the changes of one entity on record, for everyone in this process who waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from casty.checks import shown
from casty.distributed.handle import Deadline
from casty.distributed.machines.base import OK, Command, Reply
from casty.distributed.recording.waits import Waits
from casty.errors import CastyError, JournalError
from casty.journal.base import EventJournal, PersistedEvent, Snapshot

__all__ = ["BATCH", "Journal", "Recorder", "Source"]

BATCH = 500
"""How many changes one write to the journal has at most."""


class Journal:
    """A journal of the user's, whose errors are `JournalError` whatever it raises.

    Parameters
    ----------
    journal
        The journal.
    """

    __slots__ = ("_journal",)

    def __init__(self, journal: EventJournal) -> None:
        self._journal = journal

    async def persist(self, entity_id: str, events: Sequence[object], expected: int) -> None:
        """See `EventJournal.persist`."""
        await self._typed(self._journal.persist(entity_id, events, expected))

    async def load(self, entity_id: str, first: int, limit: int) -> list[PersistedEvent]:
        """See `EventJournal.load`."""
        found: list[PersistedEvent] = await self._typed(self._journal.load(entity_id, first, limit=limit))
        return found

    async def load_snapshot(self, entity_id: str) -> Snapshot | None:
        """See `EventJournal.load_snapshot`."""
        found: Snapshot | None = await self._typed(self._journal.load_snapshot(entity_id))
        return found

    async def save_snapshot(self, entity_id: str, snapshot: Snapshot) -> None:
        """See `EventJournal.save_snapshot`."""
        await self._typed(self._journal.save_snapshot(entity_id, snapshot))

    async def entity_ids(self, prefix: str, after: str) -> list[str]:
        """See `EventJournal.entity_ids`."""
        found: list[str] = await self._typed(self._journal.entity_ids(prefix, after=after))
        return found

    async def _typed(self, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except JournalError:
            raise
        except Exception as error:  # the journal is the user's, and so is what it raises
            raise JournalError(
                f"journal {shown(self._journal)}: {type(error).__qualname__}: {error}"
            ) from error


class Source(Protocol):
    """Where the changes come from: the cluster."""

    async def tail(self, kind: int, entity: bytes, life: bytes, after: int) -> Reply:
        """Answer a `TAIL` query, or raise a `CastyError` soon."""
        ...


class Recorder:
    """The way of one entity's changes into the journal, in one life of that entity.

    A later life has another recorder: what this one knows was changed before the other life began, so its writes are
    refused by the journal, which has the beginning of that life in their place.

    Parameters
    ----------
    source
        Where changes that this process did not make come from.
    journal
        Where they go.
    waits
        Those of this process.
    kind, entity, entity_id, life
        Whose changes, its id in the journal, and its life.
    """

    __slots__ = (
        "_entity",
        "_entity_id",
        "_journal",
        "_kind",
        "_known",
        "_source",
        "_task",
        "_waiting",
        "_waits",
        "life",
        "recorded",
    )

    def __init__(
        self,
        source: Source,
        journal: Journal,
        waits: Waits,
        kind: int,
        entity: bytes,
        entity_id: str,
        life: bytes,
    ) -> None:
        self._source = source
        self._journal = journal
        self._waits = waits
        self._kind = kind
        self._entity = entity
        self._entity_id = entity_id
        self.life = life
        self.recorded = 0
        """Up to which number the journal has everything, as far as is known here; it only grows."""
        self._known: dict[int, Command] = {}
        """Changes above `recorded` that this process made or heard of, by number."""
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        """Who waits for which number; each ends by its own deadline."""
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits."""
        return self._task is None

    def heard(self, mark: int) -> None:
        """The cluster says that the journal has everything up to a number."""
        self.recorded = max(self.recorded, mark)

    async def until(self, number: int, own: Command | None, deadline: Deadline) -> None:
        """Return when everything up to a number is on record.

        Parameters
        ----------
        number
            Up to which.
        own
            The change under that number, where the caller made it.
        deadline
            Until when.

        Raises
        ------
        JournalError
            It failed, or the deadline passed.
        """
        if number <= self.recorded:
            return
        if own is not None:
            self._known[number] = own
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, future))
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())
        await self._waits.within(
            future, deadline,
            lambda: JournalError(f"{self._entity_id}: the journal did not confirm change {number} in time"),
        )  # fmt: skip

    async def _run(self) -> None:
        try:
            while self._resolve():
                await self._step()
        except CastyError as error:
            self._fail(error)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._task = None

    def _resolve(self) -> bool:
        """Let go who has what it waits for, and forget who does not wait any more; True if somebody is left."""
        left = []
        for number, future in self._waiting:
            if future.done():
                continue
            if number <= self.recorded:
                future.set_result(None)
            else:
                left.append((number, future))
        self._waiting = left
        if not left:
            # Nobody vouches for it any more; whoever is next asks the cluster.
            self._known.clear()
        return bool(left)

    def _fail(self, error: BaseException) -> None:
        waiting, self._waiting = self._waiting, []
        self._known.clear()
        text = str(error) or type(error).__qualname__
        for number, future in waiting:
            if not future.done():
                failed = JournalError(f"{self._entity_id}: change {number} is not on record: {text}")
                failed.__cause__ = error
                future.set_exception(failed)

    async def _step(self) -> None:
        """Write what is known without a gap, or ask for what is missing."""
        batch: list[object] = []
        while len(batch) < BATCH and (command := self._known.get(self.recorded + len(batch) + 1)) is not None:
            batch.append(list(command))
        if not batch:
            await self._fetch()
            return
        first = self.recorded
        await self._journal.persist(self._entity_id, batch, first)
        self._passed(first + len(batch))

    def _passed(self, number: int) -> None:
        """Everything up to a number is on record."""
        self.recorded = max(self.recorded, number)
        for known in [known for known in self._known if known <= self.recorded]:
            del self._known[known]

    async def _fetch(self) -> None:
        """Ask the cluster for what others did."""
        reply = await self._source.tail(self._kind, self._entity, self.life, self.recorded)
        if reply[0] != OK:
            raise JournalError(
                "the cluster has no record of it any more: it lost its memory, or was destroyed"
            )
        _, start, commands = reply
        self._passed(start)
        for number, command in enumerate(commands, start + 1):
            self._known.setdefault(number, command)
        if not commands and any(number > self.recorded for number, _ in self._waiting):
            raise JournalError("the cluster does not know of that change any more")
