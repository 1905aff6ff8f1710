"""The kinds of fault that a plan may name, and what each needs."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ALLOCATING", "DEATHS", "ELASTIC", "FAULTS", "GATED", "LASTING", "OF_DISKS", "OF_JOURNALS", "PHASES", "PLANNED",
    "Shape",
]  # fmt: skip

_MANY = 64


class Shape(NamedTuple):
    """How many targets a fault has, and which numbers it takes."""

    least: int
    most: int
    args: tuple[str, ...] = ()


FAULTS: dict[str, Shape] = {
    "delay": Shape(2, 2, ("delay_us",)),
    "jitter": Shape(2, 2, ("jitter_us",)),
    "loss": Shape(2, 2, ("ppm",)),
    "fragment": Shape(2, 2, ("ppm",)),
    "link_loss": Shape(2, 2),
    "reset": Shape(2, 2),
    "half_open": Shape(2, 2),
    "one_way_cut": Shape(2, 2),
    "split": Shape(1, _MANY),
    "ring": Shape(1, _MANY),
    "bridge": Shape(1, _MANY),
    "clog": Shape(2, 2, ("bytes_per_s",)),
    "partial": Shape(3, _MANY, ("links",)),
    "crash": Shape(1, 2, ("is_power_loss",)),
    "restart": Shape(1, 1),
    "stop": Shape(1, 1),
    "join": Shape(1, _MANY),
    "leave": Shape(1, 1),
    "replace": Shape(2, 2),
    "pause": Shape(1, 1),
    "slow_node": Shape(1, 1, ("held_us",)),
    "clock_drift": Shape(1, 1, ("ppm",)),
    "wall_step": Shape(1, 1, ("seconds",)),
    "memory": Shape(1, _MANY, ("percent",)),
    "allocation": Shape(1, 1, ("at",)),
    "outage": Shape(1, _MANY, ("is_power_loss",)),
    "slow_disk": Shape(1, _MANY, ("held_us",)),
    "disk_full": Shape(1, _MANY),
    "lost_disk": Shape(1, 1),
    "stale_disk": Shape(1, 1),
    "damage": Shape(1, 1, ("which", "how")),
    "client_crash": Shape(1, 1),
    "client_leave": Shape(1, 1),
    "client_pause": Shape(1, 1),
    "client_cancel": Shape(1, 1, ("which",)),
    "journal": Shape(1, _MANY, ("fails", "is_full", "loses_answers", "slow_ms")),
    "blackout": Shape(1, _MANY),
}
"""Kind -> shape.

``delay``, ``jitter``, ``loss``, ``fragment``: the direction from the first target to the second changes.
``link_loss``: both directions are cut for a while. ``reset``: links between both end with an error, truncating what
is on its way (a half-written frame). ``half_open``: links between both swallow bytes and never end. ``split``: the
named machines are cut off from all others. ``ring``, ``bridge``: shapes among the named machines.
``clog``: the direction takes so many bytes a second, so its reader is slow and its writer's buffers fill.
``partial``: so many links among the named machines are cut one by one, and come back one by one in another order.
``crash``: one or two nodes die at once and come back, as new incarnations of the same node ids, after the duration;
``restart``: the same at once. ``stop``: a node leaves in order, handing its groups over, and comes back after the
duration. ``join``: nodes that are no founders start, all at once. ``leave``: a node leaves for good, and its process
does not come back. ``replace``: a node dies for good, and after the duration another one, which is no founder, starts
under a name of its own. ``pause``, ``client_pause``: SIGSTOP. ``slow_node``:
a node runs for a millisecond and is held for so many microseconds, again and again. ``wall_step``: civil time is set
forward or back, as by an operator, and put right after the duration; founders draw generations from it. A machine
that is suspended while its clock goes on is a ``pause``; a clock that stands still or jumps, as it would be measured
by its own process, is beyond what leases tolerate, and no kind of its own. ``memory``: nodes get a budget of so
many percent of what each uses at that instant. ``allocation``: the next replica of the node that does what
the number says (`ALLOCATING`) raises `MemoryError`, once. ``outage``: nodes with disks die at once, all of them or
some, and come back after the duration with what their disks have. ``slow_disk``: each write takes so much longer.
``disk_full``: none succeeds. ``lost_disk``: a node dies and comes back with an empty disk. ``stale_disk``: it comes
back with its disk as it was one start ago, is refused, and then has an empty one. ``damage``: it dies, and one record
of its disk is not what was written. ``client_leave``: a client leaves
in order and comes again. ``client_cancel``: the client's so-many-th call under way (modulo their number) is cancelled.
``journal``: the ways of these processes to the journal fail, find it full, lose every second answer, or take up to so
many milliseconds. ``blackout``: all of these nodes end at once, with all that the cluster knew, and begin again.
"""

OF_JOURNALS = ("journal", "blackout")
"""Kinds that need a journal."""

DEATHS = ("crash", "restart", "stop")
"""Kinds that take the memory of a node along: one at a time, and only what the groups tolerate."""

ELASTIC = ("leave", "replace")
"""Kinds after which a node is gone for good."""

GATED = (*DEATHS, "allocation", "lost_disk", "stale_disk", "damage")
"""Kinds by which at least a replica is lost."""

OF_DISKS = ("outage", "slow_disk", "disk_full", "lost_disk", "stale_disk", "damage")
"""Kinds that need nodes with disks."""

ALLOCATING = ("apply", "restore", "dump", "write", "ask")
"""At what memory is lacking: an entry, a part of a state that comes or goes, a batch for the storage, a request."""

PLANNED = "no memory, as planned,"
"""How the text of an error begins that belongs to the plan."""

PHASES = ("", "founding", "probes")
"""When a fault's time counts from: the begin of the workload, of the first node's start, or of the final probes."""

LASTING = (
    "delay", "jitter", "loss", "fragment", "link_loss", "one_way_cut", "split", "ring", "bridge", "crash", "pause",
    "clock_drift", "wall_step", "client_crash", "client_pause", "clog", "partial", "stop", "slow_node", "client_leave",
    "memory", "allocation", "journal", "blackout", "outage", "slow_disk", "disk_full", "lost_disk", "stale_disk",
    "damage",
)  # fmt: skip
"""Kinds that last for their duration."""
