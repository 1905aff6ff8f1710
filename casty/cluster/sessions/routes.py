"""What a gateway needs of its owner, a member system or a client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from casty.cluster.control.topology import Topology
from casty.errors import Refused

__all__ = ["Routes"]


class Routes(Protocol):
    """What a gateway needs of its owner."""

    def topology(self) -> Topology | None:
        """Return the present topology."""
        ...

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for a node; False when there is no link."""
        ...

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        """Take what an answer said about a slot's leader."""

    def linked(self) -> Sequence[str]:
        """Return the nodes that can be reached now."""
        ...

    def is_linked(self, node_id: str) -> bool:
        """Whether frames can be sent to a node now."""
        ...

    def answers(self) -> str:
        """Say what each contact point answered so far; asked while nobody is linked."""
        ...

    def refusal(self) -> Refused | None:
        """Return the error of every call when nobody takes our handshake."""
        ...
