"""What a slot knows of an entity whose changes are put on record outside the cluster. Pure.

The journal stands with the gateways that were given it, so what is committed is not on record yet, and the gateway that
changed it may be gone before it wrote it down. The slot therefore keeps, beside the entity and replicated like it, a
record: the number of its last change, and the changes of which nobody said yet that the journal has them, the *tail*.
A gateway with the journal that hears an answer hears the number as well, and lets its caller have the answer once the
journal has everything up to that number, whoever made those changes.

States of a record::

    none --BEGIN--> restoring --RESTORE, the last part--> live
    restoring --FORGET--> none              (the entity exists in both: nobody can say which one counts)
    live --NOTE, the entity is gone and the tail empty--> none

A change is recorded as the command that made it: a structure is a pure function of its commands, so a replay of them
gives the same values in the same order. What changed nothing leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from casty.distributed.machines.base import (
    COUNTER,
    DESTROY,
    FENCE,
    HOLDING_KINDS,
    MAP,
    QUEUE,
    RECORD,
    RELEASE,
    RESIZE,
    SET,
    Command,
    Frozen,
    Shapes,
    Structure,
)
from casty.limits import MAX_GENERATION, MAX_NUMBER
from casty.schema import Data, Number, Row, Rows, Tagged

__all__ = [
    "BEGIN", "FORGET", "JOURNAL_BYTES", "KEPT_KINDS", "MAX_PART", "MAX_TAIL", "MAX_TAIL_BYTES", "NOTE", "RECORDED",
    "RECORDS", "RESTORE", "STATE", "TAIL", "TOKEN_KINDS", "Record", "command_bytes", "recorded_queries",
    "recorded_shapes", "wrapper_bytes",
]  # fmt: skip

RECORDED, BEGIN, RESTORE, NOTE, FORGET = range(64, 69)
"""Operations of every kind that has a record; those of the structures are below. RECORDED wraps one of these."""

TAIL, STATE = 65, 66

JOURNAL, MARK, WRAPPED = 1, 2, 3
"""Fields of a command on record: in which journal, up to which number that has all, and for `RECORDED` the command."""

LIFE, CHANGES = 2, 4
"""Fields of `BEGIN`, `FORGET` and `RESTORE`: in which life of the entity; and of `RESTORE`, what to do again."""

WRAPPED_QUERY, AT_MOST = 2, 2
"""Fields of a query `RECORDED`: the query itself; and of `STATE`: how large the state may be."""

"""Queries of the same kinds, beside RECORDED."""

KEPT_KINDS = (COUNTER, MAP, SET, QUEUE, FENCE)
"""What outlives its users, and so is put on record."""

TOKEN_KINDS = HOLDING_KINDS
"""Of these nothing outlives the sessions of their holders but that tokens grow."""

JOURNAL_BYTES = 16
"""How long the identities of journals and of lives are, at most."""

MAX_TAIL = 1_000
MAX_TAIL_BYTES = 4 * 1024 * 1024
"""Changes of one entity that may wait to be put on record, and their bytes; one more may pass the second bound."""

MAX_PART = 512
"""Commands in one part of a restoration: about a millisecond of work."""

WRAPPER_BYTES = 128
"""More than what is around the command of a structure in any operation of this module."""

COMMAND_BYTES = 120
"""About what one recorded command takes beside its bytes."""

_GIVING_BACK = (DESTROY, RELEASE, RESIZE)
"""What draws no token, of all of them alike."""

_IDENTITY = Data(JOURNAL_BYTES)
_NUMBER = Number(0, MAX_NUMBER)


def recorded_shapes(structure: Structure[Any]) -> Shapes:
    """Return the operations that a kind has beside its own; `slot_schema` asks."""
    if structure.kind in TOKEN_KINDS:
        asking = {
            operation: row for operation, row in structure.shapes.items() if operation not in _GIVING_BACK
        }
        return {RECORDED: Row((_IDENTITY, Number(0, MAX_GENERATION), Tagged(asking)))}
    if structure.kind not in KEPT_KINDS:
        return {}
    inner = Tagged(structure.shapes)
    return {
        RECORDED: Row((_IDENTITY, _NUMBER, inner)),
        BEGIN: Row((_IDENTITY, _IDENTITY)),
        RESTORE: Row((_IDENTITY, _IDENTITY, _NUMBER, Rows(inner, 0, MAX_PART), _NUMBER)),
        NOTE: Row((_IDENTITY, _NUMBER)),
        FORGET: Row((_IDENTITY, _IDENTITY)),
    }


def recorded_queries(structure: Structure[Any]) -> Shapes:
    """Return the queries that a kind has beside its own."""
    if structure.kind not in KEPT_KINDS:
        return {}
    return {
        RECORDED: Row((_IDENTITY, Tagged(structure.query_shapes))),
        TAIL: Row((_IDENTITY, _NUMBER, _NUMBER)),
        STATE: Row((_IDENTITY, _NUMBER)),
    }


def command_bytes(command: Command) -> int:
    """Return about how many bytes a recorded command takes."""
    size_bytes = COMMAND_BYTES
    for field in command:
        if isinstance(field, bytes):
            size_bytes += len(field)
        elif isinstance(field, int):
            size_bytes += field.bit_length() // 8
    return size_bytes


def wrapper_bytes(command: Any) -> int:
    """Return how much longer a command may be than its structure's own: what could be changed can be restored."""
    return WRAPPER_BYTES if command[0] >= RECORDED else 0


