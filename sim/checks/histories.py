"""Runs the right checkers over every entity of a history: the near-linear one first, then the general search."""

from __future__ import annotations

from collections.abc import Sequence

from ..history import History, Operation
from .barrier import check_barrier
from .counting import check_counter
from .holding import check_fence, check_lock, check_semaphore
from .linear import linearize
from .models import COUNTER_MODEL, QUEUE_MODEL, REGISTER_MODEL, SET_MODEL
from .queue import check_queue
from .registers import check_register
from .violation import Violation

__all__ = ["check_history"]


def check_history(history: History) -> list[Violation]:
    """Return every violation that the history of the clients shows, worst evidence first per entity."""
    found: list[Violation] = []
    for name, operations in history.by_entity("lock").items():
        found += check_lock(name, operations)
    for name, operations in history.by_entity("semaphore").items():
        found += check_semaphore(name, operations)
    for name, operations in history.by_entity("barrier").items():
        found += check_barrier(name, operations)
    for name, operations in history.by_entity("fence").items():
        found += check_fence(name, operations)
    for name, operations in history.by_entity("queue").items():
        found += check_queue(name, operations) or linearize(_undrained(operations), QUEUE_MODEL, name)
    for name, operations in history.by_entity("counter").items():
        found += check_counter(name, operations) or linearize(operations, COUNTER_MODEL, name)
    for name, operations in history.by_entity("set").items():
        found += linearize(operations, SET_MODEL, name)
    for name, operations in _by_key(history).items():
        found += check_register(name, operations) or linearize(operations, REGISTER_MODEL, name)
    return found


def _undrained(operations: Sequence[Operation]) -> list[Operation]:
    return [operation for operation in operations if operation.kind != "queue.drained"]


def _by_key(history: History) -> dict[str, list[Operation]]:
    """A map's keys are entities of their own."""
    found: dict[str, list[Operation]] = {}
    for name, operations in history.by_entity("map").items():
        for operation in operations:
            found.setdefault(f"{name}[{operation.args['key']!r}]", []).append(operation)
    return found
