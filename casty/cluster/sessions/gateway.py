"""A gateway: the port of the structures over the session protocol. One per client, one per member system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from casty.cluster.sessions.call import settled
from casty.cluster.sessions.client_session import Ledger
from casty.cluster.sessions.grant import Hold
from casty.cluster.sessions.keepalive import LOST_AT_ONCE
from casty.cluster.sessions.router import CallRouter, Routes
from casty.cluster.slots.operations import OP_READ, OP_WRITE, SCAN
from casty.config import SECOND_NS, Settings
from casty.distributed.machines.base import DESTROY, HOLDING_KINDS, MAP, OK, Command, Reply
from casty.distributed.machines.watching import ENTRIES
from casty.distributed.port import LOST_DESTROYED, Grant
from casty.ports import Runtime
from casty.transport.output_batch import OutputBatch
from casty.wire.codec import Codec, default_codec
from casty.wire.pack import pack

__all__ = ["Gateway", "Routes"]

CANCEL_LEAD_NS = SECOND_NS // 5
SCANNED_AT_ONCE = 4
"""How many slots list their entities at the same time: a node works off all that one frame asks for in one turn."""


class Gateway(CallRouter):
    """The `Port` of one client or member system.

    Parameters
    ----------
    runtime, routes, settings, gateway_id, turn
        See `CallRouter`.
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
        super().__init__(runtime, routes, settings, gateway_id, output)
        self._host_label = host_label
        self._codec = codec or default_codec()

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

    async def command(self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None) -> Reply:
        """Apply a command once; see `Port.command`."""
        call = self._begin(OP_WRITE, (kind, entity), command, timeout_s)
        if command[0] != DESTROY:
            return await self._finish(call)
        call.is_urgent = True
        slot = self._slot_of((kind, entity))
        ledger = None if slot is None or kind not in HOLDING_KINDS else self.ledgers.get(slot)
        # What is granted while the call is under way may be of the successor: a keep-alive tells.
        held = [] if ledger is None else ledger.held_of((kind, entity))
        try:
            reply = await self._finish(call)
        except BaseException:
            # It may be destroyed all the same: the next keep-alive tells, and the name is not granted before.
            if ledger is not None and held:
                self.keep_alive.soon(ledger.slot)
            raise
        if ledger is not None and held and self.ledgers.get(ledger.slot) is ledger:
            await self._confirm_loss(ledger, held)
        return reply

    async def _confirm_loss(self, ledger: Ledger[Hold], seqs: list[int]) -> None:
        """After a destroy: what this gateway held is lost, and the slot hears so now and not by keep-alive.

        Only then may the name be granted again. What is not confirmed in time is confirmed by keep-alives.
        """
        self.keep_alive.lose(ledger, seqs, LOST_DESTROYED)
        told = seqs[:LOST_AT_ONCE]
        rows: list[list[object]] = [[seq, *ledger.abandoned[seq]] for seq in told if seq in ledger.abandoned]
        if rows:
            await settled(self.send_abandon(ledger, rows))

    async def read(self, kind: int, entity: bytes, query: Command, *, timeout_s: float | None) -> Reply:
        """Answer a query, linearizably; see `Port.read`."""
        call = self._begin(OP_READ, (kind, entity), query, timeout_s)
        call.payload = pack([kind, entity, query])
        return await self._finish(call)

    async def wait(
        self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None
    ) -> tuple[Reply, Grant | None]:
        """Apply a command that may wait or grant; see `Port.wait`."""
        call = self._begin(OP_WRITE, (kind, entity), command, timeout_s)
        call.is_waiting = True
        if timeout_s is not None and call.deadline_ns is not None:
            lead_ns = min(CANCEL_LEAD_NS, int(timeout_s * SECOND_NS / 4))
            self._table.deadlines.add(call.deadline_ns - lead_ns, -call.call_id)
        reply = await self._finish(call)
        # Not looked up in the ledger: it may have been lost between the answer and this task's turn.
        return reply, call.hold

    async def release(
        self, kind: int, entity: bytes, grant: Grant, command: Command, *, timeout_s: float | None
    ) -> Reply:
        """Apply the command that ends a hold; see `Port.release`."""
        slot = self._slot_of((kind, entity))
        ledger = None if slot is None else self.ledgers.get(slot)
        if ledger is not None and grant.seq in ledger.held and ledger.held[grant.seq][1] is grant:
            ledger.held[grant.seq][1].release()
            # An unanswered release ends as a withdrawal of the hold: keep-alives see to it.
            ledger.let_go(grant.seq)
            try:
                call = self._begin(OP_WRITE, (kind, entity), command, timeout_s)
                call.is_urgent, call.only_in = True, ledger
                return await self._finish(call)
            except BaseException:
                ledger.abandon(grant.seq, (kind, entity))
                self.keep_alive.soon(ledger.slot)
                raise
        return [OK, False]

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
        """Return how many slots the cluster has; see `Port.slot_count`."""
        topology = self._routes.topology()
        if topology is None:
            # That is the cluster's to say; this call waits for it, as every call does.
            await self.read_at(0, MAP, b"", [SCAN, b"\xff"], timeout_s=timeout_s)
            topology = self._routes.topology()
        assert topology is not None, "a slot has answered"
        return len(topology.slots)

    def slot_of(self, kind: int, entity: bytes) -> int | None:
        """Return the slot of an entity; see `Port.slot_of`."""
        return self._slot_of((kind, entity))

    async def read_at(
        self, slot: int | None, kind: int, prefix: bytes, query: Command, *, timeout_s: float | None
    ) -> Reply:
        """Answer a query about entities of a slot; see `Port.read_at`."""
        call = self._begin(OP_READ, (kind, prefix), query, timeout_s, -1 if slot is None else slot)
        call.payload = pack([kind, prefix, query])
        return await self._finish(call)
