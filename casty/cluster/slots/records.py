"""The part of the slot machine that knows records: entities whose changes are put on record. Pure.

What each operation does says `casty.distributed.machines.record`. An operation that is none of those is of a gateway
without the journal. It changes a recorded entity as well, and the tail keeps what it did for whoever has the journal;
while the entity is being restored it is put off, as nobody may see half of it.
"""

from __future__ import annotations

from typing import Any, Protocol

from casty.cluster.slots.applied import MachineLimits
from casty.cluster.slots.session_record import KEY_KIND, KEY_NAME, EntityKey
from casty.distributed.machines.base import (
    BUSY,
    CODE,
    DESTROY,
    MAP,
    OK,
    OPERATION,
    OTHER_JOURNAL,
    OVERLOADED,
    QUEUE,
    RECORD,
    UNRECORDED,
    UNSAVED,
    Caller,
    Command,
    Decision,
    Reply,
)
from casty.distributed.machines.map import is_told
from casty.distributed.machines.queue_shapes import ACK, NACK, SETUP
from casty.distributed.machines.record import (
    AT_MOST,
    BEGIN,
    FORGET,
    JOURNAL,
    LIFE,
    MARK,
    NOTE,
    RECORDED,
    RESTORE,
    TAIL,
    TOKEN_KINDS,
    WRAPPED,
    WRAPPED_QUERY,
    Record,
)
from casty.distributed.machines.registry import STRUCTURES

__all__ = ["SlotRecords", "grows", "record_key"]

_RESTORING: Reply = [BUSY, "the entity is being restored from its journal; its gateways are at it"]
_UNRECORDED: Reply = [UNRECORDED]
_DONE: Reply = [OK, None]


def record_key(key: EntityKey) -> EntityKey:
    """Return under which key the record of an entity is kept."""
    return (RECORD, bytes((key[KEY_KIND],)) + key[KEY_NAME])


def grows(kind: int, state: Any, command: Command) -> bool:
    """Whether a checked command, wrapped or not, may make its slot larger; see `Structure.grows`."""
    operation = command[OPERATION]
    if operation < RECORDED:
        return STRUCTURES[kind].grows(state, command)
    if operation == RECORDED:
        return STRUCTURES[kind].grows(state, command[WRAPPED])
    return operation in (BEGIN, RESTORE)


class Machine(Protocol):
    """What is needed of the slot machine."""

    entities: dict[EntityKey, Any]

    @property
    def limits(self) -> MachineLimits:
        """How many entities there may be."""
        ...

    def decide(self, caller: Caller, key: EntityKey, command: Command) -> Reply:
        """Apply a checked command of a kind in which nothing waits; refused where there are too many entities."""
        ...

    def touch(self, key: EntityKey) -> None:
        """An entity is about to change in place."""

    def change(self, key: EntityKey, state: Any) -> None:
        """Put an entity in its place; None removes it."""

    def raise_generation(self, generation: int) -> None:
        """Draw no token of a lower generation any more."""

    def tell(self, key: EntityKey) -> None:
        """Say that the value of a key of a map was changed."""


