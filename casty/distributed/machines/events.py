"""Events: the log of one event-sourced entity, and the slot's part in who may write it.

Theory of operation. One activation at a time is the writer; OPEN makes it so, and whoever was it before is refused from
then on, at apply, whatever it knows. An append says after which event it comes: it is applied there or nowhere. The
same events under the same numbers are success, so a writer that does not know whether its append arrived repeats it.

Always: ``number = base + len(tail)``. The events up to `base` are in the snapshot and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from casty.distributed.machines.base import (
    COUNT,
    DESTROY,
    EVENTS,
    NO_FIELDS,
    NOT_NEXT,
    NOT_WRITER,
    OK,
    OVERLOADED,
    Command,
    Context,
    Decision,
    Frozen,
    Reply,
    Shapes,
    Structure,
)
from casty.errors import CastyError
from casty.limits import MAX_NUMBER
from casty.schema import Data, Number, Row, Rows
from casty.wire.pack import pack, unpack

__all__ = [
    "APPEND", "EVENT_LOGS", "LOAD", "MAX_BATCH", "MAX_TAIL", "MAX_TAIL_BYTES", "OPEN", "SNAPSHOT", "WRITER_BYTES",
    "EventLog", "Home", "home_of", "log_label", "log_name",
]  # fmt: skip

OPEN, APPEND, SNAPSHOT = 1, 2, 3
LOAD = 1

WRITER_BYTES = 16
"""The longest identity of a writer."""

MAX_BATCH = 1_000
"""Events of one append."""

MAX_TAIL = 10_000
MAX_TAIL_BYTES = 4 * 1024 * 1024
"""Events that are kept beside the snapshot, and their bytes; a batch that would pass either is refused."""

EVENT_BYTES = 56
"""About what one event takes beside its bytes."""

_WRITER = Data(WRITER_BYTES)


class Home(NamedTuple):
    """Whose log it is: by region and shard it is placed."""

    region: str
    shard: int
    entity_id: str
    log_id: str
    """As an entity may have several: children of it, for example."""


def log_name(home: Home) -> bytes:
    """Return the name of a log."""
    return pack(list(home))


def home_of(name: bytes) -> Home | None:
    """Return whose log a name is; None for bytes that are no such name."""
    try:
        plain: Any = unpack(name)
    except (CastyError, ValueError):
        return None
    if not isinstance(plain, list) or [type(field) for field in plain] != [str, int, str, str]:
        return None
    return Home(*plain) if 0 <= plain[1] <= MAX_NUMBER else None


def log_label(name: bytes) -> str:
    """Return what people call a log: its entity, and the log where that has several."""
    home = home_of(name)
    if home is None:
        return repr(name)[:100]
    label = f"{home.region}/{home.entity_id}"
    return label if home.log_id == home.entity_id else f"{label} {home.log_id!r}"


class EventLog:
    """The state.

    Parameters
    ----------
    writer
        The identity of the activation that may write.
    number
        Of the last event; 0 for none. It only grows.
    snapshot
        The encoded state after the events that are not in the tail; None while there are none.
    """

    __slots__ = ("number", "snapshot", "tail", "tail_bytes", "writer")

    def __init__(self, writer: bytes, number: int = 0, snapshot: bytes | None = None) -> None:
        self.writer = writer
        self.number = number
        self.snapshot = snapshot
        self.tail: list[bytes] = []
        """The last events up to `number`, in order; no item ever changes."""
        self.tail_bytes = 0

    @property
    def base(self) -> int:
        """The number of the last event that is in the snapshot; 0 without one."""
        return self.number - len(self.tail)

    def has(self, expected: int, events: Sequence[bytes]) -> bool:
        """Whether these events are what follows event `expected`."""
        start = expected - self.base
        return start >= 0 and self.tail[start : start + len(events)] == list(events)

    def page(self, after: int, limit_bytes: int) -> list[bytes]:
        """Return the events after a number, at least one if there is any."""
        page: list[bytes] = []
        for event in self.tail[max(0, after - self.base) :]:
            limit_bytes -= len(event)
            if page and limit_bytes < 0:
                break
            page.append(event)
        return page


class EventLogStructure(Structure[EventLog]):
    """Logs of entities. Replies: ``[OK, number]``, ``[NOT_WRITER, number]``, ``[NOT_NEXT, number]``, or a bound."""

    __slots__ = ()
    kind = EVENTS
    name = "events"
    stores_values = True
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        OPEN: Row((_WRITER,)),
        APPEND: Row((_WRITER, COUNT, Rows(Data(), 1, MAX_BATCH))),
        SNAPSHOT: Row((_WRITER, Number(1, MAX_NUMBER), Data())),
    }
    query_shapes: ClassVar[Shapes] = {LOAD: Row((_WRITER, COUNT, COUNT))}

    def decide(self, state: EventLog | None, command: Command, ctx: Context) -> Decision:
        """See the head of this module."""
        operation = command[0]
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        if operation == OPEN:
            log = EventLog(command[1]) if state is None else state
            log.writer = command[1]
            return Decision(log, [OK, log.number])
        if state is None or state.writer != command[1]:
            return Decision(state, [NOT_WRITER, 0 if state is None else state.number])
        if operation == APPEND:
            return Decision(state, _append(state, command[2], command[3]))
        return Decision(state, _keep(state, command[2], command[3]))

    def query(self, state: EventLog | None, query: Command) -> Reply:
        """Answer LOAD: the number of the last event, base, snapshot or None, and the events that come next."""
        _, writer, after, limit_bytes = query
        if state is None or state.writer != writer:
            return [NOT_WRITER, 0 if state is None else state.number]
        snapshot = state.snapshot if after < state.base else None
        left = max(0, limit_bytes - len(snapshot or b""))
        return [OK, state.number, state.base, snapshot, state.page(after, left)]

    def weight(self, state: EventLog) -> int:
        """Return the bytes of snapshot and tail."""
        return 200 + len(state.snapshot or b"") + state.tail_bytes

    def grows(self, state: EventLog | None, command: Command) -> bool:
        """Events grow, and a snapshot that is longer than what it replaces."""
        operation = command[0]
        if operation == SNAPSHOT:
            return state is not None and len(command[3]) > len(state.snapshot or b"") + state.tail_bytes
        return operation == APPEND or (operation == OPEN and state is None)

    def has_changed(self, command: Command, reply: Reply) -> bool:
        """Never asked: a log is on record in no journal."""
        return False

    def freeze(self, state: EventLog) -> Frozen:
        """See `Structure.freeze`."""
        return Frozen([state.writer, state.number, state.snapshot], (list(state.tail),))

    def begin(self, head: Any) -> EventLog:
        """See `Structure.begin`."""
        return EventLog(*head)

    def extend(self, state: EventLog, table: int, rows: Sequence[Any]) -> None:
        """See `Structure.extend`."""
        state.tail.extend(rows)
        state.tail_bytes += _bytes_of(rows)


def _bytes_of(events: Sequence[bytes]) -> int:
    return sum(map(len, events)) + EVENT_BYTES * len(events)


def _append(log: EventLog, expected: int, events: Sequence[bytes]) -> Reply:
    if expected != log.number:
        # Below it: a repetition, whose first answer was lost. Above it: the writer knows what is not there.
        return [OK, expected + len(events)] if log.has(expected, events) else [NOT_NEXT, log.number]
    if len(log.tail) + len(events) > MAX_TAIL:
        return [OVERLOADED, "events beside the snapshot", MAX_TAIL]
    added = _bytes_of(events)
    if log.tail and log.tail_bytes + added > MAX_TAIL_BYTES:
        return [OVERLOADED, "bytes of events beside the snapshot", MAX_TAIL_BYTES]
    log.tail.extend(events)
    log.tail_bytes += added
    log.number += len(events)
    return [OK, log.number]


def _keep(log: EventLog, number: int, snapshot: bytes) -> Reply:
    """Keep a snapshot and let go of the events that are in it."""
    if number > log.number:
        return [NOT_NEXT, log.number]
    passed = number - log.base
    if passed > 0:
        log.tail_bytes -= _bytes_of(log.tail[:passed])
        del log.tail[:passed]
        log.snapshot = snapshot
    return [OK, log.base]


EVENT_LOGS = EventLogStructure()
