"""Semaphore: permits that are granted in log order, all of a request or none of it."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from casty.checks import check_count
from casty.distributed.core import DESTROY, MISMATCH, OK, SEMAPHORE, Command, Context, Decision, Reply, Shapes
from casty.distributed.holder import Holder
from casty.distributed.holds import Hold
from casty.distributed.port import EntityGateway, Grant, RegionRef
from casty.distributed.waiting import Line, LineStructure

__all__ = ["SEMAPHORES", "Semaphore"]

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


class Semaphore(Holder):
    """A distributed semaphore. Each acquire is a grant of its own, and one instance may hold several.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` that is neither; otherwise None.
    name
        The name, not empty. The same name in another kind is another structure.
    permits
        How many permits there are. It belongs to the semaphore: another value is a `Mismatch`. None leaves it
        to the region behind `region_ref`; a system or a client needs it.
    timeout
        Deadline of each call, in seconds; None waits for ever.

    Examples
    --------
    >>> async def limited(d: Distributed) -> None:
    ...     async with d.semaphore("pool", permits=3):
    ...         print("at most three at a time")
    """

    __slots__ = ("_permits", "_sent_permits")
    _kind = SEMAPHORE

    def __init__(
        self,
        *,
        gateway: EntityGateway,
        region_ref: RegionRef | None,
        name: str,
        permits: int | None = None,
        timeout: float | None = 5.0,
    ) -> None:
        super().__init__(gateway, region_ref, name, timeout)
        if permits is None and self._plain is None:
            raise TypeError(
                f"permits: required for semaphore {name!r}; use Distributed.semaphore(name, permits)"
            )
        self._permits = None if permits is None else check_count("permits", permits, 0)
        # 0 on the wire: whatever the region's factory says. No semaphore of no permits is ever recorded.
        self._sent_permits = self._permits or 0

    def _release_command(self, grant: Grant) -> Command:
        return [RELEASE, grant.seq]

    async def acquire(self, n: int = 1) -> None:
        """Wait for permits: all of them at once, in the order in which the cluster saw the requests.

        A large request is not starved by small ones behind it. A call that times out or is cancelled leaves
        nothing behind.

        Parameters
        ----------
        n
            How many, from 1 to the semaphore's permits.

        Raises
        ------
        TimeoutError
            They were not granted in time; the request is withdrawn.
        Mismatch
            The semaphore exists with another number of permits.
        Destroyed
            It was destroyed meanwhile.
        Unavailable
            No quorum until the deadline; nobody saw this request.
        OutcomeUnknown
            The deadline passed, and the withdrawal could not be confirmed; a grant that comes late is given
            back.
        """
        await self._acquire(ACQUIRE, n)

    async def try_acquire(self, n: int = 1) -> bool:
        """Take permits if they are free and nobody waits; True if acquired. Errors as for `acquire`."""
        return await self._acquire(TRY_ACQUIRE, n) is not None

    async def _acquire(self, operation: int, n: int) -> Hold | None:
        count = check_count("n", n, 1)
        if self._permits is not None and count > self._permits:
            raise ValueError(
                f"n: expected at most the {self._permits} permits of {self._what}, found {count}"
            )
        return await self._request([operation, self._sent_permits, count], self._timeout_s)

    async def release(self) -> bool:
        """Give back one whole grant: the calling task's latest, else the oldest of this instance.

        Returns
        -------
        bool
            True if released, False if this instance held nothing, or the calling task lost what it had.

        Raises
        ------
        Unavailable, OutcomeUnknown
            The cluster did not confirm in time. The grant is given up all the same, and ends by itself.
        """
        hold = self._holds.meant(asyncio.current_task())
        return False if hold is None else await self._give_back(hold)

    async def available(self) -> int:
        """Return how many permits are free. Others may take them before the answer is here."""
        count: int = await self._read([AVAILABLE, self._sent_permits])
        return count

    async def __aenter__(self) -> Semaphore:
        """Acquire one permit; as for `Lock`, the body is cancelled with `LockLost` when it ends early."""
        hold = await self._acquire(ACQUIRE, 1)
        assert hold is not None, "only a try may find it taken"
        self._holds.enter(hold)
        return self
