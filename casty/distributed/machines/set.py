"""Set: the canonical bytes of a member decide whether it is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from casty.distributed.machines.base import (
    DESTROY,
    NO_FIELDS,
    OK,
    SET,
    Command,
    Context,
    Decision,
    Frozen,
    Reply,
    Shapes,
    Structure,
)
from casty.entity_order import EntityOrder
from casty.schema import Data, Row

__all__ = ["SETS"]

ADD, REMOVE = 1, 2
CONTAINS, SIZE, ITEMS = 1, 2, 3

MEMBER_BYTES = 150
"""About what one member takes besides its bytes."""

PAGE = 1_024
PAGE_BYTES = 32 * 1024
"""Members on a page, and their bytes but for one of a single member: below every legal `Settings.max_frame_bytes`."""


class Members(dict[bytes, None]):
    """The members' canonical bytes, in the order they came, how many bytes they take, and the same sorted.

    Pages follow the sorted ones: a member that is there all the time is on one of them, whatever comes and goes.
    """

    __slots__ = ("order", "size_bytes")

    def __init__(self, members: Iterable[bytes] = ()) -> None:
        super().__init__()
        self.size_bytes = 0
        self.order = EntityOrder()
        for member in members:
            self.add(member)

    def add(self, member: bytes) -> None:
        """Take in one that is not there."""
        self[member] = None
        self.order.add(member)
        self.size_bytes += MEMBER_BYTES + len(member)

    def remove(self, member: bytes) -> None:
        """Take out one that is there."""
        del self[member]
        self.order.remove(member)
        self.size_bytes -= MEMBER_BYTES + len(member)


class SetStructure(Structure[Members]):
    """State: the members' canonical bytes, in the order they came."""

    __slots__ = ()
    kind = SET
    name = "set"
    stores_values = True
    shapes: ClassVar[Shapes] = {DESTROY: NO_FIELDS, ADD: Row((Data(),)), REMOVE: Row((Data(),))}
    query_shapes: ClassVar[Shapes] = {CONTAINS: Row((Data(),)), SIZE: NO_FIELDS, ITEMS: Row((Data(),))}

    def decide(self, state: Members | None, command: Command, ctx: Context) -> Decision:
        """Answer whether the set changed. Emptied by REMOVE it still exists."""
        operation = command[0]
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        if operation == ADD:
            members = Members() if state is None else state
            is_new = command[1] not in members
            if is_new:
                members.add(command[1])
            return Decision(members, [OK, is_new])
        if state is None or command[1] not in state:
            return Decision(state, [OK, False])
        state.remove(command[1])
        return Decision(state, [OK, True])

    def query(self, state: Members | None, query: Command) -> Reply:
        """Answer whether a member is there, how many are, or a page of those above one, and if there are more."""
        if query[0] == ITEMS:
            page, is_more = state.order.page(b"", query[1], PAGE, PAGE_BYTES) if state else ([], False)
            return [OK, [page, is_more]]
        if query[0] == SIZE:
            return [OK, 0 if state is None else len(state)]
        return [OK, state is not None and query[1] in state]

    def weight(self, state: Members) -> int:
        """Return the bytes of the members."""
        return state.size_bytes

    def grows(self, state: Members | None, command: Command) -> bool:
        """Only a member that is not there yet makes it larger."""
        return command[0] == ADD and (state is None or command[1] not in state)

    def rebuild(self, state: Members) -> list[Command]:
        """See `Structure.rebuild`. An empty set exists as well."""
        return [[ADD, member] for member in state] or [[ADD, b""], [REMOVE, b""]]

    def freeze(self, state: Members) -> Frozen:
        """See `Structure.freeze`."""
        return Frozen(None, (list(state),))

    def begin(self, head: Any) -> Members:
        """See `Structure.begin`."""
        return Members()

    def extend(self, state: Members, table: int, rows: Sequence[Any]) -> None:
        """See `Structure.extend`."""
        for member in rows:
            state.add(member)


SETS = SetStructure()
