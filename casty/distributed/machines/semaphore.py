"""Semaphore: permits that are granted in log order, all of a request or none of it."""

from __future__ import annotations

from typing import ClassVar

from casty.distributed.machines.base import (
    COUNT,
    DESTROY,
    MISMATCH,
    NO_FIELDS,
    OK,
    SEMAPHORE,
    Command,
    Context,
    Decision,
    Reply,
    Shapes,
)
from casty.distributed.machines.wait_queue import LineStructure, WaitQueue
from casty.limits import MAX_NUMBER
from casty.schema import Maybe, Number, Row, UpTo

__all__ = ["SEMAPHORES"]

ACQUIRE, TRY_ACQUIRE, RELEASE = 1, 2, 3
AVAILABLE = 1
PERMITS = Maybe(Number(1, MAX_NUMBER))
"""What a command says of their number; None is whatever is recorded."""

_UNRECORDED: Reply = [MISMATCH, "permits", None, None]


class SemaphoreStructure(LineStructure):
    """State: a line with room for `permits`, which its first user fixed and the last one takes away."""

    __slots__ = ()
    kind = SEMAPHORE
    name = "semaphore"
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        ACQUIRE: Row((PERMITS, UpTo(1, 1, MAX_NUMBER))),
        TRY_ACQUIRE: Row((PERMITS, UpTo(1, 1, MAX_NUMBER))),
        RELEASE: Row((COUNT,)),
    }
    query_shapes: ClassVar[Shapes] = {AVAILABLE: Row((PERMITS,))}

    def decide(self, state: WaitQueue | None, command: Command, ctx: Context) -> Decision:
        """As for a lock; ACQUIRE and TRY_ACQUIRE carry (permits, n), RELEASE the granted request's number.

        Answers ``[MISMATCH, "permits", None, None]`` when neither command nor record has their number, and
        ``[MISMATCH, "n", recorded, n]`` to a request that could never be granted.
        """
        operation = command[0]
        if operation == RELEASE:
            if state is None:
                return Decision(None, [OK, False])
            return self._released(state, (ctx.caller.session, command[1]))
        if operation == DESTROY:
            return self._destroyed(state)
        permits = command[1]
        if permits is None:
            if state is None or not state.capacity:
                return Decision(state, _UNRECORDED)
            permits = state.capacity
            if command[2] > permits:
                return Decision(state, [MISMATCH, "n", permits, command[2]])
        queue = WaitQueue(permits) if state is None else state
        if not queue.capacity:
            queue.capacity = permits
        if queue.capacity != permits:
            return Decision(queue, [MISMATCH, "permits", queue.capacity, permits])
        return self._asked(queue, command[2], ctx, operation == ACQUIRE)

    def grows(self, state: WaitQueue | None, command: Command) -> bool:
        """A request may wait or hold."""
        return command[0] in (ACQUIRE, TRY_ACQUIRE)

    def query(self, state: WaitQueue | None, query: Command) -> Reply:
        """Answer how many permits are free."""
        permits = query[1]
        if state is not None and state.capacity:
            if permits not in (None, state.capacity):
                return [MISMATCH, "permits", state.capacity, permits]
            return [OK, max(0, state.free())]
        if permits is None:
            return _UNRECORDED
        return [OK, permits if state is None else max(0, state.free() + permits)]


SEMAPHORES = SemaphoreStructure()
