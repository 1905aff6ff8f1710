"""Planted bugs in snapshots: dumps in parts, what they contain, and when they are acknowledged."""

from __future__ import annotations

from typing import Any

from casty.cluster.slots.dump import SlotDump, SlotLoad
from casty.cluster.slots.session_record import SlotSession
from casty.distributed.machines.base import Frozen
from casty.distributed.machines.wait_queue import LineStructure

from .bug import Planted, bug_in

__all__ = ["SNAPSHOTS"]


def _not_frozen(_dump: Any, _key: Any, _state: Any) -> None:
    """An entity that changes while its slot is dumped goes out as it is later."""


def _without(table: int, right: Any) -> Any:
    """Leave one table out of what is dumped."""

    def freeze(owner: Any, *state: Any) -> Frozen:
        head, tables = right(owner, *state)
        return Frozen(head, (*tables[:table], [], *tables[table + 1 :]))

    return freeze


def _without_revocations(right: Any) -> Any:
    """Holds that were lost by a destroy and are not confirmed do not survive a snapshot."""
    return _without(0, right)


def _without_waiters(right: Any) -> Any:
    """Waiters do not survive a snapshot."""
    return _without(2, right)


def _head_only(right: Any) -> Any:
    """A mark of a session is one too low after a snapshot."""

    def freeze(session: Any) -> Frozen:
        head, tables = right(session)
        return Frozen([*head[:2], max(1, head[2] - 1), head[3]], tables)

    return freeze


def _forgets_waiting(right: Any) -> Any:
    """The number of waiting calls of the slot is not restored."""

    def take(load: Any, part: bytes) -> None:
        right(load, part)
        load._fresh.numbers = (*load._fresh.numbers[:2], 0, *load._fresh.numbers[3:])

    return take


SNAPSHOTS = (
    Planted("dump-not-frozen", "snapshot index", "mixed", SlotDump, "touch_entity", _not_frozen, True),
    bug_in(
        "snapshot-without-ghosts", "snapshot", "lock", LineStructure, "freeze", _without_revocations, True
    ),
    bug_in("snapshot-without-waiters", "snapshot", "lock", LineStructure, "freeze", _without_waiters),
    bug_in("snapshot-low-mark", "snapshot", "mixed", SlotSession, "freeze", _head_only),
    bug_in("snapshot-waiting-not-counted", "snapshot", "lock", SlotLoad, "take", _forgets_waiting, True),
)
