"""Queue: first in, first out by commit. An item leaves with the request that took it, and with no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

from casty.distributed.core import (
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
from casty.distributed.handle import Handle
from casty.distributed.port import EntityGateway, RegionRef
from casty.errors import CastyError, Undecodable
from casty.schema import Data, Row

__all__ = ["QUEUES", "Queue"]

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


V = TypeVar("V")


class Queue(Handle, Generic[V]):
    """A distributed queue, first in, first out by commit; unbounded.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` that is neither; otherwise None.
    name
        The name, not empty. The same name in another kind is another structure.
    timeout
        Deadline of each call, in seconds; None waits for ever.

    Examples
    --------
    >>> async def work(d: Distributed) -> str | None:
    ...     jobs = d.queue[str]("jobs")
    ...     await jobs.enqueue("task-1")
    ...     return await jobs.dequeue()
    """

    __slots__ = ()
    _kind = QUEUE

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        super().__init__(gateway, region_ref, name, timeout)

    async def enqueue(self, value: V) -> None:
        """Append a value.

        Raises
        ------
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        EncodingError
            The value cannot be encoded; the text names the path of the field.
        ValueError
            The value is None, by which `dequeue` and `peek` say that the queue is empty.
        """
        if value is None:
            raise ValueError(
                f"queue {self._name!r}: expected a value, found None, which is how dequeue() says that the queue is "
                "empty; put it into a tuple or a message of your own"
            )
        await self._command([ENQUEUE, self._port.encode(value)])

    async def dequeue(self) -> V | None:
        """Remove and return the first value.

        A lost reply is answered again with the same item: none is lost on the way, none goes to two callers. A
        call that is given up, by its deadline or by a cancellation, may have taken an item, which then is lost.

        Returns
        -------
        V | None
            The value, or None if the queue is empty.

        Raises
        ------
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        Undecodable
            The first value cannot be decoded here. It is the first again: its class has to be on this side, or
            another consumer has to take it. With ``was_applied`` it could not be put back in time, and perhaps only
            the error has its bytes.
        """
        data = await self._command([DEQUEUE])
        if data is None:
            return None
        try:
            return cast(V, self._decoded(data, was_applied=False))
        except Undecodable as error:
            try:
                await self._command([PUT_BACK, data])
            except CastyError as lost:
                text = f"queue {self._name!r}: {lost}; an item that cannot be decoded here was taken and not put back"
                raise Undecodable(f"{text}: `data` has its bytes", data, was_applied=True) from error
            raise

    async def peek(self) -> V | None:
        """Return the first value without removing it, or None if the queue is empty.

        Raises
        ------
        Undecodable
            It cannot be decoded here.
        """
        data = await self._read([PEEK])
        return None if data is None else cast(V, self._decoded(data, was_applied=False))

    async def size(self) -> int:
        """Return the number of values."""
        size: int = await self._read([SIZE])
        return size
