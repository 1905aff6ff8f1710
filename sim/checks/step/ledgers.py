"""Event-sourced entities: nothing leaves before its events are committed (44), which are ordered, without gaps (45).

Told of each command that our own slot machines applied, and of whatever the workload's entities said and did. What an
event is says the workload: the operation that it belongs to, its place in the log as its entity saw it when it decided,
and a number. So what was decided on anything but the events before it has another place than it says, whatever the log
itself believes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casty.cluster.actors.region_router import entity_path
from casty.cluster.slots.machine import SlotMachine
from casty.distributed.machines.base import EVENTS
from casty.distributed.machines.events import EventLog, home_of
from casty.events import DeadLettered, EventsRecovered
from casty.wire.codec import default_codec
from casty.wire.registry import message

from ...kernel.events import Resumed
from ..violation import Violation
from .introspection import actors_of

if TYPE_CHECKING:
    from ...kernel.trace import TraceEvent
    from ...world.world import World

__all__ = ["Entry", "LedgerChecks", "Sum"]

_UNREAD = "the actor stopped before it read the message"


@message(name="sim.ledgers.entry")
@dataclass(frozen=True)
class Entry:
    """An event: which operation it belongs to, its place in the log, and a number."""

    op: str
    place: int
    amount: int


@message(name="sim.ledgers.sum")
@dataclass(frozen=True)
class Sum:
    """A state: how many events, and the sum of their numbers."""

    count: int = 0
    total: int = 0

    def plus(self, entry: Entry) -> Sum:
        """Return the state after an event."""
        return Sum(self.count + 1, self.total + entry.amount)


class _Ledger:
    """What was committed for one entity."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.sums = [Sum()]
        """The state after so many events."""
        self.places: dict[str, list[int]] = {}
        """By operation: the places of its events."""
        self.base = 0
        self.acknowledged = 0
        """The last place that anybody was told of."""


