"""Makes a new generation: out of the directories that survived, or of a backup. Devices and bytes come from outside.

Steps of a recovery, and what a crash between two of them leaves:

1. All directories are taken; while they are, no process serves with them. Everything is read and compared.
2. The operator sees what may be lost, and agrees. Until here nothing was changed.
3. The new directory is written, beside its place; it has no manifest before everything else is durable.
4. Each survivor's directory is marked as out of use. Some may be and others not: none of the marked ones starts any
   more, and the recovery can be made again (`again`), from all of them: they are only marked, not changed.
5. The new directory is put in its place. Only now a node can be started with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from casty.cluster.control.machine import ControlMachine
from casty.cluster.control.schema import MAX_FORMER_CLUSTERS, MAX_FORMER_MEMBERS, TAKEN_OVER
from casty.cluster.multiraft.numbers import group_of, slot_of
from casty.cluster.recovery.directory import NewCluster, manifest_batch, slot_batches
from casty.cluster.recovery.reading import Records, read_control, read_slot, read_survivor
from casty.cluster.recovery.renewal import Renewed, renew
from casty.cluster.recovery.survivors import GroupReport, Survivor, choose
from casty.cluster.slots.dump import SlotLoad
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.durable.records import MANIFEST, Batch, encode_manifest
from casty.errors import BackupDamaged, CastyError, RecoveryError
from casty.limits import MAX_GENERATION

__all__ = [
    "NewNode", "Restoring", "Survey", "generation_above", "recovered", "superseded", "survey", "write_recovered",
]  # fmt: skip

Write = Callable[[Batch], Awaitable[None]]
"""Makes a batch durable, after those before it."""


class NewNode(NamedTuple):
    """The one node that a new cluster begins with, and what is drawn for it.

    Parameters
    ----------
    node_id, host, port
        As it will be started.
    cluster_id, disk
        Random texts.
    wall_s
        What the wall clock gives for a generation.
    mark
        Returns random bytes, other ones each time.
    """

    node_id: str
    host: str
    port: int
    cluster_id: str
    disk: str
    wall_s: int
    mark: Callable[[], bytes]


class Survey(NamedTuple):
    """What is left of a cluster.

    Parameters
    ----------
    survivors
        Those that were found, in the order in which they were named.
    control
        What the control group knew, as the survivor has it that knows most.
    reports
        One for each group, by number.
    """

    survivors: Sequence[Survivor]
    control: ControlMachine
    reports: Sequence[GroupReport]

    @property
    def may_lack(self) -> list[GroupReport]:
        """The groups of which something that was acknowledged may be lost."""
        return [report for report in self.reports if report.may_lack]

    @property
    def empty(self) -> list[int]:
        """The slots of which nobody has a replica that can be read, though there may be something in them."""
        return [slot_of(report.number) for report in self.may_lack if report.chosen is None]


async def survey(sources: Sequence[tuple[str, Records]], *, again: bool = False) -> Survey:
    """Read what survived, and compare.

    Parameters
    ----------
    sources
        What to call each directory, and its records.
    again
        Also where a new generation was made from them before.

    Raises
    ------
    RecoveryError
        They do not belong together, the control group is on none of them, or they were used before.
    DiskError
        One does not say any more whose it is.
    """
    survivors = [await read_survivor(name, records) for name, records in sources]
    _check_together(survivors)
    for one in () if again else survivors:
        if one.manifest.successor[0]:
            raise RecoveryError(
                f"{one.source}: {one.manifest.successor[0]}, generation {one.manifest.successor[1]}, was recovered "
                "from it before. If that cluster serves, join it with an empty directory; if it was never started, "
                "say --again"
            )
    first = choose(0, survivors)
    if first.chosen is None:
        why = "; ".join(
            f"{survivors[at].source}: {row.damage or 'told nothing'}" for at, row in first.held.items()
        )
        raise RecoveryError(
            f"no survivor has a control group that can be read ({why}): which slots there are is lost"
        )
    control = await read_control(sources[first.chosen][1], survivors[first.chosen].manifest)
    if not control.is_founded:
        raise RecoveryError("the cluster was never founded: nothing was acknowledged, start it anew")
    reports = [
        GroupReport(group_of(slot), None, {}, (), False)
        if not first.may_lack and not row.has_begun
        else choose(group_of(slot), survivors, row.epoch)
        for slot, row in enumerate(control.slots)
    ]
    return Survey(survivors, control, [first, *reports])


def _check_together(survivors: Sequence[Survivor]) -> None:
    known: dict[str, Survivor] = {}
    for one in survivors:
        mine, theirs = one.manifest, survivors[0].manifest
        if (mine.name, mine.cluster_id) != (theirs.name, theirs.cluster_id):
            raise RecoveryError(
                f"{one.source} is of cluster {mine.name!r} ({mine.cluster_id}), {survivors[0].source} of "
                f"{theirs.name!r} ({theirs.cluster_id}): recover one cluster at a time"
            )
        if mine.node_id in known:
            raise RecoveryError(
                f"{one.source} and {known[mine.node_id].source} are both of node {mine.node_id}: name the one that it "
                "was started with last"
            )
        known[mine.node_id] = one


def generation_above(known: Iterable[int], wall_s: int) -> int:
    """Return the generation of a cluster that follows others; raises `RecoveryError` where there is none.

    Examples
    --------
    >>> generation_above([7, 9], 3), generation_above([7], 100)
    (10, 100)
    """
    generation = max(max(known) + 1, wall_s)
    if generation > MAX_GENERATION:
        raise RecoveryError(f"expected a generation of at most {MAX_GENERATION}, found {generation}")
    return generation


def recovered(found: Survey, node: NewNode) -> NewCluster:
    """Return the cluster that takes the place of a lost one."""
    control, manifests = found.control, [one.manifest for one in found.survivors]
    known = [row for one in manifests for row in (one.generation, one.successor[1])]
    own = (node.host, node.port)
    addresses = dict.fromkeys(
        [*control.former_members, *((row.host, row.port) for row in control.members.values())]
    )
    addresses.pop(own, None)
    return NewCluster(
        name=control.name,
        cluster_id=node.cluster_id,
        generation=generation_above([control.generation, *known], node.wall_s),
        slots=control.shared_slots,
        replication=control.replication,
        settings=control.settings,
        node_id=node.node_id,
        host=node.host,
        port=node.port,
        disk=node.disk,
        quiet_ns=max(one.quiet_ns for one in manifests),
        former=(*control.former, (control.cluster_id, control.generation))[-MAX_FORMER_CLUSTERS:],
        former_members=tuple(addresses)[-MAX_FORMER_MEMBERS:],
        taken_over=control.taken_over,
    )


async def write_recovered(
    found: Survey, sources: Sequence[Records], new: NewCluster, node: NewNode, write: Write
) -> Renewed:
    """Write the directory of a recovered cluster; returns what became of its slots.

    Parameters
    ----------
    found, sources
        What was read, and from where.
    new, node
        What is made.
    write
        Into the new directory.
    """
    total = Renewed()
    for report in found.reports[1:]:
        slot, machine = slot_of(report.number), _empty(new)
        if report.chosen is not None:
            manifest = found.survivors[report.chosen].manifest
            generation = found.control.generation
            machine = await read_slot(sources[report.chosen], manifest, slot, _limits(new), generation)
        total += await _write_slot(new, node, slot, machine, write, is_whole=not report.may_lack)
    await write(manifest_batch(new))
    return total


def superseded(one: Survivor, new: NewCluster) -> Batch:
    """Return the record that says that a survivor's directory is out of use."""
    batch = Batch()
    manifest = one.manifest._replace(successor=(new.cluster_id, new.generation))
    batch.put(MANIFEST, encode_manifest(manifest))
    return batch


