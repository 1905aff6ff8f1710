"""The cluster side of a client: links to every node it knows, a topology that only moves forward, a gateway.

A client_core dials and never listens. It subscribes on every link, so the loss of one costs it nothing; what
arrives twice is older or equal and changes nothing. It keeps dialling its contact points for ever, so all
nodes may be replaced over its life.

Limits of values and windows are the cluster's: every welcome tells them, and the last one counts. A client_core's own
settings hold until the first.

Another cluster of the same name may be among the contact points. Its nodes are told apart by the cluster that they say
they belong to, logged, and asked nothing but their topology. It is adopted when nobody of the known one can be reached
for one TTL, and at once when it is of a later generation and every process of the known one was seen replaced: nobody
is left who could serve it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from casty.address import NodeAddress
from casty.checks import shown
from casty.cluster.authority import CARRIED
from casty.cluster.control import topology as topologies
from casty.cluster.control.topology import LeaderTable, MemberInfo, Topology, hints_of, learn_hints
from casty.cluster.control.topology_delta import DELTA, WHOLE, hints_of_delta, patched
from casty.cluster.sessions.gateway import Gateway
from casty.complaint import Complaint, report_lost
from casty.config import SECOND_NS, Settings
from casty.discovery import Contacts, Discovery
from casty.errors import (
    EncodingError,
    MessageTooLarge,
    ProtocolError,
    Refused,
    RemoteProtocolError,
    Unavailable,
)
from casty.events import DeadLettered, LinkDown, LinkUp, TopologyChanged
from casty.ports import Runtime
from casty.secret import Secrets
from casty.tls import Config
from casty.transport.connection import Connection
from casty.transport.losses import Losses
from casty.transport.output_batch import OutputBatch
from casty.transport.peers import AddressMap, Peers
from casty.wire import frames
from casty.wire.document import Assembly
from casty.wire.hello import Hello
from casty.wire.pack import pack, unpack

__all__ = ["ClientCore"]

log = logging.getLogger("casty.client")

POLL_S = 0.05

MAX_SAID = 100
"""Nodes of other clusters that are remembered, so that each is logged once."""


class ClientCore:
    """One client's connections and view of the cluster.

    Parameters
    ----------
    contacts
        Where to look for nodes, for ever.
    label
        Host and port that others are told; labels only.
    address_map
        Applied at every dial, to contact points and learned nodes alike.
    """

    def __init__(
        self,
        runtime: Runtime,
        settings: Settings,
        system_name: str,
        contacts: Contacts,
        label: NodeAddress,
        tls: Config | None,
        address_map: AddressMap | None,
        secrets: Secrets | None = None,
    ) -> None:
        self.runtime = runtime
        self.settings = settings
        self.client_id = f"client-{runtime.entropy.token('client', 8).hex()}"
        self.incarnation = runtime.entropy.token("incarnation", 8).hex()
        self._name = system_name
        self._label = label
        self.discovery = Discovery(runtime, contacts)
        """The contact points, as they are found."""
        self.output = OutputBatch(runtime)
        self.leaders = LeaderTable()
        self._topology: Topology | None = None
        self._by_node: dict[str, Connection] = {}
        """The links that are used, of nodes of the known cluster or of none."""
        self._foreign: dict[Connection, None] = {}
        """Links to nodes of another cluster of the same name; their topology is heard."""
        self._said: dict[str, None] = {}
        """Lines about these; at most `MAX_SAID`."""
        self._documents: dict[Connection, Assembly] = {}
        """Topologies that are arriving, one per link; a row goes with the last part, or with its link."""
        self._told: dict[Connection, Topology] = {}
        """What each link said last, which the next delta there is of, the latest last; a row goes with its link."""
        self.peers = Peers(
            runtime, self._hello, settings, self, self.output, tls, address_map, secrets=secrets
        )
        self.gateway = Gateway(
            runtime, self, settings, f"{self.client_id}#{self.incarnation}".encode(), output=self.output
        )
        self.output.hooks.append(self._flush)
        self.on_topology: list[Callable[[Topology], None]] = []
        self.on_limits: list[Callable[[int], None]] = []
        self.on_link: list[Callable[[str], None]] = []
        """Told the id of a node that it is linked with (again)."""
        self.losses = Losses(runtime.clock)
        self.extra_frames: dict[int, Callable[[Connection, bytes], None]] = dict(self.losses.handlers)
        self._complaint = Complaint(runtime.clock, log, SECOND_NS)
        self._other_since_ns: int | None = None
        self._gone: dict[str, str] = {}
        """Incarnations of the known topology that were seen replaced, by node id; at most one per member of it."""
        self._is_lost = True
        self._is_ended = False

    def start(self) -> None:
        """Begin to dial; returns at once, or raises what `address_map` raises for a contact point."""
        self._dial()
        for name in self.peers:
            peer = self.peers.get(name)
            if peer is not None and peer.map_error is not None:
                raise peer.map_error
        self.discovery.begin(self._dial, lambda: not self._by_node)

    async def close(self) -> None:
        """Close the sessions, then every link; the links in any case, at once when it is cancelled."""
        try:
            await self.gateway.close()
        finally:
            self.end()

    def end(self) -> None:
        """Close every link here and now; harmless when that was done."""
        self._is_ended = True
        self.discovery.close()
        self.gateway.abort()
        self.peers.close()

    async def ready(self, timeout_s: float) -> None:
        """Return when a topology is known; raises `Unavailable` with what each contact point answered."""
        clock = self.runtime.clock
        until_ns = clock.now() + int(timeout_s * SECOND_NS)
        while self._topology is None:
            if clock.now() >= until_ns:
                raise Unavailable(f"no topology within {timeout_s} s; {self.answers()}")
            await clock.sleep(POLL_S)

    def answers(self) -> str:
        """Say what each contact point answered so far."""
        texts = self.discovery.troubles_of()
        for address in self.discovery.addresses:
            peer = self.peers.get(str(address))
            if peer is None or peer.connection is None:
                why = None if peer is None else peer.last_refusal or peer.last_error
                texts.append(f"{address}: {why or 'no answer yet'}")
            elif peer.connection in self._foreign:
                texts.append(f"{address}: a node of another cluster of that name")
            else:
                texts.append(f"{address}: linked, no topology yet")
        return "; ".join(texts) or "no contact point is known yet"

    def refusal(self) -> Refused | None:
        """Return the error of every call when each contact point refused the handshake."""
        if self._topology is not None:
            return None
        refusals = {
            name: None if peer.is_refused_for_now else peer.last_refusal
            for name in map(str, self.discovery.addresses)
            if (peer := self.peers.get(name)) is not None
        }
        if refusals and all(text is not None for text in refusals.values()):
            return Refused("; ".join(f"{name}: {text}" for name, text in refusals.items()))
        return None

    def _hello(self) -> Hello:
        return Hello.of_client(
            cluster=self._name, client_id=self.client_id, incarnation=self.incarnation, address=self._label,
            generation=0 if self._topology is None else self._topology.generation,
        )  # fmt: skip

    def _dial(self) -> None:
        self._is_lost = not any(map(self._is_present, self._by_node.values()))
        wanted: dict[NodeAddress, None] = dict.fromkeys(self.discovery.addresses)
        if self._topology is not None:
            for member in self._topology.members.values():
                link = self._by_node.get(member.node_id)
                if member.status != "removed" or self._is_lost or (link and self._is_present(link)):
                    wanted[NodeAddress(member.host, member.port)] = None
        for address in wanted:
            self.peers.want(str(address), address)
        names = [str(address) for address in wanted]
        for name in list(self.peers):
            if name not in names:
                self.peers.drop(name)

    def _is_present(self, connection: Connection) -> bool:
        """Whether a link leads to a process that was not removed, as far as this client knows."""
        remote, topology = connection.remote, self._topology
        member = None if topology is None else topology.members.get(remote.node_id)
        return member is None or member.status != "removed" or member.incarnation != remote.incarnation

    def _look_around(self) -> None:
        """While no link leads to a member, dial where one was removed as well: others often come in its place."""
        if not self._is_ended and self._is_lost == any(map(self._is_present, self._by_node.values())):
            self._dial()

    # -- links

    def on_open(self, connection: Connection) -> None:
        """A node answered: hear its topology from now on."""
        self.losses.opened(connection)
        self._note_replaced(connection)
        connection.send(frames.SUBSCRIBE, pack([]))
        if self._is_foreign(connection):
            self._set_aside(connection)
        else:
            self._use(connection)
        self._look_around()
        if self.runtime.observe:
            self.runtime.observe(LinkUp(connection.remote.node_id))

    def _use(self, connection: Connection) -> None:
        node_id = connection.remote.node_id
        known = self._by_node.get(node_id)
        self._by_node[node_id] = connection
        if (
            known is not None
            and known is not connection
            and known.remote.incarnation != connection.remote.incarnation
        ):
            known.close("replaced by a newer link to the same node")
        self._take_limits(connection)
        self.gateway.on_link_up(node_id)
        for listener in self.on_link:
            listener(node_id)

    # -- other clusters of the same name

    def _cluster_of(self, connection: Connection) -> tuple[int, str]:
        """Return generation and id of the cluster that a node says it belongs to; an empty id for none yet."""
        told = self._told.get(connection)
        if told is not None:
            return told.generation, told.cluster_id
        generation, cluster_id = (connection.welcome_extra.get(name) for name in ("generation", "cluster_id"))
        if not isinstance(generation, int) or not isinstance(cluster_id, str):
            return 0, ""
        return generation, cluster_id

    def _is_foreign(self, connection: Connection) -> bool:
        known, cluster_id = self._topology, self._cluster_of(connection)[1]
        return known is not None and cluster_id not in ("", known.cluster_id)

    def _set_aside(self, connection: Connection) -> None:
        """Use a link no more, or not yet: it leads into another cluster."""
        known, node_id = self._topology, connection.remote.node_id
        assert known is not None, "another one than the known cluster"
        self._foreign[connection] = None
        if self._by_node.get(node_id) is connection:
            del self._by_node[node_id]
            self.gateway.on_link_down(node_id)
        generation, cluster_id = self._cluster_of(connection)
        text = (
            f"{connection.remote.address} is node {node_id!r:.100} of another cluster that is named {self._name!r} "
            f"({generation}:{cluster_id:.40}), this client uses {known.home}: it is sent nothing; if it was not "
            "started anew, take it out of the contact points"
        )
        if text not in self._said and self._complaint.say(text):
            self._said = dict.fromkeys([*self._said, text][-MAX_SAID:])

    def _sort(self) -> None:
        """Another cluster is the known one, or a node says that it belongs to another one."""
        for connection in [link for link in self._by_node.values() if self._is_foreign(link)]:
            self._set_aside(connection)
        for connection in [link for link in self._foreign if not self._is_foreign(link)]:
            del self._foreign[connection]
            self._use(connection)

    def _note_replaced(self, connection: Connection) -> None:
        """A process that answers in the place of another shows that the other has ended."""
        topology, remote = self._topology, connection.remote
        member = None if topology is None else topology.members.get(remote.node_id)
        if (
            member is not None
            and member.incarnation != remote.incarnation
            and ((member.host, member.port) == remote.address or not self._is_foreign(connection))
        ):
            self._gone[member.node_id] = member.incarnation

    def _take_limits(self, connection: Connection) -> None:
        value_bytes, replies = (
            connection.welcome_extra.get(name, getattr(self.settings, name))
            for name in ("max_value_bytes", "max_window_replies")
        )
        if not isinstance(value_bytes, int) or not isinstance(replies, int):
            raise RemoteProtocolError(f"limits: expected two numbers, found {value_bytes!r}, {replies!r}")
        self.gateway.limited(value_bytes, replies)
        for listener in self.on_limits:
            listener(value_bytes)

    def on_closed(self, connection: Connection, reason: str) -> None:
        """A link ended."""
        node_id = connection.remote.node_id
        self.losses.closed(connection)
        self._documents.pop(connection, None)
        self._told.pop(connection, None)
        self._foreign.pop(connection, None)
        if connection.has_failed:
            self._complaint.say(f"the link with node {node_id} is closed: {reason}")
        if self._by_node.get(node_id) is connection:
            del self._by_node[node_id]
            self.gateway.on_link_down(node_id, has_failed=connection.has_failed)
            if not self._by_node:
                self.discovery.hurry()  # all nodes that it knows may have been replaced
            self._look_around()
        if self.runtime.observe:
            self.runtime.observe(LinkDown(node_id, reason))

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        """Take one frame of a node."""
        if kind == frames.REPLY:
            self.gateway.on_reply(body)
        elif kind == frames.KEEPALIVE_ACK:
            self.gateway.on_keepalive_ack(body)
        elif kind == frames.TOPOLOGY:
            self._on_topology_part(connection, body)
        elif kind == frames.HINT_DELTA:
            if self._topology is not None:
                learn_hints(self.leaders, unpack(body), len(self._topology.slots))
        elif kind in CARRIED and kind in self.extra_frames:
            self._carry(self.extra_frames[kind], connection, body)
        elif kind in self.extra_frames:
            self.extra_frames[kind](connection, body)
        else:
            raise RemoteProtocolError(f"frame kind {kind} is not for a client")

    def _carry(
        self, handler: Callable[[Connection, bytes], None], connection: Connection, body: bytes
    ) -> None:
        """Hand on a message that a node may have passed on; whatever is wrong with it is no fault of the link."""
        try:
            handler(connection, body)
        except Exception as error:  # what a node passed on may hold anything, and costs no link
            self.carried(connection, error)

    def carried(self, connection: Connection, error: Exception) -> None:
        """A message was not taken: it is a dead letter."""
        if isinstance(error, (ProtocolError, EncodingError, MessageTooLarge)):
            text = f"what {connection.remote.node_id!r:.100} passed on: {shown(error, 200)}"
            if self.runtime.observe:
                self.runtime.observe(DeadLettered("", text))
            self._complaint.say(f"dropped: {text}")
        else:  # a bug of ours, or of the user's that nothing else kept: it costs one message
            report_lost(f"a message from {connection.remote.node_id!r:.100} raised", error)

    def _on_topology_part(self, connection: Connection, body: bytes) -> None:
        document = self._documents.setdefault(connection, Assembly()).take(body)
        if document is not None:
            del self._documents[connection]
            self._on_document(connection, unpack(document))

    def _on_document(self, connection: Connection, plain: Any) -> None:
        match plain:
            case [kind, whole] if kind == WHOLE:
                new = topologies.from_plain(whole, self.leaders)
                hints = hints_of(whole)
            case [kind, delta] if kind == DELTA:
                new = self._changed(connection, delta)
                hints = hints_of_delta(delta)
            case _:
                raise RemoteProtocolError("topology: expected [whole or delta, its fields]")
        # Links that say the same share what they said: mostly what this client goes by, or, while it does not, what
        # another link said just before.
        self._told.pop(connection, None)
        for known in (self._topology, next(reversed(self._told.values()), None)):
            if known is not None and known == new:
                new = known
                break
        self._told[connection] = new
        self._on_snapshot(new, hints)
        self._sort()
        self._look_around()

    def _changed(self, connection: Connection, delta: Any) -> Topology:
        base = self._told.get(connection)
        if base is None:
            raise RemoteProtocolError("topology: expected the whole before a delta")
        return patched(base, delta)

    def _on_snapshot(self, new: Topology, hints: Any) -> None:
        known = self._topology
        if known is not None and new.cluster_id != known.cluster_id:
            if not self._is_succeeded(known, new) and not self._is_replaced(known):
                return
            self.leaders.clear()
        elif known is not None and new.order < known.order:
            # Who leads has an order of its own: a node that is behind with the members may be the one to know.
            learn_hints(self.leaders, hints, len(known.slots))
            return
        self._other_since_ns = None
        self._topology = new
        self._sort()
        self._gone = {node: gone for node, gone in self._gone.items() if node in new.members}
        learn_hints(self.leaders, hints, len(new.slots))
        if known is None or new.order != known.order:
            self._dial()
            if self.runtime.observe:
                self.runtime.observe(TopologyChanged(new.generation, new.version))
            for listener in self.on_topology:
                listener(new)
        self.gateway.on_topology()

    def _is_succeeded(self, known: Topology, new: Topology) -> bool:
        """Whether the processes in the place of the known ones run a later generation, and none of those is left."""
        serving = [member for member in known.members.values() if member.status not in ("down", "removed")]
        if new.generation <= known.generation or not all(
            not self._is_linked_with(member) and self._gone.get(member.node_id) == member.incarnation
            for member in serving
        ):
            return False
        return any(self._is_linked_with(new.members.get(member.node_id)) for member in serving)

    def _is_linked_with(self, member: MemberInfo | None) -> bool:
        return member is not None and any(
            (link.remote.node_id, link.remote.incarnation) == (member.node_id, member.incarnation)
            for link in (*self._by_node.values(), *self._foreign)
        )

    def _is_replaced(self, known: Topology) -> bool:
        """Whether nobody of the known generation answered for one TTL while another cluster does."""
        linked = [node for node in self._by_node if node in known.members
                  and known.members[node].incarnation == self._by_node[node].remote.incarnation]  # fmt: skip
        if linked:
            self._other_since_ns = None
            return False
        now_ns = self.runtime.clock.now()
        if self._other_since_ns is None:
            self._other_since_ns = now_ns
            self.runtime.clock.call_at(now_ns + int(known.ttl_s * SECOND_NS) + 1, self._ask_again)
        return now_ns - self._other_since_ns > known.ttl_s * SECOND_NS

    def _ask_again(self) -> None:
        for connection in (*self._by_node.values(), *self._foreign):
            connection.send(frames.SUBSCRIBE, pack([]))

    # -- routes

    def topology(self) -> Topology | None:
        """Return the present topology."""
        return self._topology

    def linked(self) -> list[str]:
        """Return the nodes that can be reached now."""
        return list(self._by_node)

    def is_linked(self, node_id: str) -> bool:
        """Whether a node can be reached now."""
        return node_id in self._by_node

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for a node."""
        connection = self._by_node.get(node_id)
        return connection is not None and connection.send(kind, body)

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        """Take what a redirect said about a slot's leader."""
        if self._topology is not None:
            self.leaders.learn(slot, self._topology.epoch_of(slot), term, leader)

    def _flush(self) -> None:
        if self.leaders.changed:
            self.leaders.changed.clear()
            self.gateway.on_topology()
