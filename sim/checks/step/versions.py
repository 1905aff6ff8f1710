"""The versions of a cluster: each has to come with a change, for each goes out to every client (47)."""

from __future__ import annotations

from casty.cluster.control.machine import PLACE, ControlMachine
from casty.consensus import Entry

from ..violation import Violation, ViolationError
from .portrait import digest_of, slots_of
from .raft_logs import GroupKey

__all__ = ["Versions"]

_DATA = 0
_MOVES = bytes((PLACE,))
"""The second byte of an entry is its kind."""
_ASIDE = ("_voters", "version")
"""The number itself, and what is remembered of a calculation."""
_TOLD = tuple(member for name, member in slots_of(ControlMachine) if name not in _ASIDE)
assert len(_TOLD) == len(slots_of(ControlMachine)) - len(_ASIDE), "with these in it, any two versions differ"


class Versions:
    """A control machine of our own for each control group; what it says is compared, not how it came to say it."""

    def __init__(self) -> None:
        self.machines: dict[GroupKey, ControlMachine] = {}
        self.counts: dict[str, int] = {}

    def committed(self, key: GroupKey, entry: Entry) -> None:
        """Apply a committed entry of a control group."""
        if entry.kind != _DATA:
            return
        machine = self.machines.setdefault(key, ControlMachine())
        before, version = _told(machine), machine.version
        machine.apply(entry.data)
        if machine.version > version and entry.data[1:2] == _MOVES:
            self.counts["replicas moved"] = self.counts.get("replicas moved", 0) + 1
        if machine.version > version and _told(machine) == before:
            text = f"entry {entry.data[:80]!r} made version {machine.version}, and changed nothing"
            raise ViolationError(Violation(47, "control group", text))


def _told(machine: ControlMachine) -> bytes:
    """Return a digest of all that the machine knows, but for the number of its version."""
    return digest_of([member.__get__(machine, ControlMachine) for member in _TOLD])
