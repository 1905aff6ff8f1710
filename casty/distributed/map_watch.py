"""What happens to the keys of a map, as an asynchronous iterator.

The protocol is in `casty.cluster.slots.feed`: this is the near end of it. For each slot that is watched there is a
cursor, and one question under way at most. The next question of a slot is sent when its last answer was read by whoever
iterates, so what is held is bounded by one answer a slot, and a slow reader is slow for itself only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, Self, TypeVar

from casty.distributed.machines.base import MAP, OK, Reply
from casty.distributed.machines.map import HAS_ENDED, WAS_PUT
from casty.distributed.machines.watching import ALL, NOTHING, WATCH
from casty.distributed.port import Port

__all__ = ["MapAccess", "MapChange", "MapState", "MapWatch"]

K = TypeVar("K")
V = TypeVar("V")

HELD_BYTES = 1024 * 1024
"""About what all slots of one watch hold together."""
LEAST_BYTES = 4 * 1024
"""What one slot holds at least, but for one key that is longer."""
BEGUN_AT_ONCE = 4
"""Slots that a watch reads the present state of at the same time."""


@dataclass(frozen=True, slots=True)
class MapChange(Generic[K, V]):
    """A change of a key.

    Attributes
    ----------
    key
        Which one.
    kind
        ``"put"``, ``"deleted"``, or ``"expired"``: its time to live was over.
    value
        What it has now; None for the other two, and for a stored None.
    """

    key: K
    kind: Literal["put", "deleted", "expired"]
    value: V | None = None


@dataclass(frozen=True, slots=True)
class MapState(Generic[K, V]):
    """The present state of some keys: the first event of a watch, and wherever it lost changes.

    Attributes
    ----------
    entries
        The keys that exist, with their values. What of the keys that are covered is not here does not exist.
    is_first
        Whether nothing was told of these keys before: otherwise changes of them may be missing before this.
    """

    entries: tuple[tuple[K, V], ...]
    is_first: bool
    _covers: Callable[[K], bool] = field(repr=False, compare=False)

    def covers(self, key: K) -> bool:
        """Whether this is the state of a key; of a whole map's watch, each such event is of some of the keys."""
        return self._covers(key)


class MapAccess(NamedTuple):
    """What a watch needs of its map.

    Attributes
    ----------
    port
        Returns the way to the cluster, as it is now.
    entity_of, key_of
        Turn a key into its entity and back.
    value_of
        Decodes a value.
    refuse
        Raises the error that a reply other than ``[OK, ...]`` stands for.
    """

    port: Callable[[], Port]
    entity_of: Callable[[Any], bytes]
    key_of: Callable[[bytes], Any]
    value_of: Callable[[bytes], Any]
    refuse: Callable[[Reply], object]


class _Slot:
    """One slot of a watch, None for that of a single key: what is known of it, and the answer that nobody read yet."""

    __slots__ = ("cursor", "number", "task", "times_begun")

    def __init__(self, number: int | None, times_begun: int = 0) -> None:
        self.number = number
        self.cursor: list[Any] = [b"", 0, NOTHING, b""]
        self.times_begun = times_begun
        """How often its present state was told from the beginning."""
        self.task: asyncio.Task[Reply] | None = None

    @property
    def is_begun(self) -> bool:
        return bool(self.cursor[2] == ALL)