def _limits(new: NewCluster) -> MachineLimits:
    names = ("max_entities", "max_sessions", "max_waiters")
    return MachineLimits(*[int(new.settings[name]) for name in names])


def _empty(new: NewCluster) -> SlotMachine:
    return SlotMachine(_limits(new), new.generation)


async def _write_slot(
    new: NewCluster, node: NewNode, slot: int, machine: SlotMachine, write: Write, *, is_whole: bool
) -> Renewed:
    usual_ms = round(1000 * new.settings["session_ttl_s"])
    longest_ms = round(1000 * new.settings.get("max_session_ttl_s", 0))
    what = renew(
        machine, new.generation, node.mark(), is_whole=is_whole, usual_ms=usual_ms, longest_ms=longest_ms
    )
    for batch in slot_batches(new, slot, machine):
        await write(batch)
    return what


class Restoring:
    """Makes a new cluster out of the records of a backup, one slot in memory at a time.

    Parameters
    ----------
    records
        Of `read_records`.
    node
        What the cluster begins with.
    name
        Of the cluster; None to keep that of the backup.

    Attributes
    ----------
    new
        The cluster.
    document
        What the backup says of the one that it is of.
    """

    def __init__(self, records: Iterator[list[Any]], node: NewNode, name: str | None = None) -> None:
        self._records = records
        self._node = node
        document: dict[str, Any] = next(records)[1]
        self.document = document
        self.new = NewCluster(
            name=name or document["name"],
            cluster_id=node.cluster_id,
            generation=generation_above([document["generation"]], node.wall_s),
            slots=document["slots"],
            replication=document["replication"],
            settings=document["settings"],
            node_id=node.node_id,
            host=node.host,
            port=node.port,
            disk=node.disk,
            taken_over={key: document[key] for key in TAKEN_OVER if key in document},
        )

    async def write(self, write: Write) -> Renewed:
        """Write the directory; raises `BackupError` for a file that is damaged, or has not every slot once."""
        total, slots = Renewed(), dict[int, None]()
        machine, load, slot, parts = _empty(self.new), None, -1, 0
        for kind, *fields in self._records:
            if kind == "slot":
                slot, parts = fields[0], 0
                self._check_slot(slot, slots)
                machine = _empty(self.new)
                load = machine.begin_load()
            elif kind == "part":
                assert load is not None, "no part comes before its slot"
                _take(load, fields[0], slot)
                parts += 1
            elif kind == "end":
                assert load is not None, "no end comes before its slot"
                if parts != fields[0]:
                    raise BackupDamaged(f"slot {slot}: expected {fields[0]} parts, found {parts}")
                _finish(load, slot)
                total += await _write_slot(self.new, self._node, slot, machine, write, is_whole=False)
        for slot in self.document.get("blank", ()):
            self._check_slot(slot, slots)
            total += await _write_slot(self.new, self._node, slot, _empty(self.new), write, is_whole=True)
        if len(slots) != self.new.all_slots:
            raise BackupDamaged(f"expected {self.new.all_slots} slots, found {len(slots)}")
        await write(manifest_batch(self.new))
        return total

    def _check_slot(self, slot: int, slots: dict[int, None]) -> None:
        if slot in slots or slot >= self.new.all_slots:
            raise BackupDamaged(f"slot {slot}: expected each from 0 to {self.new.all_slots - 1} once")
        slots[slot] = None


def _take(load: SlotLoad, part: bytes, slot: int) -> None:
    """Take a part; what fits no state is a fault of the file, however it shows."""
    try:
        load.take(part)
    except (CastyError, LookupError, TypeError, ValueError) as error:
        raise BackupDamaged(f"slot {slot}: a part of it is none of a state: {error}") from None


def _finish(load: SlotLoad, slot: int) -> None:
    try:
        load.finish()
    except CastyError as error:
        raise BackupDamaged(f"slot {slot}: {error}") from None
