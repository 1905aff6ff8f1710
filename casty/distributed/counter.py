"""Counter: an integer of any usual length. A retry is answered what the first attempt was."""

from __future__ import annotations

from typing import ClassVar

from casty.checks import check_integer
from casty.distributed.core import (
    COUNTER,
    DESTROY,
    NO_FIELDS,
    OK,
    Command,
    Context,
    Decision,
    Reply,
    Shapes,
    Structure,
)
from casty.distributed.handle import Handle
from casty.distributed.port import EntityGateway, RegionRef
from casty.limits import MAX_INTEGER_BITS
from casty.schema import Integer, Row

__all__ = ["COUNTERS", "Counter"]

ADD, COMPARE_AND_SET, RESET = 1, 2, 3
GET = 1

VALUE = Integer(MAX_INTEGER_BITS)


class CounterStructure(Structure[int]):
    """State: the value. A counter that does not exist counts as zero."""

    __slots__ = ()
    kind = COUNTER
    name = "counter"
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        ADD: Row((VALUE,)),
        COMPARE_AND_SET: Row((VALUE, VALUE)),
        RESET: NO_FIELDS,
    }
    query_shapes: ClassVar[Shapes] = {GET: NO_FIELDS}

    def decide(self, state: int | None, command: Command, ctx: Context) -> Decision:
        """ADD answers the new value, RESET the former one, COMPARE_AND_SET and DESTROY whether they did."""
        operation = command[0]
        value = state or 0
        if operation == ADD:
            value += command[1]
            return Decision(value, [OK, value])
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        if operation == RESET:
            return Decision(0, [OK, value])
        if value != command[1]:
            return Decision(state, [OK, False])
        return Decision(command[2], [OK, True])

    def query(self, state: int | None, query: Command) -> Reply:
        """Answer the value."""
        return [OK, state or 0]

    def weight(self, state: int) -> int:
        """Return the bytes of the number."""
        return 32 + state.bit_length() // 8

    def grows(self, state: int | None, command: Command) -> bool:
        """A counter that exists grows only by a number that is longer than its value, and than a usual one."""
        if state is None:
            return bool(command[0] != DESTROY)
        most_bits = max(64, state.bit_length())
        return any(amount.bit_length() > most_bits for amount in command[1:])


COUNTERS = CounterStructure()


class Counter(Handle):
    """A distributed counter.

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
    >>> async def visit(d: Distributed) -> int:
    ...     counter = d.counter("hits")
    ...     await counter.increment(5)
    ...     return await counter.get()
    """

    __slots__ = ()
    _kind = COUNTER

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        super().__init__(gateway, region_ref, name, timeout)

    async def increment(self, amount: int = 1) -> int:
        """Add to the counter, once however often it has to be sent.

        Parameters
        ----------
        amount
            What to add; an int of at most 14,000 bits, some 4,200 digits.

        Returns
        -------
        int
            The value after this increment.

        Raises
        ------
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        """
        value: int = await self._command([ADD, check_integer("amount", amount, MAX_INTEGER_BITS)])
        return value

    async def decrement(self, amount: int = 1) -> int:
        """Subtract from the counter; as `increment`.

        Parameters
        ----------
        amount
            What to subtract; as for `increment`.

        Returns
        -------
        int
            The value after this decrement.
        """
        value: int = await self._command([ADD, -check_integer("amount", amount, MAX_INTEGER_BITS)])
        return value

    async def get(self) -> int:
        """Return the value; 0 for a counter that does not exist."""
        value: int = await self._read([GET])
        return value

    async def compare_and_set(self, expected: int, value: int) -> bool:
        """Set the counter to `value` if it is `expected`.

        Returns
        -------
        bool
            True if it was.
        """
        values = [
            check_integer("expected", expected, MAX_INTEGER_BITS),
            check_integer("value", value, MAX_INTEGER_BITS),
        ]
        return bool(await self._command([COMPARE_AND_SET, *values]))

    async def reset(self) -> int:
        """Set the counter to zero, and return the value it had."""
        value: int = await self._command([RESET])
        return value
