"""A node's durable state: what its groups write becomes batches of records, and records become groups again.

One batch of the host is one transaction. What is asked for meanwhile - parts of states, the manifest - goes along with
the next one: the order of everything is the order in which it was asked for, so nothing that is durable rests on
something that is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from casty.consensus import Entry, Membership, Snapshot
from casty.durable.loading import Stored, load_group
from casty.durable.records import (
    MANIFEST,
    MAX_INDEX,
    Batch,
    Corrupt,
    GroupRow,
    Head,
    Manifest,
    decode_part,
    encode_entry,
    encode_hard_state,
    encode_head,
    encode_manifest,
    encode_part,
    hard_key,
    head_key,
    log_key,
    part_key,
)
from casty.errors import DiskError
from casty.ports import Device, GroupWrite, Storage

__all__ = ["Book"]

PARTS_A_READ = 8

ENTRY_BYTES = 64
"""What a record takes besides its value, about."""


class Written(Protocol):
    """One group's share of a batch; see `casty.cluster.multiraft.host.Write`."""

    group: int
    epoch: int
    hard_state: tuple[int, str | None] | None
    first_index: int
    entries: Sequence[Entry]
    snapshot: Snapshot | None


class _Shelf:
    """What is asked to be kept of one group."""

    __slots__ = ("entries", "incoming", "last_index", "log_bytes", "offset", "parts", "serial", "state_bytes")

    def __init__(self) -> None:
        self.last_index = 0
        self.offset = 0
        self.log_bytes = 0
        """Of the entries since the last snapshot, about."""
        self.entries = 0
        self.state_bytes = 0
        """Of the last snapshot."""
        self.serial = 0
        """Of the newest state, whole or not."""
        self.parts = 0
        self.incoming: object = None
        """Which state the newest serial is; None for none that goes on."""


