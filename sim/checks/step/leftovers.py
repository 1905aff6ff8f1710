"""What a process keeps: rows of its tables and numbers of its objects, counted by walking its attributes.

At quiescence what is over leaves nothing (8, 9): two counts, with any number of clients, keys, names, actors and
restarts between them, are equal but for tables that keep so many rows on purpose. No line of the walked code runs:
no property, no length of its own, no iteration but that of the built-in tables.
"""

from __future__ import annotations

import functools
import gc
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from casty.cluster.control.rows import MAX_FORMER
from casty.cluster.slots.feed import KEPT
from casty.config import Settings
from casty.distributed.facade import MAX_RECORDED

from .portrait import slots_of

if TYPE_CHECKING:
    from ...world.process import Process

__all__ = ["Rows", "grown", "kept_rows", "rows_of", "rows_of_process"]

Rows = dict[str, int]
"""``package.Class.attribute`` -> rows of that table over all objects of the class, ``package.Class`` -> objects.

Tables inside of tables have the path of the outer one and ``[]``.
"""

_PACKAGE = "casty."
_TABLES = (dict, list, tuple, set, frozenset, deque)
_PLAIN = (str, bytes, bytearray, memoryview, int, float, complex, bool, type(None), type, types.ModuleType)

MAX_IN_FLIGHT = 64
"""Entries that may be beyond what a log retains when it is looked at."""


def kept_rows(settings: Settings, members: int, groups: int) -> Rows:
    """Return the tables that keep rows of what is over on purpose, and how many at most.

    Parameters
    ----------
    settings
        Those of the cluster.
    members
        How many node ids there are.
    groups
        How many groups there are, the control group's among them.
    """
    slots = groups - 1
    # Who leads, the control group above all, may be another one each time.
    leading = members * (slots + 1)
    entries = (slots + 1) * (settings.retained_entries + settings.snapshot_entries + MAX_IN_FLIGHT)
    return {
        "cluster.multiraft.host.Host.led": slots + 1,
        "cluster.slots.feed.Change": slots * KEPT,
        "cluster.slots.feed.Feed._changes": slots * KEPT,
        "cluster.node.change_log.Chronicle._terms": slots + 1,
        "cluster.slots.leader.SlotLeader": slots,
        "consensus.core.Core.progress": leading,
        "consensus.core.Core.voter_peers": leading,
        "consensus.core.Core.votes": leading,
        "consensus.progress.Progress": leading,
        "consensus.log.Entry": entries,
        "consensus.log.Log.entries": entries,
        "consensus.membership.History.items": entries,
        "consensus.membership.History.items[]": 2 * entries,
        "consensus.membership.Membership": entries,
        "consensus.membership.Membership[]": 2 * members * entries,
        "cluster.control.rows.MemberRow.former": MAX_FORMER * members,
        "cluster.control.machine.ControlMachine._voters": slots,
        "cluster.control.machine.ControlMachine._voters[]": members * slots,
        "cluster.node.leader_tasks.SlotDuties._handed_over_ns": slots,
        "cluster.node.leader_tasks.SlotDuties._held_up_ns": slots,
        "cluster.actors.region_host.RegionHost.hand_overs": slots,
        "cluster.actors.draining.HandOver": slots,
        # By the link of a member, dialled by either end; and of those that ever asked: who leads asks less.
        "cluster.node.boundary.Boundary._rows": 2 * (members - 1),
        "cluster.node.request_handler.RequestHandler._answers": members,
        "cluster.node.replies.LinkReplySink": members,
        "cluster.node.openings.Openings": members,
        "client.ClusterClient.recorded_shards": MAX_RECORDED,
        "client.ClusterClient.recorded_shards[]": 2 * MAX_RECORDED,
        "system.ClusteredActorSystem.recorded_shards": MAX_RECORDED,
        "system.ClusteredActorSystem.recorded_shards[]": 2 * MAX_RECORDED,
    }


def rows_of(*roots: object) -> Rows:
    """Return how many rows and objects these roots own.

    Parameters
    ----------
    roots
        Nodes, systems or clients. What is not of the library is walked no further, but for containers, bound methods,
        partial functions and what the library's own functions close over.
    """
    walk = _Walk()
    for root in roots:
        walk.add("", root)
    return walk.count()