class SlotRecords:
    """Answers operations on entities with a record.

    Parameters
    ----------
    machine
        The slot machine, which has them.
    """

    __slots__ = ("_machine",)

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def _of(self, key: EntityKey) -> Record | None:
        record: Record | None = self._machine.entities.get(record_key(key))
        return record

    def _unrecorded(self, key: EntityKey, record: Record | None) -> Reply:
        """Say that it has to be restored first, and whether there is nothing at all of it here."""
        return [UNRECORDED, record is None and key not in self._machine.entities]

    # -- commands

    def command(self, caller: Caller, key: EntityKey, command: Command) -> Reply | None:
        """Apply a checked command; None where no record is concerned and the machine shall apply it itself.

        A reply `BUSY` is not to be remembered: the same request may succeed later.
        """
        operation = command[OPERATION]
        record = self._of(key)
        if operation < RECORDED:
            return self._without_journal(caller, key, command, record)
        if operation == RECORDED:
            return self._recorded(caller, key, command, record)
        if operation == BEGIN:
            return self._begin(key, command[JOURNAL], command[LIFE], record)
        if record is None or record.journal != command[JOURNAL]:
            return _UNRECORDED
        self._machine.touch(record_key(key))
        if operation == RESTORE:
            return self._restore(caller, key, command, record)
        if operation == NOTE:
            record.noted(command[MARK])
            is_over = record.is_live and not record.tail and key not in self._machine.entities
        else:
            assert operation == FORGET, "the schema knows no other"
            is_over = not record.is_live and record.life == command[LIFE]
        if is_over:
            self._machine.change(record_key(key), None)
        return _DONE

    def _without_journal(
        self, caller: Caller, key: EntityKey, command: Command, record: Record | None
    ) -> Reply | None:
        if record is None or (record.had_state and not record.is_live):
            return None
        if not record.is_live:
            return _RESTORING
        if key[KEY_KIND] == QUEUE:
            return self._unsaved(key, command, record)
        return self._change(caller, key, command, record)

    def _recorded(
        self, caller: Caller, key: EntityKey, command: Command, record: Record | None
    ) -> Reply | None:
        """Apply a wrapped command. Its answer says up to which number the journal must be before its caller is told."""
        if key[KEY_KIND] in TOKEN_KINDS:
            self._machine.raise_generation(command[MARK])
            return None
        if record is None or not record.is_live:
            return self._unrecorded(key, record)
        if record.journal != command[JOURNAL]:
            return [OTHER_JOURNAL, record.journal]
        self._machine.touch(record_key(key))
        record.noted(command[MARK])
        if key[KEY_KIND] == QUEUE:
            return self._unsaved(key, command[WRAPPED], record)
        reply = self._change(caller, key, command[WRAPPED], record)
        return [*reply, *_position(record)] if reply[CODE] == OK else reply

    def _change(self, caller: Caller, key: EntityKey, command: Command, record: Record) -> Reply:
        if record.is_full:
            return [UNSAVED, *_position(record)]
        reply = self._machine.decide(caller, key, command)
        if STRUCTURES[key[KEY_KIND]].has_changed(command, reply):
            self._machine.touch(record_key(key))
            record.changed(command)
            if key[KEY_KIND] == MAP and is_told(command, reply):
                self._machine.tell(key)
        return reply

    def _unsaved(self, key: EntityKey, command: Command, record: Record) -> Reply | None:
        """Refuse a command on a queue while too much of it is not on record; None lets the machine apply it.

        That is told of each change: others than the caller may be served by it, and what a session had is given back
        by whatever ends it. Such changes are not refused, so the tail may pass its bound by those: one for each item
        that is reserved or whose taking nobody confirmed.
        """
        is_refused = record.is_full and command[OPERATION] not in (ACK, NACK)
        return [UNSAVED, *_position(record)] if is_refused else None

    def changed(self, key: EntityKey, before: Any, decision: Decision) -> Reply:
        """Put changes of a queue on record if it has one; return the position of the first, or the last one known.

        What the first of them was its caller knows, but for that a queue began with it; who is served by the others
        looks for them.
        """
        record = self._of(key)
        if record is None or not record.is_live:
            return []
        changes = decision.changes
        self._machine.touch(record_key(key))
        for change in changes:
            record.changed(change)
        others = len(changes) - 1 - (len(changes) > 1 and changes[0][OPERATION] == SETUP)
        number = record.number - max(others, 0)
        position = [number, record.mark, record.life]
        if before is not None and decision.state is None and not record.tail:
            self._machine.change(record_key(key), None)
        return position

    def _begin(self, key: EntityKey, journal: bytes, life: bytes, record: Record | None) -> Reply:
        """Begin a restoration, or say how far another one is."""
        machine = self._machine
        if record is not None and record.journal != journal:
            if record.is_live:
                return [OTHER_JOURNAL, record.journal]
            # Whoever restored from that journal did not end it: nobody has seen anything of this life.
            if not record.had_state:
                machine.change(key, None)
            record = None
        if record is None:
            most = machine.limits.max_entities
            if len(machine.entities) >= most and record_key(key) not in machine.entities:
                return [OVERLOADED, "max_entities", most]
            record = Record(journal, life, key in machine.entities)
            machine.change(record_key(key), record)
        return _progress(record)

    def _restore(self, caller: Caller, key: EntityKey, command: Command, record: Record) -> Reply:
        """Apply one part. Several gateways may restore at a time: they send the same, and what was done is passed."""
        _, _, life, step, commands, number = command
        if record.life != life:
            return _UNRECORDED
        if record.is_live or step != record.step:
            return _progress(record)
        for change in commands if not record.had_state else ():
            reply = self._machine.decide(caller, key, change)
            if reply[CODE] != OK:
                return reply
            record.step += 1
        if number:
            record.is_live, record.number = True, number
            if key[KEY_KIND] == MAP and key in self._machine.entities and not record.had_state:
                self._machine.tell(key)  # until now nobody saw anything of it
            if record.had_state and key in self._machine.entities:
                # It existed before anybody put it on record: how it became what it is goes on record now.
                for change in STRUCTURES[key[KEY_KIND]].rebuild(self._machine.entities[key]):
                    record.changed(change)
        return _progress(record)

    def lapses(self, key: EntityKey) -> bool:
        """Whether a key whose time to live is over may go now; that goes on record as its destruction."""
        record = self._of(key)
        if record is None or not record.is_live:
            return record is None or record.had_state
        self._machine.touch(record_key(key))
        record.changed([DESTROY])
        return True

    # -- queries

    def is_half(self, key: EntityKey) -> bool:
        """Whether the entity is being restored, so that nobody may see anything of it yet."""
        record = self._of(key)
        return record is not None and not record.is_live and not record.had_state

    def query(self, key: EntityKey, query: Command) -> Reply | None:
        """Answer a checked query; None where no record is concerned."""
        record = self._of(key)
        if query[OPERATION] < RECORDED:
            return _RESTORING if self.is_half(key) else None
        if record is None or not record.is_live:
            return self._unrecorded(key, record)
        if query[OPERATION] == TAIL:
            _, life, after, most = query
            return [OK, *record.page(after, most)] if record.life == life else [UNRECORDED, False]
        if record.journal != query[JOURNAL]:
            return [OTHER_JOURNAL, record.journal]
        state, structure = self._machine.entities.get(key), STRUCTURES[key[KEY_KIND]]
        if query[OPERATION] == RECORDED:
            reply = structure.query(state, query[WRAPPED_QUERY])
            return [*reply, *_position(record)] if reply[CODE] == OK else reply
        is_small = state is not None and structure.weight(state) <= query[AT_MOST]
        return [OK, structure.rebuild(state) if is_small else None, *_position(record)]


def _position(record: Record) -> Reply:
    """Whose change was the last, what the journal has, and in which life."""
    return [record.number, record.mark, record.life]


def _progress(record: Record) -> Reply:
    """How far a restoration is."""
    return [OK, [record.life, record.is_live, record.had_state, record.step]]
