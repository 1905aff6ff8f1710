"""Runs the right checkers over every entity of a history: the near-linear one first, then the general search."""

from __future__ import annotations

from collections.abc import Sequence

from ...history import OK, History, Operation, Value
from ..violation import Violation
from .barriers import check_barrier
from .committed import CommandLog, is_explained_by, kept_order
from .counters import check_counter
from .linearizability import Model, linearize
from .locks import check_election, check_fence, check_lock, check_rw_lock, check_semaphore
from .models import COUNTER_MODEL, FENCE_MODEL, QUEUE_MODEL, REGISTER_MODEL, SET_MODEL
from .queues import check_queue
from .registers import check_register

__all__ = ["check_history"]

_QUEUED = ("queue.enqueue", "queue.put")
_PUTS = ("map.put", "map.put_if_absent", "map.compare_and_set")


def check_history(
    history: History, undecided: list[str] | None = None, log: CommandLog | None = None
) -> list[Violation]:
    """Return every violation that the history of the clients shows, worst evidence first per entity.

    Parameters
    ----------
    history
        What the clients wrote down.
    undecided
        Takes the names of the entities for which the general search was given up.
    log
        What was committed, if that is known: an order to try before any is looked for.
    """
    log = CommandLog() if log is None else log
    found: list[Violation] = []
    for name, operations in history.by_entity("lock").items():
        found += check_lock(name, operations)
    for name, operations in history.by_entity("semaphore").items():
        found += check_semaphore(name, operations)
    for name, operations in history.by_entity("rw_lock").items():
        found += check_rw_lock(name, operations)
    for name, operations in history.by_entity("election").items():
        found += check_election(name, operations)
    for name, operations in history.by_entity("barrier").items():
        found += check_barrier(name, operations)
    for name, operations in history.by_entity("fence").items():
        found += check_fence(name, operations) or linearize(operations, FENCE_MODEL, name, undecided)
    for name, operations in history.by_entity("queue").items():
        seen = check_queue(name, operations)
        if not seen and not _is_kept(name, _but_drained(operations), QUEUE_MODEL, log):
            seen = linearize(_told(operations, log.moved(name)), QUEUE_MODEL, name, undecided)
        found += seen
    for name, operations in history.by_entity("counter").items():
        seen = check_counter(name, operations)
        if not seen and not _is_kept(name, operations, COUNTER_MODEL, log):
            seen = linearize(operations, COUNTER_MODEL, name, undecided)
        found += seen
    for name, operations in history.by_entity("set").items():
        if not _is_kept(name, operations, SET_MODEL, log):
            found += linearize(operations, SET_MODEL, name, undecided)
    for (name, key), operations in _by_key(history).items():
        subject = f"{name}[{key!r}]"
        seen = check_register(subject, operations)
        if not seen and not _is_kept(name, operations, REGISTER_MODEL, log):
            seen = linearize(operations, REGISTER_MODEL, subject, undecided)
        found += seen
    return found


def _is_kept(entity: str, operations: Sequence[Operation], model: Model, log: CommandLog) -> bool:
    """Whether an order of the log explains what the clients saw of an entity; of a map, any key's order may be it."""
    possible = [operation for operation in operations if operation.is_possible]
    structure = operations[0].kind.partition(".")[0]
    orders = [kept_order(possible, committed) for committed in log.of(structure, entity)]
    return any(order is not None and is_explained_by(order, possible, model) for order in orders)


def _but_drained(operations: Sequence[Operation]) -> list[Operation]:
    return [operation for operation in operations if operation.kind != "queue.drained"]


def _told(operations: Sequence[Operation], moved: Sequence[Operation]) -> list[Operation]:
    """Return what the search of a queue needs, with what no client heard of.

    An enqueue of unknown outcome whose value nobody ever saw was taken out again unseen, if it happened at all.
    Without both, and where that item was, the rest is explained as well, unless somebody counted the items or asked
    whether there was a queue.
    """
    rest = _but_drained(operations)
    told = ("queue.size", "queue.destroy", "queue.requeue")
    if any(operation.kind in told and operation.is_ok for operation in rest):
        return [*rest, *moved]
    seen = dict.fromkeys(operation.value for operation in rest if operation.is_ok)
    unseen = {
        operation.args["value"]: None
        for operation in rest
        if operation.kind in _QUEUED and not operation.is_ok and operation.args["value"] not in seen
    }
    return [
        one
        for one in (*rest, *moved)
        if one.args.get("value") not in unseen or one.kind in ("queue.ack", "queue.nack")
    ]


def _by_key(history: History) -> dict[tuple[str, Value], list[Operation]]:
    """A map's keys are entities of their own; whoever destroyed the map did something to each of them."""
    found: dict[tuple[str, Value], list[Operation]] = {}
    for name, operations in history.by_entity("map").items():
        sweeps = [operation for operation in operations if operation.kind == "map.destroy"]
        keys: dict[Value, list[Operation]] = {}
        for operation in operations:
            if operation.kind == "map.items":
                for look in _looks(operation):
                    keys.setdefault(look.args["key"], []).append(look)
            elif operation.kind != "map.destroy":
                keys.setdefault(operation.args["key"], []).append(operation)
        for key, own in keys.items():
            swept = [*own, *(_sweep(sweep, own) for sweep in sweeps)]
            found[name, key] = sorted(swept, key=lambda operation: operation.number)
    return found


def _looks(items: Operation) -> list[Operation]:
    """Return what going through a map saw of each key: one moment of each, between the call and its end."""
    if not items.is_ok or not isinstance(items.value, str):
        return []
    looks = []
    for pair in items.value.split():
        key, _, value = pair.partition("=")
        args: dict[str, Value] = {"key": int(key)}
        look = Operation(items.number, items.client, "map.get", items.entity, args, items.call_ns)
        look.outcome, look.return_ns = OK, items.return_ns
        look.value = int(value) if value else None
        looks.append(look)
    return looks


def _sweep(destroy: Operation, own: Sequence[Operation]) -> Operation:
    """Return what destroying a map did to one key.

    It lists the keys and deletes them one by one. So what was there before and is not put meanwhile is gone
    afterwards; a key that may be put meanwhile may stay, or go.
    """
    sweep = Operation(
        destroy.number, destroy.client, "map.sweep", destroy.entity, destroy.args, destroy.call_ns
    )
    is_crossed = any(
        one.kind in _PUTS and one.call_ns <= destroy.end_ns and one.end_ns >= destroy.call_ns for one in own
    )
    if destroy.is_ok and not is_crossed:
        sweep.outcome, sweep.return_ns, sweep.value = OK, destroy.return_ns, destroy.value
    return sweep
