"""Semaphore: the client class. What a slot does with its commands is in `machines/semaphore.py`."""

from __future__ import annotations

from typing import Any

from casty.checks import check_count, shown
from casty.distributed.holder import Holder
from casty.distributed.holds import Hold
from casty.distributed.machines.base import MISMATCH, OK, SEMAPHORE, Reply
from casty.distributed.machines.semaphore import ACQUIRE, AVAILABLE, RESIZE, TRY_ACQUIRE
from casty.distributed.port import EntityGateway, RegionRef
from casty.errors import Mismatch
from casty.limits import MAX_NUMBER

__all__ = ["Semaphore"]


class Semaphore(Holder):
    """A distributed semaphore. Each acquire is a grant of its own, which belongs to the instance that acquired it.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` that is neither; otherwise None.
    name
        The name, not empty. The same name in another kind is another structure.
    permits
        How many permits there are, at least 1. It belongs to the semaphore as long as somebody holds or waits: a
        value that is neither the number of its creation nor the present one, see `resize`, is a `Mismatch` then. None
        means as many as are recorded, or as the region behind
        `region_ref` says; where neither knows, calls raise `Mismatch`.
    timeout
        Deadline of each call, in seconds; None waits for ever.

    Examples
    --------
    >>> async def limited(d: Distributed) -> None:
    ...     async with d.semaphore("pool", permits=3):
    ...         print("at most three at a time")
    """

    __slots__ = ("_permits",)
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
        super().__init__(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)
        self._permits = None if permits is None else check_count("permits", permits, 1, MAX_NUMBER)

    def _refused(self, reply: Reply) -> Any:
        if reply[0] == MISMATCH and reply[1] == "n":
            raise Mismatch(f"{_too_many(self._what, reply[2], reply[3])}; nothing was granted")
        if reply[0] == MISMATCH and reply[2] is not None:
            raise Mismatch(
                f"{self._what}: expected permits={shown(reply[2])}, which it has now, or the number that it was "
                f"created with, found {shown(reply[3])}; use one of these, resize it, or destroy it first"
            )
        if reply[0] == MISMATCH:
            raise Mismatch(
                f"{self._what}: nobody recorded how many permits there are, and this instance was made without "
                "their number; make the first one with Distributed.semaphore(name, permits)"
            )
        return super()._refused(reply)

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
            The semaphore exists with another number of permits, or was made smaller than this request while it
            waited; or there is no number recorded, and this instance was made without one.
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
        # How many there are at most says the slot: others may have resized it.
        count = check_count("n", n, 1, MAX_NUMBER)
        return await self._request([operation, self._permits, count], self._timeout_s, count)

    async def release(self) -> bool:
        """Give back one whole grant: the latest that the calling task acquired itself, else the smallest.

        So it never gives back more than its caller acquired, also where that ran in another task.

        Returns
        -------
        bool
            True if released. False if this instance holds nothing, and once after the calling task lost what it had.

        Raises
        ------
        Unavailable, OutcomeUnknown
            The cluster did not confirm in time. The grant is given up all the same, and ends by itself.
        """
        return await self._release()

    async def available(self) -> int:
        """Return how many permits are free. Others may take them before the answer is here."""
        count: int = await self._read([AVAILABLE, self._permits])
        return count

    async def resize(self, permits: int) -> int:
        """Change how many permits there are, for all users.

        Nothing is revoked: where more is held than there is now, nothing is granted until enough was given back.
        Whoever waits for more than there will be is told so with `Mismatch`. Where there are more, those who wait first
        are granted at once. Instances go on that were made with the number of the creation or with the new one; any
        other number is a `Mismatch`, which names the present one. This instance goes on whatever others make of it: its
        own number becomes that of the creation.

        A semaphore with another number than it was created with stays until `destroy()`, also when nobody holds or
        waits any more.

        Parameters
        ----------
        permits
            The new number, at least 1.

        Returns
        -------
        int
            The number before.

        Raises
        ------
        Mismatch
            This instance's own number is neither that of the creation nor the present one, or nobody knows any.
        Unavailable
            No quorum until the deadline; nothing happened.
        OutcomeUnknown
            The deadline passed after it was sent; it happened once or not at all.
        """
        count = check_count("permits", permits, 1, MAX_NUMBER)
        reply = await self._port.command(
            SEMAPHORE, self._entity, [RESIZE, self._permits, count], timeout_s=self._timeout_s
        )
        if reply[0] != OK:
            self._refused(reply)
        _, before, founded = reply
        # The number of the creation counts as long as it lives; any other one may be resized away.
        self._permits = None if self._permits is None else founded
        return int(before)

    async def __aenter__(self) -> Semaphore:
        """Acquire one permit; as for `Lock`, the body is cancelled with `LockLost` when it ends early."""
        hold = await self._acquire(ACQUIRE, 1)
        assert hold is not None, "only a try may find it taken"
        self._holds.enter(hold)
        return self


def _too_many(what: str, permits: int, n: int) -> str:
    return f"n: expected at most the {shown(permits)} permits of {what}, found {shown(n)}"
