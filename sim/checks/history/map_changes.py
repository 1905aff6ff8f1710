"""What happened to the keys of maps, from the log; what their watchers were told is held against it (61, 62).

The history of a key is a row of states: absent at first, then what each committed change made of it. A watcher of it is
somewhere in that row. Perhaps nobody can tell where, as a key may be absent more than once: it is in a *set* of places.
A state that it is told leaves the places at or behind those in the set that have this state. A change leaves those
whose next state comes from this change. When none is left, the watcher was told something that did not happen, or
happened earlier, or it was not told something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from casty.distributed.machines.map import HAS_ENDED, WAS_DELETED, WAS_PUT
from casty.wire.codec import default_codec
from casty.wire.pack import unpack

from ...history import Operation, Value
from ...plans.keys import key_of
from ..violation import Violation
from .models import DRIFT

__all__ = ["STATE", "MapChanges", "Sight", "check_ends", "check_watcher"]

STATE = "state"
_LOST = -1
_KINDS: Mapping[int, str] = {WAS_PUT: "put", WAS_DELETED: "deleted", HAS_ENDED: "expired", _LOST: "lost"}


class Changed(NamedTuple):
    """A change of a key: when it was committed, what kind it is, and the value afterwards, None for absence."""

    t_ns: int
    kind: str
    value: Value


class Sight(NamedTuple):
    """What a watcher was told of one key: its present state, or a kind of change; and the value, None for absence."""

    kind: str
    entity: bytes
    value: Value


class MapChanges:
    """The changes of the keys of all maps, in the order of the log; it ends with the run."""

    def __init__(self) -> None:
        self._rows: dict[bytes, list[Changed]] = {}
        self._slots: dict[int, dict[bytes, None]] = {}

    def take(self, slot: int, entity: bytes, t_ns: int, value: bytes | None, what: int) -> None:
        """Note a committed change."""
        self._slots.setdefault(slot, {})[entity] = None
        self._rows.setdefault(entity, []).append(Changed(t_ns, _KINDS[what], number_of(value)))

    def begun_anew(self, slot: int, t_ns: int) -> None:
        """The slot begins without a state: whatever it had is lost."""
        for entity in self._slots.get(slot, ()):
            self._rows[entity].append(Changed(t_ns, _KINDS[_LOST], None))

    def of(self, entity: bytes) -> Sequence[Changed]:
        """Return the changes of one key."""
        return self._rows.get(entity, ())

    def ends(self) -> list[tuple[bytes, int, Changed]]:
        """Return each key that ended by its time to live, at which place of its row, and that change."""
        return [
            (entity, at, change)
            for entity, row in self._rows.items()
            for at, change in enumerate(row)
            if change.kind == _KINDS[HAS_ENDED]
        ]


def number_of(data: bytes | None) -> Value:
    """Return the number that is stored as these bytes; all values of workloads are numbers."""
    value: Any = None if data is None else unpack(data)
    return value if isinstance(value, int) else None


def check_watcher(name: str, sights: Sequence[Sight], changes: MapChanges) -> list[Violation]:
    """Check what one watcher was told, in the order in which it was (62)."""
    places: dict[bytes, list[int]] = {}
    for number, sight in enumerate(sights):
        row = changes.of(sight.entity)
        before = places.get(sight.entity)
        if sight.kind == STATE:
            first = before[0] if before else 0
            after = [at for at in range(first, len(row) + 1) if _state(row, at) == sight.value]
        else:
            after = [at + 1 for at in before or () if at < len(row) and _is(row[at], sight)]
        if not after:
            told = f"{sight.kind} {sight.value!r}, the {number + 1}th of what it was told"
            where = "nothing" if before is None else f"one of the states {before} of {len(row)}"
            next_up = [row[at] for at in before or () if at < len(row)]
            text = f"it knew {where}, next came {next_up}, and it was told {told}"
            return [Violation(62, f"watcher {name}, key {sight.entity!r}", text)]
        places[sight.entity] = after
    return []


def _state(row: Sequence[Changed], at: int) -> Value:
    return row[at - 1].value if at else None


def _is(change: Changed, sight: Sight) -> bool:
    return change.kind == sight.kind and change.value == sight.value


def check_ends(changes: MapChanges, operations: Sequence[Operation]) -> list[Violation]:
    """Check that no key ended before the time to live had passed that it had at least (61).

    In one map values are unique, so a value tells the call that stored it. A call that gave another time to live may
    have been before or after that; the least that any of them allows has passed in any case.
    """
    of_key: dict[tuple[str, bytes], list[Operation]] = {}
    for operation in operations:
        number = operation.args.get("key")
        if isinstance(number, int) and operation.is_possible and operation.value is not False:
            key = default_codec().canonical(key_of(operation.entity, number, 0))
            of_key.setdefault((operation.entity, key), []).append(operation)
    found = []
    for entity, at, change in changes.ends():
        named: Any = unpack(entity)
        value = changes.of(entity)[at - 1].value if at else None
        given = [
            one
            for one in of_key.get(tuple(named), ())
            if one.kind == "map.touch" or (one.kind in _STORING and one.args["value"] == value)
        ]
        earliest = [one.call_ns + _ttl_ns(one) for one in given if _ttl_ns(one)]
        if not earliest or change.t_ns < min(earliest):
            least = f"{min(earliest) / 1e9:.3f} s" if earliest else "ever"
            text = f"it ended {change.t_ns / 1e9:.3f} s after the beginning, expected not before {least}"
            numbers = [one.number for one in given]
            found.append(Violation(61, f"map {named[0]}, value {value!r}", text, numbers))
    return found


_STORING = ("map.put", "map.put_if_absent", "map.compare_and_set")


def _ttl_ns(operation: Operation) -> int:
    ttl_ms = operation.args.get("ttl_ms", 0)
    return round(ttl_ms * 1_000_000 * DRIFT) if isinstance(ttl_ms, int) else 0
