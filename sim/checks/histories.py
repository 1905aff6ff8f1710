"""History checks: what clients saw must be explained by the structures' promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..history import FAILED, OK, UNKNOWN, History, Record
from .linearizability import Model, linearizable
from .violation import Violation

__all__ = ["check_history"]

ABSENT = ("absent",)


def check_history(history: History, permits: dict[str, int] | None = None) -> None:
    """Check every structure of a history; raises `Violation` for the first broken promise."""
    for name, records in history.of("lock").items():
        check_locks(name, records)
    for name, records in history.of("semaphore").items():
        check_semaphore(name, records, (permits or {}).get(name, 1))
    for name, records in history.of("barrier").items():
        check_barrier(name, records)
    for name, records in history.of("queue").items():
        check_queue(name, records)
    for name, records in history.of("counter").items():
        _check_model(name, records, Model(0, _counter))
    for kind, step in (("map", _register), ("set", _member)):
        for name, records in history.of(kind).items():
            for key, part in _by_first_argument(records).items():
                _check_model(f"{name}[{key!r}]", part, Model(ABSENT, step))


def check_locks(name: str, records: Sequence[Record]) -> None:
    """Tokens grow with time (21), and nobody is granted while another still holds validly (20, 23)."""
    grants = [record for record in records if record.action == "acquire" and record.status == OK and record.result]
    grants.sort(key=lambda record: record.result)
    for before, after in zip(grants, grants[1:], strict=False):
        assert after.return_ns is not None
        if before.result == after.result:
            raise Violation(21, f"lock {name}: {before.process} and {after.process} both hold token {after.result}")
        if after.return_ns <= before.call_ns:
            raise Violation(
                21, f"lock {name}: token {after.result} was granted before {before.result} was even asked for"
            )
    ends = {record.args[0]: record for record in records if record.action == "release" and record.result is True}
    for before, after in zip(grants, grants[1:], strict=False):
        end = ends.get(before.result)
        if end is not None and after.return_ns is not None and after.return_ns < end.call_ns:
            raise Violation(
                20,
                f"lock {name}: {after.process} got token {after.result} at {after.return_ns} ns while "
                f"{before.process} held {before.result} until it released at {end.call_ns} ns",
            )


def check_semaphore(name: str, records: Sequence[Record], permits: int) -> None:
    """At no instant more permits are held, by grants that were later released with success, than there are (28)."""
    ends = {record.args[0]: record for record in records if record.action == "release" and record.result is True}
    changes: list[tuple[int, int]] = []
    for record in records:
        if record.action == "acquire" and record.status == OK and record.result in ends:
            assert record.return_ns is not None
            changes.append((record.return_ns, 1))
            changes.append((ends[record.result].call_ns, -1))
    held = 0
    for at_ns, change in sorted(changes):
        held += change
        if held > permits:
            raise Violation(28, f"semaphore {name}: {held} of {permits} permits were held at {at_ns} ns")


def check_barrier(name: str, records: Sequence[Record]) -> None:
    """No more parties return than whole generations of parties have called (31, 32)."""
    ends: list[tuple[int, int, Record]] = []
    for record in records:
        if record.action == "arrive":
            ends.append((record.call_ns, 0, record))
            if record.status == OK and record.return_ns is not None:
                ends.append((record.return_ns, 1, record))
    called = returned = 0
    for at_ns, is_return, record in sorted(ends, key=lambda end: end[:2]):
        expected = record.args[0]
        called += not is_return
        returned += is_return
        if is_return and returned > called // expected * expected:
            raise Violation(
                32, f"barrier {name}: {returned} returned at {at_ns} ns when only {called} of {expected} had called"
            )


def check_queue(name: str, records: Sequence[Record]) -> None:
    """Nothing is invented, doubled, lost or overtaken (36, 37, 39)."""
    put = {record.args[0]: record for record in records if record.action == "enqueue" and record.status != FAILED}
    taken: dict[Any, Record] = {}
    for record in records:
        if record.action != "dequeue" or record.status != OK or record.result is None:
            continue
        if record.result not in put:
            raise Violation(36, f"queue {name}: {record.result!r} came out and never went in")
        if record.result in taken:
            raise Violation(39, f"queue {name}: {record.result!r} came out twice")
        taken[record.result] = record
    _check_order(name, put, taken)
    is_drained = any(record.action == "drained" for record in records)
    lost = [value for value, record in put.items() if record.status == OK and value not in taken]
    in_doubt = sum(record.action == "dequeue" and record.status == UNKNOWN for record in records)
    if is_drained and len(lost) > in_doubt:
        raise Violation(36, f"queue {name}: {len(lost)} acknowledged items are gone, {in_doubt} takes are in doubt")


def _check_order(name: str, put: dict[Any, Record], taken: dict[Any, Record]) -> None:
    order = sorted(taken.values(), key=lambda record: record.return_ns or 0)
    for position, earlier in enumerate(order):
        for later in order[position + 1 :]:
            if (earlier.return_ns or 0) >= later.call_ns:
                continue
            first, second = put[later.result], put[earlier.result]
            if first.return_ns is not None and first.status == OK and first.return_ns < second.call_ns:
                raise Violation(37, f"queue {name}: {earlier.result!r} overtook {later.result!r}")


def _by_first_argument(records: Sequence[Record]) -> dict[Any, list[Record]]:
    parts: dict[Any, list[Record]] = {}
    for record in records:
        parts.setdefault(record.args[0], []).append(record)
    return parts


def _check_model(name: str, records: Sequence[Record], model: Model) -> None:
    relevant = [record for record in records if record.status != FAILED]
    verdict = linearizable(relevant, model)
    if not verdict.is_linearizable:
        explained = ", ".join(f"{one.action}{one.args}={one.result!r}" for one in verdict.prefix[-5:])
        raise Violation(1, f"{name}: no order explains its {len(relevant)} operations; the longest ends {explained}")


def _counter(state: int, action: str, args: tuple[Any, ...]) -> tuple[int, Any]:
    if action == "increment":
        return state + args[0], state + args[0]
    return state, state


def _register(state: Any, action: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
    value = None if state == ABSENT else state
    if action == "put":
        return args[1], value
    if action == "delete":
        return ABSENT, state != ABSENT
    if action == "contains":
        return state, state != ABSENT
    return state, value


def _member(state: Any, action: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
    is_in = state == "in"
    if action == "add":
        return "in", not is_in
    if action == "remove":
        return ABSENT, is_in
    return state, is_in