class Record:
    """What is known of one entity.

    Parameters
    ----------
    journal
        The identity of the journal that has its history.
    life
        The identity of this life of the entity in a cluster, under which the journal was told of it.
    had_state
        Whether the entity existed before anybody put it on record.
    """

    __slots__ = ("had_state", "is_live", "journal", "life", "number", "step", "tail", "tail_bytes")

    def __init__(self, journal: bytes, life: bytes, had_state: bool) -> None:
        self.journal = journal
        self.life = life
        self.had_state = had_state
        self.is_live = False
        """False while it is being restored: nobody may see or change it yet."""
        self.step = 0
        """How many commands of the restoration were applied."""
        self.number = 0
        """Of the last change; what the journal calls its sequence number. It only grows."""
        self.tail: list[Command] = []
        """The changes up to `number` that are perhaps not on record, in order; no item ever changes."""
        self.tail_bytes = 0

    @property
    def mark(self) -> int:
        """Up to which number the journal has everything, as far as the slot was told."""
        return self.number - len(self.tail)

    @property
    def is_full(self) -> bool:
        """Whether nothing may be changed before something is put on record."""
        return len(self.tail) >= MAX_TAIL or self.tail_bytes >= MAX_TAIL_BYTES

    def changed(self, command: Command) -> None:
        """The entity was changed by a command."""
        self.number += 1
        self.tail.append(command)
        self.tail_bytes += command_bytes(command)

    def noted(self, number: int) -> None:
        """A gateway says that the journal has everything up to a number."""
        passed = min(number, self.number) - self.mark
        if passed > 0:
            self.tail_bytes -= sum(map(command_bytes, self.tail[:passed]))
            del self.tail[:passed]

    def page(self, after: int, limit_bytes: int) -> tuple[int, list[Command]]:
        """Return the changes after a number, at least one if there is any, and the number that they really follow."""
        start = max(after, self.mark)
        page: list[Command] = []
        for command in self.tail[start - self.mark :]:
            limit_bytes -= command_bytes(command)
            if page and limit_bytes < 0:
                break
            page.append(command)
        return start, page


class RecordStructure(Structure[Record]):
    """Records as entities of the slot: they are dumped, loaded and weighed like all others. No gateway names one."""

    __slots__ = ()
    kind = RECORD
    name = "record"
    shapes: ClassVar[Shapes] = {}
    query_shapes: ClassVar[Shapes] = {}

    def weight(self, state: Record) -> int:
        """Return the bytes of the tail."""
        return 200 + state.tail_bytes

    def freeze(self, state: Record) -> Frozen:
        """See `Structure.freeze`."""
        head = [state.journal, state.life, state.had_state, state.is_live, state.step, state.number]
        return Frozen(head, (list(state.tail),))

    def begin(self, head: Any) -> Record:
        """See `Structure.begin`."""
        journal, life, had_state, is_live, step, number = head
        record = Record(journal, life, had_state)
        record.is_live, record.step, record.number = is_live, step, number
        return record

    def extend(self, state: Record, table: int, rows: Sequence[Any]) -> None:
        """See `Structure.extend`."""
        state.tail.extend(rows)
        state.tail_bytes += sum(map(command_bytes, rows))


RECORDS = RecordStructure()
