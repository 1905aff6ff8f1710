"""Lock: the client class. What a slot does with its commands is in `machines/lock.py`."""

from __future__ import annotations

from casty.distributed.exclusive import Exclusive
from casty.distributed.holding_info import LockInfo, lock_info
from casty.distributed.holds import Hold
from casty.distributed.machines.base import LOCK
from casty.distributed.machines.lock import ACQUIRE, TRY_ACQUIRE
from casty.distributed.machines.wait_queue import INFO

__all__ = ["Lock"]


class Lock(Exclusive):
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

    __slots__ = ()
    _kind = LOCK

    @property
    def held(self) -> bool:
        """True only while nobody else can have been granted this lock; for a hold, once False is for good.

        Any thread may ask, as one that works under the lock beside the event loop.
        """
        return self._is_held()

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
        return await self._acquire_by([ACQUIRE], self._timeout_s)

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
        return await self._try_by([TRY_ACQUIRE])

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

    async def info(self) -> LockInfo:
        """Return who holds the lock, since when, and how many wait; it may have changed when the answer is here.

        Raises
        ------
        Unavailable
            No quorum until the deadline.
        """
        return lock_info(await self._read([INFO]))

    async def __aenter__(self) -> Lock:
        """Acquire; the body is cancelled, and `LockLost` raised, when the hold ends before the body does."""
        self._holds.enter(await self._acquire())
        return self
