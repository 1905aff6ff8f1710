"""What checkers and workloads read of the classes that users have, whose attributes are no business of users.

Such a class gets no public attribute for us. Subclasses may read what begins with one underscore, and the type
checkers hold everybody else back from it: so each class below derives from one of theirs to read, with its type, what
that has, and is never made. What the library's own classes have for checkers is public there.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from casty.actor.cell import Cell
from casty.actor.context import ActorContext
from casty.actor.mailbox import Mailbox
from casty.actor.streams.sink import SinkRef
from casty.client import ClusterClient
from casty.distributed.holder import Holder
from casty.distributed.map import Dict
from casty.system import ClusteredActorSystem

if TYPE_CHECKING:
    from casty.actor.streams.sink import Feed
    from casty.cluster.actors.wiring import ClusterActors
    from casty.cluster.client import ClientCore
    from casty.cluster.node.node import Node
    from casty.distributed.holds import Holds

__all__ = ["OfClient", "OfContext", "OfHolder", "OfMailbox", "OfMap", "OfSink", "OfSystem"]


class OfSystem(ClusteredActorSystem):
    """Reads systems."""

    @staticmethod
    def node_of(system: ClusteredActorSystem) -> Node | None:
        """Return its node, None before it listens."""
        return system._node

    @staticmethod
    def actors_of(system: ClusteredActorSystem) -> ClusterActors | None:
        """Return its actors, None before and after it has any."""
        return system._actors


class OfClient(ClusterClient):
    """Reads clients."""

    @staticmethod
    def core_of(client: ClusterClient) -> ClientCore:
        """Return its connections and what it knows of the cluster."""
        return client._client_core

    @staticmethod
    def actors_of(client: ClusterClient) -> ClusterActors | None:
        """Return its actors, None before and after it has any."""
        return client._actors


class OfHolder(Holder):
    """Reads locks, semaphores, elections, and the sides of read-write locks."""

    __slots__ = ()

    @staticmethod
    def holds_of(holder: Holder) -> Holds:
        """Return what the instance holds."""
        return holder._holds

    @staticmethod
    def latest_token_of(holder: Holder) -> int | None:
        """Return the token of what was granted last: also if the hold ended in the same instant."""
        latest = holder._holds.latest
        return None if latest is None else latest.grant.token


class OfMap(Dict[Any, Any]):
    """Reads maps."""

    __slots__ = ()

    @staticmethod
    def entity_of(entries: Dict[Any, Any], key: object) -> bytes:
        """Return the name under which the cluster has a key."""
        return entries._entity_of(key)


class OfContext(ActorContext[Any]):
    """Reads what handlers are given."""

    __slots__ = ()

    @staticmethod
    def cell_of(ctx: ActorContext[Any]) -> Cell:
        """Return what runs the actor."""
        cell = ctx._cell
        assert isinstance(cell, Cell), "there is no other kind of host"
        return cell


class OfMailbox(Mailbox[Any]):
    """Reads mailboxes."""

    __slots__ = ()

    @staticmethod
    def items_of(mailbox: Mailbox[Any]) -> Collection[object]:
        """Return the unread messages."""
        return mailbox._items

    @staticmethod
    def sizes_of(mailbox: Mailbox[Any]) -> Collection[int]:
        """Return what each of them counts for, nothing while all count for the same."""
        return mailbox._sizes


class OfSink(SinkRef[Any]):
    """Reads the sinks of streams."""

    __slots__ = ()

    @staticmethod
    def feed_of(sink: SinkRef[Any]) -> Feed:
        """Return what the sink shares with its actor."""
        return sink._feed
