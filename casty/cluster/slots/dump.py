"""The state of a slot machine as parts of bounded size, and back.

A dump is of one index although entries go on being applied: before an entry touches a session or an entity that is
not dumped yet, it is *frozen* - its tables are copied, which shares everything in them and costs some nanoseconds a
row. Values of users are never copied; what a dump keeps from being freed is what was removed since it began.

Entities go out by kind and name, a page of names at a time: to list a million of them at the beginning would hold up
everything else for 20 ms. A name is *passed* once it is on a page; what happens to it is none of the dump's business
when it is out. One that appears before it is passed was *born* later than the dump, and is left out. One that is
removed before it is passed was frozen by that, and goes out after the last page. So each entity is in exactly one of
these: out, on the page, ahead, frozen and gone, born.

A part is a list of rows:

================================  ===================================================================
``[HEAD, *numbers]``                       the machine's own five numbers; the first row of all
``[SESSION, number, head]``                a session; rows of its tables follow
``[ENTITY, kind, entity, head]``           an entity; rows of its tables follow
``[ROWS, table, rows]``                    rows of a table of the latest session or entity
``[END, sessions, entities, rows]``        how many there were; the last row of all
================================  ===================================================================

No table has a limit here, and no list in a part is longer than `MAX_ROWS`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from casty.cluster.slots.applied import PARTIES
from casty.cluster.slots.debts import Debts
from casty.cluster.slots.session_record import KEY_KIND, KEY_NAME, EntityKey, SlotSession
from casty.cluster.slots.weights import Weights, weight_of
from casty.distributed.machines.base import Frozen, Rows
from casty.distributed.machines.registry import STRUCTURES
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack, unpack

__all__ = ["MAX_ROWS", "Dumps", "SlotDump", "SlotLoad", "emptied", "whole", "with_dump", "without_dump"]

HEAD, SESSION, ENTITY, ROWS, END = range(5)

MAX_ROWS = 512
"""Rows of one part: about a millisecond of work on either side."""

PAGE = 128
"""Names that are looked up at once."""

LOOKED_UP = 16
"""Rows of a part that a page counts for, whether any of its names goes out or not."""

ROW_BYTES = 16

Sized = tuple[int, int, list[object] | None]
"""(bytes, rows, row): the row is None where names were looked up and nothing of them goes out."""


class Dumped(Protocol):
    """What a dump reads of a slot's state machine, and a load writes into an empty one."""

    sessions: dict[int, SlotSession]
    entities: dict[EntityKey, Any]
    attempts: dict[bytes, int]
    debts: Debts

    @property
    def numbers(self) -> tuple[int, int, int, int, int]:
        """The generation, how many tokens were drawn, how many requests wait, the time, the last change of a map."""
        ...

    @numbers.setter
    def numbers(self, numbers: tuple[int, int, int, int, int]) -> None: ...

    @property
    def weights(self) -> Weights:
        """What the state takes up."""
        ...

    def names_after(self, kind: int, name: bytes | None, most: int) -> list[bytes]:
        """Return the next entities of a kind above a name, or the first ones where that is None."""
        ...

    def put_back(self, key: EntityKey, state: Any) -> None:
        """Put an entity of a dump in its place."""

    def end_dump(self, dump: SlotDump) -> None:
        """A dump is over."""


