"""Set: the canonical bytes of a member decide whether it is one."""

from __future__ import annotations

from typing import Any, ClassVar

from casty.distributed.core import DESTROY, OK, SET, Command, Context, Decision, Reply, Shapes, Structure

__all__ = ["SETS"]

ADD, REMOVE = 1, 2
CONTAINS, SIZE = 1, 2

Members = dict[bytes, None]


class SetStructure(Structure[Members]):
    """State: the members' canonical bytes, in the order they came."""

    __slots__ = ()
    kind = SET
    name = "set"
    shapes: ClassVar[Shapes] = {DESTROY: (), ADD: ((bytes,),), REMOVE: ((bytes,),)}
    query_shapes: ClassVar[Shapes] = {CONTAINS: ((bytes,),), SIZE: ()}

    def decide(self, state: Members | None, command: Command, ctx: Context) -> Decision:
        """Answer whether the set changed. Emptied by REMOVE it still exists."""
        operation = command[0]
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        if operation == ADD:
            members: Members = {} if state is None else state
            is_new = command[1] not in members
            members[command[1]] = None
            return Decision(members, [OK, is_new])
        if state is None or command[1] not in state:
            return Decision(state, [OK, False])
        del state[command[1]]
        return Decision(state, [OK, True])

    def query(self, state: Members | None, query: Command) -> Reply:
        """Answer whether a member is there, or how many are."""
        if query[0] == SIZE:
            return [OK, 0 if state is None else len(state)]
        return [OK, state is not None and query[1] in state]

    def dump(self, state: Members) -> object:
        """Return the members."""
        return list(state)

    def load(self, plain: Any) -> Members:
        """Return the state of these members."""
        return dict.fromkeys(plain)


SETS = SetStructure()
