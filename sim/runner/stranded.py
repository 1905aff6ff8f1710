"""Clients that lost everybody they knew: all their contact points and all members they had heard of went for good.

Such a client cannot come back by itself; whoever runs it gives it other contact points. Whether it could have heard of
those who are there is a question for the trace: who was linked for long must know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from casty.events import LinkDown, LinkUp, TopologyChanged

from ..kernel.events import Crashed, Paused, Resumed, Stopped

if TYPE_CHECKING:
    from casty.cluster.client import ClientCore

    from ..kernel.trace import Trace, TraceEvent
    from ..world.process import Process

__all__ = ["Hearing", "is_stranded"]


def is_stranded(client: ClientCore, present: Sequence[str]) -> bool:
    """Whether a client knows no address of a node that is there, or will be there again."""
    topology, contacts = client.topology(), client.discovery.addresses
    members = () if topology is None else topology.members.values()
    known = [*(point.host for point in contacts), *(member.host for member in members)]
    return not any(host in present for host in known)


class Hearing:
    """How long a client could hear of some nodes at a stretch: a link had both ends, and the client ran.

    Parameters
    ----------
    process, client_id
        The client; of a former life of its process nothing counts.
    about
        The nodes; nobody hears of any of them before one of them knows a cluster.
    """

    def __init__(self, process: Process, client_id: str, about: Sequence[str]) -> None:
        self._name = process.name
        self._client_id = client_id
        self._about = about
        self._ends: dict[str, list[bool]] = {}
        """Node -> whether there is a link by the client's word, and by the node's."""
        self._is_paused = self._is_told_of = False
        self._since_ns: int | None = None
        self.longest_ns = 0

    def read(self, trace: Trace) -> int:
        """Return the longest time, in ns."""
        for entry in trace:
            if self._since_ns is not None:
                self.longest_ns = max(self.longest_ns, entry.t_ns - self._since_ns)
            self._take(entry)
            is_linked = any(all(ends) for ends in self._ends.values())
            if not is_linked or self._is_paused or not self._is_told_of:
                self._since_ns = None
            elif self._since_ns is None:
                self._since_ns = entry.t_ns
        return self.longest_ns

    def _take(self, entry: TraceEvent) -> None:
        event, node = entry.event, entry.node
        if isinstance(event, LinkUp | LinkDown):
            self._linked(node, event.peer.partition("#")[0], isinstance(event, LinkUp))
        elif isinstance(event, Crashed | Stopped):
            self._ends.pop(node, None)
            if node == self._name:
                self._ends.clear()
                self._is_paused = False
        elif isinstance(event, Paused | Resumed) and node == self._name:
            self._is_paused = isinstance(event, Paused)
        elif isinstance(event, TopologyChanged) and node in self._about:
            self._is_told_of = True

    def _linked(self, node: str, peer: str, is_up: bool) -> None:
        if node == self._name:
            self._ends.setdefault(peer, [False, False])[0] = is_up
        elif peer == self._client_id:
            self._ends.setdefault(node, [False, False])[1] = is_up
