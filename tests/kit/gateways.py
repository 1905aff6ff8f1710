"""What stands at both ends of a gateway in a test: ways to nodes, and where nodes' answers go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from casty.cluster.control.topology import MemberInfo
from casty.errors import Refused

__all__ = ["Answers", "Routes", "nodes_up"]


class Answers:
    """Takes every answer, at once. Implements `ReplySink`."""

    is_full = False

    def __init__(self) -> None:
        self.calls: list[tuple[int, list[Any]]] = []
        """Each answer with the id of its call, in order."""
        self.replies: list[list[Any]] = []
        """The answers alone."""
        self.latest: dict[int, list[Any]] = {}
        """The last answer of each call."""

    def add(self, call_id: int, reply: list[object]) -> None:
        self.calls.append((call_id, reply))
        self.replies.append(reply)
        self.latest[call_id] = reply

    def put_off(self, serve: Callable[[], None]) -> None:
        raise AssertionError("it is never full")


class Routes:
    """What a gateway asks about its ways, for whoever has the links: nobody is refused, and no hint is followed."""

    def linked(self) -> Sequence[str]:
        """Whom there is a link with."""
        raise NotImplementedError

    def is_linked(self, node_id: str) -> bool:
        return node_id in self.linked()

    def answers(self) -> str:
        return ""

    def refusal(self) -> Refused | None:
        return None

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        """Nobody redirects."""


def nodes_up(node_ids: Iterable[str]) -> dict[str, MemberInfo]:
    """The members of a topology: each at a host of its own name, and up."""
    return {node_id: MemberInfo(node_id, "1", node_id, 1, "up") for node_id in node_ids}
