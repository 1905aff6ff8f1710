"""What the entries of a slot, its reads and its keep-alives look like: one row of fields for each kind. Pure.

The slot's leader checks an entry before it proposes it, and every replica checks it again before it applies it: what
does not fit is then an outcome, the same everywhere, and never an exception in one replica or in all of them. What each
kind of structure takes says the structure itself; see `Structure.commands`.

Entries are flat lists packed by the gateway, or by the slot's leader, and proposed as they came:

=============================================================  ===========================================
``[OPEN, attempt, gateway]``                                   a session; its number is the entry's index
``[OPEN_FOR, attempt, gateway, ttl_ms]``                       one with a time to live of its own
``[COMMAND, session, seq, low, wait_low, kind, entity, cmd]``  one request of a session
``[CLOSE, session]``                                           the client leaves, or a part of that
``[EXPIRE, session]``                                          the leader gave the client up, or a part of that
``[CANCEL, session, seq, kind, entity]``                       withdraw a request if it still waits
``[ABANDON, session, low, [[seq, kind, entity], ...]]``        withdraw requests, whatever became of them
``[LAPSE, time, [entity, ...]]``                               keys of maps whose time to live is over; see `lapses`
``[APPENDED, log, writer, expected, [event, ...]]``            events of an entity that runs where the slot is led
``[PAY, kind, entity]``                                        tell the next of whom the entity owes something
=============================================================  ===========================================
"""

from __future__ import annotations

from typing import Any

from casty.cluster.slots.operations import KEEPALIVE_FIELDS, SCAN
from casty.distributed.machines.base import COUNTER, EVENTS, MAP, OPERATION
from casty.distributed.machines.events import APPEND, EVENT_LOGS, MAX_BATCH, WRITER_BYTES
from casty.distributed.machines.record import recorded_queries, recorded_shapes
from casty.distributed.machines.registry import STRUCTURES
from casty.distributed.machines.watching import MAP_QUERIES
from casty.errors import RemoteProtocolError
from casty.limits import MAX_BYTES, MAX_NAME_BYTES, MAX_NUMBER, MAX_TIME
from casty.schema import Case, Data, Number, Row, Rows, Tagged, compiled, flaw
from casty.wire.pack import pack, unpack

__all__ = [
    "ABANDON",
    "APPENDED",
    "CALLED",
    "CANCEL",
    "CLOSE",
    "COMMAND",
    "ENTRIES",
    "ENTRY",
    "EVENT_LOG",
    "EXPIRE",
    "GIVEN_UP",
    "KEEPALIVES",
    "LAPSE",
    "LAPSED",
    "LAPSED_AT_ONCE",
    "LIVES_MS",
    "LOW",
    "OF_KIND",
    "OF_NAME",
    "OPEN",
    "OPENINGS",
    "OPEN_FOR",
    "PACKED_KIND",
    "PAY",
    "READ",
    "SEQ",
    "SESSION",
    "UPTO",
    "WAIT_LOW",
    "applicable",
    "check_append",
    "check_entry",
    "check_keepalive",
    "check_read",
    "may_be_of_client",
]  # fmt: skip

OPEN, COMMAND, CLOSE, EXPIRE, CANCEL, ABANDON, LAPSE, OPEN_FOR, APPENDED, PAY = range(1, 11)
OPENINGS = (OPEN, OPEN_FOR)

ENTRY = 0
"""Where a log entry has its kind; the names below say where it has what. A row stays the list that was decoded: to look
there costs nothing, to make a named tuple of each costs more than to look at all of it."""

SESSION, SEQ, LOW, WAIT_LOW, OF_KIND, OF_NAME, CALLED = range(1, 8)
"""Fields of `COMMAND`: who asks, under which number, both marks of the session, the entity, and what is asked of it.
All but `OPEN`, `OPEN_FOR` and `LAPSE` have the session there, and `CANCEL` the number."""

PACKED_HEAD, PACKED_KIND = 0, 1
"""Where the bytes of a packed entry have the head of its list, which is one byte, and its kind."""

UPTO, GIVEN_UP = 2, 3
"""Fields of `ABANDON`: the session's mark, and the requests."""

LAPSED = 2
"""Field of `LAPSE`: the keys that end."""

LIVES_MS = 3
"""Field of `OPEN_FOR`: the time to live that is asked for."""

EVENT_LOG = 1
"""Field of `APPENDED`: the name of the log. What follows are the fields of `APPEND`."""

