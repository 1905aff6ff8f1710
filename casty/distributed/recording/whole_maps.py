"""Maps on record as a whole: their keys and values, and who watches them.

A key may be in the cluster, on record, or both: one that nobody used since the cluster began is on record alone, and
what was deleted has its name there for ever. So whoever asks for all keys asks both, and reads each: a read restores
what is on record, and waits until what is known is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from casty.distributed.handle import Deadline, failure
from casty.distributed.machines.base import MAP, OK, Command, Reply
from casty.distributed.machines.map import CONTAINS, GET
from casty.distributed.machines.watching import WATCH
from casty.distributed.port import Port
from casty.distributed.recording.names import journal_id
from casty.distributed.recording.tokens import Cluster
from casty.distributed.recording.waits import all_of
from casty.wire.pack import unpack

__all__ = ["WayOfMaps", "WholeMaps"]

READ_AT_ONCE = 64
"""Keys of a map that are read at the same time where many are asked for."""

MAX_RESTORED = 1_000
"""Maps and keys of which a process remembers that they are restored; of others it looks again."""


class WayOfMaps(NamedTuple):
    """What is needed of the port that records.

    Attributes
    ----------
    inner
        Returns the way to the cluster, as it is now.
    read
        Answers a query from what is on record.
    cluster
        Returns which cluster is used.
    listed
        Returns all keys of a map, by its name, that the journal has anything of.
    """

    inner: Callable[[], Port]
    read: Callable[..., Coroutine[Any, Any, Reply]]
    cluster: Callable[[Deadline], Coroutine[Any, Any, Cluster]]
    listed: Callable[[str, Deadline], Coroutine[Any, Any, list[bytes]]]


class WholeMaps:
    """Answers questions about many keys.

    Parameters
    ----------
    way
        See there.
    """

    __slots__ = ("_restored", "_way")

    def __init__(self, way: WayOfMaps) -> None:
        self._way = way
        self._restored: OrderedDict[bytes, Cluster] = OrderedDict()
        """Maps and keys that are watched, at most `MAX_RESTORED`: which cluster has all of them that is on record."""

    async def scan(self, kind: int, prefix: bytes, timeout_s: float | None) -> list[bytes]:
        """Return the names in the cluster and on record, also of what was deleted; see `Port.scan`."""
        way, deadline = self._way, Deadline(timeout_s)
        await way.cluster(deadline)
        found = dict.fromkeys(await way.inner().scan(kind, prefix, timeout_s=deadline.left_s()))
        if kind == MAP:
            name: Any = unpack(prefix + b"\xc0")
            found.update(dict.fromkeys(await way.listed(name[0], deadline)))
        return list(found)

    async def pages(
        self, kind: int, prefix: bytes, with_values: bool, timeout_s: float | None
    ) -> AsyncIterator[list[tuple[bytes, bytes | None]]]:
        """Go through what exists of a map; see `Port.pages`."""
        names = await self.scan(kind, prefix, timeout_s)
        query = [GET] if with_values else [CONTAINS]
        for first in range(0, len(names), READ_AT_ONCE):
            some = names[first : first + READ_AT_ONCE]
            rows = zip(some, await self._read(kind, some, query, timeout_s), strict=True)
            if with_values:
                yield [(name, value) for name, value in rows if value is not None]
            else:
                yield [(name, None) for name, is_there in rows if is_there]

    async def read_at(
        self, slot: int | None, kind: int, prefix: bytes, query: Command, timeout_s: float | None
    ) -> Reply:
        """Answer a query about entities of a slot, what it tells of them being on record; see `Port.read_at`."""
        way = self._way
        if query[0] != WATCH:
            return await way.inner().read_at(slot, kind, prefix, query, timeout_s=timeout_s)
        while True:
            cluster = await way.cluster(Deadline(timeout_s))
            await self._restore(slot is None, prefix, cluster, timeout_s)
            reply = await way.inner().read_at(slot, kind, prefix, query, timeout_s=timeout_s)
            if reply[0] != OK:
                return reply
            _, _, changes, page = reply[1]
            told = dict.fromkeys(row[0] for row in [*changes, *([] if page is None else page[2])])
            await self._see(list(told), timeout_s)
            # A later answer says that all before it is on record, if it is of the same cluster.
            if way.inner().cluster == cluster:
                return reply

    async def _restore(self, is_key: bool, prefix: bytes, cluster: Cluster, timeout_s: float | None) -> None:
        """Use all that is on record once in this cluster: then its slots have all of it, and every change."""
        if self._restored.get(prefix) == cluster:
            return
        await self._see([prefix] if is_key else await self.scan(MAP, prefix, timeout_s), timeout_s)
        self._restored[prefix] = cluster
        if len(self._restored) > MAX_RESTORED:
            self._restored.popitem(last=False)

    async def _see(self, names: Sequence[bytes], timeout_s: float | None) -> None:
        """Return when what is known of these keys is on record, and what is on record is known."""
        for first in range(0, len(names), READ_AT_ONCE):
            await self._read(MAP, names[first : first + READ_AT_ONCE], [CONTAINS], timeout_s)

    async def _read(
        self, kind: int, names: Sequence[bytes], query: Command, timeout_s: float | None
    ) -> list[Any]:
        """Return the answers about some entities; all end before the first error is raised."""
        replies = await all_of([self._way.read(kind, name, query, timeout_s=timeout_s) for name in names])
        for name, reply in zip(names, replies, strict=True):
            if reply[0] != OK:
                raise failure(reply, journal_id(kind, name))
        return [reply[1] for reply in replies]
