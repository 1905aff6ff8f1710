"""Planted bugs in what is checked before it is replicated: found by the fuzzers, and by the simulator."""

from __future__ import annotations

from typing import Any

from casty.cluster.control import machine as control
from casty.cluster.slots import machine as slot_machine
from casty.cluster.slots import schema as slot_schema
from casty.cluster.slots.machine import SlotMachine
from casty.distributed.machines.base import BAD
from casty.wire import pack
from casty.wire.pack import unpack

from .bug import Planted, bug_in, shown

__all__ = ["MUTANTS", "SCHEMAS"]

_TOTAL = "applying is total"
_CHECKED = "checked before it is replicated"


def _yes(_: Any) -> bool:
    return True


def _any_command(entry: Any) -> bool:
    """The short cut looks at the length and the kind only."""
    return isinstance(entry, list) and len(entry) == 8 and entry[0] == slot_schema.COMMAND


def _any_numbers(right: Any) -> Any:
    """The short cut forgets that a number of a request is not below zero."""

    def is_usual(entry: Any) -> bool:
        if isinstance(entry, list) and len(entry) == 8 and type(entry[2]) is int and entry[2] < 0:
            entry = [*entry[:2], 0, *entry[3:]]
        return bool(right(entry))

    return is_usual


def _by_half(right: Any) -> Any:
    """What is refused has drawn a token by then."""

    def apply(machine: Any, index: int, data: bytes, *entry: Any) -> Any:
        applied = right(machine, index, data, *entry)
        if applied.reply[0] == BAD:
            machine._next_token()
        return applied

    return apply


def _in_full(error: object, _most: int = 0) -> str:
    return repr(error)


_TEST = "tests/unit/cluster/test_mutants.py::test_no_mutant_of_an_entry_raises_or_parts_the_replicas"

MUTANTS = tuple(
    shown(bug, f"{_TEST}[{bug.scenario}]")
    for bug in (
        Planted("slot-applied-unchecked", _TOTAL, "slot", slot_machine, "applicable", unpack),
        Planted("control-applied-unchecked", _TOTAL, "control", control, "check_entry", unpack),
        Planted("short-cut-without-types", _CHECKED, "slot", slot_schema, "_is_usual", _any_command),
        bug_in("short-cut-without-bounds", _CHECKED, "slot", slot_schema, "_is_usual", _any_numbers),
        bug_in("refused-by-half", _TOTAL, "slot", SlotMachine, "apply", _by_half),
        Planted("digits-without-end", _CHECKED, "slot", pack, "shown", _in_full),
    )
)
"""Their scenario is the group whose fuzzer has to find them."""

SCHEMAS = (Planted("unchecked-entries", _CHECKED, "rogue", slot_schema, "_is_entry", _yes),)
