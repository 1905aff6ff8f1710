"""The state of a machine, taken by walking its attributes: no line of the machine's own code has a say in it.

A dump leaves out on both sides what it forgets, so two dumps prove nothing about each other. Here every slot of
every object is walked, those added later as well, but for the few named in `_ASIDE`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from hashlib import blake2b
from types import MemberDescriptorType
from typing import Any

from casty.distributed.machines.barrier import Assembly
from casty.distributed.machines.election import ElectionLine
from casty.distributed.machines.wait_queue import Owners, WaitQueue
from casty.entity_order import EntityOrder

__all__ = ["Portrait", "differing", "digest_of", "portrait_of", "slots_of"]

_ASIDE = ("_context", "_dump", "_index", "_unweighed", "_weights", "on_change", "times", "__weakref__")
"""What is no state: the command under way and its entry, who is told of changes, sums made when somebody looks, and
when a replica, by its own clock, saw something granted."""
_UNORDERED = ("entities",)
"""Tables by key that nobody walks, which a test makes sure of: after a restore their order is that of the names."""
_DIGEST_BYTES = 16

Portrait = dict[str, bytes]
"""Attribute -> digest of everything in it."""


class _Walker(pickle.Pickler):
    """Walks objects by their attributes; what is shared is written each time, so sharing is no difference."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.fast = True
        self.dispatch_table = _REDUCED


def _sorted_owners(owners: Owners) -> list[tuple[int, list[int]]]:
    tables = owners.seqs.items()
    return sorted((session, [seqs] if isinstance(seqs, int) else sorted(seqs)) for session, seqs in tables)


def _names(order: EntityOrder) -> list[bytes]:
    return [name for run in order.runs for name in run]


def _plain_assembly(assembly: Assembly) -> dict[str, object]:
    values = {name: member.__get__(assembly, Assembly) for name, member in slots_of(Assembly)}
    return {**values, "parties": sorted(assembly.parties.items())}


def _plain_line(line: WaitQueue) -> dict[str, object]:
    values = {name: member.__get__(line, type(line)) for name, member in slots_of(type(line))}
    return {
        name: list(value.items()) if isinstance(value, Mapping) else value for name, value in values.items()
    }


_REDUCED: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    # Three tables are indexes over others that are compared as well. They are asked for members and counts only;
    # after a restore their order is that of the tables, and before it that of the requests. A table of these types
    # costs nothing for objects of all others, where `reducer_override` is called for each.
    Owners: lambda owners: (sorted, (_sorted_owners(owners),)),
    # Where its runs are cut is a matter of what came and went; what is in them, and in which order, is not.
    EntityOrder: lambda order: (list, (_names(order),)),
    Assembly: lambda assembly: (dict, (_plain_assembly(assembly),)),
    # A table that nobody was in yet and one that everybody left are of different types, and say the same.
    WaitQueue: lambda line: (dict, (_plain_line(line),)),
    ElectionLine: lambda line: (dict, (_plain_line(line),)),
}


def portrait_of(machine: object) -> Portrait:
    """Return digests of all that a machine has in its attributes.

    Parameters
    ----------
    machine
        An object with ``__slots__``, without cycles outside of `_ASIDE`.
    """
    kind = type(machine)
    values = {name: member.__get__(machine, kind) for name, member in slots_of(kind) if name not in _ASIDE}
    for name in _UNORDERED:
        if name in values:
            values[name] = [(key, values[name][key]) for key in sorted(values[name])]
    return {name: digest_of(value) for name, value in values.items()}


_slots: dict[type, tuple[tuple[str, MemberDescriptorType], ...]] = {}
"""By class: a walk asks for each object, and what slots a class has is fixed when it is made."""


def slots_of(kind: type) -> tuple[tuple[str, MemberDescriptorType], ...]:
    """Return the slots of a class and its bases, with what reads them: no code of the class does."""
    known = _slots.get(kind)
    if known is None:
        known = _slots[kind] = tuple(
            (name, member)
            for base in kind.__mro__
            for name, member in vars(base).items()
            if isinstance(member, MemberDescriptorType)
        )
    return known


def differing(one: Portrait, other: Portrait) -> list[str]:
    """Return the attributes in which two portraits differ, sorted."""
    return sorted(name for name in {**one, **other} if one.get(name) != other.get(name))


def digest_of(value: object) -> bytes:
    """Return a digest of all that a value has in its attributes."""
    file = io.BytesIO()
    _Walker(file).dump(value)
    return blake2b(file.getbuffer(), digest_size=_DIGEST_BYTES).digest()
