"""How white-box checkers look into processes: the few attributes they read, by protocol or by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from casty.cluster.slots.machine import SlotMachine
from casty.consensus import Core

if TYPE_CHECKING:
    from ...world.process import Process

__all__ = ["GroupView", "HostView", "gateway_of", "host_of", "inside", "machine_of", "missing_of"]


class GroupView(Protocol):
    """One replica of one group."""

    @property
    def number(self) -> int:
        """0: the control group; slot s is s + 1."""
        ...

    @property
    def epoch(self) -> int:
        """Which group of that number."""
        ...

    @property
    def core(self) -> Core:
        """Its consensus."""
        ...

    @property
    def applied_index(self) -> int:
        """What its machine has applied."""
        ...


class HostView(Protocol):
    """All replicas of one node."""

    @property
    def groups(self) -> Mapping[int, GroupView]:
        """By number."""
        ...


def inside(owner: object, *path: str) -> Any:
    """Return an attribute of an attribute ..., None as soon as one is missing; private ones too.

    The first may be of another kind of owner: a client has no node. Behind it only what is declared may be missing, for
    a node that starts is not complete yet; a name that nothing has would make whatever is checked with it hold.

    Raises
    ------
    AttributeError
        Something behind the first has no such attribute.
    """
    for at, name in enumerate(path):
        found = getattr(owner, name, None)
        if found is None:
            if at and not (hasattr(owner, name) or _declares(type(owner), name)):
                raise AttributeError(f"{type(owner).__name__}.{name}, read as {'.'.join(path)}")
            return None
        owner = found
    return owner


def _declares(kind: type, name: str) -> bool:
    """Whether objects of a class have an attribute, or get it once they are complete: a method of it says its name."""
    members = [member for base in kind.__mro__ for member in vars(base).items()]
    codes = [getattr(member, "__code__", None) for _, member in members]
    return any(name == own for own, _ in members) or any(code and name in code.co_names for code in codes)


def host_of(system: object) -> HostView | None:
    """Return the replicas of a `ClusteredActorSystem`, None before it listens."""
    host: HostView | None = inside(system, "_node", "host")
    return host


def missing_of(system: object) -> list[str]:
    """Return what a node still waits for before it is ready."""
    missing: list[str] | None = inside(system, "_node", "missing")
    return ["start"] if missing is None else missing


def machine_of(group: GroupView) -> SlotMachine | None:
    """Return the machine of a slot's replica, None for the control group."""
    machine = inside(group, "replica", "machine")
    return machine if isinstance(machine, SlotMachine) else None


def gateway_of(value: object) -> Any:
    """Return the gateway of a system or a client."""
    return inside(value, "_node", "gateway") or inside(value, "_client_core", "gateway")


def is_alive(process: Process, value: object) -> bool:
    """Whether this value is what the process runs now."""
    return process.is_up and process.value is value
