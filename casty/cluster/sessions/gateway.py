"""A gateway: the port of the structures over the session protocol. One per client, one per member system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from casty.cluster.sessions.core import inputs
from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.client_session import ClientSession, Entity
from casty.cluster.sessions.core.router import ASIDE_NS
from casty.cluster.sessions.core.session_core import SessionCore
from casty.cluster.sessions.driver import Driver
from casty.cluster.sessions.grant import Hold
from casty.cluster.sessions.routes import Routes
from casty.cluster.slots.operations import OP_READ, OP_WRITE, SCAN
from casty.config import SECOND_NS, Settings
from casty.distributed.machines.base import DESTROY, HOLDING_KINDS, MAP, OK, Command, Reply
from casty.distributed.machines.watching import ENTRIES
from casty.distributed.port import Grant
from casty.errors import CastyError
from casty.ports import Runtime
from casty.transport.output_batch import OutputBatch
from casty.wire.codec import Codec, default_codec
from casty.wire.pack import pack

__all__ = ["Gateway", "Routes"]

SCANNED_AT_ONCE = 4
"""How many slots list their entities at the same time: a node works off all that one frame asks for in one turn."""


class Gateway:
    """The `Port` of one client or member system.

    Parameters
    ----------
    runtime, routes, settings, gateway_id, output
        See `Driver`.
    host_label
        ``host:port`` of a member, None for a client.
    codec
        Encodes users' values; None means the default one.
    """

    def __init__(
        self,
        runtime: Runtime,
        routes: Routes,
        settings: Settings,
        gateway_id: bytes,
        host_label: str | None = None,
        codec: Codec | None = None,
        output: OutputBatch | None = None,
    ) -> None:
        self._clock = runtime.clock
        self._routes = routes
        self._driver = Driver(runtime, routes, settings, gateway_id, output)
        self._host_label = host_label
        self._codec = codec or default_codec()

    @property
    def core(self) -> SessionCore:
        """The state of its calls and sessions, to look at."""
        return self._driver.core

    @property
    def sessions_by_slot(self) -> dict[int, ClientSession]:
        """The sessions in use, by slot, to look at."""
        return self._driver.core.sessions_by_slot

    def lives(self, ttl_s: float) -> None:
        """Open sessions that live so long without being heard of, and not as long as is usual in the cluster."""
        self._driver.step(inputs.Lasting(round(ttl_s * 1000)))

    @property
    def host_label(self) -> str | None:
        """``host:port`` of a member; None for a client."""
        return self._host_label

    @property
    def cluster(self) -> tuple[int, str] | None:
        """See `Port.cluster`."""
        topology = self._routes.topology()
        return None if topology is None else (topology.generation, topology.cluster_id)

    def encode(self, value: object) -> bytes:
        """Return the bytes of a user's value."""
        return self._codec.encode(value)

    def decode(self, data: bytes) -> object:
        """Return the value that `encode` gave."""
        return self._codec.decode(data)

    def canonical(self, value: object) -> bytes:
        """Return the bytes that decide equality of keys."""
        return self._codec.canonical(value)

    def _make(self, operation: int, entity: Entity, command: Command, timeout_s: float | None) -> Call:
        timeout_ns = None if timeout_s is None else int(timeout_s * SECOND_NS)
        call = Call(operation, entity, self._clock.now(), timeout_ns)
        call.command = command
        return call

    def command(
        self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None
    ) -> Coroutine[Any, Any, Reply]:
        """Apply a command once; see `Port.command`. Its time begins here."""
        call = self._make(OP_WRITE, (kind, entity), command, timeout_s)
        return self._destroy(call) if command[0] == DESTROY else self._driver.call(call)

    async def _destroy(self, call: Call) -> Reply:
        """Apply a command that destroys: what this gateway held is lost, and the slot hears so, not by keep-alive.

        Only then may the name be granted again. What is not confirmed in time is confirmed by keep-alives.
        """
        call.is_urgent = True
        core, driver = self._driver.core, self._driver
        # What is granted while the call is under way may be of the successor: a keep-alive tells.
        held = core.held_of(call.entity) if call.entity[0] in HOLDING_KINDS else None
        try:
            reply: Reply = await driver.call(call)
        except BaseException:
            # It may be destroyed all the same: the next keep-alive tells, and the name is not granted before.
            if held is not None:
                driver.step(inputs.AskSoon(held[0]))
            raise
        if held is not None and core.sessions.is_current(held[0]):
            try:
                aside = Call(OP_WRITE, (0, b""), self._clock.now(), ASIDE_NS)
                await driver.call(aside, inputs.ConfirmLoss(aside, *held))
            except CastyError:
                return reply
        return reply

    def read(
        self, kind: int, entity: bytes, query: Command, *, timeout_s: float | None
    ) -> Coroutine[Any, Any, Reply]:
        """Answer a query, linearizably; see `Port.read`. Its time begins here."""
        call = self._make(OP_READ, (kind, entity), query, timeout_s)
        call.payload = pack([kind, entity, query])
        return self._driver.call(call)

    def wait(
        self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None
    ) -> Coroutine[Any, Any, tuple[Reply, Grant | None]]:
        """Apply a command that may wait or grant; see `Port.wait`. Its time begins here."""
        call = self._make(OP_WRITE, (kind, entity), command, timeout_s)
        call.is_waiting = True
        return self._driver.call(call)

    async def release(
        self, kind: int, entity: bytes, grant: Grant, command: Command, *, timeout_s: float | None
    ) -> Reply:
        """Apply the command that ends a hold; see `Port.release`."""
        driver = self._driver
        if not isinstance(grant, Hold) or not driver.core.is_held(grant.held):
            return [OK, False]
        # An unanswered release ends as a withdrawal of the hold: keep-alives see to it.
        driver.step(grant.held)
        try:
            call = self._make(OP_WRITE, (kind, entity), command, timeout_s)
            call.is_urgent, call.only_in = True, grant.held.session
            reply: Reply = await driver.call(call)
        except BaseException:
            driver.step(inputs.ReleaseFailed(grant.held))
            raise
        return reply

    async def scan(self, kind: int, prefix: bytes, *, timeout_s: float | None) -> list[bytes]:
        """Return the entities that begin with `prefix`, asking every slot; see `Port.scan`."""
        end_ns = None if timeout_s is None else self._clock.now() + int(timeout_s * SECOND_NS)
        found: dict[bytes, None] = {}
        begin, topology = 0, self._routes.topology()
        if topology is None:
            # How many slots there are is the cluster's to say; this call waits for that, as every call does.
            await self._scan_slot(0, kind, prefix, end_ns, found)
            begin, topology = 1, self._routes.topology()
        assert topology is not None, "a slot has answered"
        slots = topology.shared_slots
        for first in range(begin, slots, SCANNED_AT_ONCE):
            some = range(first, min(first + SCANNED_AT_ONCE, slots))
            scans = [self._scan_slot(slot, kind, prefix, end_ns, found) for slot in some]
            # All end before the first error is raised: nothing of the scan outlives the call.
            for result in await asyncio.gather(*scans, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
        return list(found)

    async def _scan_slot(
        self, slot: int, kind: int, prefix: bytes, end_ns: int | None, found: dict[bytes, None]
    ) -> None:
        after, is_more = b"", True
        while is_more:
            rest_s = None if end_ns is None else max(0, end_ns - self._clock.now()) / SECOND_NS
            page, is_more = (await self.read_at(slot, kind, prefix, [SCAN, after], timeout_s=rest_s))[1]
            found.update(dict.fromkeys(page))
            after = page[-1] if page else b""

    async def pages(
        self, kind: int, prefix: bytes, *, with_values: bool, timeout_s: float | None
    ) -> AsyncIterator[list[tuple[bytes, bytes | None]]]:
        """Go through the entities that begin with `prefix`; see `Port.pages`."""
        operation = ENTRIES if with_values else SCAN
        for slot in range(await self.slot_count(timeout_s=timeout_s)):
            after, is_more = b"", True
            while is_more:
                reply = await self.read_at(slot, kind, prefix, [operation, after], timeout_s=timeout_s)
                rows, is_more = reply[1]
                page: list[tuple[bytes, bytes | None]]
                page = (
                    [(name, value) for name, value in rows]
                    if with_values
                    else [(name, None) for name in rows]
                )
                if page:
                    after = page[-1][0]
                    yield page

    async def slot_count(self, *, timeout_s: float | None) -> int:
        """Return how many slots structures are in; see `Port.slot_count`."""
        topology = self._routes.topology()
        if topology is None:
            # That is the cluster's to say; this call waits for it, as every call does.
            await self.read_at(0, MAP, b"", [SCAN, b"\xff"], timeout_s=timeout_s)
            topology = self._routes.topology()
        assert topology is not None, "a slot has answered"
        return topology.shared_slots

    def slot_of(self, kind: int, entity: bytes) -> int | None:
        """Return the slot of an entity; see `Port.slot_of`."""
        topology = self._routes.topology()
        return None if topology is None else topology.slot_of(kind, entity)

    async def read_at(
        self, slot: int | None, kind: int, prefix: bytes, query: Command, *, timeout_s: float | None
    ) -> Reply:
        """Answer a query about entities of a slot; see `Port.read_at`."""
        call = self._make(OP_READ, (kind, prefix), query, timeout_s)
        if slot is not None:
            call.slot = slot
        call.payload = pack([kind, prefix, query])
        reply: Reply = await self._driver.call(call)
        return reply

    # -- what the owner tells

    def on_reply(self, body: bytes) -> None:
        """Take a reply frame."""
        self._driver.on_reply(body)

    def on_keepalive_ack(self, body: bytes) -> None:
        """Take the acknowledgement of a keep-alive."""
        self._driver.on_keepalive_ack(body)

    def on_topology(self) -> None:
        """Something about the cluster changed."""
        self._driver.step(inputs.TopologyChanged())

    def on_link_up(self, node_id: str) -> None:
        """A node can be reached (again)."""
        self._driver.step(inputs.LinkUp(node_id))

    def on_link_down(self, node_id: str, *, has_failed: bool = False) -> None:
        """A link ended, or failed (`Connection.has_failed`): what was sent on it is in doubt, and sent again."""
        self._driver.step(inputs.LinkDown(node_id, has_failed))

    def limited(self, max_value_bytes: int, max_window_replies: int) -> None:
        """Keep to the limits that the cluster tells."""
        self._driver.step(inputs.Limited(max_value_bytes, max_window_replies))

    def when_left(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Port.when_left`."""
        return self._driver.when_left(callback)

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._driver.close()

    def abort(self) -> None:
        """See `Driver.abort`."""
        self._driver.abort()
