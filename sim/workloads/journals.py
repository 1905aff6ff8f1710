"""The journal of a run: one that outlives all processes, and a way to it for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from casty.distributed.facade import Distributed
from casty.journal.base import Snapshot

from ..checks.history.committed import CommandLog
from ..checks.step.ledgers import LedgerChecks
from ..checks.step.records import Records
from ..world.journal import SimJournal

if TYPE_CHECKING:
    from ..world.process import Process

__all__ = ["Journals"]


class Journals:
    """Who uses structures with a journal, and who without.

    Parameters
    ----------
    names
        Of the processes that have it.
    records
        What is checked of structures on record; None where nobody has a journal.
    ledgers
        What is checked of entities whose events are in it; None where there are none.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        records: Records | None = None,
        ledgers: LedgerChecks | None = None,
    ) -> None:
        self.records = records
        self.writer = ""
        """Whose entity put events into it last; empty for nobody."""
        self.on_events: Callable[[], None] = _nothing
        """Told when an entity did."""
        self._ledgers = ledgers
        self._journal = SimJournal()
        self._ways: dict[str, SimJournal] = {}
        for name in names:
            way = self._ways[name] = SimJournal(self._journal.inner)
            way.on_written = partial(self._written, name)
            way.on_snapshot = self._kept
        self._structures: dict[str, tuple[int, Distributed]] = {}
        """Of each process, and of which of its incarnations."""

    def reconcile(self, commands: CommandLog) -> None:
        """The run is over: what was on record before the cluster lost its memory was not undone by that."""
        if self.records is not None:
            commands.reconcile(self.records.has)

    def way(self, name: str) -> SimJournal | None:
        """Return a process's way to the journal; None where it has none."""
        return self._ways.get(name)

    def _written(self, name: str, entity_id: str, first: int, events: Sequence[object]) -> None:
        if ":" in entity_id:
            if self.records is not None:
                self.records.written(entity_id, first, events)
        elif self._ledgers is not None:
            self._ledgers.written(entity_id, first, events)
            self.writer = name
            self.on_events()

    def _kept(self, entity_id: str, snapshot: Snapshot) -> None:
        if ":" not in entity_id and self._ledgers is not None:
            self._ledgers.kept(entity_id, snapshot.sequence_nr, snapshot.state)

    def has(self, name: str) -> bool:
        """Whether a process has the journal."""
        return name in self._ways

    def distributed(self, process: Process, gateway: Any) -> Distributed:
        """Return the structures of a process: one object for each of its incarnations where it has the journal."""
        way, ordinal = self._ways.get(process.name), process.incarnation.ordinal
        if way is None:
            d: Distributed = gateway.distributed()
            return d
        gateway.distributed()  # raises what it raises when it is leaving
        known = self._structures.get(process.name)
        if known is None or known[0] != ordinal:
            known = self._structures[process.name] = (ordinal, Distributed(gateway, journal=way))
        return known[1]

    def inject(self, names: Sequence[str], args: Mapping[str, int]) -> Callable[[], None]:
        """Make the ways of some processes bad; return what makes them good. Of faults that overlap the last counts."""
        ways = [self._ways[name] for name in names if name in self._ways]
        for way in ways:
            way.is_failing, way.is_full = bool(args.get("fails")), bool(args.get("is_full"))
            way.loses_answers, way.slow_ms = bool(args.get("loses_answers")), args.get("slow_ms", 2)
        return _heal_all(ways)


def _nothing() -> None:
    """Nobody wants to know."""


def _heal_all(ways: Sequence[SimJournal]) -> Callable[[], None]:
    def heal() -> None:
        for way in ways:
            way.is_failing = way.is_full = way.loses_answers = False
            way.slow_ms = 2

    return heal
