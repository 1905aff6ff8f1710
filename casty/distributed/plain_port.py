"""The port over any other `EntityGateway`: the same commands, sent once as messages to plain entities.

What such a gateway can promise is less. A command is applied at most once, its entity's state lives as long
as the entity, there are no sessions (what a dead process held stays held), and nothing can say whether a hold
is still good.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from casty import runtime
from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope
from casty.distributed.machines.base import (
    BAD,
    HOLDING_KINDS,
    MAP,
    OK,
    QUEUE,
    QUEUED,
    SEMAPHORE,
    Caller,
    Command,
    Context,
    Decision,
    Reply,
)
from casty.distributed.machines.map import TIMED
from casty.distributed.machines.registry import STRUCTURES
from casty.distributed.port import EntityGateway, Grant, RegionRef
from casty.errors import OutcomeUnknown, ProtocolError, Unavailable
from casty.wire.codec import default_codec
from casty.wire.pack import pack, unpack
from casty.wire.registry import message

__all__ = ["PlainPort", "StructureCall", "plain_entities"]

COMMAND, READ, ABANDON = range(3)
FOR_EVER_S = 365.0 * 86400
_ONE_BY_ONE = (
    "this gateway reaches entities one by one and can neither list nor watch them; name the keys one by one, or use a "
    "ClusterClient or ClusteredActorSystem as the gateway"
)


@message(name="casty.structure-call")
@dataclass(frozen=True, slots=True)
class StructureCall:
    """What is asked of a plain entity. Bodies and replies are packed lists."""

    form: int
    session: int
    seq: int
    body: bytes
    reply_to: ActorRef[bytes] | None = None


def plain_entities(kind: int, permits: int = 0) -> Callable[[str], Behavior[StructureCall]]:
    """Return the factory of a region whose entities are structures of a kind.

    Parameters
    ----------
    kind
        The kind's number.
    permits
        For semaphores: what a client that names none gets.
    """

    def factory(entity_id: str) -> Behavior[StructureCall]:
        del entity_id
        return Behaviors.receive(PlainEntity(kind, permits).receive)

    return factory


class PlainEntity:
    """One structure inside an actor."""

    __slots__ = ("_ctx", "_kind", "_last_token", "_permits", "_state", "_waiting")

    def __init__(self, kind: int, permits: int) -> None:
        self._kind = kind
        self._permits = permits
        self._state: Any = None
        self._last_token = 0
        self._waiting: dict[tuple[int, int], ActorRef[bytes]] = {}
        self._ctx = Context(Caller(0, 0), self._next_token)

    def _next_token(self) -> int:
        self._last_token += 1
        return self._last_token

    def receive(self, ctx: ActorContext[StructureCall], call: StructureCall) -> None:
        """Apply one call and answer everyone whom it concerns."""
        try:
            reply = self._apply(call)
        except (ValueError, ProtocolError) as error:
            reply = [BAD, str(error)]
        if call.reply_to is None:
            return
        if reply[0] == QUEUED:
            self._waiting[(call.session, call.seq)] = call.reply_to
        else:
            call.reply_to.tell(pack(reply))

    def _apply(self, call: StructureCall) -> Reply:
        structure = STRUCTURES[self._kind]
        if call.form == ABANDON:
            self._waiting.pop((call.session, call.seq), None)
            if self._state is None:
                return [OK, None]
            return self._effect(structure.abandon(self._state, call.session, call.seq))
        body = self._with_permits(unpack(call.body))
        if call.form == READ:
            structure.check_query(body)
            return structure.query(self._state, body)
        structure.check(body)
        self._ctx.caller = Caller(call.session, call.seq)
        self._ctx.waiters = len(self._waiting)
        return self._effect(structure.decide(self._state, body, self._ctx))

    def _effect(self, decision: Decision) -> Reply:
        self._state = decision.state
        for session, seq, reply in decision.effects:
            waiting = self._waiting.pop((session, seq), None)
            if waiting is not None:
                waiting.tell(pack(reply))
        return decision.reply

    def _with_permits(self, body: Any) -> Any:
        """A client built by hand leaves the number of permits to the region."""
        is_open = self._kind == SEMAPHORE and isinstance(body, list) and len(body) > 1 and body[1] is None
        return [body[0], self._permits or None, *body[2:]] if is_open else body


class PlainGrant:
    """A hold that nobody keeps alive and nobody reports lost."""

    __slots__ = ("is_valid", "lost", "seq", "token")

    def __init__(self, token: int, seq: int) -> None:
        self.token = token
        self.seq = seq
        self.is_valid = True
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()


class PlainPort:
    """See the head of this module; a `Port`.

    Parameters
    ----------
    gateway
        Sends the messages.
    region_ref
        The region whose entities the structures are.
    """

    def __init__(self, gateway: EntityGateway, region_ref: RegionRef) -> None:
        self._gateway = gateway
        self._region_ref = region_ref
        # Says whose holds are whose; wide enough that no two processes draw the same.
        self._session = int.from_bytes(runtime.current().entropy.token("structure-owner", 7), "big")
        self._seq = 0
        codec = default_codec()
        self.encode = codec.encode
        self.decode = codec.decode
        self.canonical = codec.canonical
        self.host_label: str | None = None
        self.cluster: tuple[int, str] | None = None

    def when_left(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Nobody says of such a gateway when it is left."""
        del callback
        return lambda: None

    async def command(self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None) -> Reply:
        """Apply a command at most once; refused is what needs a time that all replicas agree on."""
        if kind == MAP and command[0] in TIMED:
            raise NotImplementedError(
                "this gateway reaches plain entities, which have no agreed time: no key of theirs can have a time to "
                "live; use a ClusterClient or ClusteredActorSystem as the gateway"
            )
        self._seq += 1
        return await self._ask(COMMAND, self._seq, kind, entity, command, timeout_s)

    async def read(self, kind: int, entity: bytes, query: Command, *, timeout_s: float | None) -> Reply:
        """Answer a query."""
        try:
            return await self._ask(READ, 0, kind, entity, query, timeout_s)
        except OutcomeUnknown as error:
            raise Unavailable(str(error)) from error

    async def wait(
        self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None
    ) -> tuple[Reply, Grant | None]:
        """Apply a command that may wait; what comes of it after a timeout or a cancellation is given back."""
        self._seq += 1
        seq = self._seq
        try:
            reply = await self._ask(COMMAND, seq, kind, entity, command, timeout_s)
        except BaseException:
            call = StructureCall(ABANDON, self._session, seq, b"")
            self._region_ref.tell(ShardEnvelope(_entity_id(kind, entity), call))
            raise
        if kind not in (*HOLDING_KINDS, QUEUE) or reply[0] != OK or type(reply[1]) is not int:
            return reply, None
        return reply, PlainGrant(reply[1], seq)

    async def release(
        self, kind: int, entity: bytes, grant: Grant, command: Command, *, timeout_s: float | None
    ) -> Reply:
        """Apply the command that ends a hold."""
        return await self.command(kind, entity, command, timeout_s=timeout_s)

    async def scan(self, kind: int, prefix: bytes, *, timeout_s: float | None) -> list[bytes]:
        """Refuse: a region cannot list its entities."""
        raise NotImplementedError(_ONE_BY_ONE)

    def pages(
        self, kind: int, prefix: bytes, *, with_values: bool, timeout_s: float | None
    ) -> AsyncIterator[list[tuple[bytes, bytes | None]]]:
        """Refuse: a region cannot list its entities."""
        raise NotImplementedError(_ONE_BY_ONE)

    async def slot_count(self, *, timeout_s: float | None) -> int:
        """Refuse: a region has no slots."""
        raise NotImplementedError(_ONE_BY_ONE)

    def slot_of(self, kind: int, entity: bytes) -> int | None:
        """A region has no slots."""
        return None

    async def read_at(
        self, slot: int | None, kind: int, prefix: bytes, query: Command, *, timeout_s: float | None
    ) -> Reply:
        """Refuse: a region has no slots, and nobody tells what changes in its entities."""
        raise NotImplementedError(_ONE_BY_ONE)

    async def _ask(
        self, form: int, seq: int, kind: int, entity: bytes, body: Command, timeout_s: float | None
    ) -> Reply:
        entity_id = _entity_id(kind, entity)
        call = StructureCall(form, self._session, seq, pack(list(body)))
        envelope = partial(_envelope, entity_id, call)
        timeout = FOR_EVER_S if timeout_s is None else timeout_s
        try:
            answer = await self._gateway.entity_ask(self._region_ref, envelope, timeout=timeout)
        except TimeoutError as error:
            raise OutcomeUnknown(f"entity {entity_id!r:.100}: no reply within {timeout_s} s") from error
        reply: Any = unpack(answer)
        return list(reply)


def _envelope(entity_id: str, call: StructureCall, reply_to: ActorRef[bytes]) -> ShardEnvelope[StructureCall]:
    return ShardEnvelope(entity_id, replace(call, reply_to=reply_to))


def _entity_id(kind: int, entity: bytes) -> str:
    if kind != MAP:
        return entity.decode()
    name_and_key: Any = unpack(entity)
    return f"{name_and_key[0]}/{name_and_key[1].hex()}"