def rows_of_process(process: Process) -> Rows:
    """Return the same of what a process runs, with its live tasks and its timers that were not cancelled."""
    heap = process.world.loop.heap
    timers = [entry[3] for entry in heap if entry[3].owner is process.incarnation and not entry[3].is_done]
    return {
        **rows_of(process.value), "tasks": len(process.incarnation.live_tasks()), "timers": len(timers)
    }  # fmt: skip


def grown(before: Rows, after: Rows, kept: Rows) -> list[str]:
    """Return what has more rows or objects after than before, and more than is kept on purpose."""
    return [
        f"{path}: {before.get(path, 0)} -> {number}"
        for path, number in after.items()
        if number > before.get(path, 0) and number > kept.get(path, 0)
    ]


class _Walk:
    """Asks for the types of values only, never for their `__class__`: that may be code."""

    def __init__(self) -> None:
        self._seen: dict[int, object] = {}
        """By identity; the values keep what was seen from being collected, so that no identity comes twice."""
        self._todo: deque[tuple[str, object]] = deque()
        self._rows: Rows = {}
        self._is_plain: dict[type, bool] = {}

    def add(self, path: str, value: object) -> None:
        kind = type(value)
        is_plain = self._is_plain.get(kind)
        if is_plain is None:
            is_plain = self._is_plain[kind] = issubclass(kind, _PLAIN)
        if not is_plain and id(value) not in self._seen:
            self._seen[id(value)] = value
            self._todo.append((path, value))

    def count(self) -> Rows:
        while self._todo:
            self._walk(*self._todo.popleft())
        return dict(sorted(self._rows.items()))

    def _walk(self, path: str, value: object) -> None:
        kind = type(value)
        if kind.__module__.startswith(_PACKAGE):
            path = self._object(kind, value)
            if not issubclass(kind, tuple) and issubclass(kind, _TABLES):
                self._rows[f"{path}[]"] = self._rows.get(f"{path}[]", 0) + sum(1 for _ in _items(value))
            for held in _rows_in(value):
                self.add(f"{path}[]", held)
        elif issubclass(kind, _TABLES):
            self._rows[path] = self._rows.get(path, 0) + sum(1 for _ in _items(value))
            for held in _rows_in(value):
                self.add(f"{path}[]", held)
        else:
            for held in _held_by(kind, value):
                self.add(path, held)

    def _object(self, kind: type, value: object) -> str:
        name = f"{kind.__module__.removeprefix(_PACKAGE)}.{kind.__qualname__}"
        self._rows[name] = self._rows.get(name, 0) + 1
        for attribute, held in _attributes(kind, value):
            self.add(f"{name}.{attribute}", held)
        return name


def _items(value: Any) -> Iterator[object]:
    """Return what a built-in table iterates over, by that table's own iteration; nothing for any other object."""
    for table in _TABLES:
        if issubclass(type(value), table):
            return cast("Callable[[object], Iterator[object]]", table.__iter__)(value)
    return iter(())


def _rows_in(value: Any) -> Iterator[object]:
    """Return what a built-in table holds."""
    yield from _items(value)
    if issubclass(type(value), dict):
        yield from dict.values(value)


def _attributes(kind: type, value: object) -> Iterator[tuple[str, object]]:
    for base in kind.__mro__:
        own = vars(base).get("__dict__")
        if type(own) is types.GetSetDescriptorType:
            yield from dict.items(own.__get__(value, kind))
            break
    for name, member in slots_of(kind):
        try:
            yield name, member.__get__(value, kind)
        except AttributeError:
            continue  # never assigned


def _held_by(kind: type, value: Any) -> Iterator[object]:
    """What stands between two objects of the library: methods, partial functions, closures of its own, views."""
    if kind is types.MethodType:
        yield from (value.__self__, value.__func__)
    elif kind is functools.partial:
        yield from (value.func, *value.args, *value.keywords.values())
    elif kind is types.FunctionType and str(value.__module__).startswith(_PACKAGE):
        yield from gc.get_referents(*(value.__closure__ or ()))
    elif kind is types.MappingProxyType:
        yield from gc.get_referents(value)
    elif kind in (weakref.WeakKeyDictionary, weakref.WeakValueDictionary):
        yield vars(value)["data"]
