"""Map keys, from what their clients saw: each value has a zone, and the zones must not cross. Values are unique.

Source: P. Gibbons, E. Korach, "Testing Shared Memories" (1997). The zone of a value reaches from the first end of an
operation on it to the last beginning of one. Where that is forward in time, the register certainly had the value all
the while; two such zones cannot overlap, and a value whose zone runs backward cannot lie within another's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from ...history import FOREVER_NS, Operation, Value
from ..violation import Violation

__all__ = ["check_register"]


class _Zone:
    """One value: who wrote it, and between which times operations on it certainly happened."""

    __slots__ = ("first_end", "last_call", "number", "value", "write")

    def __init__(self, value: Value, write: Operation | None) -> None:
        self.value = value
        self.write = write
        self.number = -1 if write is None else write.number
        self.first_end = FOREVER_NS
        self.last_call = -1

    def add(self, operation: Operation) -> None:
        """Count an operation that wrote or saw the value."""
        if operation.end_ns < self.first_end:
            self.first_end = operation.end_ns
        if operation.call_ns > self.last_call:
            self.last_call = operation.call_ns
            self.number = operation.number


def check_register(name: str, operations: Sequence[Operation]) -> list[Violation]:
    """Check one key of a map (1, 3)."""
    zones: dict[Value, _Zone] = {}
    removals: list[_Zone] = []
    for operation in operations:
        if _may_write(operation):
            zones[operation.args["value"]] = zone = _Zone(operation.args["value"], operation)
            zone.add(operation)
        elif operation.kind == "map.delete" and operation.is_ok:
            zone = _Zone(None, operation)
            zone.add(operation)
            removals.append(zone)
    found = []
    for operation in operations:
        value = _seen_value(operation)
        if value is None:
            continue
        known = zones.get(value)
        if known is None or known.write is None or known.write.call_ns > operation.end_ns:
            text = f"#{operation.number} found {value!r}, which nobody had put"
            found.append(Violation(1, f"map key {name}", text, (operation.number,)))
        else:
            known.add(operation)
    return found + _check_zones(name, [*_seen(zones.values()), *removals])


def _may_write(operation: Operation) -> bool:
    """Whether its value may have been stored: a condition that was not met stores nothing."""
    is_write = operation.kind in ("map.put", "map.put_if_absent", "map.compare_and_set")
    return is_write and operation.is_possible and operation.value is not False


def _seen_value(operation: Operation) -> Value:
    """Return the value that it certainly found, None if it says nothing about that."""
    if not operation.is_ok:
        return None
    if operation.kind == "map.compare_and_set":
        return operation.args["expected"] if operation.value is True else None
    return operation.value if operation.kind in ("map.get", "map.put") else None


def _seen(zones: Iterable[_Zone]) -> list[_Zone]:
    """Leave out values of unknown fate that nobody saw."""
    return [zone for zone in zones if zone.first_end < FOREVER_NS]


def _check_zones(name: str, zones: Sequence[_Zone]) -> list[Violation]:
    found = []
    forward = sorted(
        (zone for zone in zones if zone.first_end < zone.last_call), key=lambda zone: zone.first_end
    )
    longest: _Zone | None = None
    for zone in forward:
        if longest is not None and zone.first_end < longest.last_call:
            text = (
                f"it certainly had {longest.value!r} and {zone.value!r} at one time "
                f"(#{longest.number}, #{zone.number})"
            )
            found.append(Violation(1, f"map key {name}", text, (longest.number, zone.number)))
        if longest is None or zone.last_call > longest.last_call:
            longest = zone
    starts = [zone.first_end for zone in forward]
    for zone in zones:
        # Forward zones do not overlap, or the history failed already: only the last to begin can enclose this one.
        at = bisect_left(starts, zone.last_call) - 1
        if zone.first_end >= zone.last_call and at >= 0 and zone.first_end < forward[at].last_call:
            other = forward[at]
            text = f"{zone.value!r} came and went (#{zone.number}) while it certainly had {other.value!r}"
            found.append(Violation(1, f"map key {name}", text, (zone.number, other.number)))
    return found