LAPSED_AT_ONCE = 128
"""Keys that one entry lets go: about a millisecond."""

COUNT = Number(0, MAX_NUMBER)
TIME = Number(0, MAX_TIME)
KIND = Number(COUNTER, EVENTS)
NAME = Data(MAX_NAME_BYTES)
ENTITY = Data()
REQUESTS = Rows(Row((COUNT, KIND, ENTITY)))

# What a slot keeps for itself has no operations, and nobody names it.
_COMMANDS = {
    kind: Tagged({**structure.shapes, **recorded_shapes(structure)})
    for kind, structure in STRUCTURES.items()
    if structure.shapes
}
_QUERIES = {
    kind: Tagged(
        {
            **structure.query_shapes,
            SCAN: Row((ENTITY,)),
            **recorded_queries(structure),
            **(MAP_QUERIES if kind == MAP else {}),
        }
    )
    for kind, structure in STRUCTURES.items()
    if structure.shapes
}

_COMMAND_HEAD = bytes((0x98, COMMAND))
"""How a packed command begins: a list of eight, and its kind."""

_CLIENT_KINDS = tuple(kind for kind in _COMMANDS if kind != EVENTS)

ENTRIES = Tagged(
    {
        OPEN: Row((NAME, NAME)),
        COMMAND: Row(
            (
                COUNT, COUNT, COUNT, COUNT, KIND, ENTITY,
                Case(5, _COMMANDS),
            )
        ),
        CLOSE: Row((COUNT,)),
        EXPIRE: Row((COUNT,)),
        CANCEL: Row((COUNT, COUNT, KIND, ENTITY)),
        ABANDON: Row((COUNT, COUNT, REQUESTS)),
        LAPSE: Row((TIME, Rows(ENTITY, 0, LAPSED_AT_ONCE))),
        OPEN_FOR: Row((NAME, NAME, Number(1, MAX_NUMBER))),
        APPENDED: Row((ENTITY, *EVENT_LOGS.shapes[APPEND].rules)),
        PAY: Row((KIND, ENTITY)),
    }
)  # fmt: skip
"""By kind; the head of this module says what the fields are."""

READ = Row(
    (
        KIND,
        ENTITY,
        Case(0, _QUERIES),
    )
)
"""``[kind, entity, query]``, or a page of entities instead of one; see `SCAN`."""

_KEEPALIVE = (COUNT, COUNT, COUNT, REQUESTS, REQUESTS, REQUESTS, COUNT)
KEEPALIVES = dict(zip(KEEPALIVE_FIELDS, (Row(_KEEPALIVE), Row((*_KEEPALIVE, Data()))), strict=True))
"""A row of a keep-alive, by its length; see `KEEPALIVE_FIELDS`."""

_is_entry = compiled(ENTRIES)
_is_append = ENTRIES.tests()[APPENDED]
_is_data = ENTITY.test()
_is_read = compiled(READ)
_is_keepalive = {length: compiled(row) for length, row in KEEPALIVES.items()}

_commands = {kind: commands.tests() for kind, commands in _COMMANDS.items()}
_queries = {kind: queries.tests() for kind, queries in _QUERIES.items()}
"""By kind and operation, for the short cuts: these cost one call in all, where the schema needs one a field."""


_COMMAND_TYPES = (int,) * 7 + (bytes,)
"""Of all fields of a command but its last one, and of what it asks for first."""


def _is_usual(entry: Any) -> bool:
    """Whether an entry is a command that fits: a short cut for what is asked most, six times as quick as the schema.

    It may say no to what fits, and never yes to what does not.
    """
    if type(entry) is not list or len(entry) != 8:
        return False
    tag, session, seq, low, wait_low, kind, entity, command = entry
    if tag != COMMAND or type(command) is not list or not command:
        return False
    operation = command[OPERATION]
    types = (
        type(tag), type(session), type(seq), type(low), type(wait_low), type(kind), type(operation), type(entity),
    )  # fmt: skip
    # The bound is one less than a power of two: no number is above it, or below zero, if their bits together are not.
    if types != _COMMAND_TYPES or not 0 <= session | seq | low | wait_low <= MAX_NUMBER:
        return False
    tests = _commands.get(kind)
    fits = None if tests is None else tests.get(operation)
    return fits is not None and fits(command)


