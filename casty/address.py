"""Addresses of nodes and actors: values that every layer may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["ActorAddress", "NodeAddress", "PeerKey", "node_id_of", "peer_key"]

SCHEME = "casty://"

PeerKey = str
"""One process of a node: ``node_id#incarnation``. A restarted process has a new key."""


def peer_key(node_id: str, incarnation: str) -> PeerKey:
    """Name one incarnation of a node."""
    return f"{node_id}#{incarnation}"


def node_id_of(key: PeerKey) -> str:
    """Return the node id inside a peer key."""
    return key.rpartition("#")[0]


class NodeAddress(NamedTuple):
    """Where a node listens, as others dial it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ActorAddress:
    """Where an actor lives.

    Parameters
    ----------
    system
        The actor system's name.
    path
        The actor's path, with its leading slash.
    host, port
        The node; both None for an actor of this process.
    node_id
        The node's or client's identity, when known.

    Examples
    --------
    >>> ActorAddress("shop", "/cart", "10.0.0.1", 25520).to_uri()
    'casty://shop@10.0.0.1:25520/cart'
    >>> ActorAddress.from_uri("casty://shop/cart").is_local
    True
    """

    system: str
    path: str
    host: str | None = None
    port: int | None = None
    node_id: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the address names no node."""
        return self.host is None

    def to_uri(self) -> str:
        """Return ``casty://system@host:port/path``, or ``casty://system/path`` when local."""
        if self.host is None:
            return f"casty://{self.system}{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"casty://{self.system}@{host}:{self.port}{self.path}"

    @staticmethod
    def from_uri(uri: str) -> ActorAddress:
        """Read what `to_uri` wrote; raises `ValueError` naming ``casty://`` for anything else."""
        expected = f"expected casty://system@host:port/path or casty://system/path, found {uri!r:.200}"
        # Not urlsplit: it ends the path at ? and #, drops tabs and line ends, and lowers the host.
        authority, slash, path = _without_scheme(uri).partition("/")
        system, at, place = authority.rpartition("@")
        if not slash or not (system if at else place):
            raise ValueError(expected)
        if not at:
            return ActorAddress(place, f"/{path}")
        host, colon, port = place.rpartition(":")
        if host[:1] == "[" and host[-1:] == "]":
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(expected)
        if not host or not colon or not _is_port(port):
            raise ValueError(expected)
        return ActorAddress(system, f"/{path}", host, int(port))


def _without_scheme(uri: object) -> str:
    """Return what follows ``casty://``; an empty text for anything that does not begin so."""
    if isinstance(uri, str) and uri[: len(SCHEME)].lower() == SCHEME:
        return uri[len(SCHEME) :]
    return ""


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535
