"""What a node answers processes that found, or that ask to join."""

from __future__ import annotations

from typing import Any, Protocol

from casty.address import NodeAddress
from casty.cluster.control.formation import VIEW, identity_of
from casty.cluster.control.machine import JOIN
from casty.cluster.control.replica import ControlReplica
from casty.cluster.control.schema import check_join
from casty.cluster.node.bootstrap import MEMBER, Bootstrap
from casty.cluster.node.boundary import Boundary
from casty.cluster.node.control_group import ControlGroup
from casty.cluster.node.links import Links
from casty.errors import RemoteProtocolError
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Admission"]


class Admitting(Protocol):
    """The node that answers; see `Node`."""

    bootstrap: Bootstrap
    boundary: Boundary
    control: ControlReplica
    control_group: ControlGroup
    links: Links


class Admission:
    """The answers of one node."""

    def __init__(self, node: Admitting) -> None:
        self._node = node

    def on_founding(self, link: Connection, body: bytes) -> None:
        """A process that wants to found, or that has founded, says so."""
        node, machine = self._node, self._node.control.machine
        if machine.is_founded:
            message: Any = unpack(body)
            kind, node_id, incarnation, *_ = (
                message if isinstance(message, list) and len(message) > 2 else [0] * 3
            )
            if kind == VIEW:
                if not isinstance(node_id, str):
                    raise RemoteProtocolError("founding: expected the id of a node in a view")
                known = machine.members.get(node_id)
                addresses = [[row.host, row.port] for row in machine.members.values()]
                knows = known is not None and known.incarnation == incarnation
                answer = [MEMBER, machine.generation, machine.cluster_id, addresses, knows]
                # A founder that missed the start hears of it first: it votes, as a newcomer does not yet.
                node.bootstrap.on_frame(link, body)
                link.send(frames.FOUNDING, pack(answer))
                return
        node.bootstrap.on_frame(link, body)

    def on_join(self, link: Connection, body: bytes) -> None:
        """A process asks to join: the control leader proposes it once it reaches exactly that process."""
        # Also before it is passed on: what is wrong with it must not look like a fault of this node.
        identity, node = identity_of(check_join(body)), self._node
        group = node.control_group.group
        if group is None or not node.control.machine.is_founded:
            return
        if not group.is_leading:
            leader = node.control_group.leader()
            if leader is not None and node.boundary.is_own(link, identity):
                node.links.send_to_node(leader, frames.JOIN, body)
            return
        if not node.boundary.may_join(link, identity):
            return
        node.links.want_guest(NodeAddress(identity.host, identity.port))
        known = node.control.machine.members.get(identity.node_id)
        if known is not None and known.incarnation == identity.incarnation and not known.may_return:
            return
        if node.links.is_linked(identity.key):
            node.control_group.propose(pack([JOIN, *identity.plain]))