class SlotDump:
    """The state of a machine at the index at which this was made.

    Parameters
    ----------
    machine
        What is dumped; it tells `touch_session` and `touch_entity` before it changes something.
    part_bytes
        About how long a part may be; one that holds a single longer value is longer.
    """

    def __init__(self, machine: Dumped, part_bytes: int) -> None:
        self._machine = machine
        self._part_bytes = part_bytes
        self._sessions = list(machine.sessions)
        self._entity_count = len(machine.entities)
        self._head: list[object] = [HEAD, *machine.numbers]
        self._frozen_sessions: dict[int, Frozen] = {}
        """By number, those that changed before they were dumped; a row goes when it is. At most `_sessions`."""
        self._frozen_entities: dict[EntityKey, Frozen] = {}
        """The same for entities, none of them passed and out."""
        self._born: dict[EntityKey, None] = {}
        """What appeared since the dump began where it was not passed; a row goes when it is, all with the dump."""
        self._kind = -1
        self._passed: bytes | None = None
        """Of kinds below `_kind` all names are passed, of that one those up to this name, None where none is."""
        self._page: dict[EntityKey, None] = {}
        """Names that were looked up and are not out; at most `PAGE`."""
        self._count = 0
        self._rows = self._generate()
        self._next = next(self._rows, None)

    def touch_session(self, number: int, session: SlotSession) -> None:
        """A session is about to change."""
        if number not in self._frozen_sessions:
            self._frozen_sessions[number] = session.freeze()

    def touch_entity(self, key: EntityKey, state: Any) -> None:
        """An entity is about to change; `state` is what it is, None where it does not exist."""
        if key in self._frozen_entities or key in self._born:
            return
        if self._is_passed(key) and key not in self._page:
            return
        if state is None:
            self._born[key] = None
        else:
            self._frozen_entities[key] = STRUCTURES[key[KEY_KIND]].freeze(state)

    def _is_passed(self, key: EntityKey) -> bool:
        kind, name = key
        return kind < self._kind or (kind == self._kind and self._passed is not None and name <= self._passed)

    def next_part(self) -> tuple[bytes, bool]:
        """Return the next part and whether it is the last one. One of no rows is a part as well."""
        part: list[object] = []
        room_bytes, room = self._part_bytes, MAX_ROWS
        is_begun = False
        while self._next is not None:
            size_bytes, count, row = self._next
            if is_begun and (size_bytes > room_bytes or count > room):
                break
            is_begun = True
            if row is not None:
                part.append(row)
            room_bytes -= size_bytes
            room -= count
            self._next = next(self._rows, None)
        return pack(part), self._next is None

    def close(self) -> None:
        """Let the machine change without telling."""
        self._machine.end_dump(self)
        self._frozen_sessions.clear()
        self._frozen_entities.clear()
        self._born.clear()
        self._rows.close()

    def _generate(self) -> Generator[Sized, None, None]:
        yield 64, 1, self._head
        for number in self._sessions:
            session = self._frozen_sessions.pop(number, None)
            frozen = self._machine.sessions[number].freeze() if session is None else session
            yield _size(frozen.head), 1, [SESSION, number, frozen.head]
            yield from self._tables(frozen)
        for kind in sorted(STRUCTURES):
            self._kind, self._passed = kind, None
            while self._turn_page():
                yield 0, LOOKED_UP, None
                while self._page:
                    yield from self._entity(next(iter(self._page)))
        while self._frozen_entities:
            yield from self._entity(next(iter(self._frozen_entities)))
        yield 64, 1, [END, len(self._sessions), self._entity_count, self._count]

    def _turn_page(self) -> bool:
        """Look up the next names of the present kind; False when there are no more."""
        names = self._machine.names_after(self._kind, self._passed, PAGE)
        if not names:
            return False
        self._passed = names[-1]
        for name in names:
            key = (self._kind, name)
            if key in self._born:
                del self._born[key]
            else:
                self._page[key] = None
        return True

    def _entity(self, key: EntityKey) -> Generator[Sized, None, None]:
        self._page.pop(key, None)
        entity = self._frozen_entities.pop(key, None)
        frozen = STRUCTURES[key[KEY_KIND]].freeze(self._machine.entities[key]) if entity is None else entity
        yield len(key[KEY_NAME]) + _size(frozen.head), 1, [ENTITY, *key, frozen.head]
        yield from self._tables(frozen)

    def _tables(self, frozen: Frozen) -> Generator[Sized, None, None]:
        for number, table in enumerate(frozen.tables):
            offset = 0
            while offset < len(table):
                rows, size_bytes = _slice(table, offset, self._part_bytes)
                offset += len(rows)
                self._count += len(rows)
                yield size_bytes, len(rows), [ROWS, number, rows]


class Dumps:
    """Several dumps of one machine, each of its own index: for a peer, for the disk, for a backup."""

    __slots__ = ("dumps",)

    def __init__(self, dumps: Sequence[SlotDump]) -> None:
        self.dumps = tuple(dumps)

    def touch_session(self, number: int, session: SlotSession) -> None:
        """A session is about to change."""
        for dump in self.dumps:
            dump.touch_session(number, session)

    def touch_entity(self, key: EntityKey, state: Any) -> None:
        """An entity is about to change."""
        for dump in self.dumps:
            dump.touch_entity(key, state)


def with_dump(current: SlotDump | Dumps | None, dump: SlotDump) -> SlotDump | Dumps:
    """Return what is told of changes when one more dump is under way."""
    return dump if current is None else Dumps((*_all(current), dump))


def without_dump(current: SlotDump | Dumps | None, dump: SlotDump) -> SlotDump | Dumps | None:
    """Return what is told of changes when a dump is over, None for nobody; harmless when it was over before."""
    left = [one for one in _all(current) if one is not dump]
    return Dumps(left) if len(left) > 1 else left[0] if left else None


def _all(current: SlotDump | Dumps | None) -> tuple[SlotDump, ...]:
    if current is None:
        return ()
    return current.dumps if isinstance(current, Dumps) else (current,)