class MapWatch(Generic[K, V]):
    """The changes of one key or of a whole map, without end; made by `Dict.watch`.

    For one task at a time. When an error is raised - a key or value that cannot be decoded here, a client that was
    left - the watch can be gone on with, unless it was closed: what could not be decoded is passed over.
    """

    def __init__(self, access: MapAccess, prefix: bytes, *, is_one: bool) -> None:
        self._access = access
        self._prefix = prefix
        self._slots: list[_Slot] = [_Slot(None)] if is_one else []
        self._is_counted = is_one
        """Whether `_slots` are those of the cluster: not after a slot began anew, as that may be another cluster's."""
        self._limit_bytes = HELD_BYTES
        self._ready: deque[Callable[[], MapChange[K, V] | MapState[K, V]]] = deque()
        """Events of the answer that was read last."""
        self._answered: deque[_Slot] = deque()
        """Slots with an answer, in the order in which these came; none twice."""
        self._wake: asyncio.Future[None] | None = None
        self._is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> MapChange[K, V] | MapState[K, V]:
        """Return the next event. Cancelled, it loses none."""
        while not self._ready:
            if self._is_closed:
                raise StopAsyncIteration
            if not self._is_counted:
                count = await self._access.port().slot_count(timeout_s=None)
                self._is_counted = True
                self._watch_slots(count)
            self._ask()
            await self._next_answer()
        return self._ready.popleft()()

    async def aclose(self) -> None:
        """End the watch; a second time changes nothing."""
        self._is_closed = True
        self._ready.clear()
        self._answered.clear()
        tasks = [slot.task for slot in self._slots if slot.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # -- questions

    def _watch_slots(self, count: int) -> None:
        """Watch so many slots from now on: a new generation of the cluster may have another number of them."""
        for slot in self._slots[count:]:
            if slot.task is not None:
                slot.task.cancel()
                slot.task = None
        kept = self._slots[:count]
        # Of their keys others told something before, unless there were none.
        more = [_Slot(number, int(bool(kept))) for number in range(len(kept), count)]
        self._slots = [*kept, *more]
        self._answered = deque(slot for slot in self._answered if slot.task is not None)
        self._limit_bytes = max(LEAST_BYTES, HELD_BYTES // count)

    def _ask(self) -> None:
        """Ask every slot whose last answer was read; of those whose state is not known yet, some at a time."""
        beginning = sum(slot.task is not None for slot in self._slots if not slot.is_begun)
        for slot in self._slots:
            if slot.task is not None or (not slot.is_begun and beginning >= BEGUN_AT_ONCE):
                continue
            beginning += not slot.is_begun
            slot.task = asyncio.ensure_future(self._question(slot))
            slot.task.add_done_callback(partial(self._on_answer, slot))

    async def _question(self, slot: _Slot) -> Reply:
        query = [WATCH, *slot.cursor, self._limit_bytes]
        return await self._access.port().read_at(slot.number, MAP, self._prefix, query, timeout_s=None)

    def _on_answer(self, slot: _Slot, task: asyncio.Task[Reply]) -> None:
        if not task.cancelled():
            task.exception()  # seen: it is raised where the answer is read
        if slot.task is not task:
            return  # there is no such slot any more
        if not self._is_closed:
            self._answered.append(slot)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _next_answer(self) -> None:
        if not self._answered:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        if not self._answered:
            return  # closed meanwhile
        slot = self._answered.popleft()
        task, slot.task = slot.task, None
        assert task is not None, "it has an answer"
        reply = task.result()
        if reply[0] != OK:
            self._access.refuse(reply)
        self._take(slot, reply[1])

    # -- answers

    def _take(self, slot: _Slot, answer: list[Any]) -> None:
        cursor, is_reset, changes, page = answer
        slot.cursor = cursor
        for entity, data, what in changes:
            # Decoded when it is read, so that an error is that event's.
            self._ready.append(partial(self._change, entity, data, what))
        if page is not None:
            slot.times_begun += is_reset
            if is_reset and slot.times_begun > 1 and slot.number is not None:
                self._is_counted = False
            self._ready.append(partial(self._state, slot.number, page, is_first=slot.times_begun == 1))

    def _change(self, entity: bytes, data: bytes | None, what: int) -> MapChange[K, V]:
        key: K = self._access.key_of(entity)
        if what == WAS_PUT and data is not None:
            return MapChange(key, "put", self._access.value_of(data))
        return MapChange(key, "expired" if what == HAS_ENDED else "deleted")

    def _state(self, slot: int | None, page: list[Any], *, is_first: bool) -> MapState[K, V]:
        after, upto, rows = page
        access = self._access
        entries = tuple((access.key_of(entity), access.value_of(data)) for entity, data in rows)

        def covers(key: K) -> bool:
            entity = access.entity_of(key)
            is_here = slot is None or access.port().slot_of(MAP, entity) == slot
            is_in = entity > after and (upto is None or entity <= upto)
            return is_here and is_in and entity.startswith(self._prefix)

        return MapState(entries, is_first, covers)
