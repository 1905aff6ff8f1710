"""Who a process that forges frames says it is, on one of its links."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from casty.address import NodeAddress, peer_key
from casty.config import Settings
from casty.wire.hello import Hello

from ..world.clusters import CLUSTER_NAME, NODE_PORT

if TYPE_CHECKING:
    from .view import View

__all__ = ["CLIENT", "KINDS", "NAMESAKE", "STRANGER", "TWIN", "Aimed", "Below", "Guise", "guise_of"]

Below = Callable[[str, int], int]
"""Draws a number below another one, for a purpose."""

Aimed = tuple[int, bytes]
"""Kind and body of a frame."""

CLIENT, STRANGER, TWIN, NAMESAKE = "client", "stranger", "twin", "namesake"
KINDS = (*(CLIENT,) * 5, *(STRANGER,) * 4, TWIN, NAMESAKE)
"""What it may be, as often as it is: a client and a node of its own name; a node with the name and incarnation of a
member, and a client with the name of one, which no sound node takes. Nobody says that it is at the address of another:
that is for the network, or TLS, to tell."""


class Guise(NamedTuple):
    """One of them, with the name that it gives."""

    kind: str
    node_id: str
    incarnation: str
    host: str

    @property
    def is_node(self) -> bool:
        """Whether it says that it is a node."""
        return self.kind in (STRANGER, TWIN)

    @property
    def key(self) -> str:
        """Its peer key, by its own word."""
        return peer_key(self.node_id, self.incarnation)

    def hello(self) -> bytes:
        """Return the body of its first frame."""
        address = NodeAddress(self.host, NODE_PORT)
        if self.is_node:
            return Hello.of_node(
                cluster=CLUSTER_NAME, node_id=self.node_id, incarnation=self.incarnation, address=address,
                settings=Settings(),
            ).encode()  # fmt: skip
        return Hello.of_client(
            cluster=CLUSTER_NAME, client_id=self.node_id, incarnation=self.incarnation, address=address
        ).encode()


def guise_of(kind: str, own: str, incarnation: str, at: str, view: View, below: Below) -> Guise | None:
    """Return the guise of a kind; None while there is no member to be named after.

    Parameters
    ----------
    own, incarnation
        Its own name and the incarnation that goes with it: of one life, so that its links are those of one process.
    at
        The node that will hear it.
    """
    if kind in (CLIENT, STRANGER):
        return Guise(kind, own, incarnation, own)
    members = view.members(at) or view.anybodys_members()
    if not members:
        return None
    member = members[below("named", len(members))]
    return Guise(kind, member.node_id, member.incarnation if kind == TWIN else incarnation, own)
