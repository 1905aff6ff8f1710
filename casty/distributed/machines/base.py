"""What every replicated structure is: a pure state machine that a slot applies commands to.

Theory of operation. The log of a slot carries commands; each replica hands the same command, with the same
context, to the same structure and so reaches the same state. Nothing here may know the time, draw randomness
or do I/O. A command and a reply are flat lists; a command begins with its operation, a reply with its status.

A request that has to wait is answered ``[QUEUED]``; its outcome comes later as an `Effect` of whatever entry
decided it. A hold is identified for good by the (session, sequence number) of the request that was granted.

A token is drawn when a request is made, not when it is granted. Grants follow the order of requests, so
tokens grow with grants all the same, and what frees a hold (expiry, withdrawal) needs no source of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from casty.limits import MAX_NUMBER
from casty.schema import Number, Row, Tagged, flaw

__all__ = [
    "BAD",
    "BARRIER",
    "BROKEN",
    "BUSY",
    "COUNT",
    "COUNTER",
    "DESTROY",
    "DESTROYED",
    "ELECTION",
    "EVENTS",
    "EXPIRED",
    "FENCE",
    "FULL",
    "HOLDING_KINDS",
    "KIND_NAMES",
    "LOCK",
    "LOST_DESTROYED",
    "LOST_EXPIRED",
    "LOST_VISIBILITY",
    "MAP",
    "MISMATCH",
    "NOT_LEADER",
    "NOT_NEXT",
    "NOT_WAITING",
    "NOT_WRITER",
    "NO_EFFECTS",
    "NO_FIELDS",
    "OK",
    "OTHER_JOURNAL",
    "OVERLOADED",
    "PAID_AT_ONCE",
    "QUEUE",
    "QUEUED",
    "RECORD",
    "RECORD_BYTES",
    "RELEASE",
    "RESIZE",
    "RW_LOCK",
    "SEMAPHORE",
    "SET",
    "STALE",
    "UNKNOWN",
    "UNRECORDED",
    "UNSAVED",
    "WITHDRAWN",
    "Caller",
    "Command",
    "Context",
    "Decision",
    "Effect",
    "Frozen",
    "Pairs",
    "Reply",
    "Rows",
    "Shapes",
    "Structure",
]

COUNTER, MAP, SET, QUEUE, LOCK, SEMAPHORE, BARRIER, FENCE, RW_LOCK, ELECTION, EVENTS, RECORD = range(1, 13)
KIND_NAMES = {
    COUNTER: "counter",
    MAP: "map",
    SET: "set",
    QUEUE: "queue",
    LOCK: "lock",
    SEMAPHORE: "semaphore",
    BARRIER: "barrier",
    FENCE: "fence",
    RW_LOCK: "rw_lock",
    ELECTION: "election",
    EVENTS: "events",
    RECORD: "record",
}

HOLDING_KINDS = (LOCK, SEMAPHORE, RW_LOCK, ELECTION)
"""Kinds of which a session holds something until it gives it back, loses it or ends."""

OK, QUEUED, MISMATCH, DESTROYED, BROKEN, OVERLOADED, NOT_WAITING = range(7)
"""What a structure answers."""

UNRECORDED, OTHER_JOURNAL, UNSAVED = range(7, 10)
"""What a slot answers instead where a journal is in play; see `record`."""

NOT_WRITER, NOT_NEXT = range(10, 12)
"""What the log of an entity answers to who may not write it, or not there; see `events`."""

EXPIRED, NOT_LEADER, BUSY, UNKNOWN, BAD, STALE, WITHDRAWN, TOO_LARGE, FULL = range(16, 25)
"""What a slot or its host answers instead; no structure ever does."""

CODE, VALUE = 0, 1
"""Where a reply has its status, and what comes with it, if it is one value."""

OPERATION = 0
"""Where a command, and a query, has its operation."""

DESTROY = 0
"""The one operation that every kind has; the others are numbered from 1 in the structure's own file."""

RELEASE, RESIZE = 3, 4
"""Operations of the kinds in `HOLDING_KINDS` that never wait and are granted nothing; the others may."""

