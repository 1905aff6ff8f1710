"""Dict: the client class. What a slot does with its commands is in `machines/map.py`."""

from __future__ import annotations

import asyncio
from types import EllipsisType
from typing import Any, Generic, TypeVar, cast

from casty.distributed.handle import Deadline, Handle
from casty.distributed.machines.base import DESTROY, MAP, OK, Command
from casty.distributed.machines.map import COMPARE_AND_SET, CONTAINS, GET, PUT, PUT_IF_ABSENT
from casty.distributed.port import EntityGateway, RegionRef
from casty.errors import EncodingError
from casty.wire.pack import pack

__all__ = ["Dict"]

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
        super().__init__(gateway, region_ref, name, timeout)
        # How a list of two begins whose first item is the name: what all entities of this map have in common.
        self._prefix = pack([name, b""])[: -len(pack(b""))]

    async def put(self, key: K, value: V) -> V | None:
        """Store a value.

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
        """
        return self._value(await self._change(key, [PUT, self._port.encode(value)]), was_applied=True)

    async def put_if_absent(self, key: K, value: V) -> bool:
        """Store a value unless the key exists; True if stored."""
        return bool(await self._change(key, [PUT_IF_ABSENT, self._port.encode(value)]))

    async def compare_and_set(self, key: K, expected: V, value: V) -> bool:
        """Store `value` if the key exists with a value equal to `expected`; True if stored.

        Equal as keys and members are: when their canonical bytes are, whatever order a set or dictionary has.

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
        wanted, stored = port.canonical(expected), port.encode(value)
        known = port.encode(expected)
        while not await self._change(key, [COMPARE_AND_SET, known, stored], deadline.left_s()):
            # The slot compares bytes, which may differ though the values are equal: see what is there.
            data = await self._ask(key, [GET], deadline.left_s())
            if data is None or (data != known and not self._equals(wanted, data)):
                return False
            known = data
        return True

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

    async def destroy(self) -> bool:
        """Delete every key, slot by slot: not atomic, and a key that is put meanwhile may stay.

        Returns
        -------
        bool
            True if any key existed.

        Raises
        ------
        Unavailable, OutcomeUnknown
            A slot did not answer; some keys may be deleted.
        NotImplementedError
            The gateway is neither a system nor a client: it cannot list the keys, and nothing happened.
        """
        entities = await self._port.scan(MAP, self._prefix, timeout_s=self._timeout_s)
        existed = False
        for first in range(0, len(entities), SWEEP):
            sweep = [self._delete(entity) for entity in entities[first : first + SWEEP]]
            # All end before the first error is raised: nothing of the sweep outlives the call.
            for result in await asyncio.gather(*sweep, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
                existed = existed or result
        return existed

    async def _delete(self, entity: bytes) -> bool:
        reply = await self._port.command(MAP, entity, [DESTROY], timeout_s=self._timeout_s)
        return bool(reply[1] if reply[0] == OK else self._refused(reply))

    async def _change(self, key: K, command: Command, timeout_s: float | EllipsisType | None = ...) -> Any:
        port = self._port
        timeout_s = self._timeout_s if timeout_s is ... else timeout_s
        entity = self._prefix + pack(port.canonical(key))
        reply = await port.command(MAP, entity, command, timeout_s=timeout_s)
        return reply[1] if reply[0] == OK else self._refused(reply)

    async def _ask(self, key: K, query: Command, timeout_s: float | EllipsisType | None = ...) -> Any:
        port = self._port
        timeout_s = self._timeout_s if timeout_s is ... else timeout_s
        reply = await port.read(MAP, self._prefix + pack(port.canonical(key)), query, timeout_s=timeout_s)
        return reply[1] if reply[0] == OK else self._refused(reply)

    def _equals(self, wanted: bytes, data: bytes) -> bool:
        value = self._value(data)
        try:
            return self._port.canonical(value) == wanted
        except EncodingError:
            return False  # a NaN in it: it equals nothing

    def _value(self, data: bytes | None, *, was_applied: bool = False) -> V | None:
        return None if data is None else cast(V, self._decoded(data, was_applied=was_applied))
