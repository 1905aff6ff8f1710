"""Counter: an integer of any usual length. A retry is answered what the first attempt was."""

from __future__ import annotations

from typing import ClassVar

from casty.distributed.machines.base import (
    COUNTER,
    DESTROY,
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
from casty.limits import MAX_INTEGER_BITS
from casty.schema import Data, Integer, Row
from casty.tuples import new_tuple

__all__ = ["COUNTERS"]

ADD, COMPARE_AND_SET, RESET, LONG = 1, 2, 3, 4
GET = 1

VALUE = Integer(MAX_INTEGER_BITS)
"""What one call may name; a value that many calls added up may be longer."""


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
        LONG: Row((Data(),)),
    }
    query_shapes: ClassVar[Shapes] = {GET: NO_FIELDS}

    def decide(self, state: int | None, command: Command, ctx: Context) -> Decision:
        """ADD answers the new value, RESET the former one, COMPARE_AND_SET and DESTROY whether they did.

        LONG is what a history has of a value that no call can name: its bytes, the sign in the first bit.
        """
        operation = command[0]
        value = state or 0
        if operation == ADD:
            value += command[1]
            return new_tuple(Decision, (value, [OK, value], NO_EFFECTS, 0, ()))
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        if operation == RESET:
            return Decision(0, [OK, value])
        if operation == LONG:
            return Decision(int.from_bytes(command[1], "big", signed=True), [OK, True])
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
        if command[0] == LONG:
            return 8 * len(command[1]) > most_bits + 8
        return any(amount.bit_length() > most_bits for amount in command[1:])

    def rebuild(self, state: int) -> list[Command]:
        """See `Structure.rebuild`."""
        if state.bit_length() <= MAX_INTEGER_BITS:
            return [[ADD, state]]
        return [[LONG, state.to_bytes(state.bit_length() // 8 + 1, "big", signed=True)]]


COUNTERS = CounterStructure()
