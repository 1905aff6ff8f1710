"""Which clients a node can reach: those that dialled it, and through other nodes those that dialled them.

``CLIENTS`` body: ``[[client id, is linked, incarnation], ...]``; all of them when a link comes up, then each change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from casty.cluster.node.links import Links
from casty.errors import RemoteProtocolError
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.hello import Hello
from casty.wire.pack import pack, unpack

__all__ = ["ClientLinks"]

ROWS_A_FRAME = 100
"""So many of the longest names fit into the shortest frame."""


class _Told(NamedTuple):
    """What a node says of a client that is linked with it, and over which link it said so."""

    incarnation: str
    link: Connection


class ClientLinks:
    """The clients of one node.

    Parameters
    ----------
    links
        The node's links to other nodes.
    changed
        Told when no node is known to reach a client any more, and when one is again.
    is_member
        Whether an id is a member's: what is said of it as of a client ends nothing of the member.

    Bounds: `mine` has a row per client with links to this node, `others` per link of a client to another node, as
    that node says over the link that it dialled; a row goes with that link, which is told everything anew when it is
    made again.
    """

    def __init__(
        self, links: Links, changed: Callable[[str], None], is_member: Callable[[str], bool]
    ) -> None:
        self._links = links
        self._changed = changed
        self._is_member = is_member
        self.mine: dict[str, dict[Connection, None]] = {}
        """Client id -> its links to this node, the newest last; more than one where it knows two addresses."""
        self.others: dict[str, dict[str, _Told]] = {}
        """Client id -> the nodes that are linked with it, each with what it said."""

    def changed(self, connection: Connection, is_up: bool) -> None:
        """A connection of any role came up or ended."""
        node_id = connection.remote.node_id
        if connection.remote.role == "client":
            self._client_changed(node_id, connection, is_up)
        elif connection.remote.role != "node":
            return
        elif not connection.is_dialled:
            if not is_up:
                self._forget_all(connection)
        elif is_up:
            rows = [[client_id, True, _incarnation(links)] for client_id, links in self.mine.items()]
            for first in range(0, len(rows), ROWS_A_FRAME):
                connection.send(frames.CLIENTS, pack(rows[first : first + ROWS_A_FRAME]))

    def _client_changed(self, client_id: str, connection: Connection, is_up: bool) -> None:
        if is_up:
            # Others of the same id are of the same process: another one was refused.
            was_linked = self.is_linked(client_id)
            self.mine.setdefault(client_id, {})[connection] = None
            if not was_linked:
                self._changed(client_id)
        else:
            links = self.mine.get(client_id, {})
            links.pop(connection, None)
            if links:
                return
            self.mine.pop(client_id, None)
        body = pack([[client_id, is_up, connection.remote.incarnation]])
        self._links.each_node(lambda link: link.send(frames.CLIENTS, body))
        if not is_up:
            self._check(client_id)

    def members_changed(self) -> None:
        """End the links of clients with the id of a member: they came before it was known, and got what was for it."""
        for links in [links for client_id, links in self.mine.items() if self._is_member(client_id)]:
            for link in list(links):
                link.close(
                    f"client id {link.remote.node_id!r:.100} is the id of a member; give it another one"
                )

    def on_clients(self, connection: Connection, body: bytes) -> None:
        """Take what another node says about its clients."""
        rows: Any = unpack(body)
        if not isinstance(rows, list):
            raise RemoteProtocolError("clients: expected a list of rows")
        for row in rows:
            if not isinstance(row, list) or [type(field) for field in row] != [str, bool, str]:
                raise RemoteProtocolError("clients: expected [client id, is linked, incarnation] rows")
            if self._is_member(row[0]):
                continue
            if row[1]:
                was_linked = self.is_linked(row[0])
                told = _Told(row[2], connection)
                self.others.setdefault(row[0], {})[connection.remote.node_id] = told
                if not was_linked:
                    self._changed(row[0])
            else:
                self._forget(connection, row[0])

    def flaw_of(self, hello: Hello) -> str | None:
        """Say whether a client's id is that of another client which lives, as far as this node knows."""
        if all(incarnation == hello.incarnation for incarnation in self._seen(hello.node_id)):
            return None
        return (
            f"client id {hello.node_id!r:.100} is that of another living client; give each an id of its own"
        )

    def _forget_all(self, link: Connection) -> None:
        for client_id in list(self.others):
            self._forget(link, client_id)

    def _forget(self, link: Connection, client_id: str) -> None:
        """Forget what a node said of a client over a link, unless it said more over a newer one."""
        nodes, node_id = self.others.get(client_id, {}), link.remote.node_id
        if node_id in nodes and nodes[node_id].link is link:
            del nodes[node_id]
            if not nodes:
                del self.others[client_id]
                self._check(client_id)

    def _check(self, client_id: str) -> None:
        if not self.is_linked(client_id) and not self._is_member(client_id):
            self._changed(client_id)

    def is_linked(self, client_id: str, incarnation: str = "") -> bool:
        """Whether some node is known to reach a client; one of that incarnation, where it is given."""
        if client_id not in self.mine and client_id not in self.others:
            return False
        return not incarnation or incarnation in self._seen(client_id)

    def _seen(self, client_id: str) -> list[str]:
        """Return the incarnations of a client that nodes are linked with."""
        known = self.mine.get(client_id)
        seen = [told.incarnation for told in self.others.get(client_id, {}).values()]
        return seen if known is None else [*seen, _incarnation(known)]

    def send(self, client_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for a client that is linked here."""
        links = self.mine.get(client_id)
        return links is not None and next(reversed(links)).send(kind, body)

    def reached_by(self, client_id: str) -> list[str]:
        """Return the nodes that say they are linked with a client, in the order in which they said so."""
        return list(self.others.get(client_id, {}))


def _incarnation(links: dict[Connection, None]) -> str:
    return next(iter(links)).remote.incarnation
