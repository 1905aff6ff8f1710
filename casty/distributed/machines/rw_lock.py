"""Read-write lock: readers share it, a writer has it alone, and nobody passes who asked before.

It is a line of which a reader takes one and a writer all there is. So a writer is granted when nobody holds, readers
between two writers are granted together, and neither kind starves: a request waits for those before it, and no others.
"""

from __future__ import annotations

from typing import ClassVar

from casty.distributed.machines.base import (
    COUNT,
    DESTROY,
    NO_FIELDS,
    RELEASE,
    RW_LOCK,
    Command,
    Context,
    Decision,
    Reply,
    Shapes,
)
from casty.distributed.machines.wait_queue import INFO, LineStructure, WaitQueue
from casty.limits import MAX_NUMBER
from casty.schema import Number, Row

__all__ = ["ACQUIRE", "READ", "RELEASE", "RW_LOCKS", "TRY_ACQUIRE", "WHOLE", "WRITE"]

ACQUIRE, TRY_ACQUIRE = 1, 2
READ, WRITE = 0, 1

WHOLE = MAX_NUMBER
"""What a writer takes: more than there can be readers."""


class RwLockStructure(LineStructure):
    """State: a line with room for `WHOLE`."""

    __slots__ = ()
    kind = RW_LOCK
    name = "rw_lock"
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        ACQUIRE: Row((Number(READ, WRITE),)),
        TRY_ACQUIRE: Row((Number(READ, WRITE),)),
        RELEASE: Row((COUNT,)),
    }
    query_shapes: ClassVar[Shapes] = {INFO: NO_FIELDS}

    def decide(self, state: WaitQueue | None, command: Command, ctx: Context) -> Decision:
        """ACQUIRE and TRY_ACQUIRE carry READ or WRITE, RELEASE the granted request's number; answers as for a lock."""
        operation = command[0]
        if operation == RELEASE:
            return self._released(state, (ctx.caller.session, command[1]))
        if operation == DESTROY:
            return self._destroyed(state)
        queue = WaitQueue(WHOLE) if state is None else state
        queue.begin(WHOLE)
        return self._asked(queue, WHOLE if command[1] == WRITE else 1, ctx, operation == ACQUIRE)

    def grows(self, state: WaitQueue | None, command: Command) -> bool:
        """A request may wait or hold."""
        return command[0] in (ACQUIRE, TRY_ACQUIRE)

    def query(self, state: WaitQueue | None, query: Command) -> Reply:
        """Answer what is known of holders and waiters."""
        return self._info(state)


RW_LOCKS = RwLockStructure()
