"""A slot in miniature for tests: entities, sessions and waiting calls, in one process and no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from casty.distributed.machines.base import (
    LOCK,
    OK,
    QUEUED,
    SEMAPHORE,
    Caller,
    Context,
    Decision,
    Effect,
    Reply,
)
from casty.distributed.machines.registry import STRUCTURES
from casty.distributed.port import LOST_DESTROYED, LOST_EXPIRED
from casty.errors import Unavailable
from casty.wire.codec import default_codec

Entity = tuple[int, bytes]


class Slot:
    """Applies commands; outcomes of earlier calls go to whoever subscribed."""

    def __init__(self) -> None:
        self.entities: dict[Entity, Any] = {}
        self.tokens = 0
        self.ports: dict[int, FakePort] = {}

    def next_token(self) -> int:
        self.tokens += 1
        return self.tokens

    def take(self, entity: Entity, decision: Decision) -> Reply:
        if decision.state is None:
            self.entities.pop(entity, None)
        else:
            self.entities[entity] = decision.state
        for effect in decision.effects:
            self.ports[effect.session].on_effect(effect)
        return decision.reply

    def apply(self, session: int, seq: int, entity: Entity, command: Any) -> Reply:
        structure = STRUCTURES[entity[0]]
        structure.check(list(command))
        ctx = Context(Caller(session, seq), self.next_token)
        return self.take(entity, structure.decide(self.entities.get(entity), command, ctx))

    def abandon(self, session: int, seq: int, entity: Entity) -> None:
        state = self.entities.get(entity)
        if state is not None:
            self.take(entity, STRUCTURES[entity[0]].abandon(state, session, seq))

    def expire(self, session: int) -> None:
        for entity, state in list(self.entities.items()):
            self.take(entity, STRUCTURES[entity[0]].end_session(state, session))


class FakeGrant:
    def __init__(self, token: int, seq: int, entity: Entity) -> None:
        self.token = token
        self.seq = seq
        self.entity = entity
        self.is_valid = True
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def lose(self, reason: str) -> None:
        self.is_valid = False
        if not self.lost.done():
            self.lost.set_result(reason)


class FakePort:
    """A `Port` onto a `Slot`; `gateway` is what a structure is given."""

    def __init__(self, slot: Slot, session: int, host_label: str | None = None) -> None:
        self.slot = slot
        self.session = session
        self.host_label = host_label
        self.seq = 0
        self.waiting: dict[int, asyncio.Future[Reply]] = {}
        self.grants: dict[int, FakeGrant] = {}
        self.timeouts: list[float | None] = []
        self.fail: Exception | None = None
        self.release_gate: asyncio.Event | None = None
        self.loses_at_once = False
        self.encode = default_codec().encode
        self.decode = default_codec().decode
        self.canonical = default_codec().canonical
        slot.ports[session] = self

    def when_left(self, callback: Callable[[], None]) -> Callable[[], None]:
        """It is never left."""
        del callback
        return lambda: None

    def on_effect(self, effect: Effect) -> None:
        future = self.waiting.get(effect.seq)
        if future is not None and not future.done():
            future.set_result(effect.reply)

    def _check(self, timeout_s: float | None) -> None:
        self.timeouts.append(timeout_s)
        if self.fail is not None:
            raise self.fail

    async def command(self, kind: int, entity: bytes, command: Any, *, timeout_s: float | None) -> Reply:
        self._check(timeout_s)
        self.seq += 1
        reply = self.slot.apply(self.session, self.seq, (kind, entity), command)
        for grant in list(self.grants.values()):
            structure, state = STRUCTURES[grant.entity[0]], self.slot.entities.get(grant.entity)
            if state is not None and not structure.is_held(state, self.session, grant.seq):
                self.lose(grant.seq, LOST_DESTROYED)
        return reply

    async def read(self, kind: int, entity: bytes, query: Any, *, timeout_s: float | None) -> Reply:
        self._check(timeout_s)
        STRUCTURES[kind].check_query(list(query))
        return STRUCTURES[kind].query(self.slot.entities.get((kind, entity)), query)

    async def wait(
        self, kind: int, entity: bytes, command: Any, *, timeout_s: float | None
    ) -> tuple[Reply, FakeGrant | None]:
        self._check(timeout_s)
        self.seq += 1
        seq, at = self.seq, (kind, entity)
        reply = self.slot.apply(self.session, seq, at, command)
        if reply[0] == QUEUED:
            reply = await self._outcome(seq, at)
        if kind not in (LOCK, SEMAPHORE) or reply[0] != OK or reply[1] is None:
            return reply, None
        grant = self.grants[seq] = FakeGrant(reply[1], seq, at)
        if self.loses_at_once:
            self.lose(seq)
        return reply, grant

    async def _outcome(self, seq: int, at: Entity) -> Reply:
        future = self.waiting[seq] = asyncio.get_running_loop().create_future()
        try:
            return await future
        except BaseException:
            self.slot.abandon(self.session, seq, at)
            raise
        finally:
            del self.waiting[seq]

    async def release(
        self, kind: int, entity: bytes, grant: Any, command: Any, *, timeout_s: float | None
    ) -> Reply:
        self.grants.pop(grant.seq, None)
        if self.release_gate is not None:
            await self.release_gate.wait()
        return await self.command(kind, entity, command, timeout_s=timeout_s)

    async def scan(self, kind: int, prefix: bytes, *, timeout_s: float | None) -> list[bytes]:
        return [entity for at, entity in self.slot.entities if at == kind and entity.startswith(prefix)]

    # -- what goes wrong

    def lose(self, seq: int, reason: str = LOST_EXPIRED) -> None:
        """The hold ends early: the client hears of it, the slot gets it back."""
        grant = self.grants.pop(seq)
        grant.lose(reason)
        self.slot.abandon(self.session, seq, grant.entity)

    def expire(self) -> None:
        """The session ends at the slot, and the client knew before."""
        for grant in list(self.grants.values()):
            self.grants.pop(grant.seq).lose(LOST_EXPIRED)
        self.slot.expire(self.session)

    def cut_off(self) -> None:
        """From now on nothing gets through."""
        self.fail = Unavailable("no route")


class FakeGateway:
    """A gateway with a port, as a system or a client is."""

    def __init__(self, slot: Slot, session: int, host_label: str | None = None) -> None:
        self.structures = FakePort(slot, session, host_label)

    def region_ref(self, key: str, factory: Any, *, num_shards: int) -> Any:
        raise AssertionError("a gateway with a port needs no region")

    async def entity_ask(self, ref: Any, msg_factory: Any, *, timeout: float) -> Any:
        raise AssertionError("a gateway with a port needs no message")
