"""What a gateway needs of its owner, a member system or a client."""

from __future__ import annotations

from typing import Protocol

from casty.cluster.sessions.core.surroundings import Surroundings

__all__ = ["Routes"]


class Routes(Surroundings, Protocol):
    """What a gateway needs of its owner: what its core reads, and the ways out."""

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for a node; False when there is no link."""
        ...

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        """Take what an answer said about a slot's leader."""