class Book(Storage):
    """The durable state of one process.

    Parameters
    ----------
    device
        The open directory.
    manifest
        What is in it.
    first
        Hears of each batch before it is written.

    Attributes
    ----------
    in_turn
        Runs a callback with everything that it causes; set by whoever has turns.
    on_halted
        Told once of what ended all writing: nothing is done any more until it is opened again.

    Bounds: `_shelves` has a row per group of the manifest; `_batch` is what one turn asks for; `_synced` has a row per
    task that waits for the disk.
    """

    def __init__(self, device: Device, manifest: Manifest, first: Storage) -> None:
        self.manifest = manifest
        self.in_turn: Callable[[Callable[[], None]], None] = _call
        self.on_halted: Callable[[DiskError], None] = _ignore
        self.halted: DiskError | None = None
        self._device = device
        self._first = first
        self._batch = Batch()
        self._shelves: dict[int, _Shelf] = {}
        self._under_way = 0
        self._kept = manifest
        """The manifest that is on the disk."""
        self._synced: dict[asyncio.Future[None], None] = {}
        self._most_entries, self._most_bytes = 2_000, 4 * 1024 * 1024

    def limit(self, entries: int, size_bytes: int) -> None:
        """Say from how many entries or bytes on a log is long; one that is shorter is read again in a moment."""
        self._most_entries, self._most_bytes = entries, size_bytes

    # -- writing

    def persist(self, writes: Iterable[GroupWrite], done: Callable[[], None]) -> None:
        """Make the writes durable and then call `done`; raises `DiskError` when nothing is written any more."""
        if self.halted is not None:
            raise self.halted
        self._first.persist(writes, partial(self._write, writes, done))

    def _write(self, writes: Iterable[Any], done: Callable[[], None]) -> None:
        for write in writes:
            self._put(write)
        if not self._batch.changes and not self._under_way:
            # Nothing that it could rest on is on its way.
            done()
            return
        self._commit(done)

    def flush(self, done: Callable[[], None]) -> None:
        """Make what was asked for durable and then call `done`."""
        if self.halted is not None:
            raise self.halted
        self._commit(done)

    async def synced(self) -> None:
        """Return when what was asked for is durable; raises `DiskError` when it cannot be."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._synced[future] = None
        self.flush(partial(self._is_synced, future))
        await future

    def _is_synced(self, future: asyncio.Future[None]) -> None:
        if self._synced.pop(future, "") is None and not future.done():
            future.set_result(None)

    def _commit(self, done: Callable[[], None]) -> None:
        batch, self._batch = self._batch, Batch()
        self._under_way += 1
        self._device.commit(batch.changes, partial(self._committed, self.manifest, done))

    def _committed(self, manifest: Manifest, done: Callable[[], None], error: DiskError | None) -> None:
        self._under_way -= 1
        if error is None and self.halted is None:
            self._kept = manifest
            self.in_turn(done)
        elif error is not None and self.halted is None:
            self.halted = error
            synced, self._synced = self._synced, {}
            for future in synced:
                if not future.done():
                    future.set_exception(error)
            self.in_turn(partial(self.on_halted, error))

    def _put(self, write: Written) -> None:
        group, shelf = write.group, self._shelves[write.group]
        batch = self._batch
        if write.hard_state is not None:
            batch.put(hard_key(group), encode_hard_state(group, *write.hard_state))
        if write.snapshot is not None:
            self._install(group, shelf, write.snapshot)
        if not write.entries:
            return
        if write.first_index <= shelf.last_index:
            batch.remove(log_key(group, write.first_index), log_key(group, MAX_INDEX))
        before = batch.size_bytes
        for index, entry in enumerate(write.entries, write.first_index):
            key = log_key(group, index)
            batch.put(key, encode_entry(key, entry))
        shelf.last_index = write.first_index + len(write.entries) - 1
        shelf.entries += len(write.entries)
        shelf.log_bytes += batch.size_bytes - before + ENTRY_BYTES * len(write.entries)

    def _install(self, group: int, shelf: _Shelf, snapshot: Snapshot) -> None:
        """A state that came in part by part is whole, and stands for everything before."""
        assert shelf.incoming is not None, "a snapshot without its parts"
        self._finish(group, shelf, snapshot, snapshot.index, snapshot.term)
        self._batch.remove(log_key(group, 0), log_key(group, MAX_INDEX))
        shelf.last_index = snapshot.index

    def _finish(self, group: int, shelf: _Shelf, snapshot: Snapshot, offset: int, offset_term: int) -> None:
        head = Head(shelf.serial, shelf.parts, shelf.state_bytes, snapshot, offset, offset_term)
        self._batch.remove(part_key(group, 0, 0), part_key(group, shelf.serial, 0))
        self._batch.put(head_key(group), encode_head(group, head))
        shelf.incoming = None
        shelf.offset = offset
        shelf.log_bytes = shelf.entries = 0

    # -- states

    def keep_part(self, group: int, state: object, data: bytes) -> None:
        """Keep the next part of a state, which is another one than before where `state` is another."""
        shelf = self._shelves[group]
        if shelf.incoming != state:
            if shelf.incoming is not None:
                # Of one that did not become whole.
                self._batch.remove(part_key(group, shelf.serial, 0), part_key(group, shelf.serial + 1, 0))
            shelf.incoming = state
            shelf.serial += 1
            shelf.parts = shelf.state_bytes = 0
        key = part_key(group, shelf.serial, shelf.parts)
        self._batch.put(key, encode_part(key, data))
        shelf.parts += 1
        shelf.state_bytes += len(data)

    def finish_own(
        self, group: int, state: object, snapshot: Snapshot, offset: int, offset_term: int
    ) -> None:
        """All parts of our own state at a snapshot's index are kept: the log up to `offset` is not needed any more."""
        shelf = self._shelves[group]
        if shelf.incoming == state:
            self._finish(group, shelf, snapshot, offset, offset_term)
            self._batch.remove(log_key(group, 0), log_key(group, offset + 1))

    def is_log_long(self, group: int) -> bool:
        """Whether a group wrote so much since its last snapshot that another one costs less than to read all again."""
        shelf = self._shelves.get(group)
        if shelf is None:
            return False
        is_long = shelf.entries > self._most_entries or shelf.log_bytes > self._most_bytes
        return is_long and shelf.log_bytes >= shelf.state_bytes

    # -- the manifest

    def begin(self, group: int, epoch: int, replica_number: int, membership: Membership | None) -> None:
        """A replica begins without anything: whatever was here of the group goes."""
        rows = {**self.manifest.groups, group: GroupRow(epoch, replica_number, membership)}
        known = self._shelves.get(group)
        shelf = self._shelves[group] = _Shelf()
        if known is not None:
            # Numbers of states are not used again: a part of an older one that came back would fit.
            shelf.serial = known.serial
        self._batch.remove(*_range_of(group))
        self.note(groups=rows)

    def note(self, **changed: Any) -> None:
        """Change the manifest; it goes along with the next batch."""
        manifest = self.manifest._replace(**changed)
        if manifest != self.manifest:
            self.manifest = manifest
            self._batch.put(MANIFEST, encode_manifest(manifest))

    def has_kept(self, group: int, epoch: int) -> bool:
        """Whether a replica of a group was ever on the disk; before that nobody was told that it is there."""
        row = self._kept.groups.get(group)
        return row is not None and row.epoch == epoch

    # -- reading

    async def load(self, group: int) -> Stored:
        """Return what the directory has of a group; raises `Corrupt` where that is not what was written."""
        row = self.manifest.groups[group]
        shelf = self._shelves.get(group) or _Shelf()
        serial = shelf.serial
        self._shelves[group] = shelf = _Shelf()
        shelf.serial = serial
        rows = await self._device.read(hard_key(group), _part_range(group)[0])
        rows += await self._device.read(head_key(group), _range_of(group)[1])
        stored = load_group(group, row, rows, self.manifest.quiet_ns)
        restored, head = stored.restored, stored.head
        shelf.last_index = (restored.offset or 0) + len(restored.entries)
        shelf.log_bytes, shelf.entries = stored.log_bytes, len(restored.entries)
        if head is not None:
            shelf.serial = max(serial, head.serial)
            shelf.offset, shelf.state_bytes = head.offset, head.size_bytes
        return stored

    async def parts(self, group: int, head: Head) -> AsyncIterator[bytes]:
        """Return the parts of a state, one after the other; raises `Corrupt`."""
        number = 0
        while number < head.parts:
            first, behind = part_key(group, head.serial, number), part_key(group, head.serial, head.parts)
            rows = await self._device.read(first, behind, PARTS_A_READ)
            if not rows:
                raise Corrupt(f"of the snapshot at {head.snapshot.index} part {number} is missing")
            for key, value in rows:
                if key != part_key(group, head.serial, number):
                    raise Corrupt(f"of the snapshot at {head.snapshot.index} part {number} is missing")
                yield decode_part(key, value)
                number += 1

    async def open_again(self) -> None:
        """Write again after an error; raises `DiskError` when that is not possible yet.

        Groups are loaded anew: what was asked for and not done is lost, and nobody was told that it was.
        """
        self._device.close()
        await self._device.open()
        # What the process found out stays true; replicas are what the disk has of them.
        self.manifest, self._shelves = self.manifest._replace(groups=self._kept.groups), {}
        self._batch = Batch()
        self._batch.put(MANIFEST, encode_manifest(self.manifest))
        self.halted = None

    def close(self) -> None:
        """Let the directory go when all is written; nobody hears of that."""
        self.in_turn = _ignore
        self._device.close()


def _range_of(group: int) -> tuple[bytes, bytes]:
    return hard_key(group)[:5], hard_key(group + 1)[:5]


def _part_range(group: int) -> tuple[bytes, bytes]:
    prefix = hard_key(group)[:5]
    return prefix + b"p", prefix + b"q"


def _call(work: Callable[[], None]) -> None:
    work()


def _ignore(told: object) -> None:
    del told
