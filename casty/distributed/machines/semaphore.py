"""Semaphore: permits that are granted in log order, all of a request or none of it.

How many there are is said by whoever creates it, and may be changed while it exists. Nothing is revoked for that: while
more is held than there is, nothing is granted. What a user says of their number has to be the number of its creation
or the present one.
"""

from __future__ import annotations

from typing import ClassVar

from casty.distributed.machines.base import (
    COUNT,
    DESTROY,
    MISMATCH,
    NO_FIELDS,
    OK,
    RELEASE,
    RESIZE,
    SEMAPHORE,
    Command,
    Context,
    Decision,
    Reply,
    Shapes,
)
from casty.distributed.machines.wait_queue import LineStructure, WaitQueue
from casty.limits import MAX_NUMBER
from casty.schema import Maybe, Number, Row

__all__ = ["ACQUIRE", "AVAILABLE", "RELEASE", "RESIZE", "SEMAPHORES", "TRY_ACQUIRE"]

ACQUIRE, TRY_ACQUIRE = 1, 2
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
        ACQUIRE: Row((PERMITS, Number(1, MAX_NUMBER))),
        TRY_ACQUIRE: Row((PERMITS, Number(1, MAX_NUMBER))),
        RELEASE: Row((COUNT,)),
        RESIZE: Row((PERMITS, Number(1, MAX_NUMBER))),
    }
    query_shapes: ClassVar[Shapes] = {AVAILABLE: Row((PERMITS,))}

    def decide(self, state: WaitQueue | None, command: Command, ctx: Context) -> Decision:
        """As for a lock; ACQUIRE and TRY_ACQUIRE carry (permits, n), RELEASE the granted request's number.

        RESIZE carries (permits, the new number) and answers the number before, and that of the creation. Answers
        ``[MISMATCH, "permits", None, None]`` when neither command nor record has their number, ``[MISMATCH, "permits",
        present, found]`` when both have and they differ, and ``[MISMATCH, "n", present, n]`` to a request that could
        never be granted.
        """
        operation = command[0]
        if operation == RELEASE:
            return self._released(state, (ctx.caller.session, command[1]))
        if operation == DESTROY:
            return self._destroyed(state)
        permits = command[1]
        refused = _refused(state, permits)
        if refused is not None:
            return Decision(state, refused)
        queue = WaitQueue(permits) if state is None else state
        queue.begin(permits)
        if operation == RESIZE:
            return self._resized(queue, command[2])
        if command[2] > queue.capacity:
            reply: Reply = [MISMATCH, "n", queue.capacity, command[2]]
            return Decision(queue.kept(), reply)
        return self._asked(queue, command[2], ctx, operation == ACQUIRE)

    def _resized(self, queue: WaitQueue, permits: int) -> Decision:
        """Change the number: who waits for more than there will be is told so, or all behind it would wait for ever."""
        before, queue.capacity = queue.capacity, permits
        for key in [key for key, share in queue.waiters.items() if share.amount > permits]:
            queue.dismiss({key: [MISMATCH, "n", permits, queue.waiters.pop(key).amount]})
        return self._paid(queue, [OK, before, queue.founded])

    def grows(self, state: WaitQueue | None, command: Command) -> bool:
        """A request may wait or hold; a number that was changed is kept."""
        return command[0] in (ACQUIRE, TRY_ACQUIRE) or (command[0] == RESIZE and state is None)

    def query(self, state: WaitQueue | None, query: Command) -> Reply:
        """Answer how many permits are free."""
        permits = query[1]
        refused = _refused(state, permits)
        if refused is not None:
            return refused
        if state is None:
            return [OK, permits]
        return [OK, max(0, state.free() if state.capacity else state.free() + permits)]


def _refused(queue: WaitQueue | None, permits: int | None) -> Reply | None:
    """Return why a command that says so of the number of permits is refused; None if it is not."""
    if queue is None or not queue.capacity:
        return _UNRECORDED if permits is None else None
    if permits in (None, queue.capacity, queue.founded):
        return None
    return [MISMATCH, "permits", queue.capacity, permits]


SEMAPHORES = SemaphoreStructure()
