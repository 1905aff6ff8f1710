"""Read-write lock: the client classes. What a slot does with its commands is in `machines/rw_lock.py`."""

from __future__ import annotations

import asyncio
from typing import TypedDict, Unpack

from casty.distributed.exclusive import Exclusive
from casty.distributed.handle import Handle
from casty.distributed.holder import Holder
from casty.distributed.holding_info import RwLockInfo, rw_lock_info
from casty.distributed.holds import Hold, Holds
from casty.distributed.machines.base import RW_LOCK
from casty.distributed.machines.rw_lock import ACQUIRE, READ, TRY_ACQUIRE, WRITE
from casty.distributed.machines.wait_queue import INFO
from casty.distributed.port import EntityGateway, RegionRef
from casty.errors import AlreadyHeld, UpgradeRefused

__all__ = ["ReadSide", "RwLock", "WriteSide"]


class _Both:
    """The holds of both sides of one instance; neither side keeps the other alive."""

    __slots__ = ("read", "write")

    def __init__(self) -> None:
        self.read: Holds | None = None
        self.write: Holds | None = None


class _Names(TypedDict):
    """What a side is made with besides the holds of both: the arguments of `Handle`."""

    gateway: EntityGateway
    region_ref: RegionRef | None
    name: str
    timeout: float | None


def _is_holding(holds: Holds | None) -> bool:
    """Whether the running task acquired something of these holds that is still good."""
    return holds is not None and holds.of(asyncio.current_task()) is not None


class ReadSide(Holder):
    """The readers' side of a read-write lock; tasks that share it read at the same time, each with a hold of its own.

    Made by `RwLock`.
    """

    __slots__ = ("_both",)
    _kind = RW_LOCK

    def __init__(self, both: _Both, **names: Unpack[_Names]) -> None:
        super().__init__(**names)
        self._both = both
        both.read = self._holds

    @property
    def held(self) -> bool:
        """True only while this instance reads and no writer can have been granted; once False is for good."""
        return self._plain is None and self._holds.is_held()

    @property
    def token(self) -> int | None:
        """The fencing token of the latest hold; see `Lock.token`. It is above those of all writers before."""
        hold = self._holds.latest
        return None if hold is None else hold.grant.token

    async def acquire(self) -> None:
        """Wait until no writer holds, nor waits since before this call.

        Raises
        ------
        AlreadyHeld
            The calling task reads or writes already with this instance: behind a writer that asked in between it would
            wait for itself.
        TimeoutError, Destroyed, Unavailable, OutcomeUnknown
            As for `Lock.acquire`.
        """
        await self._acquire()

    async def _acquire(self) -> Hold:
        if _is_holding(self._both.read) or _is_holding(self._both.write):
            raise AlreadyHeld(f"{self._what}: this task reads or writes already; release that first")
        hold = await self._request([ACQUIRE, READ], self._timeout_s)
        assert hold is not None, "only a try may find it taken"
        return hold

    async def try_acquire(self) -> bool:
        """Read if nobody writes and nobody waits; True if acquired. Errors as for `Lock.try_acquire`."""
        return await self._request([TRY_ACQUIRE, READ], self._timeout_s) is not None

    async def release(self) -> bool:
        """End one hold: the latest that the calling task acquired, else any of the instance; see `Lock.release`."""
        return await self._release()

    async def __aenter__(self) -> ReadSide:
        """Acquire; the body is cancelled, and `LockLost` raised, when the hold ends before the body does."""
        self._holds.enter(await self._acquire())
        return self


class WriteSide(Exclusive):
    """The writers' side of a read-write lock; tasks that share it take turns.

    Made by `RwLock`.
    """

    __slots__ = ("_both",)
    _kind = RW_LOCK

    def __init__(self, both: _Both, **names: Unpack[_Names]) -> None:
        super().__init__(**names)
        self._both = both
        both.write = self._holds

    @property
    def held(self) -> bool:
        """True only while nobody else can have been granted anything of this lock; once False is for good."""
        return self._is_held()

    async def acquire(self) -> None:
        """Wait until nobody reads or writes who asked before.

        Raises
        ------
        UpgradeRefused
            The calling task reads with this instance: two readers that became writers would wait for each other. Give
            the read back, acquire, and look again at what was read.
        AlreadyHeld
            The calling task writes already with this instance.
        TimeoutError, Destroyed, Unavailable, OutcomeUnknown
            As for `Lock.acquire`.
        """
        await self._acquire()

    async def _acquire(self) -> Hold:
        if _is_holding(self._both.read):
            raise UpgradeRefused(
                f"{self._what}: this task reads, and would wait for itself to write; release the read first, and look "
                "again at what was read"
            )
        return await self._acquire_by([ACQUIRE, WRITE], self._timeout_s)

    async def try_acquire(self) -> bool:
        """Write if nobody reads, writes or waits, this instance included; True if acquired."""
        return await self._try_by([TRY_ACQUIRE, WRITE])

    async def release(self) -> bool:
        """End the hold; see `Lock.release`."""
        return await self._release()

    async def __aenter__(self) -> WriteSide:
        """Acquire; the body is cancelled, and `LockLost` raised, when the hold ends before the body does."""
        self._holds.enter(await self._acquire())
        return self


class RwLock(Handle):
    """A distributed read-write lock: many read, or one writes. Its two sides are used like a `Lock`.

    It is fair: requests are granted in the order in which the cluster saw them, readers next to each other together. So
    a writer waits only for those who asked before it, and readers that ask after it wait for it.

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
    >>> async def look(d: Distributed) -> None:
    ...     prices = d.rw_lock("prices")
    ...     async with prices.read:
    ...         print("others may read as well")
    ...     async with prices.write as side:
    ...         print("nobody else reads or writes", side.token)
    """

    __slots__ = ("_reader", "_writer")
    _kind = RW_LOCK

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        super().__init__(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)
        names, both = _Names(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout), _Both()
        self._reader = ReadSide(both, **names)
        self._writer = WriteSide(both, **names)

    @property
    def read(self) -> ReadSide:
        """The readers' side of this instance."""
        return self._reader

    @property
    def write(self) -> WriteSide:
        """The writers' side of this instance."""
        return self._writer

    async def info(self) -> RwLockInfo:
        """Return who writes, how many read and how many wait; it may have changed when the answer is here."""
        return rw_lock_info(await self._read([INFO]))

    async def destroy(self) -> bool:
        """Destroy it; see `Handle.destroy`."""
        existed = await super().destroy()
        # Both are asked: each was used by itself.
        return any([existed, self._reader.take_use(), self._writer.take_use()])
