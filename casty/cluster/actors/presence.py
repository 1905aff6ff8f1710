"""Who is there, as nodes and clients see it: what decides whether watched actors count as ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.actor.standing import Standing
from casty.address import peer_key
from casty.cluster.actors.client_links import ClientLinks
from casty.cluster.actors.remote import Remote
from casty.cluster.control.replica import CONTROL, heard_ns
from casty.cluster.control.topology import Topology
from casty.config import SECOND_NS
from casty.settings import Settings

if TYPE_CHECKING:
    from casty.cluster.client import ClientCore
    from casty.cluster.node.node import Node

__all__ = ["ClientPresence", "NodeCompany"]


class NodeCompany:
    """What a node sees of the others: the cluster's judgement of members, and all links of clients."""

    judges = True

    def __init__(self, node: Node, clients: ClientLinks, remote: Remote) -> None:
        self._node = node
        self._clients = clients
        self.node_at = remote.node_at
        self.say = remote.say

    @property
    def grace_ns(self) -> int:
        """The session TTL."""
        return _grace_ns(self._node.topology(), self._node.settings)

    def standing(self, node_id: str, incarnation: str) -> Standing:
        """Say how a process stands; with an empty incarnation, whichever has that id now."""
        standing = _standing(self._node.topology(), node_id, incarnation)
        if standing is not Standing.UNKNOWN:
            return standing
        is_linked = self._clients.is_linked(node_id, incarnation)
        if is_linked or self._node.links.is_seen(peer_key(node_id, incarnation)):
            return Standing.LINKED
        return Standing.UNKNOWN

    def is_sighted(self) -> bool:
        """Whether it hears the control group's leader, and is linked with a majority of the members, itself included.

        A link on which nothing is said may be down for a while before anybody looks.
        """
        topology, now_ns = self._node.topology(), self._node.runtime.clock.now()
        heard_ago_ns = now_ns - heard_ns(self._node.host.groups.get(CONTROL), now_ns)
        if topology is None or heard_ago_ns > int(self._node.settings.unreachable_after_s * SECOND_NS):
            return False
        members = [row.node_id for row in topology.members.values() if row.status != "removed"]
        linked = self._node.links.nodes
        seen = [node_id for node_id in members if node_id == self._node.node_id or node_id in linked]
        return 2 * len(seen) > len(members)

    def guardian(self) -> str | None:
        """A node judges by itself."""
        return None


class ClientPresence:
    """What a client sees of the others: the cluster's judgement of members. Of clients it asks a node."""

    judges = False

    def __init__(self, client_core: ClientCore, remote: Remote) -> None:
        self._client_core = client_core
        self.node_at = remote.node_at
        self.say = remote.say

    @property
    def grace_ns(self) -> int:
        """The session TTL."""
        return _grace_ns(self._client_core.topology(), self._client_core.settings)

    def standing(self, node_id: str, incarnation: str) -> Standing:
        """Say how a process stands; with an empty incarnation, whichever has that id now."""
        return _standing(self._client_core.topology(), node_id, incarnation)

    def is_sighted(self) -> bool:
        """Whether it hears of the cluster."""
        return self._client_core.topology() is not None and bool(self._client_core.linked())

    def guardian(self) -> str | None:
        """Return the first linked member that is up."""
        topology = self._client_core.topology()
        for node_id in self._client_core.linked():
            member = None if topology is None else topology.members.get(node_id)
            if member is not None and member.status == "up":
                return peer_key(node_id, member.incarnation)
        return None


def _standing(topology: Topology | None, node_id: str, incarnation: str) -> Standing:
    member = None if topology is None else topology.members.get(node_id)
    if member is None or member.status == "removed" or incarnation not in ("", member.incarnation):
        return Standing.UNKNOWN
    return Standing.DOWN if member.status == "down" else Standing.MEMBER


def _grace_ns(topology: Topology | None, settings: Settings) -> int:
    return int((settings.session_ttl_s if topology is None else topology.ttl_s) * SECOND_NS)