def _slice(table: Rows, offset: int, part_bytes: int) -> tuple[list[object], int]:
    """Return the next rows of a table, at least one, and about how long they are."""
    rows: list[object] = []
    size_bytes = 0
    for row in table[offset : offset + MAX_ROWS]:
        row_bytes = _size(row)
        if rows and size_bytes + row_bytes > part_bytes:
            break
        rows.append(row)
        size_bytes += row_bytes
    return rows, size_bytes


def _size(value: object) -> int:
    """Return about how long a plain value is when packed."""
    if isinstance(value, (bytes, str)):
        return ROW_BYTES + len(value)
    if isinstance(value, (tuple, list)):
        return ROW_BYTES + sum(map(_size, value))
    return ROW_BYTES + (value.bit_length() // 8 if isinstance(value, int) else 0)


def emptied(*tables: dict[Any, Any]) -> Generator[None, None, None]:
    """Free tables step by step."""
    for table in tables:
        while table:
            table.popitem()
            yield


def whole(dump: SlotDump) -> bytes:
    """Return all parts of a dump at once."""
    parts, is_last = [], False
    while not is_last:
        part, is_last = dump.next_part()
        parts.append(part)
    return pack(parts)


class SlotLoad:
    """A state that is put together beside the machine's own, and then takes its place.

    Parameters
    ----------
    fresh
        An empty machine with the limits of the one that gets the state in the end.
    put_in_place
        Gives it the state, once that is whole.
    """

    def __init__(self, fresh: Dumped, put_in_place: Callable[[], None]) -> None:
        self._fresh = fresh
        self._put_in_place = put_in_place
        self._extend: Callable[[int, Sequence[Any]], None] | None = None
        self._open: EntityKey | None = None
        self._open_bytes = 0
        """Of the parts that hold rows of the open entity, which is weighed when it is complete."""
        self._count = 0
        self._is_whole = False
        self._handlers: tuple[Callable[..., None], ...] = (
            self._head, self._session, self._entity, self._rows, self._end,
        )  # fmt: skip

    @property
    def size_bytes(self) -> int:
        """See `Load.size_bytes`."""
        return self._fresh.weights.total(len(self._fresh.sessions)) + self._open_bytes

    def take(self, part: bytes) -> None:
        """Take the next part; raises `RemoteProtocolError` for rows that no dump has."""
        rows: Any = unpack(part)
        for kind, *fields in rows:
            if self._is_whole or not 0 <= kind <= END:
                raise RemoteProtocolError(f"snapshot: unexpected row {kind}")
            self._handlers[kind](*fields)
        if self._open is not None:
            self._open_bytes += len(part)

    def take_all(self, data: bytes) -> None:
        """Take what `whole` returned, and finish."""
        parts: Any = unpack(data)
        for part in parts:
            self.take(part)
        self.finish()

    def finish(self) -> None:
        """Put the state in the place of the machine's."""
        if not self._is_whole:
            raise RemoteProtocolError("snapshot: the last part is missing")
        self._put_in_place()

    def _head(self, generation: int, counter: int, waiting: int, time: int, changed_index: int) -> None:
        self._fresh.numbers = (generation, counter, waiting, time, changed_index)

    def _session(self, number: int, head: list[Any]) -> None:
        session = self._fresh.sessions[number] = SlotSession.begin(head)
        self._fresh.attempts[session.attempt] = number

        def extend(table: int, rows: Sequence[Any]) -> None:
            self._fresh.weights.reply_bytes += session.extend(table, rows)

        self._extend = extend

    def _entity(self, kind: int, entity: bytes, head: Any) -> None:
        self._weigh()
        key = self._open = (kind, entity)
        structure = STRUCTURES[kind]
        state = structure.begin(head)
        self._fresh.put_back(key, state)

        def extend(table: int, rows: Sequence[Any]) -> None:
            structure.extend(state, table, rows)

        self._extend = extend

    def _weigh(self) -> None:
        """Count the latest entity, now that it is complete."""
        if self._open is not None:
            state = self._fresh.entities[self._open]
            weight = weight_of(self._open, state)
            if self._open[KEY_KIND] in PARTIES:
                self._fresh.debts.look(self._open, state)
            self._fresh.weights.changed(self._open, 0, weight)
            self._open = None
            self._open_bytes = 0

    def _rows(self, table: int, rows: Sequence[Any]) -> None:
        if self._extend is None:
            raise RemoteProtocolError("snapshot: rows of nothing")
        self._extend(table, rows)
        self._count += len(rows)

    def _end(self, sessions: int, entities: int, count: int) -> None:
        self._weigh()
        expected = (sessions, entities, count)
        found = (len(self._fresh.sessions), len(self._fresh.entities), self._count)
        if found != expected:
            raise RemoteProtocolError(
                f"snapshot: expected {expected} sessions, entities and rows, found {found}"
            )
        self._is_whole = True
