"""References to actors of a whole cluster: the one in all of it, or those on each of its nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from casty.actor.ref import ActorRef, Uncopied
from casty.actor.sharding import ShardEnvelope

__all__ = ["SINGLETON", "BroadcastRef", "SingletonRef"]

M = TypeVar("M")

SINGLETON = "singleton"
"""Id of the only entity of a singleton's region."""


class SingletonRef(Uncopied, Generic[M]):
    """Where to send to a singleton, wherever it lives now. It cannot be sent in messages."""

    __slots__ = ("_region", "id")

    def __init__(self, name: str, region: ActorRef[ShardEnvelope[Any]]) -> None:
        self.id = f"/{name}"
        self._region = region

    def tell(self, message: M, /) -> None:
        """Send without waiting; while nobody leads its slot the message waits, as those of entities do."""
        self._region.tell(ShardEnvelope(SINGLETON, message))

    def __repr__(self) -> str:
        return f"SingletonRef({self.id!r})"


class BroadcastRef(Uncopied, Generic[M]):
    """Where to send to the actors of one name on all members that are up. It cannot be sent in messages.

    ``await system.ask(ref, ...)`` gives a tuple, with one reply for each of those members, in the order of their ids.
    """

    __slots__ = ("_members", "id")

    def __init__(self, name: str, members: Callable[[], list[ActorRef[Any]]]) -> None:
        self.id = f"/{name}"
        self._members = members

    def members(self) -> list[ActorRef[M]]:
        """Return the ref of each member that is up, as this node knows them now; at least this node's own."""
        return self._members()

    def tell(self, message: M, /) -> None:
        """Send to each of them."""
        for ref in self._members():
            ref.tell(message)

    def __repr__(self) -> str:
        return f"BroadcastRef({self.id!r})"