def _is_usual_append(entry: Any) -> bool:
    """Whether an entry has events of an entity and fits; as `_is_usual`."""
    if type(entry) is not list or len(entry) != 5:
        return False
    tag, log, writer, expected, events = entry
    return (
        type(tag) is type(expected) is int
        and tag == APPENDED
        and 0 <= expected <= MAX_NUMBER
        and type(writer) is bytes
        and len(writer) <= WRITER_BYTES
        and type(events) is list
        and 0 < len(events) <= MAX_BATCH
        and _is_data(log)
        and all(map(_is_data, events))
    )


def _is_usual_read(read: Any) -> bool:
    """Whether a read fits; as `_is_usual`."""
    if type(read) is not list or len(read) != 3:
        return False
    kind, entity, query = read
    if not (
        type(kind) is int
        and type(entity) is bytes
        and type(query) is list
        and query
        and type(query[OPERATION]) is int
    ):
        return False
    tests = _queries.get(kind)
    fits = None if tests is None else tests.get(query[OPERATION])
    return fits is not None and fits(query)


def applicable(data: bytes) -> list[Any]:
    """Return a decoded entry of the log; raises `RemoteProtocolError` unless it fits.

    Its list has a head of one byte, and its kind is the next: whoever only wants that looks there.
    """
    entry: Any = unpack(data)
    if not (_is_usual(entry) or _is_usual_append(entry) or _is_entry(entry)):
        raise RemoteProtocolError(flaw(ENTRIES, entry, "slot entry") or "slot entry: it fits no schema")
    if data[PACKED_KIND] != entry[ENTRY] or data[PACKED_HEAD] != 0x90 | len(entry):
        raise RemoteProtocolError("slot entry: expected the head of its list in one byte, its kind next")
    checked: list[Any] = entry
    return checked


def check_entry(data: bytes) -> list[Any]:
    """Return a decoded entry of a gateway; raises `RemoteProtocolError` unless it fits and a gateway may send it."""
    entry = applicable(data)
    if entry[ENTRY] in (EXPIRE, LAPSE, APPENDED, PAY):
        raise RemoteProtocolError(
            "slot entry: only a leader expires sessions, tells the time, appends without a session, and pays"
        )
    return entry


def check_append(entry: list[Any]) -> bytes:
    """Return the bytes of an APPENDED entry that this node made; raises `RemoteProtocolError` unless it fits."""
    if not (_is_usual_append(entry) or _is_append(entry)):
        raise RemoteProtocolError(flaw(ENTRIES, entry, "slot entry") or "slot entry: it fits no schema")
    return pack(entry)


_LONG_NUMBERS = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
_NUMBER_BYTES = tuple(1 if first < 0x80 else _LONG_NUMBERS.get(first, MAX_BYTES) for first in range(256))
"""How long a packed number is, by its first byte; what begins none leads behind the end of any entry."""


def may_be_of_client(data: bytes) -> bool:
    """Whether an entry may come from a process that is no node; what is no entry at all is refused elsewhere.

    Only the log of an entity is a node's: who writes it ends the entity that lives. The kind is found without
    unpacking, as whoever takes the entry in the end unpacks it.
    """
    if data[:2] != _COMMAND_HEAD:
        return True
    try:
        at = PACKED_KIND + 1
        at += _NUMBER_BYTES[data[at]]
        at += _NUMBER_BYTES[data[at]]
        at += _NUMBER_BYTES[data[at]]
        at += _NUMBER_BYTES[data[at]]
        return data[at] in _CLIENT_KINDS
    except IndexError:
        return False


def check_read(read: Any) -> list[Any]:
    """Return an unpacked read; raises `RemoteProtocolError` unless it fits."""
    if not (_is_usual_read(read) or _is_read(read)):
        raise RemoteProtocolError(flaw(READ, read, "read") or "read: it fits no schema")
    checked: list[Any] = read
    return checked


def check_keepalive(row: Any) -> list[Any]:
    """Return an unpacked row of a keep-alive; raises `RemoteProtocolError` unless it fits."""
    length = len(row) if isinstance(row, list) else 0
    if length not in KEEPALIVES:
        raise RemoteProtocolError(f"keep-alive: expected rows of {' or '.join(map(str, KEEPALIVES))} fields")
    if not _is_keepalive[length](row):
        raise RemoteProtocolError(
            flaw(KEEPALIVES[length], row, "keep-alive") or "keep-alive: it fits no schema"
        )
    checked: list[Any] = row
    return checked
