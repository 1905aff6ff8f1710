"""A node with a data directory: what it is after a restart, and how its replicas come back from the disk.

Life of a directory, and what a crash between two steps leaves::

    empty --first start--> named --founded or joined--> part of a cluster, with replicas

- *Named*: it has an identity, under which the node will take part in groups. A process that ends before it is part of
  a cluster has promised nothing that lasts; the next one begins as if the directory were empty.
- *Part of a cluster*: the process goes on with its replicas, and founds nothing any more. It is another incarnation:
  its links, sessions, actors are new, and it asks to join under its new name. Its replicas refuse votes for one
  election timeout; what they voted and acknowledged is on the disk.
- A replica whose records are damaged is *lost*: it is begun anew, blank and under another number (`replica_repair.py`).
- A directory that is full ends all replicas of the process, not the process. They are loaded again when there is room:
  what they voted and acknowledged is there. After any other error of the disk the process has to be started anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from casty.address import NodeAddress
from casty.cluster.control.ballots import Identity
from casty.cluster.control.machine import JOIN, ControlMachine
from casty.cluster.control.replica import CONTROL, ControlReplica
from casty.cluster.multiraft.host import Host, Replica
from casty.cluster.multiraft.numbers import slot_of
from casty.cluster.node.bootstrap import Bootstrap
from casty.cluster.node.control_group import ControlGroup
from casty.cluster.node.founding_document import founders_of
from casty.cluster.node.links import Links
from casty.cluster.node.options import NodeOptions
from casty.cluster.node.replica_factory import Groups
from casty.cluster.node.replica_repair import Refills
from casty.cluster.node.request_handler import Agreed, RequestHandler
from casty.config import SECOND_NS, Settings
from casty.consensus import Membership, Restored
from casty.durable.book import Book
from casty.durable.records import MANIFEST, Corrupt, Manifest, decode_manifest
from casty.errors import CastyError, DiskError, DiskFull
from casty.ports import Runtime
from casty.transport.output_batch import OutputBatch
from casty.wire.pack import pack, unpack

__all__ = ["NodeDisk", "incarnation_of", "open_book"]

log = logging.getLogger("casty.node")


class Kept(Protocol):
    """The node whose disk it is; see `Node`."""

    runtime: Runtime
    options: NodeOptions
    settings: Settings
    node_id: str
    incarnation: str

    @property
    def replica_id(self) -> str:
        """Under which key this process takes part in groups."""
        ...

    output: OutputBatch
    host: Host
    links: Links
    control: ControlReplica
    control_group: ControlGroup
    bootstrap: Bootstrap
    groups: Groups
    refills: Refills
    requests: RequestHandler

    def control_changed(self) -> None:
        """The control group's state changed."""


async def open_book(
    path: str, name: str, disk: str, settings: Settings, output: OutputBatch, runtime: Runtime
) -> Book:
    """Take a data directory, and write into it that it is started with once more.

    Parameters
    ----------
    path
        Where it is.
    name
        The cluster's.
    disk
        The identity that an empty one gets.
    output
        What the disk has done is heard of in a turn of this one.

    Raises
    ------
    DiskError
        It is in use, damaged, or of another cluster.
    """
    device = runtime.device(path)
    await device.open()
    try:
        rows = await device.read(MANIFEST, MANIFEST + b"\0")
        book = Book(device, _manifest([value for _, value in rows], path, name, disk), runtime.storage)
        quiet_ns = max(book.manifest.quiet_ns, int(settings.election_max_s * SECOND_NS))
        book.note(starts=book.manifest.starts + 1, quiet_ns=quiet_ns)
        book.limit(settings.retained_entries + settings.snapshot_entries, settings.retained_bytes)
        await book.synced()
        book.in_turn = output.run
    except BaseException:
        device.close()
        raise
    return book


def _manifest(values: list[bytes], path: str, name: str, disk: str) -> Manifest:
    if not values:
        return Manifest(name, "", disk, 0, 0, "", 0, {}, b"", (), {})
    try:
        manifest = decode_manifest(values[0])
    except Corrupt as error:
        raise DiskError(
            f"data_dir {path!r} does not say any more whose it is ({error}); move it away and start again: the node "
            "is filled from the others"
        ) from None
    cluster_id, generation = manifest.successor
    if cluster_id:
        raise DiskError(
            f"data_dir {path!r} is out of use: its cluster {manifest.cluster_id} is over, and {cluster_id}, generation "
            f"{generation}, was recovered from it; start with an empty directory"
        )
    if manifest.name != name:
        raise DiskError(f"data_dir {path!r} belongs to the cluster {manifest.name!r}, this node to {name!r}")
    return manifest


