"""What a step reads of its surroundings, and never changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from casty.cluster.control.topology import Topology
from casty.errors import Refused

__all__ = ["Surroundings"]


class Surroundings(Protocol):
    """What is so at the moment of a step. Two calls within one step give the same."""

    def topology(self) -> Topology | None:
        """Return the present topology."""
        ...

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
