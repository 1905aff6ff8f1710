"""Dict: the client class. What a slot does with its commands is in `machines/map.py`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from functools import partial
from types import EllipsisType
from typing import Any, Generic, TypeVar, cast

from casty.checks import shown
from casty.distributed.handle import Deadline, Handle, partly
from casty.distributed.machines.base import DESTROY, MAP, OK, Command
from casty.distributed.machines.map import (
    COMPARE_AND_SET,
    COMPARE_AND_SET_FOR,
    CONTAINS,
    FOR_EVER,
    GET,
    PERSIST,
    PUT,
    PUT_FOR,
    PUT_IF_ABSENT,
    PUT_IF_ABSENT_FOR,
    TICK_MS,
    TOUCH,
    TTL,
)
from casty.distributed.map_watch import MapAccess, MapWatch
from casty.distributed.port import EntityGateway, Port, RegionRef
from casty.errors import CastyError, EncodingError, OutcomeUnknown
from casty.limits import MAX_TTL_TICKS
from casty.wire.codec import default_codec
from casty.wire.pack import pack, unpack

__all__ = ["Dict", "ticks_of"]

K = TypeVar("K")
V = TypeVar("V")

SWEEP = 64
"""How many keys are deleted at the same time when a whole map is destroyed."""


class Dict(Handle, Generic[K, V]):
    """A distributed map. Each key is an entity of its own, so one map spreads over all slots.

    Keys are the same when their canonical bytes are: 1, 1.0, True and "1" are four keys.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` that is neither; otherwise None.
    name
        The name, not empty. The same name in another kind is another structure.
    timeout
        Deadline of each call, in seconds; None waits for ever.

    Examples
    --------
    >>> async def age(d: Distributed) -> int | None:
    ...     users = d.map[str, int]("users")
    ...     await users.put("alice", 30)
    ...     return await users.get("alice")
    """

    __slots__ = ("_prefix",)
    _kind = MAP

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        super().__init__(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)
        # How a list of two begins whose first item is the name: what all entities of this map have in common.
        self._prefix = pack([name, b""])[: -len(pack(b""))]

    async def put(self, key: K, value: V, *, ttl_s: float | None = None) -> V | None:
        """Store a value.

        Parameters
        ----------
        key, value
            Whatever can be encoded.
        ttl_s
            The key's time to live, in seconds from now, in steps of 0.01 s: until then it is there, and soon after
            that it is not. None: until it is deleted, whatever time to live the key had. See `ttl`.

        Returns
        -------
        V | None
            The previous value, None if the key is new. A stored None looks the same; ask `contains` first.

        Raises
        ------
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        EncodingError
            Key or value cannot be encoded; the text names the path of the field.
        Undecodable
            The value is stored, but the previous one cannot be decoded here; the error has its bytes.
        NotImplementedError
            A time to live, through a gateway that is neither a system nor a client.
        """
        command = _timed([PUT, self._port.encode(value)], PUT_FOR, ttl_s)
        return self._value(await self._change(key, command), was_applied=True)

    async def put_if_absent(self, key: K, value: V, *, ttl_s: float | None = None) -> bool:
        """Store a value unless the key exists; True if stored, with this time to live (see `put`)."""
        command = _timed([PUT_IF_ABSENT, self._port.encode(value)], PUT_IF_ABSENT_FOR, ttl_s)
        return bool(await self._change(key, command))

    async def compare_and_set(self, key: K, expected: V, value: V, *, ttl_s: float | None = None) -> bool:
        """Store `value` if the key exists with a value equal to `expected`; True if stored.

        Equal as keys and members are: when their canonical bytes are, whatever order a set or dictionary has.
        Stored, the key has the time to live that is given here, and none without (see `put`).

        Raises
        ------
        Unavailable
            No quorum until the deadline; nothing was stored.
        OutcomeUnknown
            The deadline passed after it was sent; it was stored once or not at all.
        EncodingError
            A value cannot be encoded, or is a NaN, which equals nothing.
        Undecodable
            The key's value cannot be decoded here; nothing was stored.
        """
        port, deadline = self._port, Deadline(self._timeout_s)
        wanted, stored = default_codec().compared(expected), port.encode(value)
        known = port.encode(expected)
        while True:
            command = _timed([COMPARE_AND_SET, known, stored], COMPARE_AND_SET_FOR, ttl_s)
            if await self._change(key, command, deadline.left_s()):
                return True
            # The slot compares bytes, which may differ though the values are equal: see what is there.
            data = await self._ask(key, [GET], deadline.left_s())
            if data is None or (data != known and not self._equals(wanted, data)):
                return False
            known = data

    async def touch(self, key: K, ttl_s: float) -> bool:
        """Give a key a time to live from now on, in seconds, instead of the one it had; False if it does not exist.

        The value stays, and who watches is told nothing.
        """
        return bool(await self._change(key, [TOUCH, ticks_of(ttl_s)]))

    async def persist(self, key: K) -> bool:
        """Take the time to live of a key away; True if it had one."""
        return bool(await self._change(key, [PERSIST]))

    async def ttl(self, key: K) -> float | None:
        """Return how long a key has to live.

        A key is there for its time to live at least, by the clock of the node that leads its slot; a call that reaches
        this node later than 0.02 s after that does not find it, and what it takes is free within a heartbeat.
        All agree on the end, as on a deletion. It is late by what a new leader was behind in applying, and after a
        restart of all nodes by their downtime and a sixteenth of what was left.

        Returns
        -------
        float | None
            Seconds, 0 if it is about to end; ``math.inf`` for a key without a time to live; None if there is no such
            key.
        """
        ticks = await self._ask(key, [TTL])
        if ticks is None:
            return None
        return math.inf if ticks == FOR_EVER else ticks * TICK_MS / 1000

    async def get(self, key: K, *, local: bool = False, default: V | None = None) -> V | None:
        """Return the value of a key.

        Parameters
        ----------
        key
            Any hashable value that can be encoded.
        local
            Reserved; the read is linearizable either way.
        default
            What to return if the key does not exist.

        Raises
        ------
        Undecodable
            The value cannot be decoded here.
        """
        data = await self._ask(key, [GET])
        return default if data is None else self._value(data)

    async def delete(self, key: K) -> bool:
        """Delete a key; True if it existed."""
        return bool(await self._change(key, [DESTROY]))

    async def contains(self, key: K) -> bool:
        """Return whether the key exists, also with the value None."""
        return bool(await self._ask(key, [CONTAINS]))

    async def keys(self) -> AsyncIterator[K]:
        """Go through the keys, slot by slot: ``async for key in users.keys()``.

        Not atomic: each page of keys is of another moment. A key that is there all the time is met once; one that
        comes or goes meanwhile may be met or not, and one whose time to live ends just now is perhaps met still.

        Raises
        ------
        Unavailable
            A slot did not answer within the timeout, which each page has for itself.
        Undecodable
            A key cannot be decoded here; the error has its bytes.
        NotImplementedError
            The gateway is neither a system nor a client: it cannot list the keys.
        """
        async for page in self._port.pages(MAP, self._prefix, with_values=False, timeout_s=self._timeout_s):
            for entity, _ in page:
                yield self._key(entity)

    async def items(self) -> AsyncIterator[tuple[K, V]]:
        """Go through the keys with their values, as `keys` does; at most a page of them is held at a time.

        ``async for key, value in users.items()``. A value is one that its key had in the moment of its page.
        """
        async for page in self._port.pages(MAP, self._prefix, with_values=True, timeout_s=self._timeout_s):
            for entity, data in page:
                assert data is not None, "values were asked for"
                yield self._key(entity), cast(V, self._decoded(data, was_applied=False))

    async def size(self) -> int:
        """Count the keys, as `keys` goes through them: exact only while nobody changes which there are."""
        count = 0
        async for page in self._port.pages(MAP, self._prefix, with_values=False, timeout_s=self._timeout_s):
            count += len(page)
        return count

    def watch(self, key: K | EllipsisType = ...) -> MapWatch[K, V]:
        """Watch one key, or with none given the whole map: ``async for event in users.watch("alice")``.

        The first event of a key is a `MapState`, its present state. Then each change comes as a `MapChange`, in the
        order in which they were committed, none left out and none twice. Where changes are lost to this watch - the
        slot's leader changed in between, or nobody asked for so long that it remembers no more of them - another
        `MapState` tells so, with the present state, and it goes on from there. Of different keys the order of events
        may be another one than that of the changes, where the keys are in different slots.

        A watch holds about a megabyte at most, and costs others nothing however slowly it is read. It ends when it is
        left (``async with users.watch() as events``, `MapWatch.aclose`), or with its client or system. The timeout of
        the map does not apply: it waits for changes, and over any failure of the cluster.

        Parameters
        ----------
        key
            Whose changes to watch; those of all keys when it is left out.
        """
        access = MapAccess(
            lambda: self._port,
            self._entity_of,
            self._key,
            partial(self._decoded, was_applied=False),
            self._refused,
        )
        if isinstance(key, EllipsisType):
            return MapWatch(access, self._prefix, is_one=False)
        return MapWatch(access, self._entity_of(key), is_one=True)

    async def clear(self) -> None:
        """Delete every key; as `destroy` does, but without saying whether there was one."""
        await self.destroy()

    async def destroy(self) -> bool:
        """Delete every key, slot by slot: not atomic, and a key that is put meanwhile may stay.

        Returns
        -------
        bool
            True if any key existed.

        Raises
        ------
        Unavailable
            No quorum until the deadline; no key was deleted.
        OutcomeUnknown
            Some keys are deleted, or may be, and others are not.
        NotImplementedError
            The gateway is neither a system nor a client: it cannot list the keys, and nothing happened.
        """
        entities = await self._port.scan(MAP, self._prefix, timeout_s=self._timeout_s)
        existed = False
        for first in range(0, len(entities), SWEEP):
            sweep = [self._delete(entity) for entity in entities[first : first + SWEEP]]
            # All end before the first error is raised: nothing of the sweep outlives the call.
            results = await asyncio.gather(*sweep, return_exceptions=True)
            errors = [result for result in results if isinstance(result, BaseException)]
            if errors:
                raise self._in_part(errors, is_any_done=bool(first) or len(errors) < len(results))
            existed = existed or any(results)
        return existed

    def _in_part(self, errors: list[BaseException], *, is_any_done: bool) -> BaseException:
        """Return what a sweep ends with: an error that denies the change is true only where no key was deleted."""
        error = next((error for error in errors if isinstance(error, OutcomeUnknown)), errors[0])
        if not is_any_done or isinstance(error, OutcomeUnknown) or not isinstance(error, CastyError):
            return error
        return partly(f"{self._label}: some keys are deleted, others are not", error)

    async def _delete(self, entity: bytes) -> bool:
        reply = await self._port.command(MAP, entity, [DESTROY], timeout_s=self._timeout_s)
        return bool(reply[1] if reply[0] == OK else self._refused(reply))

    def _entity_of(self, key: K) -> bytes:
        return self._named(self._port, key)

    def _named(self, port: Port, key: K) -> bytes:
        return self._prefix + pack(port.canonical(key))

    def _key(self, entity: bytes) -> K:
        data: Any = unpack(entity[len(self._prefix) :])
        return cast(K, self._decoded(data, was_applied=False))

    async def _change(self, key: K, command: Command, timeout_s: float | EllipsisType | None = ...) -> Any:
        port = self._port
        timeout_s = self._timeout_s if timeout_s is ... else timeout_s
        reply = await port.command(MAP, self._named(port, key), command, timeout_s=timeout_s)
        return reply[1] if reply[0] == OK else self._refused(reply)

    async def _ask(self, key: K, query: Command, timeout_s: float | EllipsisType | None = ...) -> Any:
        port = self._port
        timeout_s = self._timeout_s if timeout_s is ... else timeout_s
        reply = await port.read(MAP, self._named(port, key), query, timeout_s=timeout_s)
        return reply[1] if reply[0] == OK else self._refused(reply)

    def _equals(self, wanted: bytes, data: bytes) -> bool:
        value = self._value(data)
        try:
            return default_codec().compared(value) == wanted
        except EncodingError:
            return False  # a NaN in it: it equals nothing

    def _value(self, data: bytes | None, *, was_applied: bool = False) -> V | None:
        return None if data is None else cast(V, self._decoded(data, was_applied=was_applied))


def ticks_of(ttl_s: object) -> int:
    """Return a time to live in ticks; raises `TypeError` or `ValueError` unless it is some time, and finite."""
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, (int, float)):
        raise TypeError(f"ttl_s: expected seconds, or None for no end, found {shown(ttl_s)}")
    longest_s = MAX_TTL_TICKS * TICK_MS // 1000
    if not 0 < ttl_s <= longest_s:
        raise ValueError(
            f"ttl_s: expected seconds above 0 and up to {longest_s}, or None for no end; found {shown(ttl_s)}"
        )
    return math.ceil(ttl_s * 1000 / TICK_MS)


def _timed(command: list[Any], timed: int, ttl_s: float | None) -> Command:
    """Return the command that does the same with a time to live, if there is one."""
    return command if ttl_s is None else [timed, *command[1:], ticks_of(ttl_s)]
