"""How white-box checkers look into processes: as what they are, and by name where that is private.

`node_of`, `client_core_of` and `actors_of` are the ways in. What they return has the types of the library, so a
checker that reads what is not there, or takes it for something else, does not pass the type checkers. Only private
attributes are left to `inside`, which reads them by name: the type checkers let nobody but their class have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from casty.cluster.slots.machine import SlotMachine
from casty.consensus import Core

if TYPE_CHECKING:
    from casty.cluster.actors.wiring import ClusterActors
    from casty.cluster.client import ClientCore
    from casty.cluster.control.machine import ControlMachine
    from casty.cluster.control.topology import LeaderTable
    from casty.cluster.node.node import Node
    from casty.cluster.sessions.gateway import Gateway

    from ...world.process import Process

__all__ = [
    "GroupView", "HostView", "actors_of", "client_core_of", "control_machine_of", "gateway_of", "host_of", "inside",
    "leaders_of", "machine_of", "missing_of", "node_of",
]  # fmt: skip


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


def node_of(system: object) -> Node | None:
    """Return the node of a `ClusteredActorSystem`, None before it listens; a client has none."""
    node: Node | None = inside(system, "_node")
    return node


def client_core_of(value: object) -> ClientCore | None:
    """Return what a client has in place of a node; a system has none."""
    client_core: ClientCore | None = inside(value, "_client_core")
    return client_core


def actors_of(value: object) -> ClusterActors | None:
    """Return the actors of a system or client; None before and after it has any."""
    actors: ClusterActors | None = inside(value, "_actors")
    return actors


def host_of(system: object) -> HostView | None:
    """Return the replicas of a system, None before it listens."""
    node = node_of(system)
    return None if node is None else node.host


def control_machine_of(system: object) -> ControlMachine | None:
    """Return the control state as a system knows it, None before it listens."""
    node = node_of(system)
    return None if node is None else node.control.machine


def missing_of(system: object) -> list[str]:
    """Return what a node still waits for before it is ready."""
    node = node_of(system)
    return ["start"] if node is None else node.missing


def machine_of(group: GroupView) -> SlotMachine | None:
    """Return the machine of a slot's replica, None for the control group."""
    machine = inside(group, "replica", "machine")
    return machine if isinstance(machine, SlotMachine) else None


def gateway_of(value: object) -> Gateway | None:
    """Return the gateway of a system or a client."""
    side = node_of(value) or client_core_of(value)
    return None if side is None else side.gateway


def leaders_of(value: object) -> LeaderTable | None:
    """Return whom a system or a client takes for the leaders of slots."""
    side = node_of(value) or client_core_of(value)
    return None if side is None else side.leaders


def is_alive(process: Process, value: object) -> bool:
    """Whether this value is what the process runs now."""
    return process.is_up and process.value is value
