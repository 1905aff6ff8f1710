"""Topology out to nodes and clients: snapshots when the control state changes, deltas when a leader does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from casty.cluster.links import Links
from casty.cluster.topology import LeaderTable, Topology, to_plain
from casty.config import BOUNDS
from casty.errors import MessageTooLarge, RemoteProtocolError
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Feed", "learn_hints"]

MAX_SLOTS = int(BOUNDS["slots"].high)


def learn_hints(leaders: LeaderTable, rows: Any, slots: int) -> bool:
    """Take hint rows of somebody else; True if any was news."""
    if not isinstance(rows, list):
        raise RemoteProtocolError("hints: expected a list of rows")
    news = False
    for row in rows:
        if (
            not isinstance(row, list)
            or len(row) != 4
            or not all(isinstance(number, int) for number in row[:3])
        ):
            raise RemoteProtocolError("hints: expected [slot, epoch, term, leader] rows")
        if 0 <= row[0] < slots and (row[3] is None or isinstance(row[3], str)):
            news = leaders.learn(*row) or news
    return news


class Feed:
    """Keeps subscribers and fellow nodes up to date, for the whole life of their links."""

    def __init__(self, links: Links, leaders: LeaderTable, me: str, changed: Callable[[], None]) -> None:
        self._links = links
        self._leaders = leaders
        self._me = me
        self._changed = changed
        self._subscribers: dict[Connection, None] = {}
        self._is_new = False
        self.topology: Topology | None = None

    def publish(self, topology: Topology) -> None:
        """The control state changed; subscribers hear at the end of the turn."""
        self.topology = topology
        self._is_new = True

    def subscribe(self, connection: Connection) -> None:
        """Send the present topology, then everything that changes."""
        self._subscribers[connection] = None
        if self.topology is not None:
            _tell(connection, frames.TOPOLOGY, pack(to_plain(self.topology)))

    def forget(self, connection: Connection) -> None:
        """The link is gone."""
        self._subscribers.pop(connection, None)

    def introduce(self, connection: Connection) -> None:
        """Tell a newly linked node what this one leads."""
        mine = [row for row in self._leaders.rows() if row[3] == self._me]
        if mine:
            _tell(connection, frames.HINTS, pack(mine))

    def on_hints(self, body: bytes) -> None:
        """Take what a fellow node leads; also before the control state is here, for it is said only once."""
        slots = MAX_SLOTS if self.topology is None else len(self.topology.slots)
        learn_hints(self._leaders, unpack(body), slots)

    def flush(self) -> None:
        """Send what changed in this turn; runs after the groups settled."""
        changed = self._leaders.changed
        if not changed and not self._is_new:
            return
        slots = list(changed)
        changed.clear()
        self._send(slots)
        self._is_new = False
        self._changed()

    def _send(self, slots: Sequence[int]) -> None:
        if self.topology is not None and self._subscribers:
            if self._is_new:
                kind, body = frames.TOPOLOGY, pack(to_plain(self.topology))
            else:
                kind, body = frames.HINT_DELTA, pack(self._leaders.rows(slots))
            for connection in list(self._subscribers):
                _tell(connection, kind, body)
        mine = [row for row in self._leaders.rows(slots) if row[3] == self._me]
        if mine:
            body = pack(mine)
            self._links.each_node(lambda connection: _tell(connection, frames.HINTS, body))


def _tell(connection: Connection, kind: int, body: bytes) -> None:
    """Send what is said only once; whoever misses it has to begin anew."""
    try:
        if not connection.send(kind, body):
            connection.close("the outbound queue is full: the other side does not read what it subscribed to")
    except MessageTooLarge as error:
        connection.close(str(error))
