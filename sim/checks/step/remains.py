"""What is left of calls, sessions, links and processes that are over: at rest every table is small (8, 9).

A run makes some two hundred calls from a handful of processes. At rest no table may have rows by the call; each has
at most so many as there are groups, processes, or entities, or as it keeps on purpose, whatever the run did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from casty.cluster.actors.entity_log import SNAPSHOT_EVENTS
from casty.cluster.authority import RULES
from casty.cluster.sessions.core.deadlines import MIN_SWEEP
from casty.cluster.sessions.core.keepalive import MAX_FRAMES_IN_FLIGHT
from casty.distributed.machines.events import MAX_BATCH

from .leftovers import Rows, kept_rows, rows_of_process

if TYPE_CHECKING:
    from casty.config import Settings

    from ...world.process import Process

__all__ = ["UNDER_WAY", "WAITING", "Sizes", "limits_at_rest", "too_many"]

_FEW = 8
"""Rows of a table that need no reason."""
_ASKS = 6
"""What a control leader proposes about a member: one of four statuses, and that it is silent or not."""
_KINDS = 13
"""Kinds of entities, and none."""
_TYPES = 40
"""Types that a codec has an encoder of; casty's own and those of the workload."""
_CLASSES = 10_000
"""Classes whose instances travelled: one registry serves the whole program, which may run many worlds."""
_OF_SHAPES = [f"wire.shapes.Shape.{table}" for table in ("checked", "compared", "known", "names", "needed")]
_BURST = 4
"""Replies that sessions have kept on average."""
_FACTS = 6
"""What one process tells another when they meet: rows of it, and of a welcome."""

_SERVICE_ROWS = 3
_OF_SERVICES = (
    "actor.services.ServiceInstance", "actor.ref.RemoteActorRef", "address.ActorAddress", "address.NodeAddress",
    "cluster.control.topology.Topology.services", "cluster.control.topology.Topology.services[]",
    "cluster.control.topology.Topology.services[][]", "cluster.control.service_registry.Registry.rows[]",
    "cluster.control.service_registry.Registry.rows[][]", "cluster.actors.service_listings.Listings._known[]",
    "cluster.control.service_offers.Offers._wanted[]",
)  # fmt: skip
"""Rows of services that are offered, with their keys and actors: one or two dozen in a run, two values in each."""

WAITING = "cluster.slots.leader.SlotLeader.waiting"
"""Where an outcome goes that is still to come, at the slot's leader."""

UNDER_WAY = (
    "cluster.sessions.core.call.Call", "cluster.sessions.core.call_table.CallTable.calls",
    "cluster.sessions.driver.Driver._futures",
    "cluster.sessions.core.call_table.CallTable._numbered",
    "cluster.sessions.core.call_table.CallTable._by_slot", "cluster.sessions.core.call_table.CallTable.parked",
    WAITING,
)  # fmt: skip
"""Tables of what is under way: nothing is, soon after the last call; some of their rows end with a session as well."""

_IN_THE_END = ("cluster.sessions.core.client_session.ClientSession.abandoned",)
"""Tables of what a keep-alive of each session has still to confirm."""


class Sizes(NamedTuple):
    """By what tables may grow in one run: how many groups, processes, node ids, names of entities, and items that
    were put into queues there are; and how many classes had a name on the wire when it began: those of the program.
    """

    groups: int
    processes: int
    members: int
    entities: int
    items: int
    registered: int


