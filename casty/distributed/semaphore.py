"""Semaphore: permits that are granted in log order, all of a request or none of it."""

from __future__ import annotations

from typing import ClassVar

from casty.distributed.core import DESTROY, MISMATCH, OK, SEMAPHORE, Command, Context, Decision, Reply, Shapes
from casty.distributed.waiting import Line, LineStructure

__all__ = ["SEMAPHORES"]

ACQUIRE, TRY_ACQUIRE, RELEASE = 1, 2, 3
AVAILABLE = 1


class SemaphoreStructure(LineStructure):
    """State: a line with room for `permits`, which its creation fixed."""

    __slots__ = ()
    kind = SEMAPHORE
    name = "semaphore"
    shapes: ClassVar[Shapes] = {
        DESTROY: (),
        ACQUIRE: ((int,), (int,)),
        TRY_ACQUIRE: ((int,), (int,)),
        RELEASE: ((int,),),
    }
    query_shapes: ClassVar[Shapes] = {AVAILABLE: ((int,),)}

    def check(self, command: object) -> None:
        """Raise `ValueError` unless well formed, with ``1 <= n <= permits``; see `Structure.check`."""
        super().check(command)
        assert isinstance(command, (list, tuple))
        if command[0] in (ACQUIRE, TRY_ACQUIRE) and not 1 <= command[2] <= command[1]:
            raise ValueError(f"semaphore: expected 1 to {command[1]} permits, found {command[2]}")

    def decide(self, state: Line | None, command: Command, ctx: Context) -> Decision:
        """As for a lock; ACQUIRE and TRY_ACQUIRE carry (permits, n), RELEASE the granted request's number."""
        operation = command[0]
        if operation == RELEASE:
            if state is None:
                return Decision(None, [OK, False])
            return self._released(state, (ctx.caller.session, command[1]))
        if operation == DESTROY:
            return self._destroyed(state)
        permits = command[1]
        line = Line(permits) if state is None else state
        if not line.capacity:
            line.capacity = permits
        if line.capacity != permits:
            return Decision(line, [MISMATCH, "permits", line.capacity, permits])
        return Decision(line, line.ask(command[2], ctx, operation == ACQUIRE))

    def query(self, state: Line | None, query: Command) -> Reply:
        """Answer how many permits are free."""
        permits = query[1]
        if state is None:
            return [OK, permits]
        if state.capacity and state.capacity != permits:
            return [MISMATCH, "permits", state.capacity, permits]
        return [OK, max(0, state.free() + (0 if state.capacity else permits))]


SEMAPHORES = SemaphoreStructure()
