"""Which links a node has, by who is at the other end. Every node sends on the links that it dialled."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from casty.address import NodeAddress, peer_key, replica_id_of, start_of
from casty.transport.connection import Connection
from casty.transport.peers import Peers

__all__ = ["Links", "key_of"]

MAX_TOLD = 1024
"""Addresses that are dialled because a member told of them: more than a cluster has members."""
MAX_GUESTS = 64
"""Addresses that are dialled because somebody asks to join from there: strangers make a node dial no more."""


def key_of(connection: Connection) -> str:
    """Return the peer key of the process at the other end of an open connection."""
    remote = connection.remote
    return peer_key(remote.node_id, remote.incarnation)


class Links:
    """The open connections of one node.

    Addresses are *named* when the configuration (seeds), the control state (members), or somebody who was reached at
    a named address told of them. Who asks to join is dialled as well, and is named by nobody yet.

    Bounds: `_told` has `MAX_TOLD` rows at most, of nobody whom the control state names, and goes when that names its
    own leader; `_guests` has `MAX_GUESTS`, until the next topology.

    A new process under a known node id takes the place of the old one's connection at once: nothing queued
    for the predecessor reaches its successor.
    """

    def __init__(self, me: NodeAddress, peers: Peers) -> None:
        self._me = me
        self._peers = peers
        self._seeds: dict[NodeAddress, None] = {}
        self._members: dict[NodeAddress, None] = {}
        self._told: dict[NodeAddress, None] = {}
        self._guests: dict[NodeAddress, None] = {}
        self._by_node: dict[str, Connection] = {}
        self._by_key: dict[str, Connection] = {}
        self.by_replica_id: dict[str, Connection] = {}
        """The links that this node dialled, by the name under which the process at the other end has places."""
        self.inbound: dict[Connection, None] = {}
        self._is_closed = False

    def want_seeds(self, addresses: Iterable[NodeAddress]) -> None:
        """Dial these addresses, until others take their place."""
        self._seeds = dict.fromkeys(addresses)
        self._dial()

    def is_seed(self, address: tuple[str, int]) -> bool:
        """Whether the configuration, or what it says to ask, names an address."""
        return address in self._seeds

    def want_members(self, addresses: Iterable[NodeAddress]) -> None:
        """Dial the members of the present topology; former ones are dropped, guests are members or gone."""
        self._members = dict.fromkeys(addresses)
        self._guests.clear()
        self._dial()

    def want_told(self, addresses: Iterable[NodeAddress]) -> None:
        """Dial where a member says that members are; they may have joined while this node was cut off."""
        told = {**self._told, **dict.fromkeys(addresses)}
        news = [address for address in told if address not in self._members]
        self._told = dict.fromkeys(news[-MAX_TOLD:])
        self._dial()

    def clear_told(self) -> None:
        """The control state names whoever there is: nothing else that was told counts any more."""
        if self._told:
            self._told.clear()
            self._dial()

    def want_guest(self, address: NodeAddress) -> None:
        """Dial a process that asks to join until the next topology says whether it is a member."""
        if address not in self._guests and len(self._guests) >= MAX_GUESTS:
            del self._guests[next(iter(self._guests))]
        self._guests[address] = None
        self._dial()

    def _dial(self) -> None:
        if self._is_closed:
            return
        wanted = {**self._seeds, **self._members, **self._told, **self._guests}
        wanted.pop(self._me, None)
        names = {str(address): address for address in wanted}
        for name, address in names.items():
            self._peers.want(name, address)
        for name in list(self._peers):
            if name not in names:
                self._peers.drop(name)
        self._name_all()

    def _name_all(self) -> None:
        """Other addresses may be named: whoever answered there before is known by its replica id from now on."""
        for connection in self._by_key.values():
            if "+" in connection.remote.incarnation:
                self._replica_id(connection)

    def opened(self, connection: Connection) -> None:
        """A handshake with a node succeeded."""
        if not connection.is_dialled:
            self.inbound[connection] = None
            return
        known = self._by_node.get(connection.remote.node_id)
        if self.is_superseded(connection):
            connection.close("another process was started with the same data directory since")
            return
        self._by_node[connection.remote.node_id] = connection
        self._by_key[key_of(connection)] = connection
        self._replica_id(connection)
        if known is not None and known is not connection:
            self._by_key = {key: link for key, link in self._by_key.items() if link is not known}
            self.by_replica_id = {key: link for key, link in self.by_replica_id.items() if link is not known}
            known.close("replaced by a newer link to the same node")

    def _replica_id(self, connection: Connection) -> None:
        """Keep a process under its replica id: one with a disk only where it is named, for others may use that name."""
        key = key_of(connection)
        if "+" not in key or self._is_at_named(connection):
            self.by_replica_id[replica_id_of(key)] = connection

    def closed(self, connection: Connection) -> None:
        """A connection ended."""
        self.inbound.pop(connection, None)
        if self._by_node.get(connection.remote.node_id) is connection:
            del self._by_node[connection.remote.node_id]
        if self._by_key.get(key_of(connection)) is connection:
            del self._by_key[key_of(connection)]
        replica_id = replica_id_of(key_of(connection))
        if self.by_replica_id.get(replica_id) is connection:
            del self.by_replica_id[replica_id]

    def send(self, replica_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for exactly the process that has a place: the latest that its disk was started with."""
        connection = self.by_replica_id.get(replica_id)
        return connection is not None and connection.send(kind, body)

    def send_to_node(self, node_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for whatever process is the node now."""
        connection = self._by_node.get(node_id)
        return connection is not None and connection.send(kind, body)

    def is_superseded(self, connection: Connection) -> bool:
        """Whether a later process was started with the disk of the one at the other end, and answered here.

        What the former one still says, and would be answered, is of another clock and other questions.
        """
        start = start_of(key_of(connection))
        if not start:
            return False
        known = self.by_replica_id.get(replica_id_of(key_of(connection)))
        return known is not None and start_of(key_of(known)) > start

    def address_at(self, replica_id: str) -> NodeAddress | None:
        """Return where the process answered that has a place; None where nobody was dialled that has it."""
        connection = self.by_replica_id.get(replica_id)
        return None if connection is None else connection.remote.address

    def has_answered(self, replica_id: str) -> bool:
        """Whether this node dialled the process that has a place and it answered."""
        return replica_id in self.by_replica_id

    def is_linked(self, key: str) -> bool:
        """Whether this node dialled that process and it answered."""
        return key in self._by_key

    def probe(self, key: str) -> None:
        """Look soon whether a process is still there that this node is linked with."""
        if (connection := self._by_key.get(key)) is not None:
            connection.probe()

    def is_seen(self, key: str) -> bool:
        """Whether there is a link with that process, dialled by either."""
        return key in self._by_key or any(key_of(link) == key for link in self.inbound)

    def address_of(self, key: str) -> NodeAddress | None:
        """Return where the process answered that this node dialled; None for one that it is not linked with."""
        connection = self._by_key.get(key)
        return None if connection is None else connection.remote.address

    def is_named(self, key: str) -> bool:
        """Whether this node dialled a named address and that process answered."""
        connection = self._by_key.get(key)
        return connection is not None and self._is_at_named(connection)

    def _is_at_named(self, connection: Connection) -> bool:
        at = connection.dialled_at
        return at in self._seeds or at in self._members or at in self._told

    def is_named_node(self, node_id: str) -> bool:
        """Whether there is a dialled link to the node at a named address."""
        connection = self._by_node.get(node_id)
        return connection is not None and self.is_named(key_of(connection))

    def named(self) -> list[Connection]:
        """Return the dialled links to named addresses."""
        return [link for key, link in self._by_key.items() if self.is_named(key)]

    def close(self) -> None:
        """Dial nobody any more and end every link."""
        self._is_closed = True
        self._peers.close()
        for connection in list(self.inbound):
            connection.close("this node stops")

    @property
    def nodes(self) -> list[str]:
        """The node ids with a dialled link, in the order in which the links came up."""
        return list(self._by_node)

    @property
    def buffered_bytes(self) -> int:
        """What the dialled links have not handed to the network yet."""
        return sum(connection.buffered_bytes for connection in self._by_key.values())

    def everyone(self) -> list[Connection]:
        """One connection per process: dialled where there is one, else the one it dialled."""
        found = {
            key_of(connection): connection for connection in self.inbound if connection.remote.role == "node"
        }
        found.update(self._by_key)
        return list(found.values())

    def troubles(self) -> list[str]:
        """Return why wanted links are not there, as the other ends said or as this one found."""
        found: dict[str, None] = {}
        for name in self._peers:
            peer = self._peers.get(name)
            if peer is not None and peer.connection is None:
                why = peer.last_refusal or peer.last_error
                if why is not None:
                    found[f"{name}: {why}"] = None
        return list(found)

    def each_node(self, action: Callable[[Connection], object]) -> None:
        """Do something with every dialled link."""
        for connection in list(self._by_node.values()):
            action(connection)
