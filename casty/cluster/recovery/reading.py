"""Reads the replicas of a data directory that no process has: the control state, and slots one at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from casty.address import replica_id
from casty.cluster.control.machine import ControlMachine
from casty.cluster.multiraft.numbers import group_of
from casty.cluster.recovery.survivors import Held, Survivor, held_of
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.consensus import DATA
from casty.durable.loading import Stored, load_group
from casty.durable.records import (
    MANIFEST,
    Corrupt,
    GroupRow,
    Head,
    Manifest,
    decode_manifest,
    decode_part,
    hard_key,
    head_key,
    part_key,
)
from casty.errors import RecoveryError

__all__ = ["Records", "read_control", "read_slot", "read_survivor"]

PARTS_A_READ = 8


class Records(Protocol):
    """What is asked of a device."""

    async def read(self, first: bytes, behind: bytes, most: int = 0) -> list[tuple[bytes, bytes]]:
        """See `casty.ports.Device.read`."""
        ...


async def read_survivor(source: str, records: Records) -> Survivor:
    """Read what a directory has; of a replica that is damaged it says so.

    Raises
    ------
    RecoveryError
        It is nobody's, or of a node that was never part of a cluster.
    DiskError
        It does not say any more whose it is, or is of another format.
    """
    rows = await records.read(MANIFEST, MANIFEST + b"\0")
    manifest = decode_manifest(rows[0][1]) if rows else None
    if manifest is None or not manifest.cluster_id or not manifest.groups:
        raise RecoveryError(
            f"{source}: expected the directory of a member, found one that nobody was a member with"
        )
    groups = {number: await _held(records, manifest, number) for number in sorted(manifest.groups)}
    return Survivor(source, manifest, groups)


async def _held(records: Records, manifest: Manifest, number: int) -> Held:
    row = manifest.groups[number]
    id = replica_id(f"{manifest.node_id}#{manifest.disk}", row.replica_number)
    try:
        stored = await _stored(records, row, number)
        async for _ in _parts(records, number, stored.head):
            pass  # only whether they can be read
    except Corrupt as error:
        return Held(id, row.epoch, 0, 0, (), str(error))
    return held_of(id, stored)


async def _stored(records: Records, row: GroupRow, number: int) -> Stored:
    # All of a group but its parts, which stand between these.
    rows = await records.read(hard_key(number), part_key(number, 0, 0))
    rows += await records.read(head_key(number), hard_key(number + 1)[:5])
    return load_group(number, row, rows, 0)


async def _parts(records: Records, number: int, head: Head | None) -> AsyncIterator[bytes]:
    at = 0
    while head is not None and at < head.parts:
        first, behind = part_key(number, head.serial, at), part_key(number, head.serial, head.parts)
        rows = await records.read(first, behind, PARTS_A_READ)
        if not rows:
            raise Corrupt(f"of the snapshot at {head.snapshot.index} part {at} is missing")
        for key, value in rows:
            if key != part_key(number, head.serial, at):
                raise Corrupt(f"of the snapshot at {head.snapshot.index} part {at} is missing")
            yield decode_part(key, value)
            at += 1


async def read_control(records: Records, manifest: Manifest) -> ControlMachine:
    """Return what the control group knew, with its whole log; raises `CastyError` for what is no such state."""
    machine = ControlMachine()
    stored = await _stored(records, manifest.groups[0], 0)
    parts = [part async for part in _parts(records, 0, stored.head)]
    if parts:
        machine.load(b"".join(parts))
    for _, data in _applied(stored):
        machine.apply(data)
    return machine


async def read_slot(
    records: Records, manifest: Manifest, slot: int, limits: MachineLimits, generation: int
) -> SlotMachine:
    """Return the state of a slot, with its whole log.

    Parameters
    ----------
    records, manifest
        The directory.
    slot
        Which one.
    limits, generation
        Of the cluster.

    Raises
    ------
    CastyError
        What is there is no state of a slot.
    """
    number = group_of(slot)
    machine = SlotMachine(limits, generation)
    stored = await _stored(records, manifest.groups[number], number)
    if stored.head is not None:
        load = machine.begin_load()
        async for part in _parts(records, number, stored.head):
            load.take(part)
        load.finish()
    for index, data in _applied(stored):
        machine.apply(index, data)
    return machine


def _applied(stored: Stored) -> list[tuple[int, bytes]]:
    """Return the entries that a machine applies, after what its snapshot stands for."""
    restored = stored.restored
    since = 0 if restored.snapshot is None else restored.snapshot.index
    numbered = enumerate(restored.entries, (restored.offset or 0) + 1)
    return [(index, entry.data) for index, entry in numbered if index > since and entry.kind == DATA]
