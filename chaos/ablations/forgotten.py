"""Planted bugs in what a replica has after a restore: one field each that a dump or a load leaves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.session_record import SlotSession
from casty.distributed.machines.barrier import BarrierStructure
from casty.distributed.machines.base import Frozen
from casty.distributed.machines.fence import FenceStructure, Register
from casty.distributed.machines.wait_queue import LineStructure

from .bug import bug_in

__all__ = ["FORGOTTEN"]

Make = Callable[[Any], Any]


def _without_table(number: int) -> Make:
    """A restore drops the rows of one table."""

    def make(right: Any) -> Any:
        def extend(session: Any, table: int, rows: Any) -> Any:
            return right(session, table, rows if table != number else [])

        return extend

    return make


def _without_line_table(number: int) -> Make:
    def make(right: Any) -> Any:
        def extend(structure: Any, state: Any, table: int, rows: Any) -> Any:
            return right(structure, state, table, rows if table != number else [])

        return extend

    return make


def _without_mark(name: str) -> Make:
    """A dump writes a mark of a session as it was in the beginning."""
    at = ["attempt", "gateway", "low", "wait_low"].index(name)

    def make(right: Any) -> Any:
        def freeze(session: Any) -> Any:
            head, tables = right(session)
            return Frozen([*head[:at], 1, *head[at + 1 :]], tables)

        return freeze

    return make


def _not_owned(right: Any) -> Any:
    """Restored requests are missing in the index by session: its end leaves them."""

    def extend(structure: Any, state: Any, table: int, rows: Any) -> None:
        right(structure, state, table, rows)
        for (session, seq), _ in rows:
            state.owners.remove((session, seq))

    return extend


def _none_waits(right: Any) -> Any:
    """After a restore nobody is counted as waiting."""

    def become(machine: Any, other: Any) -> None:
        right(machine, other)
        machine._waiting = 0

    return become


def _no_attempts(right: Any) -> Any:
    """After a restore an opening that is sent again opens a second session."""

    def become(machine: Any, other: Any) -> None:
        right(machine, other)
        machine.attempts = {}

    return become


def _first_generation(right: Any) -> Any:
    """A barrier comes back in its first generation."""

    def freeze(structure: Any, state: Any) -> Any:
        (_, expected), tables = right(structure, state)
        return Frozen([0, expected], tables)

    return freeze


def _unfenced(right: Any) -> Any:
    """A fenced register comes back without its highest token."""

    def begin(structure: Any, head: Any) -> Any:
        register = right(structure, head)
        return Register(0, *register[1:])

    return begin


FORGOTTEN = (
    bug_in("waits-not-restored", "restore", "lock", SlotSession, "extend", _without_table(1)),
    bug_in("outcomes-not-restored", "restore", "barrier", SlotSession, "extend", _without_table(2)),
    bug_in("withdrawals-not-restored", "restore", "lock", SlotSession, "extend", _without_table(3)),
    bug_in("parts-not-restored", "restore", "semaphore", SlotSession, "extend", _without_table(4)),
    bug_in("low-not-dumped", "restore", "counter", SlotSession, "freeze", _without_mark("low")),
    bug_in("wait-low-not-dumped", "restore", "lock", SlotSession, "freeze", _without_mark("wait_low")),
    bug_in("ghosts-not-restored", "restore", "lock", LineStructure, "extend", _without_line_table(0), True),
    bug_in("grants-not-restored", "restore", "lock", LineStructure, "extend", _without_line_table(1)),
    bug_in("waiters-not-restored", "restore", "lock", LineStructure, "extend", _without_line_table(2)),
    bug_in("owners-not-restored", "restore", "lock", LineStructure, "extend", _not_owned),
    bug_in("waiting-not-restored", "restore", "lock", SlotMachine, "become", _none_waits),
    bug_in("attempts-not-restored", "restore", "counter", SlotMachine, "become", _no_attempts),
    bug_in("generation-not-dumped", "restore", "barrier", BarrierStructure, "freeze", _first_generation),
    bug_in("fence-not-restored", "restore", "mixed", FenceStructure, "begin", _unfenced),
)
