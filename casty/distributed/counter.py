"""Counter: an unbounded integer. A retry is answered what the first attempt was."""

from __future__ import annotations

from typing import ClassVar

from casty.distributed.core import COUNTER, DESTROY, OK, Command, Context, Decision, Reply, Shapes, Structure

__all__ = ["COUNTERS"]

ADD, COMPARE_AND_SET = 1, 2
GET = 1


class CounterStructure(Structure[int]):
    """State: the value. A counter that does not exist counts as zero."""

    __slots__ = ()
    kind = COUNTER
    name = "counter"
    shapes: ClassVar[Shapes] = {DESTROY: (), ADD: ((int,),), COMPARE_AND_SET: ((int,), (int,))}
    query_shapes: ClassVar[Shapes] = {GET: ()}

    def decide(self, state: int | None, command: Command, ctx: Context) -> Decision:
        """ADD answers the new value, COMPARE_AND_SET and DESTROY whether they did."""
        operation = command[0]
        value = state or 0
        if operation == ADD:
            value += command[1]
            return Decision(value, [OK, value])
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        if value != command[1]:
            return Decision(state, [OK, False])
        return Decision(command[2], [OK, True])

    def query(self, state: int | None, query: Command) -> Reply:
        """Answer the value."""
        return [OK, state or 0]

    def dump(self, state: int) -> object:
        """Return the value."""
        return state

    def load(self, plain: object) -> int:
        """Return the value."""
        assert isinstance(plain, int)
        return plain


COUNTERS = CounterStructure()
