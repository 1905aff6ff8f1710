"""What a process that forges frames knows of the others: all that is no secret, as it is at the moment.

Whoever sees frames go by, asks for the status and subscribes to the topology learns ids, incarnations, sessions,
tokens, terms, numbers of calls and messages, and paths. So this looks into the processes; what it must not tell is
what sessions, identities and challenges are proved by. Paths of open questions are told as what questions wait at: who
is asked one knows its path, and what such a process may do with it is its right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from casty.actor.ref import RemoteActorRef
from casty.cluster.slots.machine import SlotMachine
from casty.consensus import Role
from casty.distributed.machines.base import HOLDING_KINDS

from ..checks.step.introspection import GroupView, actors_of, client_core_of, machine_of, node_of

if TYPE_CHECKING:
    from casty.address import ActorAddress
    from casty.cluster.actors.remote import Remote
    from casty.cluster.actors.wiring import ClusterActors
    from casty.cluster.control.topology import Topology
    from casty.cluster.node.node import Node

    from ..checks.step.check import StepChecks
    from ..world.process import Claimed

__all__ = ["Held", "Led", "View"]


class Led(NamedTuple):
    """A slot that a node leads now."""

    slot: int
    group: GroupView
    machine: SlotMachine


class Held(NamedTuple):
    """A lock or permits that a session holds, or waits for."""

    kind: int
    entity: bytes
    session: int
    seq: int
    token: int


class View:
    """See the head of this module.

    Parameters
    ----------
    checks
        Knows which processes run, and what.
    rogues
        The processes that forge, by name: what belongs to them is nothing to aim at.
    """

    def __init__(self, checks: StepChecks, rogues: Mapping[str, Claimed]) -> None:
        self._checks = checks
        self.rogues = rogues

    def running(self) -> list[tuple[str, object]]:
        """Return the honest systems and clients that run, by the name of their process."""
        return self._checks.running_systems()

    def node(self, name: str) -> Node | None:
        """Return the node of a process, with all its parts; None before it has them."""
        for known, system in self.running():
            if known == name and (node := node_of(system)) is not None:
                return node
        return None

    def led(self, name: str) -> list[Led]:
        """Return the slots that a node leads."""
        node = self.node(name)
        groups = list[GroupView]() if node is None else list(node.host.groups.values())
        found = [(group, machine_of(group)) for group in groups if group.core.role is Role.LEADER]
        return [Led(group.number - 1, group, machine) for group, machine in found if machine is not None]

    def sessions(self, machine: SlotMachine) -> list[int]:
        """Return the sessions of honest gateways in a slot."""
        return [
            number
            for number, session in machine.sessions.items()
            if not any(name.encode() in session.gateway for name in self.rogues)
        ]

    def held(self, machine: SlotMachine) -> list[Held]:
        """Return what sessions hold or wait for in a slot."""
        return [
            Held(kind, entity, session, seq, share.token)
            for (kind, entity), line in machine.entities.items()
            if kind in HOLDING_KINDS
            for table in (line.grants, line.waiters)
            for (session, seq), share in table.items()
        ]

    def members(self, name: str) -> list[Any]:
        """Return the rows of the members, as a node knows them."""
        node = self.node(name)
        return [] if node is None else list(node.control.machine.members.values())

    def anybodys_members(self) -> list[Any]:
        """Return the rows of the members as the first node that has some knows them: others may not know them yet."""
        found = (self.members(name) for name, _ in self.running())
        return next((rows for rows in found if rows), [])

    def clients(self) -> list[tuple[str, str]]:
        """Return (id, incarnation) of the honest clients."""
        client_cores = [client_core_of(system) for _, system in self.running()]
        return [(one.client_id, one.incarnation) for one in client_cores if one is not None]

    def topologies(self) -> list[Topology]:
        """Return what honest nodes know of their cluster."""
        nodes = [node_of(system) for _, system in self.running()]
        found = [node.publisher.topology for node in nodes if node is not None]
        return [topology for topology in found if topology is not None]

    def actors(self, name: str | None = None) -> list[ClusterActors]:
        """Return the actors' side of honest nodes and clients, or of one process."""
        found = [actors_of(system) for known, system in self.running() if name is None or known == name]
        return [actors for actors in found if actors is not None]

    def remotes(self) -> list[Remote]:
        """Return what sends the messages of honest processes, each under its name."""
        return [actors.remote for actors in self.actors()]

    def asks(self) -> list[ActorAddress]:
        """Return where open questions of honest processes wait for their replies."""
        refs = [reply.ref for actors in self.actors() for reply in actors.local.replies.open.values()]
        return [ref.address for ref in refs if isinstance(ref, RemoteActorRef)]

    def calls(self, name: str) -> list[int]:
        """Return the ids of the calls that a node has under way, and of those that it passed on."""
        node = self.node(name)
        if node is None:
            return []
        return [*node.gateway.core.table.calls, *node.relays.waiting]

    def asked_alive(self, name: str) -> list[int]:
        """Return the numbers of the keep-alive frames of a node that are not answered yet."""
        node = self.node(name)
        return [] if node is None else list(node.gateway.core.keep_alive.sent)
