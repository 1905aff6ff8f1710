"""A plan: one run as a small, versioned JSON document. The plan, not its seed, is the report of a bug.

It names the cluster's shape, every operation of the workload and every fault, with virtual times and named
targets, and the seed of the keyed draws that remain (latencies, jitter, elections). So it replays after the code
changed, can be read, compared, edited and shrunk: taking one operation or fault out leaves the others as they are.
A target that does not exist is skipped and listed, never an error.

Times are integer microseconds since the cluster serves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from casty.limits import MAX_POOL_SLOTS
from casty.traits import USUAL_WEIGHT, Traits

from .fault_kinds import FAULTS, PHASES, Shape
from .json_reader import PlanError, Reader
from .roles import ROLES, is_role
from .triggers import TRIGGERS

__all__ = [
    "LABELS",
    "MAY_BE_UNAVAILABLE",
    "MAY_LOSE_MEMORY",
    "MUST_HOLD",
    "PLAN_VERSION",
    "ClusterShape",
    "FaultEvent",
    "Plan",
    "PlannedOperation",
]

PLAN_VERSION = 1
MUST_HOLD = "must hold everything"
MAY_BE_UNAVAILABLE = "may be unavailable"
MAY_LOSE_MEMORY = "may lose memory-only data"
LABELS = (MUST_HOLD, MAY_BE_UNAVAILABLE, MAY_LOSE_MEMORY)
"""What the claimed tolerance covers. Safety always has to hold, but for what a lost majority of memory took along."""

MAX_NODES = 9
WORKER = "worker"
"""The role of nodes, where some have one."""
_WEIGHTS = (USUAL_WEIGHT, USUAL_WEIGHT // 2, 2 * USUAL_WEIGHT)
MAX_CLIENTS = 32
MAX_ROGUES = 4
MAX_ITEMS = 100_000
MAX_AGAIN = 100
MAX_TIME_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class ClusterShape:
    """Who takes part.

    Parameters
    ----------
    nodes, clients
        How many; they are called ``node-1`` ... and ``client-1`` ...
    settings
        Fields of `casty.config.Settings` that differ from their defaults.
    network
        Fields of `NetworkProfile` that differ from their defaults.
    clocks
        Name -> (offset in microseconds, drift in parts per million).
    founders
        How many of the nodes found the cluster; the others wait for a ``join``. 0: all.
    quorum
        `required_quorum` of the founders; 0: not given.
    disks
        1: the nodes have data directories.
    zones
        How many zones the nodes are of, one after the other; 0: they are of none.
    weighted
        1: nodes differ in weight, the first one having the usual one.
    workers
        Each how-manieth node has the role `WORKER`, from the first one on, and the region of the clients' entities is
        limited to it. 0: nobody has a role, and the region has none.
    rogues
        How many processes send forged frames; they are called ``rogue-1`` ...
    ttls
        Client -> the time to live of its sessions in milliseconds; others have the cluster's.
    journaled
        How many of the clients, the first ones, use structures with a journal that outlives the cluster; where there is
        one, all nodes do, and all nodes end at once before the final probes. 0: there is no journal.
    """

    nodes: int = 3
    clients: int = 3
    settings: Mapping[str, int | float | str] = field(default_factory=dict)
    network: Mapping[str, int] = field(default_factory=dict)
    clocks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    founders: int = 0
    quorum: int = 0
    rogues: int = 0
    journaled: int = 0
    disks: int = 0
    ttls: Mapping[str, int] = field(default_factory=dict)

    def ttls_s(self, usual_s: float) -> list[float]:
        """Return the times to live that there are, in seconds, given the cluster's."""
        return [usual_s, *(ttl_ms / 1000 for ttl_ms in self.ttls.values())]

    zones: int = 0
    weighted: int = 0
    workers: int = 0

    def traits_of(self, node: str) -> Traits:
        """Return what a node is like, by its name."""
        number = int(node.rpartition("-")[2]) - 1
        zone = f"zone-{number % self.zones + 1}" if self.zones else None
        weight = _WEIGHTS[number % len(_WEIGHTS)] if self.weighted else USUAL_WEIGHT
        is_worker = self.workers > 0 and number % self.workers == 0
        return Traits(zone, weight, (WORKER,) if is_worker else ())

    @property
    def role(self) -> str | None:
        """What the region of the clients' entities is limited to; None: nothing."""
        return WORKER if self.workers else None

    def can_host(self, nodes: Sequence[str]) -> bool:
        """Whether one of these nodes may have the clients' entities."""
        return not self.workers or any(WORKER in self.traits_of(node).roles for node in nodes)

    def groups(self, slots: int) -> int:
        """Return how many groups there are, the control group's among them, given the slots that no role has."""
        return 1 + slots + (min(slots, MAX_POOL_SLOTS) if self.workers else 0)

    def names(self) -> list[str]:
        """Return the names of all machines."""
        nodes = [f"node-{index + 1}" for index in range(self.nodes)]
        return nodes + [f"client-{index + 1}" for index in range(self.clients)]


