"""What is on record: no answer before its change and all that it rests on (44), and no event but in its order (45).

Told of each command that our own slot machines applied, of each write that reached the journal, and of the calls of
those who have it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.records import record_key
from casty.distributed.machines.base import COUNTER, FENCE, MAP, OK, QUEUE, SET
from casty.distributed.machines.queue_shapes import WAITING
from casty.distributed.machines.record import KEPT_KINDS, RECORDED, TOKEN_KINDS, Record
from casty.distributed.recording.names import LIFE, journal_id
from casty.wire.codec import default_codec
from casty.wire.pack import pack

from ...history import Operation
from ...plans.keys import key_of
from ..history.queue_rows import Change
from ..violation import Violation

__all__ = ["Position", "Records", "unwrapped"]

_KINDS = {"counter": COUNTER, "map": MAP, "set": SET, "queue": QUEUE, "fence": FENCE}
_INSTANT_NS = 10_000
"""Histories tell calls and returns of one instant of the world apart, by a nanosecond each; an answer takes longer."""
_ALWAYS = (
    "counter.add", "counter.subtract", "counter.reset", "map.put", "queue.enqueue", "counter.compare_and_set",
    "map.compare_and_set", "map.put_if_absent", "map.delete", "set.add", "set.remove", "fence.write",
)  # fmt: skip
"""Calls that changed something unless they return False."""


def unwrapped(kind: int, command: Sequence[Any], reply: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return what a call through a journal asks of its structure, and what that answers."""
    if command[0] != RECORDED:
        return command, reply
    has_position = kind not in TOKEN_KINDS and reply[0] == OK
    has_position &= not (kind == QUEUE and command[-1][0] in WAITING)  # what it may wait for, others do
    return command[-1], reply[:-3] if has_position else reply


class Position(NamedTuple):
    """How far an entity was when somebody called."""

    entity_id: str
    life: bytes
    number: int

    def has_stayed(self, now: Position | None) -> bool:
        """Whether it was in memory all the time until now: one that began another life was lost, and put back."""
        return now is not None and now.life == self.life


class Records:
    """The checks of one run.

    Parameters
    ----------
    report
        Takes a violation.
    machines
        Returns our slot machines as they are now.
    """

    def __init__(
        self, report: Callable[[Violation], None], machines: Callable[[], Sequence[SlotMachine]]
    ) -> None:
        self._report = report
        self._machines = machines
        self._changes: dict[str, dict[bytes, dict[int, list[Any]]]] = {}
        """By entity and life: what was committed under which number."""
        self._lives: dict[str, list[tuple[int, bytes]]] = {}
        """By entity: its lives on record, each with the number of the event that began it."""
        self._last: dict[str, int] = {}
        """By entity: the number of the last event on record."""
        self.counts: dict[str, int] = {}

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    # -- what the slots did

    def applied(self, machine: SlotMachine, kind: int, name: bytes) -> None:
        """A command was applied; what it changed is in the tail of the record."""
        record = self._record(machine, kind, name)
        if record is None or not record.is_live:
            return
        entity_id = journal_id(kind, name)
        lives = self._changes.setdefault(entity_id, {})
        if record.life not in lives:
            self._count("an entity began a life")
            if len(lives) and not record.had_state:
                self._count("an entity was restored")
        changes = lives.setdefault(record.life, {})
        number = record.number
        for command in reversed(record.tail):
            if number in changes:
                break
            changes[number] = list(command)
            number -= 1

    @staticmethod
    def _record(machine: SlotMachine, kind: int, name: bytes) -> Record | None:
        record: Record | None = machine.entities.get(record_key((kind, name)))
        return record if kind in KEPT_KINDS else None

    # -- what the journal has

    def written(self, entity_id: str, first: int, events: Sequence[object]) -> None:
        """The journal took events from a number on: each is what the slot committed under it in that life (45)."""
        if entity_id.startswith("casty:"):
            return
        for number, event in enumerate(events, first):
            if isinstance(event, list) and len(event) == 2 and event[0] == LIFE:
                self._begins(entity_id, number, event[1])
            else:
                self._is_what_was_committed(entity_id, number, event)
            self._last[entity_id] = max(self._last.get(entity_id, 0), number)

    def _begins(self, entity_id: str, number: int, life: bytes) -> None:
        lives = self._lives.setdefault(entity_id, [])
        if any(known == number and other != life for known, other in lives):
            self._broken(45, entity_id, f"event {number} begins two lives")
        if any(known != number and other == life for known, other in lives):
            self._broken(45, entity_id, f"event {number} begins a life that had begun before: {lives}")
        if (number, life) not in lives:
            lives.append((number, life))

    def _is_what_was_committed(self, entity_id: str, number: int, event: object) -> None:
        life = next((life for at, life in reversed(self._lives.get(entity_id, [])) if at < number), b"")
        committed = self._changes.get(entity_id, {}).get(life, {}).get(number)
        if committed != event:
            text = f"event {number} on record is {event!r}, in that life of it {committed!r} was committed"
            self._broken(45, entity_id, text)
        self._count("changes put on record")

    def has(self, change: Change) -> bool:
        """Whether a change of a queue is on record, once all is over: no other life began before it was there."""
        entity_id = journal_id(QUEUE, change.name)
        lives = self._lives.get(entity_id, [])
        begun = [number for number, life in lives if life == change.life]
        later = [number - 1 for number, _ in lives if begun and number > begun[0]]
        return bool(begun) and change.number <= min([*later, self._last[entity_id]])

    # -- what clients were told

    def called(self, kind: str, entity: str, key: object) -> Position | None:
        """Somebody who has the journal calls: return how far the entity is; None where nothing is to be checked."""
        code = _KINDS.get(kind.partition(".")[0])
        if code is None or kind.endswith("destroy") or (code == MAP and key is None):
            return None  # a walk through a map is of many entities
        name = entity.encode()
        if code == MAP:
            assert isinstance(key, int)
            name = pack([entity, default_codec().canonical(key_of(entity, key, 0))])
        for machine in self._machines():
            record = self._record(machine, code, name)
            if record is not None and record.is_live:
                return Position(journal_id(code, name), record.life, record.number)
        return None

    def answered(self, operation: Operation, before: Position | None, now: Position | None) -> None:
        """It has its answer: what was there when it called, and what it did itself, is on record (44)."""
        if before is None or now is None or before.life != now.life:
            return
        if operation.value is False and operation.end_ns - operation.call_ns < _INSTANT_NS:
            return  # its client knew by itself that it holds nothing any more: nobody was asked
        has_changed = operation.kind in _ALWAYS and operation.value is not False
        has_changed |= operation.kind == "queue.dequeue" and operation.value is not None
        number = before.number + has_changed
        self._count("answers checked against the journal")
        if self._last.get(before.entity_id, 0) < number:
            text = f"{operation}: answered while change {number} is not on record"
            self._broken(44, before.entity_id, text, operation.number)

    def _broken(self, number: int, entity_id: str, text: str, *operations: int) -> None:
        self._report(Violation(number, entity_id, text, operations))
