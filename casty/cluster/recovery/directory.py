"""The records of a new cluster of one node, which has the states that it is given. Pure.

A directory like that is what the node would have if it had founded the cluster alone, got all that by calls, and
stopped. So whoever is started with it goes on as after any restart; other nodes join it, and the replicas spread.

Order: the slots, one after the other, and the manifest as the last record of all. Without it a directory is nobody's,
so one that is written by half is an empty one for whoever starts with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from casty.address import peer_key, replica_id_of
from casty.cluster.control.ballots import Identity
from casty.cluster.control.machine import FOUND, first_epoch
from casty.cluster.multiraft.numbers import group_of
from casty.cluster.slots.machine import SlotMachine
from casty.consensus import Membership, Snapshot
from casty.durable.records import (
    MANIFEST,
    Batch,
    GroupRow,
    Head,
    Manifest,
    encode_hard_state,
    encode_head,
    encode_manifest,
    encode_part,
    hard_key,
    head_key,
    part_key,
)
from casty.wire.pack import pack

__all__ = ["NewCluster", "manifest_batch", "slot_batches"]

PART_BYTES = 256 * 1024
SERIAL = 1
INDEX = TERM = 1
"""The state of a slot stands for everything up to this entry, which nobody has: its group begins behind it."""


class NewCluster(NamedTuple):
    """A cluster that begins with one node.

    Parameters
    ----------
    name, cluster_id, generation, slots, replication, settings
        Of the cluster.
    node_id, host, port
        Of its node. The address is what the founding entry says of it; each process of it joins with its own.
    disk
        The identity of the directory; drawn for it.
    quiet_ns
        The longest election timeout that was promised in the former cluster.
    former, former_members
        See `ControlMachine`.
    taken_over
        Its regions and the slots of roles, see `ControlMachine.taken_over`; `slots` are those of all nodes.
    """

    name: str
    cluster_id: str
    generation: int
    slots: int
    replication: int
    settings: dict[str, float]
    node_id: str
    host: str
    port: int
    disk: str
    quiet_ns: int = 0
    former: tuple[tuple[str, int], ...] = ()
    former_members: tuple[tuple[str, int], ...] = ()
    taken_over: Mapping[str, Sequence[Sequence[Any]]] = MappingProxyType({})

    @property
    def all_slots(self) -> int:
        """How many slots there are, with those of roles."""
        counts: list[int] = [count for _, count in self.taken_over.get("pools", ())]
        return self.slots + sum(counts)

    @property
    def incarnation(self) -> str:
        """Of the process that never was: before the first one that is started with the directory."""
        return f"{self.disk}+0+0"

    @property
    def membership(self) -> Membership:
        """The configuration of every group."""
        return Membership((replica_id_of(peer_key(self.node_id, self.incarnation)),))


def slot_batches(new: NewCluster, slot: int, machine: SlotMachine) -> Iterator[Batch]:
    """Return the records of one slot, a part of its state in each batch."""
    group, dump = group_of(slot), machine.begin_dump(PART_BYTES)
    number, size_bytes, is_last = 0, 0, False
    try:
        while not is_last:
            data, is_last = dump.next_part()
            batch, key = Batch(), part_key(group, SERIAL, number)
            batch.put(key, encode_part(key, data))
            number, size_bytes = number + 1, size_bytes + len(data)
            yield batch
    finally:
        dump.close()
    last = Batch()
    snapshot = Snapshot(INDEX, TERM, new.membership)
    last.put(head_key(group), encode_head(group, Head(SERIAL, number, size_bytes, snapshot, INDEX, TERM)))
    last.put(hard_key(group), encode_hard_state(group, TERM, None))
    yield last


def manifest_batch(new: NewCluster) -> Batch:
    """Return the record that makes the directory the node's."""
    rows = {0: GroupRow(new.generation, 0, new.membership)}
    rows |= {
        group_of(slot): GroupRow(first_epoch(new.generation), 0, new.membership)
        for slot in range(new.all_slots)
    }
    manifest = Manifest(
        new.name, new.node_id, new.disk, 0, new.quiet_ns, new.cluster_id, new.generation, new.settings,
        pack([FOUND, _document(new)]), ((new.host, new.port),), rows,
    )  # fmt: skip
    batch = Batch()
    batch.put(MANIFEST, encode_manifest(manifest))
    return batch


def _document(new: NewCluster) -> dict[str, object]:
    """Return the founding document."""
    document: dict[str, object] = {
        "id": new.cluster_id,
        "founder": new.node_id,
        "name": new.name,
        "generation": new.generation,
        "cluster_id": new.cluster_id,
        "slots": new.slots,
        "replication": new.replication,
        "settings": new.settings,
        "founders": [Identity(new.node_id, new.incarnation, new.host, new.port).plain],
        **new.taken_over,
    }
    if new.former:
        document["former"] = {
            "clusters": [list(row) for row in new.former],
            "members": [list(row) for row in new.former_members],
        }
    return document