PAID_AT_ONCE = 128
"""Requests of one entity that one entry ends, grants or answers, besides the caller's: about a millisecond. The rest is
*owed*, and the slot's leader proposes an entry for each further part."""

RECORD_BYTES = 256
"""About what the machine spends on one entity besides its name and its state: table rows and object heads."""

LOST_EXPIRED = "the session of its owner was not confirmed in time, so another may be granted it"
LOST_DESTROYED = "it was destroyed"
LOST_VISIBILITY = "its visibility was over, or its queue was destroyed"
"""Why a hold ended early."""

Command = Sequence[Any]
"""A flat list of plain values: the operation, then its arguments."""

Reply = list[Any]
"""A flat list of plain values: the status, then its details."""

Shapes = Mapping[int, Row]
"""Operation -> its arguments; field 0 of a row is the operation itself."""

NO_FIELDS = Row(())
COUNT = Number(0, MAX_NUMBER)


class Caller(NamedTuple):
    """Whose command it is; unique for ever within a slot."""

    session: int
    seq: int


class Effect(NamedTuple):
    """The final outcome of an earlier request that was answered ``[QUEUED]``."""

    session: int
    seq: int
    reply: Reply


NO_EFFECTS: tuple[Effect, ...] = ()


class Decision(NamedTuple):
    """What an entry did to one entity. `state` None: the entity does not exist any more.

    `gone` is the number of the caller's request whose hold this command ended, 0 if it ended none. `changes` are for
    the entity's record; see `Structure.change_of`.
    """

    state: Any
    reply: Reply
    effects: Sequence[Effect] = NO_EFFECTS
    gone: int = 0
    changes: Sequence[Command] = ()


