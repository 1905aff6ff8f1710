"""Topology out to nodes and clients: the whole to whoever subscribes, then what changed in it, and who leads.

Whoever subscribes hears it at the end of the turn: once, however often it asked, and everybody the same bytes.

``TOPOLOGY`` document: ``[WHOLE, topology]`` or ``[DELTA, delta]``, cut into parts. A link keeps its order, so a node
knows which version the other side has, and a delta is of that version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from casty.cluster.control.topology import LEADER, LeaderTable, Topology, learn_hints, to_plain
from casty.cluster.control.topology_delta import DELTA, WHOLE, delta_of
from casty.cluster.node.links import Links
from casty.complaint import Complaint
from casty.config import BOUNDS
from casty.errors import MessageTooLarge, RemoteProtocolError
from casty.limits import MAX_POOL_SLOTS, MAX_POOLS
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.document import parts_of
from casty.wire.pack import pack, unpack

__all__ = ["TopologyPublisher"]

MAX_SLOTS = int(BOUNDS["slots"].high) + MAX_POOLS * MAX_POOL_SLOTS


class TopologyPublisher:
    """Keeps subscribers and fellow nodes up to date, for the whole life of their links."""

    def __init__(
        self,
        links: Links,
        leaders: LeaderTable,
        me: str,
        changed: Callable[[], None],
        complaint: Complaint,
    ) -> None:
        self._links = links
        self._leaders = leaders
        self._me = me
        self._changed = changed
        self._complaint = complaint
        """Of links that cannot be told."""
        self._subscribers: dict[Connection, Topology | None] = {}
        """By link, and which topology was sent there last; a row goes with its link."""
        self._asked: dict[Connection, None] = {}
        """Who subscribed in this turn."""
        self._is_new = False
        self._document: tuple[Topology, bytes] | None = None
        """A whole topology as it was packed last; void when a leader changes."""
        self.topology: Topology | None = None

    def publish(self, topology: Topology) -> None:
        """The control state changed; subscribers hear at the end of the turn."""
        self.topology = topology
        self._is_new = True

    def subscribe(self, connection: Connection) -> None:
        """Send the present topology at the end of the turn, then everything that changes."""
        self._subscribers[connection] = None
        self._asked[connection] = None

    def forget(self, connection: Connection) -> None:
        """The link is gone."""
        self._subscribers.pop(connection, None)
        self._asked.pop(connection, None)

    def introduce(self, connection: Connection) -> None:
        """Tell a newly linked node what this one leads."""
        mine = [row for row in self._leaders.rows() if row[LEADER] == self._me]
        if mine:
            self._tell(connection, frames.HINTS, pack(mine))

    def on_hints(self, body: bytes, leader: str) -> None:
        """Take what the node `leader` leads; also of slots that the control state here does not have yet.

        It is said only once, and may come before the entry that opens the slots of a role.
        """
        rows: Any = unpack(body)
        if isinstance(rows, list) and not all(isinstance(row, list) and row[-1:] == [leader] for row in rows):
            raise RemoteProtocolError(f"hints: expected only what {leader} leads itself")
        learn_hints(self._leaders, rows, MAX_SLOTS)

    def flush(self) -> None:
        """Send what changed in this turn; runs after the groups settled."""
        changed = self._leaders.changed
        if not changed and not self._is_new:
            if self._asked:
                self._answer()
            return
        slots = list(changed)
        changed.clear()
        self._document = None
        self._answer()
        self._send(slots)
        self._is_new = False
        self._changed()

    def _answer(self) -> None:
        """Send the whole topology to whoever subscribed in this turn; there may be none yet."""
        asked, self._asked = self._asked, {}
        topology = self.topology
        if topology is None or not asked:
            return
        if self._document is None or self._document[0] is not topology:
            self._document = (topology, _whole(topology))
        for connection in asked:
            if connection in self._subscribers:
                self._subscribers[connection] = topology
                self._tell_in_parts(connection, self._document[1])

    def _send(self, slots: Sequence[int]) -> None:
        if self.topology is not None and self._subscribers:
            self._tell_subscribers(self.topology, slots)
        mine = [row for row in self._leaders.rows(slots) if row[LEADER] == self._me]
        if mine:
            body = pack(mine)
            self._links.each_node(lambda connection: self._tell(connection, frames.HINTS, body))

    def _tell_subscribers(self, topology: Topology, slots: Sequence[int]) -> None:
        if not self._is_new:
            rows = self._leaders.rows(slots)
            body = pack(rows)
            for connection in list(self._subscribers) if rows else ():
                self._tell(connection, frames.HINT_DELTA, body)
            return
        documents: dict[int, bytes] = {}
        for connection, base in list(self._subscribers.items()):
            if connection not in self._subscribers:
                continue  # what was told to one before it ended this one's link
            if base is topology:
                continue  # it subscribed in this turn
            # Nearly always all of them were sent the same one.
            document = documents.get(id(base))
            if document is None:
                document = documents[id(base)] = _document(base, topology, slots)
            self._subscribers[connection] = topology
            self._tell_in_parts(connection, document)

    def _tell_in_parts(self, connection: Connection, document: bytes) -> None:
        """Send a document, however long it is; what a closed connection is sent goes nowhere."""
        for part in parts_of(document, connection.max_frame_bytes):
            if not self._tell(connection, frames.TOPOLOGY, part):
                return

    def _tell(self, connection: Connection, kind: int, body: bytes) -> bool:
        """Send what is said only once; whoever misses it has to begin anew. True when it was sent."""
        try:
            if connection.send(kind, body):
                return True
            connection.close("the outbound queue is full: the other side does not read what it subscribed to")
        except MessageTooLarge as error:
            self._complaint.say(f"the link with {connection.remote.node_id} is closed: {error}")
            connection.close(str(error))
        return False


def _document(base: Topology | None, topology: Topology, slots: Sequence[int]) -> bytes:
    delta = None if base is None else delta_of(base, topology, slots)
    return _whole(topology) if delta is None else pack([DELTA, delta])


def _whole(topology: Topology) -> bytes:
    return pack([WHOLE, to_plain(topology)])
