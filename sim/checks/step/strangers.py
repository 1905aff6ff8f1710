"""What a process that forges frames must not bring about: what is said counts for nobody but who said it (50, 51, 52).

Looked at only in runs with such a process. Its names are known, so whatever a node believes of them, and whatever it
believes of honest processes that these have not said, came from a forged frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import TYPE_CHECKING

from casty.address import node_id_of, peer_key, process_of, said_at
from casty.cluster.actors.client_links import ClientLinks
from casty.cluster.authority import PEER, ROLE_NAMES
from casty.cluster.node.actor_hooks import NO_ACTORS
from casty.events import LinkDown
from casty.transport.connection import LinkFailed

from ...net.link import SimLink
from ...world.clusters import NODE_PORT
from ..violation import Violation
from .introspection import actors_of, client_core_of, leaders_of, node_of

if TYPE_CHECKING:
    from casty.cluster.actors.senders import Heard
    from casty.cluster.control.machine import ControlMachine
    from casty.cluster.control.topology import LeaderTable
    from casty.cluster.node.node import Node
    from casty.transport.connection import Connection

    from ...kernel.incarnation import Incarnation
    from ...kernel.trace import TraceEvent
    from ...world.world import World
    from .check import StepChecks
    from .services import ServiceChecks

__all__ = ["Strangers"]

LOOK_EVERY_S = 0.25
_ATTRIBUTED, _OTHERS, _OWN_LINK = 50, 51, 52
_NO_FAULT = ("half-open",)
"""How the reasons begin for which a link fails without a word of the other end being wrong."""
_OF_LIBRARY = ("$receptionist", "$registrar", "$regions")


class Strangers:
    """The checks of one world.

    Parameters
    ----------
    world
        The world to look into.
    checks
        Knows what runs, and takes the first violation.
    services
        Knows what services there may be.
    """

    def __init__(self, world: World, checks: StepChecks, services: ServiceChecks) -> None:
        self._world = world
        self._checks = checks
        self._services = services
        self._is_over = False
        self._failed: dict[str, LinkFailed] = {}
        """What failed last, by process."""
        world.trace.subscribe(self._heard, LinkFailed, LinkDown)
        world.network.dialled.append(self._dialled)
        world.after(LOOK_EVERY_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._is_over = True

    def _broken(self, number: int, subject: str, text: str) -> None:
        self._checks.report(Violation(number, subject, text))

    def taken(self, name: str, kind: int) -> None:
        """A node went on with a link after a frame that nobody in the role of its other end sends."""
        self._broken(_OTHERS, name, f"took a frame of kind {kind} from a client, and went on")

    def _is_rogue(self, node_id: str | None) -> bool:
        return node_id is not None and any(node_id.startswith(name) for name in self._world.rogues)

    # -- at once

    def _heard(self, entry: TraceEvent) -> None:
        """A link between two honest processes ends for no fault of what went over it: it was not theirs."""
        event = entry.event
        if self._is_over or self._is_rogue(entry.node):
            return
        if isinstance(event, LinkFailed):
            if not self._is_named(entry.node, event.peer):
                self._failed[entry.node] = event
        elif isinstance(event, LinkDown):
            failed, peer = self._failed.get(entry.node), node_id_of(event.peer)
            # Only what was open goes down: that handshakes fail is what they are for.
            if failed is None or (failed.peer, failed.reason) != (peer, event.reason) or self._is_rogue(peer):
                return
            # A stranger that says it is a client may have the name of a node, if it came before that one was known.
            if not event.reason.startswith(_NO_FAULT) and event.peer in self._keys():
                self._broken(_OWN_LINK, entry.node, f"ended its link with {peer}: {event.reason:.200}")

    def _keys(self) -> list[str]:
        """Return the peer keys of the honest processes that run."""
        systems = [system for _, system in self._checks.running_systems()]
        client_cores = [
            client_core for system in systems if (client_core := client_core_of(system)) is not None
        ]
        return [
            *(node.key for system in systems if (node := node_of(system)) is not None),
            *(peer_key(client_core.client_id, client_core.incarnation) for client_core in client_cores),
        ]

    def _is_named(self, name: str, node_id: str) -> bool:
        """Whether the link of a node that has just failed is that of a stranger with the name of another one.

        A node that is being started is not looked into: there it is enough that a stranger linked under that name.
        """
        node = node_of(dict(self._checks.running_systems()).get(name))
        if node is not None:
            failed = [
                link
                for link in node.acceptor.open_links
                if link.has_failed and link.remote.node_id == node_id
            ]
            return any(self._owner_of(link) in self._world.rogues for link in failed)
        return any((name, node_id) in claimed for claimed in self._world.rogues.values())

    def _dialled(self, owner: Incarnation, address: tuple[str, int]) -> None:
        """A node dials nodes, and who asks to join at the address that it gives itself."""
        host, port = address
        is_known = host in self._world.node_names or self._is_rogue(host)
        if owner.name in self._world.node_names and not (is_known and port == NODE_PORT):
            self._broken(_ATTRIBUTED, owner.name, f"dialled {host}:{port}, which only a stranger named")

    # -- now and then

    def _look(self) -> None:
        if self._is_over or self._checks.first is not None:
            return
        systems = self._checks.running_systems()
        sent = dict(_sent(systems))
        for name, system in systems:
            self._look_at_actors(name, system, sent)
            node = node_of(system)
            if node is not None:
                self._look_at_node(name, node)
            self._look_at_leaders(name, leaders_of(system))
        self._world.after(LOOK_EVERY_S, self._look)

    def _look_at_actors(self, name: str, system: object, sent: dict[str, tuple[int, int]]) -> None:
        actors = actors_of(system)
        if actors is None:
            return
        local = actors.local
        names = _OF_LIBRARY if actors.host is not None else _OF_LIBRARY[:1]
        for path in names if not local.is_stopping else ():
            cell = local.cells.get(path)
            if cell is None or cell.is_stopping:
                self._broken(_OTHERS, name, f"the library's actor {path} does not live any more")
        self._look_at_numbers(name, actors.remote.heard, sent, 0)
        for slot in actors.host.slots.values() if actors.host is not None else ():
            for activation in slot.values():
                self._look_at_numbers(name, activation.heard, sent, 1)

    def _look_at_numbers(self, name: str, heard: Heard, sent: dict[str, tuple[int, int]], which: int) -> None:
        """Nobody has heard a message of an honest process that it has not sent: the next one would be too late."""
        for name_heard, number in heard.last.items():
            source, address = said_at(name_heard)
            if address and self._is_rogue(address.rpartition(":")[0]):
                continue
            if source in sent and number > sent[source][which]:
                text = f"heard message {number} of {source}, which sent {sent[source][which]}"
                self._broken(_ATTRIBUTED, name, text)

    def _look_at_leaders(self, name: str, leaders: LeaderTable | None) -> None:
        for slot, _, term, leader in [] if leaders is None else leaders.rows():
            if isinstance(leader, str) and self._is_rogue(leader):
                self._broken(
                    _ATTRIBUTED, name, f"takes {leader} for the leader of slot {slot} in term {term}"
                )

    def _look_at_node(self, name: str, node: Node) -> None:
        for group in node.host.groups.values():
            leader = group.core.leader
            if leader is not None and self._is_rogue(node_id_of(process_of(leader))):
                self._broken(_ATTRIBUTED, name, f"follows {leader} in group {group.number}")
        tables = (
            ("who answers heartbeats", node.failure_detector.heard_ns),
            ("whose heartbeats were heard", node.host.rounds.heard),
            ("whose heartbeats were answered", node.host.rounds.answered),
            ("who is full", node.memory.budget.full_peers),
        )
        for what, table in tables:
            for key in table:
                if self._is_rogue(node_id_of(key)):
                    self._broken(_ATTRIBUTED, name, f"knows of {key}, no member, {what}")
        self._look_at_links(name, node)
        self._look_at_members(name, node.control.machine)

    def _look_at_links(self, name: str, node: Node) -> None:
        for link in node.links.inbound:
            role = node.boundary.role_of(link)
            if role >= PEER and self._owner_of(link) in self._world.rogues:
                text = f"takes {self._owner_of(link)} for {link.remote.node_id}, a {ROLE_NAMES[role]}"
                self._broken(_ATTRIBUTED, name, text)
        if node.actors is NO_ACTORS:
            return  # it starts: its actors, who know the clients, are not there yet
        clients = _clients_of(node)
        for client_id in clients.mine:
            if node.boundary.is_member(client_id):
                self._broken(_ATTRIBUTED, name, f"has a client with the id of a member, {client_id}")
        for client_id, nodes in clients.others.items():
            for node_id in nodes:
                if self._is_rogue(node_id):
                    self._broken(_ATTRIBUTED, name, f"believes {node_id} that {client_id} is its client")

    @staticmethod
    def _owner_of(link: Connection) -> str:
        near = link.link
        return near.remote.owner.name if isinstance(near, SimLink) else ""

    def _look_at_members(self, name: str, machine: ControlMachine) -> None:
        for member in machine.members.values():
            if member.host not in self._world.node_names:
                self._broken(_ATTRIBUTED, name, f"has a member at {member.host}, {member.node_id}")
        known = self._services.keys()
        for key in machine.services:
            if key not in known:
                self._broken(_OTHERS, name, f"has a service {key!r:.80} that no honest process offers")


def _sent(systems: list[tuple[str, object]]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield how many messages each honest process has sent, to actors and to entities, by its peer key."""
    for _, system in systems:
        actors = actors_of(system)
        if actors is not None:
            yield actors.remote.source, (actors.remote.number, actors.router.number)


def _clients_of(node: Node) -> ClientLinks:
    """Return what knows the clients of a node that has actors: the node knows the one method of it that it asks."""
    asked = node.actors.flaw_of_client
    assert isinstance(asked, MethodType), "a method of that"
    clients = asked.__self__
    assert isinstance(clients, ClientLinks), "nothing else is asked"
    return clients