@dataclass(frozen=True, slots=True)
class PlannedOperation:
    """One call of a client or a member; see `sim.workloads` for the kinds and their arguments."""

    at_us: int
    client: str
    kind: str
    entity: str
    args: Mapping[str, int | str | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """One fault.

    Parameters
    ----------
    at_us, duration_us
        When it begins, and how long it lasts where it lasts.
    kind
        One of `FAULTS`, which says how many targets it has and which arguments.
    targets
        Names of nodes or clients, or groups of names for a partition; or roles out of `sim.plans.roles.ROLES`, looked
        up when the fault fires.
    args
        Numbers, as its kind asks for.
    after_ready
        Wait until every node serves and holds its places: what a loss of memory needs to be tolerable.
    trigger
        After `at_us` wait for the so-manieth event of a kind out of `sim.plans.triggers.TRIGGERS`, and then for so many
        microseconds: (event, count, delay). None: do not wait.
    until
        It ends earlier than its duration says: so many microseconds after the so-manieth event that comes while it
        lasts, written like `trigger`. None: it does not.
    again
        How many times more it comes, each when the one before is over; roles and trigger are looked up anew.
    phase
        One of `sim.plans.fault_kinds.PHASES`.
    """

    at_us: int
    kind: str
    targets: tuple[str, ...] = ()
    duration_us: int = 0
    args: Mapping[str, int] = field(default_factory=dict)
    after_ready: bool = False
    trigger: tuple[str, int, int] | None = None
    again: int = 0
    phase: str = ""
    until: tuple[str, int, int] | None = None

    def describe(self) -> str:
        """Return what it does to whom, in words.

        Examples
        --------
        >>> FaultEvent(0, "clock_drift", ("node-1",), 1_500_000, {"ppm": -200}).describe()
        'clock_drift of node-1 for 1500 ms, ppm -200'
        """
        length = f" for {self.duration_us / 1000:g} ms" if self.duration_us else ""
        args = "".join(f", {name} {value}" for name, value in self.args.items())
        return f"{self.kind} of {', '.join(self.targets)}{length}{args}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides a run.

    Parameters
    ----------
    scenario, seed
        Where it came from; the seed also keys the draws that the plan does not spell out.
    cluster, operations, faults
        What happens.
    duration_us
        When the faults end and the cluster has to become whole.
    label
        One of `LABELS`.
    version
        Of this format.

    Examples
    --------
    >>> plan = Plan("lock", 7, operations=(PlannedOperation(0, "client-1", "lock.hold", "a"),))
    >>> Plan.from_json(plan.to_json()) == plan
    True
    """

    scenario: str
    seed: int
    cluster: ClusterShape = field(default_factory=ClusterShape)
    operations: tuple[PlannedOperation, ...] = ()
    faults: tuple[FaultEvent, ...] = ()
    duration_us: int = 20_000_000
    label: str = MUST_HOLD
    version: int = PLAN_VERSION

    def to_json(self) -> str:
        """Return the document; equal plans give equal texts."""
        rows = {
            "version": self.version,
            "scenario": self.scenario,
            "seed": self.seed,
            "label": self.label,
            "duration_us": self.duration_us,
            "cluster": _cluster_to_plain(self.cluster),
        }
        head = json.dumps(rows, indent=1, sort_keys=False, ensure_ascii=False)[:-2]
        operations = _lines([_operation_to_plain(operation) for operation in self.operations])
        faults = _lines([_fault_to_plain(fault) for fault in self.faults])
        return f'{head},\n "operations": {operations},\n "faults": {faults}\n}}\n'

    @staticmethod
    def from_json(text: str | bytes) -> Plan:
        """Return the plan of a document.

        Raises
        ------
        PlanError
            When it is none; the text names the path of what is wrong.
        """
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise PlanError("plan", f"is not JSON: {error}") from None
        return Plan.from_plain(plain)

    @staticmethod
    def from_plain(plain: object) -> Plan:
        """Return the plan of a decoded document; raises `PlanError`."""
        reader = Reader(plain, "plan")
        version = reader.integer("version", 1, 1 << 31)
        if version != PLAN_VERSION:
            raise PlanError("plan.version", f"expected {PLAN_VERSION}, found {version}")
        cluster = _cluster_from_plain(reader.child("cluster"))
        plan = Plan(
            scenario=reader.text("scenario"),
            seed=reader.integer("seed", -(1 << 63), 1 << 63),
            cluster=cluster,
            operations=tuple(_operation_from(row) for row in reader.rows("operations", MAX_ITEMS)),
            faults=tuple(_fault_from(row) for row in reader.rows("faults", MAX_ITEMS)),
            duration_us=reader.integer("duration_us", 0, MAX_TIME_US),
            label=reader.one_of("label", LABELS),
        )
        reader.end()
        return plan

    def without(self, *, operations: tuple[int, ...] = (), faults: tuple[int, ...] = ()) -> Plan:
        """Return this plan without some of its operations and faults, given by position."""
        return replace(
            self,
            operations=tuple(item for at, item in enumerate(self.operations) if at not in operations),
            faults=tuple(item for at, item in enumerate(self.faults) if at not in faults),
        )

    def families(self) -> list[str]:
        """Return the kinds of fault it has, sorted."""
        return sorted({fault.kind for fault in self.faults})


def _lines(rows: list[dict[str, Any]]) -> str:
    """One item a line: plans are read and compared by people."""
    if not rows:
        return "[]"
    texts = (json.dumps(row, ensure_ascii=False) for row in rows)
    return "[\n  " + ",\n  ".join(texts) + "\n ]"


def _cluster_to_plain(shape: ClusterShape) -> dict[str, Any]:
    rare: dict[str, Any] = {
        name: count
        for name in ("founders", "quorum", "rogues", "journaled", "disks", "zones", "weighted", "workers")
        if (count := getattr(shape, name))
    }
    if shape.ttls:
        rare["ttls"] = dict(shape.ttls)
    return {
        **rare,
        "nodes": shape.nodes,
        "clients": shape.clients,
        "settings": dict(shape.settings),
        "network": dict(shape.network),
        "clocks": {name: list(bent) for name, bent in shape.clocks.items()},
    }


def _cluster_from_plain(reader: Reader) -> ClusterShape:
    clocks = reader.child("clocks")
    shape = ClusterShape(
        nodes=reader.integer("nodes", 1, MAX_NODES),
        clients=reader.integer("clients", 0, MAX_CLIENTS),
        settings=reader.child("settings").scalars(),
        network=reader.child("network").integers(),
        clocks={name: clocks.pair(name) for name in clocks.names()},
        founders=reader.integer("founders", 0, MAX_NODES) if reader.has("founders") else 0,
        quorum=reader.integer("quorum", 0, MAX_NODES) if reader.has("quorum") else 0,
        rogues=reader.integer("rogues", 0, MAX_ROGUES) if reader.has("rogues") else 0,
        journaled=reader.integer("journaled", 0, MAX_CLIENTS) if reader.has("journaled") else 0,
        disks=reader.integer("disks", 0, 1) if reader.has("disks") else 0,
        ttls=reader.child("ttls").integers() if reader.has("ttls") else {},
        zones=reader.integer("zones", 0, MAX_NODES) if reader.has("zones") else 0,
        weighted=reader.integer("weighted", 0, 1) if reader.has("weighted") else 0,
        workers=reader.integer("workers", 0, MAX_NODES) if reader.has("workers") else 0,
    )
    reader.end()
    return shape


def _operation_to_plain(operation: PlannedOperation) -> dict[str, Any]:
    row: dict[str, Any] = {
        "at_us": operation.at_us,
        "client": operation.client,
        "kind": operation.kind,
        "entity": operation.entity,
    }
    if operation.args:
        row["args"] = dict(operation.args)
    return row


def _operation_from(reader: Reader) -> PlannedOperation:
    operation = PlannedOperation(
        at_us=reader.integer("at_us", 0, MAX_TIME_US),
        client=reader.text("client"),
        kind=reader.text("kind"),
        entity=reader.text("entity"),
        args=reader.child("args").plain_values() if reader.has("args") else {},
    )
    reader.end()
    return operation


def _fault_to_plain(fault: FaultEvent) -> dict[str, Any]:
    row: dict[str, Any] = {"at_us": fault.at_us, "kind": fault.kind, "targets": list(fault.targets)}
    if fault.duration_us:
        row["duration_us"] = fault.duration_us
    if fault.args:
        row["args"] = dict(fault.args)
    if fault.after_ready:
        row["after_ready"] = True
    if fault.trigger:
        row["trigger"] = list(fault.trigger)
    if fault.until:
        row["until"] = list(fault.until)
    if fault.again:
        row["again"] = fault.again
    if fault.phase:
        row["phase"] = fault.phase
    return row


def _fault_from(reader: Reader) -> FaultEvent:
    kind = reader.one_of("kind", tuple(FAULTS))
    shape: Shape = FAULTS[kind]
    targets = reader.texts("targets")
    if not shape.least <= len(targets) <= shape.most:
        raise PlanError(
            reader.at("targets"), f"{kind}: expected {shape.least} to {shape.most}, found {len(targets)}"
        )
    unknown = [target for target in targets if is_role(target) and target not in ROLES]
    if unknown:
        raise PlanError(reader.at("targets"), f"expected names or roles of {list(ROLES)}, found {unknown}")
    args = reader.child("args").integers() if reader.has("args") else {}
    strays = sorted(name for name in args if name not in shape.args)
    if strays:
        raise PlanError(reader.at("args"), f"{kind}: expected {list(shape.args)}, found {strays}")
    fault = FaultEvent(
        at_us=reader.integer("at_us", 0, MAX_TIME_US),
        kind=kind,
        targets=targets,
        duration_us=reader.integer("duration_us", 0, MAX_TIME_US) if reader.has("duration_us") else 0,
        args=args,
        after_ready=reader.flag("after_ready") if reader.has("after_ready") else False,
        trigger=reader.trigger("trigger", TRIGGERS) if reader.has("trigger") else None,
        again=reader.integer("again", 0, MAX_AGAIN) if reader.has("again") else 0,
        phase=reader.one_of("phase", PHASES) if reader.has("phase") else "",
        until=reader.trigger("until", TRIGGERS) if reader.has("until") else None,
    )
    reader.end()
    return fault
