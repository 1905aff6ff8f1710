"""Who watches whom, over process borders too.

A watch of a remote actor is a message to it; its end is a message back. Both may be lost with a link, so
the host of the system calls `node_found` when a node can be reached (again), which repeats the watches, and
`node_lost`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casty.actor.ref import ActorRef, RemoteActorRef

if TYPE_CHECKING:
    from casty.actor.cell import Cell
    from casty.actor.local import LocalSystem

__all__ = ["Unwatch", "Watch", "WatchedGone", "Watching"]


@dataclass(frozen=True, slots=True)
class Watch:
    """Sent to an actor: tell `watcher` when you are gone."""

    watcher: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Sent to an actor: `watcher` no longer wants to know."""

    watcher: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class WatchedGone:
    """Sent to a watcher: the actor behind `ref` is gone."""

    ref: ActorRef[Any]


class Watching:
    """The watches of one system."""

    def __init__(self, core: LocalSystem) -> None:
        self._core = core

    def watch(self, watcher: Cell, ref: ActorRef[Any]) -> None:
        """Start a watch; an actor that is gone is reported at once."""
        key = self._core.key_of(ref)
        watcher.watching[key] = ref
        if self._send_away(ref, Watch(watcher.ref)):
            return
        cell = self._core.cells.get(key)
        if cell is None:
            watcher.terminated(ref)
        else:
            cell.watchers[watcher.path] = watcher.ref

    def unwatch(self, watcher: Cell, ref: ActorRef[Any]) -> None:
        """End a watch; harmless when there is none."""
        key = self._core.key_of(ref)
        if not watcher.is_stopping and watcher.watching.pop(key, None) is None:
            return
        if self._send_away(ref, Unwatch(watcher.ref)):
            return
        cell = self._core.cells.get(key)
        if cell is not None:
            cell.watchers.pop(watcher.path, None)

    def receive(self, path: str, message: Watch | Unwatch | WatchedGone) -> None:
        """Take a watch message from another process for the actor at `path`."""
        cell = self._core.cells.get(path)
        match message:
            case Watch(watcher) if cell is None:
                self.tell_gone(watcher, self._core.own_ref(path))
            case Watch(watcher) if cell is not None:
                cell.watchers[self._core.key_of(watcher)] = watcher
            case Unwatch(watcher) if cell is not None:
                cell.watchers.pop(self._core.key_of(watcher), None)
            case WatchedGone(ref) if cell is not None:
                cell.terminated(ref)
            case _:
                return

    def tell_gone(self, watcher: ActorRef[Any], ref: ActorRef[Any]) -> None:
        """Tell one watcher that an actor of this process is gone."""
        if self._send_away(watcher, WatchedGone(ref)):
            return
        cell = self._core.cells.get(self._core.key_of(watcher))
        if cell is not None:
            cell.terminated(ref)

    def node_lost(self, node_id: str) -> None:
        """Report every watched actor of a node as gone, and forget the watchers that lived there."""
        for cell in list(self._core.cells.values()):
            for key, watcher in list(cell.watchers.items()):
                if _lives_on(watcher, node_id):
                    del cell.watchers[key]
            for ref in list(cell.watching.values()):
                if _lives_on(ref, node_id):
                    cell.terminated(ref)

    def node_found(self, node_id: str) -> None:
        """Repeat the watches of a node's actors; one that stopped meanwhile is reported now."""
        for cell in list(self._core.cells.values()):
            for ref in list(cell.watching.values()):
                if _lives_on(ref, node_id):
                    self._send_away(ref, Watch(cell.ref))

    def _send_away(self, ref: ActorRef[Any], message: Watch | Unwatch | WatchedGone) -> bool:
        """Send to an actor of another system; False when it lives in this one.

        Not by the ref's own way: the ref of another system in the same process leads straight into the
        mailbox, and the message is for the system, not for the actor's handler.
        """
        if not isinstance(ref, RemoteActorRef) or self._core.is_own(ref.address):
            return False
        self._core.make_ref(ref.address).tell(message)
        return True


def _lives_on(ref: ActorRef[Any], node_id: str) -> bool:
    return isinstance(ref, RemoteActorRef) and ref.address.node_id == node_id
