"""Lock: mutual exclusion in log order, with a fencing token for every hold."""

from __future__ import annotations

from typing import ClassVar

from casty.distributed.machines.base import (
    COUNT,
    DESTROY,
    LOCK,
    NO_FIELDS,
    OK,
    RELEASE,
    Command,
    Context,
    Decision,
    Reply,
    Shapes,
)
from casty.distributed.machines.wait_queue import INFO, LineStructure, WaitQueue
from casty.schema import Row

__all__ = ["ACQUIRE", "HOLDER", "LOCKS", "RELEASE", "TRY_ACQUIRE"]

ACQUIRE, TRY_ACQUIRE = 1, 2
HOLDER = 1

_NOT_HELD: Reply = [OK, False]


class LockStructure(LineStructure):
    """State: a line with room for one."""

    __slots__ = ()
    kind = LOCK
    name = "lock"
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        ACQUIRE: NO_FIELDS,
        TRY_ACQUIRE: NO_FIELDS,
        RELEASE: Row((COUNT,)),
    }
    query_shapes: ClassVar[Shapes] = {HOLDER: NO_FIELDS, INFO: NO_FIELDS}

    def decide(self, state: WaitQueue | None, command: Command, ctx: Context) -> Decision:
        """ACQUIRE and TRY_ACQUIRE answer a token, a try None when taken; RELEASE whether that token held."""
        operation = command[0]
        if operation == RELEASE:
            return self._release(state, command[1], ctx)
        if operation == DESTROY:
            return self._destroyed(state)
        if state is None:
            state = WaitQueue(1)
        else:
            state.begin(1)
        return self._asked(state, 1, ctx, operation == ACQUIRE)

    def _release(self, queue: WaitQueue | None, token: int, ctx: Context) -> Decision:
        if queue is not None:
            for table in (queue.grants, queue.revoked):
                for key, share in table.items():
                    if share.token == token and key[0] == ctx.caller.session:
                        return self._released(queue, key)
        return Decision(queue, _NOT_HELD)

    def grows(self, state: WaitQueue | None, command: Command) -> bool:
        """A request may wait or hold."""
        return command[0] in (ACQUIRE, TRY_ACQUIRE)

    def query(self, state: WaitQueue | None, query: Command) -> Reply:
        """Answer the holder's token, None when nobody holds; or what is known of holder and waiters."""
        if query[0] == INFO:
            return self._info(state)
        if state is not None:
            for share in state.grants.values():
                return [OK, share.token]
        return [OK, None]


LOCKS = LockStructure()
