"""Queue: first in, first out by commit. An item leaves with the request that took it, and with no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from casty.distributed.machines.base import (
    DESTROY,
    NO_FIELDS,
    OK,
    QUEUE,
    Command,
    Context,
    Decision,
    Frozen,
    Reply,
    Shapes,
    Structure,
)
from casty.schema import Data, Row

__all__ = ["QUEUES"]

ENQUEUE, DEQUEUE, PUT_BACK = 1, 2, 3
PEEK, SIZE = 1, 2

ITEM_BYTES = 48
"""About what one item takes besides its bytes."""


class Items(deque[bytes]):
    """The encoded items, and how many bytes they take."""

    __slots__ = ("size_bytes",)

    def __init__(self, items: Iterable[bytes] = ()) -> None:
        super().__init__(items)
        self.size_bytes = sum(ITEM_BYTES + len(item) for item in self)


class QueueStructure(Structure[Items]):
    """State: the encoded items. Empty it still exists."""

    __slots__ = ()
    kind = QUEUE
    name = "queue"
    stores_values = True
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        ENQUEUE: Row((Data(),)),
        DEQUEUE: NO_FIELDS,
        PUT_BACK: Row((Data(),)),
    }
    query_shapes: ClassVar[Shapes] = {PEEK: NO_FIELDS, SIZE: NO_FIELDS}

    def decide(self, state: Items | None, command: Command, ctx: Context) -> Decision:
        """DEQUEUE answers the item, or None; the reply is kept, and answered again to the same request.

        PUT_BACK is from one who took an item and cannot decode it: it is the first again.
        """
        operation = command[0]
        if operation in (ENQUEUE, PUT_BACK):
            items = Items() if state is None else state
            if operation == ENQUEUE:
                items.append(command[1])
            else:
                items.appendleft(command[1])
            items.size_bytes += ITEM_BYTES + len(command[1])
            return Decision(items, [OK, None])
        if operation == DEQUEUE:
            if not state:
                return Decision(state, [OK, None])
            item = state.popleft()
            state.size_bytes -= ITEM_BYTES + len(item)
            return Decision(state, [OK, item])
        return Decision(None, [OK, state is not None])

    def query(self, state: Items | None, query: Command) -> Reply:
        """Answer the first item, or how many there are."""
        if query[0] == SIZE:
            return [OK, 0 if state is None else len(state)]
        return [OK, state[0] if state else None]

    def weight(self, state: Items) -> int:
        """Return the bytes of the items."""
        return state.size_bytes

    def grows(self, state: Items | None, command: Command) -> bool:
        """Every item makes it larger."""
        return command[0] in (ENQUEUE, PUT_BACK)

    def has_changed(self, command: Command, reply: Reply) -> bool:
        """To find it empty changes nothing."""
        return super().has_changed(command, reply) and not (command[0] == DEQUEUE and reply[1] is None)

    def rebuild(self, state: Items) -> list[Command]:
        """See `Structure.rebuild`. An empty queue exists as well."""
        return [[ENQUEUE, item] for item in state] or [[ENQUEUE, b""], [DEQUEUE]]

    def freeze(self, state: Items) -> Frozen:
        """See `Structure.freeze`."""
        return Frozen(None, (list(state),))

    def begin(self, head: Any) -> Items:
        """See `Structure.begin`."""
        return Items()

    def extend(self, state: Items, table: int, rows: Sequence[Any]) -> None:
        """See `Structure.extend`."""
        state.extend(rows)
        state.size_bytes += sum(ITEM_BYTES + len(item) for item in rows)


QUEUES = QueueStructure()
