"""Map: one entity per key, so that the keys of one map spread over all slots.

Values are stored as the bytes the caller encoded; None is a value like any other, absence is the absent
record.
"""

from __future__ import annotations

from typing import ClassVar

from casty.distributed.machines.base import (
    DESTROY,
    MAP,
    NO_FIELDS,
    OK,
    Command,
    Context,
    Decision,
    Reply,
    Shapes,
    Structure,
)
from casty.schema import Data, Row

__all__ = ["MAPS"]

PUT, PUT_IF_ABSENT, COMPARE_AND_SET = 1, 2, 3
GET, CONTAINS = 1, 2


class MapStructure(Structure[bytes]):
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
    }
    query_shapes: ClassVar[Shapes] = {GET: NO_FIELDS, CONTAINS: NO_FIELDS}

    def decide(self, state: bytes | None, command: Command, ctx: Context) -> Decision:
        """PUT answers the previous value, the others whether they did."""
        operation = command[0]
        if operation == PUT:
            return Decision(command[1], [OK, state])
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        if operation == PUT_IF_ABSENT:
            return Decision(command[1] if state is None else state, [OK, state is None])
        if state != command[1]:
            return Decision(state, [OK, False])
        return Decision(command[2], [OK, True])

    def query(self, state: bytes | None, query: Command) -> Reply:
        """Answer the value, or whether there is one."""
        return [OK, state if query[0] == GET else state is not None]

    def weight(self, state: bytes) -> int:
        """Return the bytes of the value."""
        return 40 + len(state)

    def grows(self, state: bytes | None, command: Command) -> bool:
        """A value grows unless it is no longer than what it replaces."""
        operation = command[0]
        if operation == DESTROY:
            return False
        if operation == PUT_IF_ABSENT:
            return state is None
        return state is None or len(command[-1]) > len(state)

    def rebuild(self, state: bytes) -> list[Command]:
        """See `Structure.rebuild`."""
        return [[PUT, state]]


MAPS = MapStructure()