def incarnation_of(manifest: Manifest, token: str) -> str:
    """Return what a process with a data directory is called: another one than each that had it before."""
    return f"{manifest.disk}+{manifest.starts}+{token[:4]}"


class NodeDisk:
    """The disk of one process.

    Parameters
    ----------
    node
        Whose it is.
    book
        What is in its directory.

    Bounds: `_wanted` has a row per failed replica at most.
    """

    def __init__(self, node: Kept, book: Book) -> None:
        self._node = node
        self.book = book
        self._wanted: dict[int, int] = {}
        """Group -> the number that another replica would have."""
        self._loading: asyncio.Task[None] | None = None
        self._is_restoring = False

    async def restore(self) -> None:
        """Bring all replicas back, the control group's first; until that is done nobody is linked with.

        Raises
        ------
        DiskError
            The directory is of another node, or cannot be read.
        """
        node, book = self._node, self.book
        known = book.manifest.node_id
        if known not in ("", node.node_id):
            raise DiskError(
                f"data_dir: it belongs to node {known!r}, and this is {node.node_id!r}; each has its own"
            )
        book.note(node_id=node.node_id)
        manifest = book.manifest
        if not manifest.groups:
            return
        node.control_group.restored(manifest.founding)
        node.bootstrap.restored(manifest.cluster_id)
        self._is_restoring = True
        for number in sorted(manifest.groups):
            await self._restore(number)
        self._is_restoring = False
        node.links.want_members(NodeAddress(*address) for address in manifest.members)
        node.control_changed()
        log.info(
            "%s goes on with what its disk has of cluster %s: %d replicas, %d to be filled from the others",
            node.node_id, manifest.cluster_id, len(node.host.groups), len(manifest.groups) - len(node.host.groups),
        )  # fmt: skip

    # -- what the node becomes part of

    def founded(self, document: Mapping[str, Any], entry: bytes) -> None:
        """The node founds with a document: whoever leads first proposes its entry, also after a restart."""
        self.book.note(
            founding=entry, generation=document["generation"], cluster_id=document["cluster_id"],
            settings=dict(document["settings"]),
        )  # fmt: skip

    def joined(self, generation: int) -> None:
        """The node is a member of a cluster."""
        self.book.note(generation=generation)

    def join_own(self, identity: Identity) -> None:
        """Join by itself as what it is now: with a vote on its disk, a process may lead before it is known."""
        node = self._node
        group = node.host.groups.get(CONTROL)
        if group is not None and group.is_leading and node.control.machine.is_founded:
            node.control_group.propose(pack([JOIN, *identity.plain]))

    def document(self) -> dict[str, object]:
        """Return what state the disk is in: ``ok``, ``full``, ``broken`` until the process is started anew."""
        error = self.book.halted
        state = "ok" if error is None else "full" if isinstance(error, DiskFull) else "broken"
        return {"state": state, "error": None if error is None else str(error)}

    def superseded(self, successor: tuple[str, int]) -> None:
        """Another generation took the place of the cluster: no process is started with the directory any more."""
        self.book.note(successor=successor)
        if self.book.halted is None:
            self.book.flush(_nothing)

    def changed(self, machine: ControlMachine) -> bool:
        """The control group's state changed; False while it is still brought back, and nobody is to act on it."""
        if self._is_restoring:
            return False
        if machine.is_founded:
            self.book.note(
                cluster_id=machine.cluster_id, generation=machine.generation, settings=dict(machine.settings),
                members=tuple((row.host, row.port) for row in machine.members.values()),
            )  # fmt: skip
        return True

    def agreed(self) -> Agreed:
        """Return what the cluster agreed on, as the disk has it."""
        manifest = self.book.manifest
        return Agreed(manifest.generation, manifest.settings)

    # -- replicas

    async def _restore(self, number: int) -> None:
        row = self.book.manifest.groups[number]
        try:
            stored = await self.book.load(number)
            replica = self._make(number, row.epoch)
            if stored.head is not None:
                load = replica.begin_load()
                async for part in self.book.parts(number, stored.head):
                    load.take(part)
                    await self._node.runtime.clock.sleep(0)  # one part a turn
                load.finish()
            if self.book.halted is not None:
                raise self.book.halted  # while it was read
        except DiskError as error:
            if not isinstance(error, Corrupt):
                raise
            self._lose(number, error)
        except CastyError as error:
            # The checksums fit, and yet it is no state: of another version, or written by a fault of ours.
            self._lose(number, error)
        else:
            self._node.groups.create(
                number, row.epoch, row.membership, replica, row.replica_number, stored.restored
            )

    def _make(self, number: int, epoch: int) -> Replica:
        """Make a replica without anything in it; of the control group's, what others are told of it stays known."""
        control = self._node.control
        if number != CONTROL:
            return self._node.requests.make_slot(slot_of(number), epoch, control.machine)
        if control.machine.is_founded:
            control.begin_anew()
        return control

    def _lose(self, number: int, error: CastyError) -> None:
        node, row = self._node, self.book.manifest.groups[number]
        if number != CONTROL:
            node.groups.lost(slot_of(number), row.epoch)
            node.requests.drop_slot(slot_of(number))
        reason = f"its records on the disk are damaged: {error}"
        log.error("%s: the replica of group %d is begun anew, as %s", node.node_id, number, reason)
        node.refills.lost(number, row.epoch, row.replica_number, reason, node.runtime.clock.now())

    def wants(self, number: int, replica_number: int) -> bool:
        """Whether the disk has what fills the place of a failed replica, and it is loaded; else another one begins.

        While nothing can be written no other one begins either: first the disk has to be in order.
        """
        if self.book.halted is None and not self._has(number, replica_number):
            return False
        self._wanted[number] = replica_number
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._load(), name="disk")
        return True

    def _has(self, number: int, replica_number: int) -> bool:
        row = self.book.manifest.groups.get(number)
        is_former = row is not None and row.replica_number >= replica_number - 1
        return is_former and not self._node.refills.is_lost(number)

    def is_stored(self, number: int) -> bool:
        """Whether the disk has the replica of a group, as far as is known."""
        return number in self.book.manifest.groups and not self._node.refills.is_lost(number)

    def begins_again(self, number: int, epoch: int) -> bool:
        """Create the first replica of a group again, whose first write failed; False for what is none.

        It never was on the disk, so nobody heard of it: under its name nothing was voted or acknowledged, and the group
        may have no other replicas yet that it could be filled from. It may have answered a leader's heartbeats, on
        which a lease rests, so it keeps quiet first, as after a restart.
        """
        node, machine = self._node, self._node.control.machine
        if self.book.has_kept(number, epoch):
            return False
        if number == CONTROL:
            founding = node.control_group.founding_entry
            entry: Any = unpack(founding) if founding else None
            membership = None if entry is None else founders_of(entry[1])
        else:
            row = machine.slots[slot_of(number)]
            membership = (
                Membership(row.first) if node.replica_id in row.first and row.epoch == epoch else None
            )
        if membership is None:
            return False
        replica: Replica = (
            node.control if number == CONTROL else node.requests.make_slot(slot_of(number), epoch, machine)
        )
        nothing = Restored(0, None, None, [], 0, 0, self.book.manifest.quiet_ns)
        node.groups.create(number, epoch, membership, replica, 0, nothing, is_new=True)
        return True

    async def _load(self) -> None:
        node = self._node
        while self._wanted:
            number = next(iter(self._wanted))
            try:
                await self._open_again()
                if node.refills.is_failed(number) and self._has(number, self._wanted[number]):
                    await self._restore(number)
                    node.output.mark_due()
            except (DiskError, MemoryError) as error:
                node.refills.postponed(number, str(error), node.runtime.clock.now())
            finally:
                self._wanted.pop(number, None)

    async def _open_again(self) -> None:
        error = self.book.halted
        if error is None:
            return
        if not isinstance(error, DiskFull):
            raise error  # nobody knows what is on the disk after that: see the head of this module
        await self.book.open_again()
        await self.book.synced()

    def close(self) -> None:
        """Load nothing more, and let the directory go when all is written."""
        if self._loading is not None:
            self._loading.cancel()
        self.book.close()


def _nothing() -> None:
    """Nobody waits for it."""
