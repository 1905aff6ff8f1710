"""Fence: a register that accepts only tokens not lower than the highest it has seen.

After M. Kleppmann, "How to do distributed locking" (2016): the resource itself has to refuse a holder whose
hold ended without its knowing. This is such a resource, and a stand-in for those that cannot compare tokens.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from casty.distributed.machines.base import (
    COUNT,
    DESTROY,
    FENCE,
    NO_FIELDS,
    OK,
    Command,
    Context,
    Decision,
    Frozen,
    Reply,
    Shapes,
    Structure,
)
from casty.schema import Data, Row

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
    stores_values = True
    shapes: ClassVar[Shapes] = {DESTROY: NO_FIELDS, WRITE: Row((COUNT, Data())), CHECK: Row((COUNT,))}
    query_shapes: ClassVar[Shapes] = {READ: NO_FIELDS}

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

    def weight(self, state: Register) -> int:
        """Return the bytes of token and value."""
        return 128 + (0 if state.value is None else len(state.value))

    def grows(self, state: Register | None, command: Command) -> bool:
        """A write grows unless it is no longer than what it replaces."""
        if command[0] != WRITE:
            return state is None and command[0] != DESTROY
        return state is None or state.value is None or len(command[2]) > len(state.value)

    def rebuild(self, state: Register) -> list[Command]:
        """See `Structure.rebuild`."""
        return [[CHECK, state.token] if state.value is None else [WRITE, state.token, state.value]]

    def freeze(self, state: Register) -> Frozen:
        """See `Structure.freeze`."""
        return Frozen(list(state))

    def begin(self, head: Any) -> Register:
        """See `Structure.begin`."""
        return Register(*head)


FENCES = FenceStructure()