class Rows(Protocol):
    """The rows of a table of any length, as they were when it was frozen."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Sequence[Any]: ...


class Pairs:
    """A frozen dictionary: two lists, a fifth of the price of a list of pairs."""

    __slots__ = ("_keys", "_values")

    def __init__(self, table: dict[Any, Any]) -> None:
        # Not the table's own methods: an ordered one's are five times slower, and its order is the same here, for
        # nothing is ever moved to its end.
        self._keys = list(dict.keys(table)) if table else []
        self._values = list(dict.values(table)) if table else []

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, part: slice) -> Sequence[Any]:
        return list(zip(self._keys[part], self._values[part], strict=True))


class Frozen(NamedTuple):
    """A state as plain values: a small head, and tables of any length."""

    head: Any
    tables: tuple[Rows, ...] = ()


class Context:
    """What the slot knows at the moment of a command: the same on every replica.

    Parameters
    ----------
    caller
        Whose command it is. The slot may set it anew and use the context again.
    next_token
        Draws the slot's next fencing token.
    max_waiters, waiters
        How many requests may wait in this slot, and how many do.

    Attributes
    ----------
    time
        The time of the slot, in ticks, as its log tells it; see `casty.cluster.slots.lapses`.
    """

    __slots__ = ("caller", "max_waiters", "next_token", "time", "waiters")

    def __init__(
        self, caller: Caller, next_token: Callable[[], int], max_waiters: int = 100_000, waiters: int = 0
    ) -> None:
        self.caller = caller
        self.next_token = next_token
        self.max_waiters = max_waiters
        self.time = 0
        self.waiters = waiters


S = TypeVar("S")
_NOT_WAITING: Reply = [NOT_WAITING]


class Structure(Generic[S]):
    """One kind of entity. This base answers for kinds in which nothing waits and nothing is held.

    `state` is None where the entity does not exist. A method may change `state` in place and return it.
    Replies may be shared between calls: nobody changes one.
    """

    __slots__ = ()

    kind: int
    name: str
    stores_values: ClassVar[bool] = False
    """Whether users store values of any size in it; otherwise its entities are small records."""
    shapes: ClassVar[Shapes]
    query_shapes: ClassVar[Shapes]
    """What its commands and queries are: part of the schema of a slot's entries, which is asked before they are
    proposed and again before they are applied."""

    def check(self, command: object) -> None:
        """Raise `ValueError` unless `command` is one of this kind: for whoever has no slot in between."""
        self._check(self.shapes, command)

    def check_query(self, query: object) -> None:
        """Raise `ValueError` unless `query` is one of this kind."""
        self._check(self.query_shapes, query)

    def _check(self, shapes: Shapes, fields: object) -> None:
        found = flaw(Tagged(shapes), fields, self.name)
        if found is not None:
            raise ValueError(found)

    def decide(self, state: S | None, command: Command, ctx: Context) -> Decision:
        """Apply a checked command."""
        raise NotImplementedError

    def query(self, state: S | None, query: Command) -> Reply:
        """Answer a checked query; changes nothing."""
        raise NotImplementedError

    def cancel(self, state: S, session: int, seq: int) -> Decision:
        """Remove a request that still waits, ``[OK]``; ``[NOT_WAITING]`` if granted, done or unknown."""
        return Decision(state, _NOT_WAITING)

    def abandon(self, state: S, session: int, seq: int) -> Decision:
        """Remove whatever is left of a request: waiting, held, or held when the structure was destroyed."""
        return Decision(state, [OK])

    def end_session(self, state: S, session: int) -> Decision:
        """Remove everything of a session."""
        return Decision(state, [OK])

    def owes(self, state: S) -> bool:
        """Whether requests were decided that are not told yet; see `PAID_AT_ONCE`."""
        return False

    def pay(self, state: S) -> Decision:
        """Tell the next of them; nothing happens where nothing is owed."""
        return Decision(state, [OK])

    def involves(self, state: S, session: int) -> bool:
        """Whether anything of the session waits, is held, or was held when the structure was destroyed."""
        return False

    def outcome(self, state: S, session: int, seq: int) -> Reply | None:
        """What a waiting or granted request would be answered now; None when nothing of it is left."""
        return None

    def is_held(self, state: S, session: int, seq: int) -> bool:
        """Whether a granted request still holds, and was not lost by a destroy."""
        return False

    def waiting(self, state: S) -> int:
        """How many requests wait."""
        return 0

    def weight(self, state: S) -> int:
        """Return about how many bytes the state takes, in constant time."""
        return 0

    def grows(self, state: S | None, command: Command) -> bool:
        """Whether a checked command may make the state larger than it is; the others are never refused."""
        return False

    def has_changed(self, command: Command, reply: Reply) -> bool:
        """Whether a command changed the entity, by what it was answered; only that is put on record."""
        return reply[0] == OK and reply[1] is not False

    def change_of(self, command: Command, reply: Reply) -> Command | None:
        """Return what goes on record of a command that was answered so, None where it changed nothing.

        Mostly it is the command itself. Kinds in which somebody waits change by what others do as well: of those each
        `Decision` says what changed, and this, where it is anything, is the first of it.
        """
        return command if self.has_changed(command, reply) else None

    def take_back(self, state: S | None, session: int, seq: int, reply: Reply) -> Decision:
        """Undo a request that took something out, and whose answer nobody has; others cannot be undone."""
        return Decision(state, [OK])

    def rebuild(self, state: S) -> list[Command]:
        """Return commands that give an equal state where there is none; of kinds that are put on record."""
        raise NotImplementedError(f"a {self.name} is not put on record")

    def freeze(self, state: S) -> Frozen:
        """Return what the state is now, for as long as it is looked at: tables are copied, not what is in them.

        This one is for states that never change in place and are plain values.
        """
        return Frozen(state)

    def begin(self, head: Any) -> S:
        """Return the state of a `Frozen.head`, its tables still empty."""
        state: S = head
        return state

    def extend(self, state: S, table: int, rows: Sequence[Any]) -> None:
        """Add the next rows of a table; tables come in order, and rows as plain values: lists for tuples."""
        raise ValueError(f"{self.name}: expected no rows, found {len(rows)} of table {table}")

    def dump(self, state: S) -> object:
        """Return the whole state as a plain value."""
        head, tables = self.freeze(state)
        return [head, *(table[:] for table in tables)]

    def load(self, plain: Any) -> S:
        """Return the state that `dump` gave as `plain`."""
        state = self.begin(plain[0])
        for table, rows in enumerate(plain[1:]):
            self.extend(state, table, rows)
        return state
