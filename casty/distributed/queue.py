"""Queue: first in, first out by commit. An item leaves with the request that took it, and only with that one."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from casty.distributed.core import DESTROY, OK, QUEUE, Command, Context, Decision, Reply, Shapes, Structure

__all__ = ["QUEUES"]

ENQUEUE, DEQUEUE = 1, 2
PEEK, SIZE = 1, 2

Items = deque[bytes]


class QueueStructure(Structure[Items]):
    """State: the encoded items. Empty it still exists."""

    __slots__ = ()
    kind = QUEUE
    name = "queue"
    shapes: ClassVar[Shapes] = {DESTROY: (), ENQUEUE: ((bytes,),), DEQUEUE: ()}
    query_shapes: ClassVar[Shapes] = {PEEK: (), SIZE: ()}

    def decide(self, state: Items | None, command: Command, ctx: Context) -> Decision:
        """DEQUEUE answers the item, or None; its reply is kept under the request, so a lost one is answered again."""
        operation = command[0]
        if operation == ENQUEUE:
            items: Items = deque() if state is None else state
            items.append(command[1])
            return Decision(items, [OK, None])
        if operation == DEQUEUE:
            return Decision(state, [OK, state.popleft() if state else None])
        return Decision(None, [OK, state is not None])

    def query(self, state: Items | None, query: Command) -> Reply:
        """Answer the first item, or how many there are."""
        if query[0] == SIZE:
            return [OK, 0 if state is None else len(state)]
        return [OK, state[0] if state else None]

    def dump(self, state: Items) -> object:
        """Return the items."""
        return list(state)

    def load(self, plain: Any) -> Items:
        """Return the state of these items."""
        return deque(plain)


QUEUES = QueueStructure()