def limits_at_rest(settings: Settings, sizes: Sizes) -> tuple[int, Rows]:
    """Return how many rows any table may have, and the tables that may have other numbers."""
    groups, processes, _, entities, items, registered = sizes
    usual = _FEW + 2 * processes + 2 * groups
    sessions = _FEW + 2 * groups * processes
    replicas = _FEW + groups * processes
    more: Rows = {
        **dict.fromkeys(_OF_SERVICES, _SERVICE_ROWS * usual),
        "cluster.sessions.core.deadlines.Deadlines._heap": 4 * MIN_SWEEP,
        "cluster.sessions.core.deadlines.Deadlines._heap[]": 8 * MIN_SWEEP,
        "cluster.sessions.core.deadlines.Deadlines._swept": 4 * MIN_SWEEP,
        "cluster.sessions.core.deadlines.Deadlines._swept[]": 8 * MIN_SWEEP,
        "cluster.sessions.core.keepalive.KeepAlive.sent": MAX_FRAMES_IN_FLIGHT,
        "cluster.sessions.core.keepalive.KeepAlive.sent[]": 2 * MAX_FRAMES_IN_FLIGHT,
        "cluster.sessions.core.keepalive.KeepAlive.sent[][]": 2 * MAX_FRAMES_IN_FLIGHT * groups,
        "distributed.machines.queue_state.Items.fresh": items + _FEW,
        "distributed.machines.queue_state.Items.returned": items + _FEW,
        "distributed.machines.queue_state.Items.returned[]": 3 * (items + _FEW),
        "distributed.machines.queue_state.Items.dead": items + _FEW,
        "distributed.machines.queue_state.Items.dead[]": 3 * (items + _FEW),
        "distributed.machines.events.EventLog.tail": entities * (SNAPSHOT_EVENTS + MAX_BATCH),
        "cluster.slots.machine.SlotMachine.entities": _FEW + 2 * entities,
        "cluster.slots.machine.SlotMachine.entities[]": 2 * _FEW + 4 * entities,
        "cluster.slots.machine.SlotMachine._orders": _KINDS * groups,
        "entity_order.EntityOrder": _KINDS * groups + entities,
        "entity_order.EntityOrder._lasts": _KINDS * groups + entities,
        "entity_order.EntityOrder.runs": _KINDS * groups + entities,
        "entity_order.EntityOrder.runs[]": 2 * (_FEW + entities),
        "cluster.slots.machine.SlotMachine.attempts": sessions,
        "cluster.slots.machine.SlotMachine.sessions": sessions,
        "cluster.slots.session_record.SlotSession": sessions,
        # Those of the last burst stay until the session's next request says that they arrived.
        # After a pause all that was put into a queue meanwhile may be one burst.
        "cluster.slots.session_record.SlotSession.replies": _BURST * sessions + items,
        "cluster.slots.session_record.SlotSession.replies[]": 3 * (_BURST * sessions + items),
        "cluster.slots.session_record.SlotSession.withdrawn": _BURST * sessions,
        # What was destroyed or resized stays held or kept; an entity is granted once at a time.
        "cluster.slots.grant_times.GrantTimes._at_ns": _FEW + 2 * entities,
        "cluster.slots.lifetimes.Heard._tables": sessions,
        "cluster.slots.lifetimes.Heard._tables[]": sessions,
        "cluster.slots.lifetimes.Heard._ttl_ns": sessions,
        "cluster.slots.leader.SlotLeader._withdrawing": sessions,
        "cluster.slots.weights.Weights.by_kind": _KINDS * groups,
        "cluster.slots.weights.Weights.count_by_kind": _KINDS * groups,
        "cluster.control.rows.SlotRow.first": replicas,
        "cluster.control.rows.SlotRow.target": replicas,
        "cluster.control.rows.SlotRow.held": replicas,
        "cluster.control.rows.SlotRow.dropped": replicas,
        "cluster.control.topology.Topology.slots[][]": replicas,
        "consensus.core.Core.peers": replicas,
        "cluster.control.formation.Founding._met[]": _FACTS * usual,
        "cluster.node.node.Node.handlers": len(RULES),
        # Each of so many things about each member, by both.
        "cluster.node.leader_tasks.ControlDuties._asked": _ASKS * sizes.members,
        "cluster.node.leader_tasks.ControlDuties._asked[]": 2 * _ASKS * sizes.members,
        "transport.connection.Connection.welcome_extra": _FACTS * usual,
        "wire.encoding.CanonicalEncoder._encoders": _TYPES,
        "wire.encoding.KeyEncoder._encoders": _TYPES,
        "wire.registry.Registry._names": registered,
        "wire.registry.Registry.types": registered,
        "wire.registry.Registry._found": _CLASSES,
        "wire.registry.Registry._found[]": 3 * _CLASSES,
        "wire.encoding.Encoder._encoders": _TYPES,
        # Fields of each class that travels; messages of streams have several.
        **dict.fromkeys(_OF_SHAPES, 3 * _TYPES),
    }
    more |= kept_rows(settings, sizes.members, sizes.groups)
    least = {path: max(usual, rows) for path, rows in more.items()}
    return usual, {**least, **dict.fromkeys((*UNDER_WAY, *_IN_THE_END), 0)}


def too_many(process: Process, usual: int, more: Rows) -> list[tuple[str, str]]:
    """Return the tables of a process that have more rows than they may: each by its path, with both numbers."""
    return [
        (path, f"{path} has {rows} rows, at most {most} may be")
        for path, rows in rows_of_process(process).items()
        if rows > (most := more.get(path, usual))
    ]
