"""Fence: a register that accepts only tokens not lower than the highest it has seen.

After M. Kleppmann, "How to do distributed locking" (2016): the resource itself has to refuse a holder whose hold ended
without its knowing. This is such a resource, and a stand-in for those that cannot compare tokens.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from casty.distributed.core import DESTROY, FENCE, OK, Command, Context, Decision, Reply, Shapes, Structure

__all__ = ["FENCES"]

WRITE, CHECK = 1, 2
READ = 1


class Register(NamedTuple):
    """The state: the highest token seen and the encoded value, None before the first write."""

    token: int
    value: bytes | None


class FenceStructure(Structure[Register]):
    """A fence that does not exist has seen token 0."""

    __slots__ = ()
    kind = FENCE
    name = "fence"
    shapes: ClassVar[Shapes] = {DESTROY: (), WRITE: ((int,), (bytes,)), CHECK: ((int,),)}
    query_shapes: ClassVar[Shapes] = {READ: ()}

    def decide(self, state: Register | None, command: Command, ctx: Context) -> Decision:
        """WRITE and CHECK answer whether the token was accepted; an accepted one has been seen."""
        operation = command[0]
        if operation == DESTROY:
            return Decision(None, [OK, state is not None])
        token = command[1]
        if state is not None and token < state.token:
            return Decision(state, [OK, False])
        if operation == WRITE:
            return Decision(Register(token, command[2]), [OK, True])
        return Decision(Register(token, None if state is None else state.value), [OK, True])

    def query(self, state: Register | None, query: Command) -> Reply:
        """Answer value and token."""
        return [OK, [None, 0] if state is None else [state.value, state.token]]

    def dump(self, state: Register) -> object:
        """Return token and value."""
        return list(state)

    def load(self, plain: Any) -> Register:
        """Return the register of this token and value."""
        return Register(*plain)


FENCES = FenceStructure()
