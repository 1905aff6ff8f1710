"""Who watches whom, over process borders too.

Within a process a watch is a row at the watched actor. Over its border it is one of a protocol, in which each notice is
owed until it is confirmed: `watch_protocol.py`, and `watch_table.py` for who is there.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from casty.actor.cell import Cell
from casty.actor.events import Terminated
from casty.actor.ref import ActorRef, RemoteActorRef
from casty.actor.watch_protocol import BYTES_A_FRAME, Row, Target
from casty.actor.watch_table import Company, Place, WatchTable
from casty.address import ActorAddress
from casty.complaint import Complaint
from casty.errors import MessageTooLarge
from casty.limits import MAX_WATCH_BYTES
from casty.ports import Runtime

__all__ = ["Watching"]

SHOWN = 200
"""Characters of a name in a line of the log."""


class Process(Protocol):
    """Which process this is; see `Origin`."""

    @property
    def incarnation(self) -> str | None:
        """Which process of its id it is."""
        ...


class Directory(Protocol):
    """The system that knows who lives here; see `LocalSystem`."""

    runtime: Runtime
    cells: dict[str, Cell]
    refused_watches: Complaint

    @property
    def origin(self) -> Process | None:
        """Which process this is; None where nobody else reaches it."""
        ...

    def key_of(self, ref: ActorRef[Any]) -> str:
        """Return a text that is the same for equal references."""
        ...

    def living(self, ref: ActorRef[Any]) -> Cell | None:
        """Return the living actor that a reference leads to."""
        ...

    def is_own(self, address: ActorAddress) -> bool:
        """Whether an address lies in this process."""
        ...


class _Away(NamedTuple):
    """A watch of an actor of another process."""

    watcher: Cell
    ref: ActorRef[Any]


class Watching:
    """The watches of one system.

    Attributes
    ----------
    refused
        How many watches of other processes were not taken, as theirs took `MAX_WATCH_BYTES` already.
    table
        The watches over the border of this process.

    Bounds: `_away` has a row per watch of an actor elsewhere, `_ids` the same by watcher and target; both go with the
    watch.
    """

    def __init__(self, core: Directory) -> None:
        self._core = core
        self._away: dict[int, _Away] = {}
        self._ids: dict[tuple[int, str], int] = {}
        """By the watcher's number and the key of what it watches."""
        self.table = WatchTable(core.runtime.clock, self._find, self._told, self._not_taken, MAX_WATCH_BYTES)
        self.table.on_full = self._full
        self.refused = 0

    def join(self, company: Company) -> None:
        """Know others, and reach them."""
        self.table.company = company

    def watch(self, watcher: Cell, ref: ActorRef[Any]) -> None:
        """Start a watch; an actor that is gone is reported at once, and what is watched already stays so.

        An end that was told and not read belongs to the watch before: whoever watches cannot know of it yet.
        """
        core, key = self._core, self._core.key_of(ref)
        if key in watcher.watching:
            return
        place = self._place(ref)
        watcher.watching[key] = ref
        if place is not None:
            self._watch_away(watcher, key, ref, place)
            return
        cell = core.living(ref)
        if cell is None:
            watcher.terminated(ref)
        else:
            cell.watchers[watcher.path] = (watcher, ref)

    def _watch_away(self, watcher: Cell, key: str, ref: ActorRef[Any], place: Place) -> None:
        id = self.table.new_id()
        self._away[id] = _Away(watcher, ref)
        self._ids[watcher.number, key] = id
        if not self.table.watch(id, place):
            self._told(id)

    def unwatch(self, watcher: Cell, ref: ActorRef[Any]) -> None:
        """End a watch; an end that was told and not read is not read any more. Harmless when there is none."""
        core, key = self._core, self._core.key_of(ref)
        watched = watcher.watching.pop(key, None)
        if watched is None:
            return
        if isinstance(watched, Terminated):
            watcher.take_back(watched)
            return
        id = self._ids.pop((watcher.number, key), None)
        if id is not None:
            del self._away[id]
            self.table.unwatch(id)
            return
        cell = core.living(ref)
        if cell is not None:
            cell.watchers.pop(watcher.path, None)

    def ended(self, cell: Cell) -> None:
        """An actor is gone: tell whoever watches it, here and elsewhere."""
        if cell.watchers:
            watchers, cell.watchers = cell.watchers, {}
            for watcher, ref in watchers.values():
                watcher.terminated(ref)
        self.table.target_ended(cell.number)

    def _place(self, ref: ActorRef[Any]) -> Place | None:
        """Return where an actor of another process lives; None for one of this process."""
        if not isinstance(ref, RemoteActorRef) or self._core.is_own(ref.address):
            return None
        address = ref.address
        size_bytes = len(address.path.encode())
        if size_bytes >= BYTES_A_FRAME:
            raise MessageTooLarge(f"watch: expected a path below {BYTES_A_FRAME} bytes, found {size_bytes}")
        return Place(
            address.path, address.host, address.port, address.node_id, address.incarnation, address.number
        )

    def take(self, source: str, rows: list[Row]) -> None:
        """Take what another process, by its peer key, says about watches."""
        self.table.take(source, rows)

    # -- what the table asks and tells

    def _find(self, path: str, incarnation: str | None, number: int | None) -> Target | None:
        origin = self._core.origin
        if incarnation is not None and (origin is None or incarnation != origin.incarnation):
            return None
        cell = self._core.cells.get(path.lstrip("/"))
        return None if cell is None or number not in (None, cell.number) else cell.number

    def _told(self, id: int) -> None:
        watch = self._away.pop(id, None)
        if watch is not None:
            self._ids.pop((watch.watcher.number, self._core.key_of(watch.ref)), None)
            watch.watcher.terminated(watch.ref)

    def _not_taken(self, id: int) -> None:
        watch = self._away[id]
        self._core.refused_watches.say(
            f"the process of {watch.ref!r:.200} has too many watches of this one; {watch.watcher.path[:SHOWN]} waits "
            "for room there to watch it"
        )

    def _full(self, key: str) -> None:
        self.refused += 1
        self._core.refused_watches.say(
            f"a watch was not taken: {key[:SHOWN]} has more than {MAX_WATCH_BYTES} bytes of watches here, "
            "MAX_WATCH_BYTES; it asks again until there is room"
        )

    def close(self) -> None:
        """Say nothing more to other processes."""
        self.table.close()
