"""A simulated disk: what a process wrote and what of it survives, decided by the seed.

One transaction is under way at a time and takes its drawn time; what is asked for meanwhile becomes the next one. When
a process dies, of what it asked for and was not told of a drawn number of batches is there, the first ones first, each
whole or not at all: that is what a database promises, and what the machine's cache does to it. What a disk does beyond
that - records that decay, or stand in another one's place, an older state of all - are faults of a plan.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from typing import NamedTuple

from casty.errors import DiskError, DiskFull
from casty.ports import Device

from ..kernel.clock import NodeClock
from ..kernel.draws import Draws
from ..plans.fault_kinds import PLANNED

__all__ = ["SimDevice", "SimDisk"]

_LEAST_NS, _MOST_NS = 50_000, 3_000_000
"""What a transaction takes."""
_CUT = 7
"""Bytes that a torn record keeps."""

Changes = Sequence[tuple[bytes, bytes | None, bytes]]
Done = Callable[[DiskError | None], None]


class _Asked(NamedTuple):
    changes: Changes
    done: Done


class SimDisk:
    """What is on one machine's disk.

    Attributes
    ----------
    held_ns
        What each transaction takes longer.
    full
        By how many faults nothing can be written.
    is_broken
        Whether it fails at the next write, as a disk does that is not full.
    is_stale
        Whether it is of an earlier time than what its process was told is on it.
    is_damaged
        Whether a fault of the plan changed a record.
    transactions
        How many there were.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.pending: list[_Asked] = []
        """Asked for by the process that has the disk, and not told to be done."""
        self.held_ns = 0
        self.full = 0
        self.is_stale = self.is_damaged = self.is_broken = False
        self.transactions = 0
        self._former: dict[bytes, bytes] = {}
        """What was there when it was opened last."""

    def apply(self, changes: Changes) -> None:
        """Make changes."""
        for key, behind, value in changes:
            if behind is None:
                if key not in self.rows:
                    insort(self.keys, key)
                self.rows[key] = value
            else:
                first, end = bisect_left(self.keys, key), bisect_left(self.keys, behind)
                for gone in self.keys[first:end]:
                    del self.rows[gone]
                del self.keys[first:end]

    def between(self, first: bytes, behind: bytes, most: int) -> list[tuple[bytes, bytes]]:
        """Return records in order."""
        keys = self.keys[bisect_left(self.keys, first) : bisect_left(self.keys, behind)]
        return [(key, self.rows[key]) for key in (keys[:most] if most else keys)]

    def power_up(self, kept: Callable[[int], int]) -> None:
        """Settle what the last process left behind; `kept` draws how many of so many changes are there."""
        pending, self.pending = self.pending, []
        if pending:
            for one in pending[: kept(len(pending) + 1)]:
                self.apply(one.changes)
        self._former = dict(self.rows)

    def go_back(self) -> None:
        """Be again as it was when it was opened last, which is one start ago."""
        self.rows = dict(self._former)
        self.keys = sorted(self.rows)
        self.pending = []
        self.is_stale = True

    def damage(self, key: bytes, how: int) -> None:
        """Let a record decay, be torn, or be another one's."""
        value, self.is_damaged = self.rows[key], True
        if how == 0:
            place = len(value) // 2
            value = value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
        elif how == 1:
            value = value[:_CUT]
        else:
            at = self.keys.index(key)
            value = self.rows[self.keys[at - 1 if at else -1]]
        self.rows[key] = value


class SimDevice(Device):
    """The port of one process to its machine's disk.

    Parameters
    ----------
    disk, clock, draws
        The machine's and the world's.
    name, label
        Of the machine, and of the process.
    opened
        Told of each time that it is opened, before anything is read.
    """

    def __init__(
        self, disk: SimDisk, clock: NodeClock, draws: Draws, name: str, label: str, opened: Callable[[], None]
    ) -> None:
        self._disk = disk
        self._clock = clock
        self._draws = draws
        self._name = name
        self._label = label
        self._opened = opened
        self._joined = 0
        """So many of what is pending are under way, as one transaction."""
        self._error: DiskError | None = None
        self._readers: list[asyncio.Future[None]] = []

    async def open(self) -> None:
        """See `Device.open`."""
        draws, label = self._draws, self._label
        self._joined, self._error = 0, None
        self._disk.power_up(lambda bound: draws.below("disk-kept", label, 0, bound))
        self._opened()

    def commit(self, changes: Changes, done: Done) -> None:
        """See `Device.commit`."""
        if self._error is not None:
            # Nothing that follows an error is done: it may rest on what is not there.
            self._clock.call_at(self._clock.now(), done, self._error)
            return
        self._disk.pending.append(_Asked(changes, done))
        if not self._joined:
            self._begin()

    def _begin(self) -> None:
        disk, clock = self._disk, self._clock
        self._joined = len(disk.pending)
        took_ns = self._draws.between("disk", self._name, disk.transactions, _LEAST_NS, _MOST_NS)
        disk.transactions += 1
        clock.call_at(clock.now() + took_ns + disk.held_ns, self._end)

    def _end(self) -> None:
        disk = self._disk
        joined, disk.pending = disk.pending[: self._joined], disk.pending[self._joined :]
        self._joined = 0
        if disk.full and self._error is None and any(one.changes for one in joined):
            self._error = DiskFull(f"{PLANNED} on the disk")
            joined, disk.pending = [*joined, *disk.pending], []
        if disk.is_broken and self._error is None and any(one.changes for one in joined):
            self._error = DiskError(f"{PLANNED} of the disk")
            joined, disk.pending = [*joined, *disk.pending], []
        for one in joined:
            if self._error is None:
                disk.apply(one.changes)
        for one in joined:
            one.done(self._error)
        if disk.pending and not self._joined:
            self._begin()
        elif not disk.pending:
            readers, self._readers = self._readers, []
            for reader in readers:
                if not reader.done():
                    reader.set_result(None)

    async def read(self, first: bytes, behind: bytes, most: int = 0) -> list[tuple[bytes, bytes]]:
        """See `Device.read`."""
        if self._disk.pending:
            reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._readers.append(reader)
            await reader
        return self._disk.between(first, behind, most)

    def close(self) -> None:
        """See `Device.close`; a process that ends in order has its writes done."""
        pending, self._disk.pending = self._disk.pending, []
        self._joined = 0
        for one in pending:
            if self._error is None:
                self._disk.apply(one.changes)
            one.done(self._error)