class LedgerChecks:
    """The checks of one run.

    Parameters
    ----------
    world
        The world that they live in.
    report
        Takes a violation.
    systems
        What runs, by the name of its process.
    """

    def __init__(self, world: World, report: Callable[[Violation], None], systems: dict[str, object]) -> None:
        self._report = report
        self._systems = systems
        self._resumed_ns: dict[str, int] = {}
        """When a node went on after a pause, the last time."""
        self._ledgers: dict[str, _Ledger] = {}
        self.counts: dict[str, int] = {}
        self.paths: dict[str, int] = {}
        """The slots of all entities whose mail must not be lost, by path."""
        world.trace.subscribe(self._heard, DeadLettered, EventsRecovered, Resumed)

    def watch(self, region: str, entity_id: str, slot: int) -> None:
        """An entity lives, and its mail is nobody's to lose as long as its node leads the slot."""
        self.paths[f"/{entity_path(region, entity_id)}"] = slot

    def ledger(self, entity_id: str) -> _Ledger:
        """Return what was committed for an entity."""
        known = self._ledgers.get(entity_id)
        if known is None:
            known = self._ledgers[entity_id] = _Ledger()
        return known

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _broken(self, number: int, entity_id: str, text: str) -> None:
        self._report(Violation(number, f"entity {entity_id}", text))

    # -- what the slots did

    def applied(self, machine: SlotMachine, kind: int, name: bytes) -> None:
        """A command was applied; whatever it was, the log is what it was before, with more behind it."""
        home = home_of(name) if kind == EVENTS else None
        if home is None:
            return
        log: EventLog | None = machine.entities.get((EVENTS, name))
        known = self.ledger(home.entity_id)
        if log is None and not known.data:
            return  # without events there need not be a log: what was to write the first one was refused
        new = -len(known.data) if log is None else log.number - len(known.data)
        if log is None or new < 0 or new > len(log.tail):
            self._broken(
                45, home.entity_id, f"{len(known.data)} events are committed, and now {log and log.number}"
            )
            return
        for data in log.tail[len(log.tail) - new :]:
            self._append(home.entity_id, known, data)
        if log.tail != known.data[log.base :]:
            self._broken(
                45, home.entity_id, f"the events behind {log.base} are not those that were committed"
            )
        if log.base != known.base:
            self._check_snapshot(home.entity_id, known, log)

    def written(self, entity_id: str, first: int, events: Sequence[object]) -> None:
        """A journal took events from a number on; those that it had before are the same."""
        known = self.ledger(entity_id)
        for number, entry in enumerate(events, first):
            data = default_codec().encode(entry)
            if number == len(known.data) + 1:
                self._append(entity_id, known, data)
            elif not 0 < number <= len(known.data) or known.data[number - 1] != data:
                self._broken(45, entity_id, f"{entry} is written as event {number} of {len(known.data)}")
        self._count("events written to a journal")

    def kept(self, entity_id: str, number: int, state: object) -> None:
        """A journal keeps a snapshot."""
        known = self.ledger(entity_id)
        self._count("snapshots kept")
        if number >= len(known.sums) or state != known.sums[number]:
            text = f"the snapshot of event {number} is {state}, the events give another state"
            self._broken(45, entity_id, text)

    def _append(self, entity_id: str, known: _Ledger, data: bytes) -> None:
        entry: Any = default_codec().decode(data)
        place = len(known.data) + 1
        if entry.place != place:
            self._broken(
                45, entity_id, f"event {place}, of {entry.op}, was decided on as event {entry.place}"
            )
        places = known.places.setdefault(entry.op, [])
        if places and places[-1] != place - 1:
            self._broken(45, entity_id, f"{entry.op} has events {places}, and {place} as well")
        places.append(place)
        known.data.append(data)
        known.sums.append(known.sums[-1].plus(entry))

    def _check_snapshot(self, entity_id: str, known: _Ledger, log: EventLog) -> None:
        self._count("snapshots kept")
        known.base = log.base
        state = None if log.snapshot is None else default_codec().decode(log.snapshot)
        if log.base > len(known.data) or state != known.sums[log.base]:
            self._broken(
                45, entity_id, f"the snapshot of event {log.base} is {state}, the events give another state"
            )

    # -- what the entities said

    def said(self, entity_id: str, op: str, how: str) -> None:
        """Somebody heard of an operation: its events are committed."""
        self._count(f"heard by {how}")
        if op not in self.ledger(entity_id).places:
            self._broken(44, entity_id, f"{op} was heard of by {how}, and none of its events is committed")

    def acknowledged(self, entity_id: str, op: str, place: int, total: int) -> None:
        """Whoever asked was told where the last event of an operation is, and the sum up to there."""
        self.said(entity_id, op, "a reply")
        known = self.ledger(entity_id)
        places = known.places.get(op, [])
        if place not in places or known.sums[place].total != total:
            self._broken(3, entity_id, f"{op} was told event {place} and {total}; its events are {places}")
        known.acknowledged = max(known.acknowledged, place)

    def read(self, entity_id: str, state: Sum, least: int) -> None:
        """Whoever asked was told a state; `least` was the last acknowledged place when it asked."""
        known = self.ledger(entity_id)
        if state.count >= len(known.sums) or known.sums[state.count] != state:
            self._broken(44, entity_id, f"{state} was read, and {len(known.data)} events are committed")
        elif state.count < least:
            self._broken(1, entity_id, f"{state} was read after event {least} was acknowledged")

    # -- the trace

    def _heard(self, entry: TraceEvent) -> None:
        match entry.event:
            case Resumed():
                self._resumed_ns[entry.node] = entry.t_ns
            case DeadLettered(target, reason) if target in self.paths and reason == _UNREAD:
                # What outlasted its lease in a pause is stopped first; the lease may be renewed before it ends.
                if self._resumed_ns.get(entry.node) != entry.t_ns:
                    self._check_lost(entry.node, target)
            case DeadLettered(target, reason) if target in self.paths and "not persisted" in reason:
                self._count("events refused")
            case EventsRecovered(_, base, number):
                self._count("recovered from a snapshot and events" if 0 < base < number else "recovered")
            case _:
                return

    def _check_lost(self, node: str, path: str) -> None:
        """Mail is lost with a lease, a failure, or the end of a node; never because an entity is unloaded (7)."""
        actors = actors_of(self._systems.get(node))
        host = None if actors is None else actors.host
        if actors is None or host is None or actors.local.is_stopping:
            return
        slot = self.paths[path]
        if host.is_leased(slot) and slot not in host.hand_overs:
            self._broken(7, path, f"it was unloaded at {node}, and its mail was lost")
