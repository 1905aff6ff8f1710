"""Who watches whom, over process borders too.

A watch of a remote actor is a message to it; its end is a message back. Both may be lost with a link, so
the host of the system calls `node_found` when a node can be reached (again), which repeats the watches, and
`node_lost`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casty.actor.ref import ActorRef, RemoteActorRef
from casty.actor.shares import Shares
from casty.limits import MAX_WATCH_BYTES

if TYPE_CHECKING:
    from casty.actor.cell import Cell
    from casty.actor.local import LocalSystem

__all__ = ["Unwatch", "Watch", "WatchedGone", "Watching"]


SHOWN = 200
"""Characters of a name in a line of the log."""


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
    """The watches of one system.

    Attributes
    ----------
    refused
        How many watches of other processes were not taken, as theirs took `MAX_WATCH_BYTES` already.
    """

    def __init__(self, core: LocalSystem) -> None:
        self._core = core
        self._away: Shares[tuple[str, str]] = Shares(MAX_WATCH_BYTES)
        """By node id, the watchers there: path of an actor here, and key among its watchers."""
        self.refused = 0

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
                self._watched(cell, watcher)
            case Unwatch(watcher) if cell is not None:
                key = self._core.key_of(watcher)
                cell.watchers.pop(key, None)
                self._away.drop(_home(watcher), (path, key))
            case WatchedGone(ref) if cell is not None:
                cell.terminated(ref)
            case _:
                return

    def _watched(self, cell: Cell, watcher: ActorRef[Any]) -> None:
        """An actor of another process watches one of this; each process may have so many bytes of such rows."""
        key, home = self._core.key_of(watcher), _home(watcher)
        if self._away.add(home, (cell.path, key), len(cell.path) + 2 * len(key)):
            cell.watchers[key] = watcher
        else:
            self.refused += 1
            self._core.refused_watches.say(
                f"a watch of {cell.path[:SHOWN]} was not taken: {home[:SHOWN]} has more than {MAX_WATCH_BYTES} bytes "
                "of watches here, MAX_WATCH_BYTES; it will not hear of the actor's end"
            )

    def ended(self, cell: Cell) -> None:
        """An actor is gone; nobody watches it any more."""
        for key, watcher in cell.watchers.items():
            self._away.drop(_home(watcher), (cell.path, key))

    def tell_gone(self, watcher: ActorRef[Any], ref: ActorRef[Any]) -> None:
        """Tell one watcher that an actor of this process is gone."""
        if self._send_away(watcher, WatchedGone(ref)):
            return
        cell = self._core.cells.get(self._core.key_of(watcher))
        if cell is not None:
            cell.terminated(ref)

    def node_lost(self, node_id: str) -> None:
        """Report every watched actor of a node as gone, and forget the watchers that lived there."""
        for path, key in self._away.forget(node_id):
            watched = self._core.cells.get(path)
            if watched is not None:
                watched.watchers.pop(key, None)
        for cell in list(self._core.cells.values()):
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


def _home(ref: ActorRef[Any]) -> str:
    """Return the id of the process that an actor lives in, as far as it is known."""
    return (ref.address.node_id or "") if isinstance(ref, RemoteActorRef) else ""


def _lives_on(ref: ActorRef[Any], node_id: str) -> bool:
    return isinstance(ref, RemoteActorRef) and ref.address.node_id == node_id
