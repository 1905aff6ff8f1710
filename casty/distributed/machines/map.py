"""Map: one entity per key, so that the keys of one map spread over all slots.

Values are stored as the bytes the caller encoded; None is a value like any other, absence is the absent
record.

A key may have a time to live. Time here is the *time of the slot*: a count of ticks that the slot's log carries, the
same on every replica (`casty.cluster.slots.lapses`). A key with a time to live has the tick from which on it may end;
that it ended is an entry of the log, before which it is there for everybody, and after which for nobody.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from casty.distributed.machines.base import (
    DESTROY,
    MAP,
    NO_EFFECTS,
    NO_FIELDS,
    OK,
    Command,
    Context,
    Decision,
    Reply,
    Shapes,
    Structure,
)
from casty.errors import CastyError
from casty.limits import MAX_TTL_TICKS
from casty.schema import Data, Number, Row
from casty.tuples import new_tuple
from casty.wire.pack import pack, unpack

__all__ = [
    "HAS_ENDED",
    "MAPS",
    "TICK_MS",
    "TIMED",
    "WAS_DELETED",
    "WAS_PUT",
    "Lasting",
    "is_told",
    "map_label",
    "value_of",
]

PUT, PUT_IF_ABSENT, COMPARE_AND_SET, PUT_FOR, PUT_IF_ABSENT_FOR, COMPARE_AND_SET_FOR, TOUCH, PERSIST = range(
    1, 9
)
GET, CONTAINS, TTL = 1, 2, 3

TICK_MS = 10
"""Milliseconds of one tick of the time of a slot."""

TIMED = {PUT_FOR: PUT, PUT_IF_ABSENT_FOR: PUT_IF_ABSENT, COMPARE_AND_SET_FOR: COMPARE_AND_SET, TOUCH: TOUCH}
"""Operations whose last argument is a time to live in ticks, and which they are but for that: the time of the slot has
to be that of their proposal when they are applied."""

LASTING_BYTES = 280
"""About what a time to live takes: the object, and the place in the order of ends with the name once more."""

WAS_PUT, WAS_DELETED, HAS_ENDED = range(3)
"""What happened to a key: those who watch it are told."""

FOR_EVER = -1
"""What `TTL` answers for a key without one."""

_TICKS = Number(1, MAX_TTL_TICKS)


class Lasting(NamedTuple):
    """A value with a time to live.

    `end` is the first tick at which it may be gone: one more than the time of the slot when it was stored and the time
    to live, as that time is told in whole ticks and may have been up to one tick more. `ttl` is what was asked for.
    """

    value: bytes
    end: int
    ttl: int


State = bytes | Lasting
"""A key's value, and when it ends if it does."""


def value_of(state: State | None) -> bytes | None:
    """Return the value of a key, None where there is none."""
    return state.value if isinstance(state, Lasting) else state


_NO_KEY = pack(b"")


def map_label(entity: bytes) -> str:
    """Return what people call the map whose key an entity is, or with which all entities of the map begin."""
    name: object = entity
    for rest in (b"", _NO_KEY):
        try:
            plain: Any = unpack(entity + rest)
        except (CastyError, ValueError):
            continue
        name = plain[0] if isinstance(plain, list) and plain else entity
        break
    return f"{name!r:.100}"


def is_told(command: Command, reply: Reply) -> bool:
    """Whether a command that was answered so changed the value, which who watches is told; a time to live is not."""
    return command[0] not in (TOUCH, PERSIST) and reply[0] == OK and reply[1] is not False


class MapStructure(Structure[State]):
    """State: the encoded value of one key. Deleting a key is destroying its entity."""

    __slots__ = ()
    kind = MAP
    name = "map"
    stores_values = True
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        PUT: Row((Data(),)),
        PUT_IF_ABSENT: Row((Data(),)),
        COMPARE_AND_SET: Row((Data(), Data())),
        PUT_FOR: Row((Data(), _TICKS)),
        PUT_IF_ABSENT_FOR: Row((Data(), _TICKS)),
        COMPARE_AND_SET_FOR: Row((Data(), Data(), _TICKS)),
        TOUCH: Row((_TICKS,)),
        PERSIST: NO_FIELDS,
    }
    query_shapes: ClassVar[Shapes] = {GET: NO_FIELDS, CONTAINS: NO_FIELDS, TTL: NO_FIELDS}

    def decide(self, state: State | None, command: Command, ctx: Context) -> Decision:
        """PUT answers the previous value, the others whether they did.

        What stores a value without a time to live takes away the one that the key had.
        """
        operation = command[0]
        held = state.value if isinstance(state, Lasting) else state  # as `value_of`
        if operation == PUT:  # as below, for what is asked most
            return new_tuple(Decision, (command[1], [OK, held], NO_EFFECTS, 0, ()))
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        if operation == PERSIST:
            return Decision(held, [OK, isinstance(state, Lasting)])
        if operation == TOUCH:
            return Decision(None if held is None else _lasting(held, command, ctx), [OK, held is not None])
        plain = TIMED.get(operation, operation)
        if (plain == PUT_IF_ABSENT and held is not None) or (plain == COMPARE_AND_SET and held != command[1]):
            return Decision(state, [OK, False])
        value = command[2 if plain == COMPARE_AND_SET else 1]
        after = value if plain == operation else _lasting(value, command, ctx)
        return new_tuple(Decision, (after, [OK, held if plain == PUT else True], NO_EFFECTS, 0, ()))

    def query(self, state: State | None, query: Command) -> Reply:
        """Answer the value, whether there is one, or the tick at which it ends: None for no key, else `FOR_EVER`."""
        operation = query[0]
        if operation == GET:
            return [OK, value_of(state)]
        if operation == CONTAINS:
            return [OK, state is not None]
        return [OK, None if state is None else state.end if isinstance(state, Lasting) else FOR_EVER]

    def weight(self, state: State) -> int:
        """Return the bytes of the value, and of its time to live."""
        if isinstance(state, Lasting):
            return 40 + LASTING_BYTES + len(state.value)
        return 40 + len(state)

    def grows(self, state: State | None, command: Command) -> bool:
        """A value grows unless it is no longer than what it replaces; so does a key by its first time to live."""
        operation: int = command[0]
        if operation in (DESTROY, PERSIST):
            return False
        if state is None:
            return operation != TOUCH
        if operation in TIMED and not isinstance(state, Lasting):
            return True
        plain = TIMED.get(operation, operation)
        if plain in (TOUCH, PUT_IF_ABSENT):
            return False
        held = value_of(state)
        return held is not None and len(command[2 if plain == COMPARE_AND_SET else 1]) > len(held)

    def rebuild(self, state: State) -> list[Command]:
        """See `Structure.rebuild`. Where it is applied again the time to live begins anew."""
        if isinstance(state, Lasting):
            return [[PUT_FOR, state.value, state.ttl]]
        return [[PUT, state]]

    def begin(self, head: Any) -> State:
        """See `Structure.begin`."""
        return head if isinstance(head, bytes) else Lasting(*head)


def _lasting(value: bytes, command: Command, ctx: Context) -> Lasting:
    ttl: int = command[-1]
    return Lasting(value, ctx.time + ttl + 1, ttl)


MAPS = MapStructure()
