"""Counters, from what their clients saw: every answer lies between the least and the most that can be applied."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ...history import Operation
from ..violation import Violation
from .intervals import RunningSum

__all__ = ["check_counter"]

_OTHERS = ("counter.destroy", "counter.reset", "counter.compare_and_set")
_SUMS = ("counter.add", "counter.subtract", "counter.get")


def check_counter(name: str, operations: Sequence[Operation]) -> list[Violation]:
    """Check bounds (40); a counter that something else than a sum may have changed is left to the general search."""
    if any(one.kind in _OTHERS and one.is_possible and one.value is not False for one in operations):
        return []
    changes = [
        one for one in operations if one.kind in ("counter.add", "counter.subtract") and one.is_possible
    ]
    found = _check_types(name, operations)
    if found:
        return found
    found = _check_bounds(name, operations, changes)
    if all(_amount(one) > 0 for one in changes):
        found += _check_chain(name, [one for one in changes if one.is_ok])
    return found


def _amount(operation: Operation) -> int:
    amount = operation.args["amount"]
    assert isinstance(amount, int)
    return amount if operation.kind == "counter.add" else -amount


def _check_types(name: str, operations: Sequence[Operation]) -> list[Violation]:
    answers = [
        one for one in operations if one.is_ok and one.kind in _SUMS and not isinstance(one.value, int)
    ]
    return [
        Violation(
            40, f"counter {name}", f"#{one.number} answered {one.value!r}, which is no number", (one.number,)
        )
        for one in answers[:1]
    ]


def _value(operation: Operation) -> int:
    assert isinstance(operation.value, int)
    return operation.value


def _check_bounds(
    name: str, operations: Sequence[Operation], changes: Sequence[Operation]
) -> list[Violation]:
    rises = [one for one in changes if _amount(one) > 0]
    falls = [one for one in changes if _amount(one) <= 0]
    sure = RunningSum((one.end_ns, _amount(one)) for one in changes)
    may_rise, did_rise = _called(rises), _returned(rises)
    may_fall, did_fall = _called(falls), _returned(falls)
    found = []
    for operation in operations:
        if not operation.is_ok or operation.kind not in _SUMS:
            continue
        start, end = operation.call_ns, operation.end_ns
        base = sure.before(start)
        low = base + may_fall.until(end) - did_fall.before(start)
        high = base + may_rise.until(end) - did_rise.before(start)
        if operation.kind != "counter.get":
            own = _amount(operation)  # its own change is in its answer
            low, high = (low + own, high) if own > 0 else (low, high + own)
        if not low <= _value(operation) <= high:
            text = f"#{operation.number} answered {operation.value} where {low} to {high} is possible"
            found.append(Violation(40, f"counter {name}", text, (operation.number,)))
    return found


def _called(changes: Sequence[Operation]) -> RunningSum:
    return RunningSum((one.call_ns, _amount(one)) for one in changes)


def _returned(changes: Sequence[Operation]) -> RunningSum:
    return RunningSum((one.end_ns, _amount(one)) for one in changes)


def _check_chain(name: str, changes: Sequence[Operation]) -> list[Violation]:
    """While it only grows, the answers order the changes: each begins at or after where the one before ended."""
    found = []
    order = sorted(changes, key=lambda one: (_value(one), one.number))
    for earlier, later in pairwise(order):
        if _value(later) - _amount(later) < _value(earlier):
            text = (
                f"#{earlier.number} answered {earlier.value} and #{later.number} {later.value}: one got lost"
            )
            found.append(Violation(40, f"counter {name}", text, (earlier.number, later.number)))
    latest_call, latest = -1, -1
    for change in order:
        if change.end_ns < latest_call:
            text = f"#{change.number} returned before #{latest} was called, and yet answered more"
            found.append(Violation(1, f"counter {name}", text, (latest, change.number)))
        if change.call_ns > latest_call:
            latest_call, latest = change.call_ns, change.number
    return found
