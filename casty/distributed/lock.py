"""Lock: the client class. What a slot does with its commands is in `machines/lock.py`."""

from __future__ import annotations

import asyncio

from casty.distributed.holder import Holder
from casty.distributed.holds import Hold, LocalFifo
from casty.distributed.machines.base import LOCK, Command
from casty.distributed.machines.lock import ACQUIRE, RELEASE, TRY_ACQUIRE
from casty.distributed.port import EntityGateway, Grant, RegionRef
from casty.errors import AlreadyHeld

__all__ = ["Lock"]


class Lock(Holder):
    """A distributed lock. A hold belongs to the instance that acquired it; tasks that share one take turns.

    Inside the cluster it excludes by consensus, not by clocks. What a holder does *outside* is only safe if
    that other side refuses a `token` lower than one it has seen: a paused holder may not know yet that its
    hold ended.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` that is neither; otherwise None.
    name
        The name, not empty. The same name in another kind is another structure.
    timeout
        Deadline of each call, in seconds; None waits for ever.

    Examples
    --------
    >>> async def tidy(d: Distributed) -> None:
    ...     async with d.lock("my-resource") as lock:
    ...         print(lock.token)
    """

    __slots__ = ("_fifo",)
    _kind = LOCK

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        super().__init__(gateway, region_ref, name, timeout)
        self._fifo = LocalFifo(self._what)

    def hold_ended(self) -> None:
        """The next task that waits for this instance has its turn."""
        self._fifo.pass_on()

    def _release_command(self, grant: Grant) -> Command:
        return [RELEASE, grant.token]

    @property
    def held(self) -> bool:
        """True only while nobody else can have been granted this lock; for a hold, once False is for good.

        Any thread may ask, as one that works under the lock beside the event loop.
        """
        if self._plain is not None:
            return False
        return self._holds.is_held()

    @property
    def token(self) -> int | None:
        """The fencing token of the latest hold; None before the first, and once its user knows that it ended.

        That is when it was given back, or when `held` said that it is lost after it had said that it is held. A
        token is there after `acquire` returned, however long the process was paused in between: whether the hold
        still counts only `held` says. Tokens of a name only grow, so whoever checks them refuses one that counts no
        more.
        """
        hold = self._holds.latest
        return None if hold is None else hold.grant.token

    async def acquire(self) -> None:
        """Wait until this instance holds the lock.

        Requests are granted in the order in which the cluster saw them. A call that times out or is cancelled
        leaves nothing behind.

        Raises
        ------
        TimeoutError
            It was not granted in time; the request is withdrawn.
        Destroyed
            It was destroyed meanwhile.
        Unavailable
            No quorum until the deadline; nobody saw this request.
        OutcomeUnknown
            The deadline passed, and the withdrawal could not be confirmed; a grant that comes late is given
            back.
        AlreadyHeld
            The calling task acquired this very instance, which still holds: it would wait for itself.
        """
        await self._acquire()

    async def _acquire(self) -> Hold:
        if self._holds.of(asyncio.current_task()) is not None:
            raise AlreadyHeld(f"{self._what}: this task holds this instance already; release it first")
        timeout_s = self._timeout_s
        if not self._fifo.take():
            _ = self._port  # refuses another event loop, which the turn could not wake up
            timeout_s = await self._fifo.wait(timeout_s)
        hold = await self._in_turn(ACQUIRE, timeout_s)
        assert hold is not None, "only a try may find it taken"
        return hold

    async def try_acquire(self) -> bool:
        """Take the lock if nobody holds it.

        Returns
        -------
        bool
            True if acquired, False if anybody holds it or waits for it, this instance included.

        Raises
        ------
        Unavailable
            No quorum until the deadline; nobody saw this request.
        OutcomeUnknown
            The deadline passed after it was sent; a grant that comes late is given back.
        """
        self._here().oldest()  # a hold seen lost gives the turn free
        if not self._fifo.take():
            return False
        return await self._in_turn(TRY_ACQUIRE, self._timeout_s) is not None

    async def _in_turn(self, operation: int, timeout_s: float | None) -> Hold | None:
        """Ask the cluster; the turn is ours, and stays so only with a hold."""
        hold = None
        try:
            hold = await self._request([operation], timeout_s)
        finally:
            if hold is None:
                self._fifo.pass_on()
        return hold

    async def release(self) -> bool:
        """Release the lock.

        The hold is the instance's, so any task may. The first release by a task after its own hold was lost means
        that one, not what another task acquired since: it is False.

        Returns
        -------
        bool
            True if released, False if this instance was not the holder.

        Raises
        ------
        Unavailable, OutcomeUnknown
            The cluster did not confirm in time. The hold is given up all the same, and ends by itself.
        """
        return await self._release()

    async def __aenter__(self) -> Lock:
        """Acquire; the body is cancelled, and `LockLost` raised, when the hold ends before the body does."""
        self._holds.enter(await self._acquire())
        return self
