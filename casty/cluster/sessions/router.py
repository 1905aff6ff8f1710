"""Exactly-once calls on entities from outside their slot; `gateway.py` makes them the structures' port.

Life of a command: a number of the slot's session (opened by the first use) -> sent to the slot's leader ->
answered, or refused and sent again under the same number, or in doubt and sent again under the same number -
over reconnect, redirect and failover, until its deadline. The slot applies a number once, so sending again is
always safe.

What may be lost: every frame, and the leader. A request is in doubt from the moment it left until an answer
says that it was refused before it was proposed. At its deadline a call in doubt ends `OutcomeUnknown` and its
number is abandoned: keep-alives name it until the slot confirms its withdrawal, so it takes no effect for
nobody. A call not in doubt ends `Unavailable`.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

from casty.cluster.control.placement import slot_of
from casty.cluster.control.topology import Hint, Topology
from casty.cluster.sessions.answers import is_granted, is_taken, left_alone, visible_until_ns
from casty.cluster.sessions.bounds import BATCH, CLOSED, CONFIRMED_AT_ONCE, MAX_ANSWERS, PROBES
from casty.cluster.sessions.call import RETRY, Call, next_turn, seen, settled
from casty.cluster.sessions.call_table import MAX_PARKED, NO_SLOT, CallTable
from casty.cluster.sessions.client_session import Entity, Ledger
from casty.cluster.sessions.client_sessions import EXPIRED_BY_SLOT, CallSessions
from casty.cluster.sessions.grant import Hold
from casty.cluster.sessions.keepalive import KeepAlive
from casty.cluster.sessions.moves import Moves
from casty.cluster.sessions.outbox import Outgoing
from casty.cluster.sessions.relay_paths import RelayPaths
from casty.cluster.sessions.routes import Routes
from casty.cluster.slots.operations import OP_KEEPALIVE, OP_WRITE, RELAY
from casty.cluster.slots.schema import ABANDON, CANCEL, CLOSE
from casty.config import SECOND_NS, Settings
from casty.distributed.machines.base import (
    BAD,
    BUSY,
    EXPIRED,
    FULL,
    MISMATCH,
    NOT_LEADER,
    OK,
    OVERLOADED,
    QUEUE,
    QUEUED,
    STALE,
    TOO_LARGE,
    UNKNOWN,
    WITHDRAWN,
    Command,
    Reply,
)
from casty.distributed.port import LOST_EXPIRED
from casty.errors import (
    InternalError,
    MessageTooLarge,
    NotStarted,
    OutcomeUnknown,
    Overloaded,
    RemoteProtocolError,
    Unavailable,
)
from casty.ports import Runtime
from casty.transport.output_batch import OutputBatch
from casty.wire.pack import pack, unpack

__all__ = ["CallRouter", "Routes"]

ASIDE_NS = SECOND_NS
_REFUSALS = (NOT_LEADER, BUSY, UNKNOWN, FULL)


class CallRouter:
    """The session protocol's near end: calls, sessions, and what the owner tells.

    Parameters
    ----------
    runtime, routes, settings
        Ports, ways, bounds.
    gateway_id
        Identity of this process in sessions, for people who look at them.
    turn
        The owner's, if it has one; see `Outgoing`.
    """

    def __init__(
        self,
        runtime: Runtime,
        routes: Routes,
        settings: Settings,
        gateway_id: bytes,
        output: OutputBatch | None = None,
    ) -> None:
        self._clock = runtime.clock
        self._routes = routes
        self._settings = settings
        self._table = CallTable(self._clock, self._on_due)
        self._calls = self._table.calls
        self._sessions = CallSessions(self, self._table, runtime, settings, gateway_id)
        self.ledgers = self._sessions.ledgers
        self._outgoing = Outgoing(routes, self._never_left, self._too_large, output)
        self._is_closed = False
        self._attempts = 0
        """How often anything was sent."""
        self._moves = Moves(self, self._table, self._clock, routes)
        self._woken: dict[int, tuple[int, Hint | None]] = {}
        """The epoch and leadership of each slot by which its parked calls were sent last: at most one row per slot."""
        self.relay_paths = RelayPaths(self._clock, runtime.entropy, routes)
        self.keep_alive = KeepAlive(self, runtime, routes)

    def lives(self, ttl_s: float) -> None:
        """Open sessions that live so long without being heard of, and not as long as is usual in the cluster."""
        self._sessions.ttl_ms = round(ttl_s * 1000)
        self.keep_alive.own_ttl_ns = self._sessions.ttl_ms * SECOND_NS // 1000

    # -- calls

    def _begin(
        self, operation: int, entity: Entity, command: Command, timeout_s: float | None, slot: int = -1
    ) -> Call:
        if self._is_closed:
            raise NotStarted("the gateway is closed; use it inside `async with`")
        refusal = self._routes.refusal()
        if refusal is not None:
            raise refusal
        if self._table.parked_count >= MAX_PARKED:
            raise Overloaded(f"{MAX_PARKED} calls wait for a route already; see what the cluster lacks")
        call = self._table.make(operation, entity, None if timeout_s is None else int(timeout_s * SECOND_NS))
        call.command = command
        call.slot = slot
        return call

    async def _finish(self, call: Call) -> Reply:
        self._table.add(call)
        self.dispatch(call)
        try:
            reply = await call.future
        except (asyncio.CancelledError, GeneratorExit):
            # A coroutine that is closed, with its loop or by its owner, gives up as well.
            self._give_up(call)
            raise
        if call.has_taken:
            self._answered(call)
        return reply

    def _slot_of(self, entity: Entity) -> int | None:
        topology = self._routes.topology()
        return None if topology is None else slot_of(entity[0], entity[1], topology.shared_slots)

    def dispatch(self, call: Call) -> None:
        """Send a call on its way, or park it until there is one."""
        topology = self._routes.topology()
        if topology is None:
            self._await_topology(call)
            return
        self._sessions.enter(topology)
        if call.slot < 0:
            call.slot = slot_of(call.entity[0], call.entity[1], topology.shared_slots)
        self._table.settle_in(call)
        if self._sessions.lost and not self._sessions.settle(call):
            return
        if self._sessions.is_of_former_epoch(call, topology):
            self.conclude(call, [EXPIRED])
            return
        if call.operation == OP_WRITE and not call.payload and not self._sessions.number(call, topology):
            return
        leader = topology.leader_of(call.slot)
        if leader is None:
            self._table.park(call)
        elif self._routes.is_linked(leader):
            self._send(call, leader, leader, topology.epoch_of(call.slot), call.operation)
        elif (way := self.relay_paths.around(leader)) is not None:
            self._send(call, way, leader, topology.epoch_of(call.slot), call.operation | RELAY)
        else:
            self._table.park(call)

    def _await_topology(self, call: Call) -> None:
        refusal = self._routes.refusal()
        if refusal is None:
            self._table.park(call)
        else:
            self._table.forget(call)
            call.fail(refusal)

    def resume(self, call: Call) -> None:
        """Send a call on its way that was parked, or whose bytes changed."""
        self._table.unpark(call)
        self.dispatch(call)

    def _has_way(self, slot: int) -> bool:
        topology = self._routes.topology()
        leader = None if topology is None else topology.leader_of(slot)
        return leader is not None and (
            self._routes.is_linked(leader) or self.relay_paths.around(leader) is not None
        )

    def _send(self, call: Call, node_id: str, leader: str, epoch: int, operation: int) -> None:
        self._attempts += 1
        call.attempt = self._attempts
        call.sent_to = node_id
        call.leader = leader
        call.is_queued = False
        call.was_in_doubt = call.may_be_applied
        call.may_be_applied = call.operation == OP_WRITE
        proof = b"" if call.ledger is None else call.ledger.attempt
        self._outgoing.add(node_id, (call.call_id, call.slot, epoch, operation, call.payload, proof))

    def _never_left(self, node_id: str, call_id: int) -> None:
        call = self._calls.get(call_id)
        if call is not None and call.sent_to == node_id:
            call.may_be_applied = call.was_in_doubt
            self._table.park(call)

    def _too_large(self, call_id: int, error: MessageTooLarge) -> None:
        call = self._calls.get(call_id)
        if call is not None:
            call.may_be_applied = call.was_in_doubt
            self._give_up(call)
            call.fail(error)

    # -- answers

    def on_reply(self, body: bytes) -> None:
        """Take a reply frame."""
        items: Any = unpack(body)
        if not isinstance(items, list):
            raise RemoteProtocolError("reply frame: expected a list")
        calls = self._calls
        for item in items:
            if not isinstance(item, list) or len(item) != 2 or type(item[0]) is not int:
                raise RemoteProtocolError("reply: expected [call id, reply]")
            if not isinstance(item[1], list) or not item[1]:
                raise RemoteProtocolError("reply: expected a status first")
            call = calls.get(item[0])
            if call is not None and (not self._sessions.lost or self._sessions.settle(call)):
                self._on_answer(call, item[1])

    def _on_answer(self, call: Call, reply: Reply) -> None:
        status = reply[0]
        if call.slot in self._table.pauses and status not in _REFUSALS:
            self._table.served(call.slot)
        if self._sessions.is_opening(call):
            if status in (OK, OVERLOADED, BAD, MISMATCH):
                self._sessions.opened(call, reply)
            else:
                self._again(call, reply)
        elif status == QUEUED:
            self._on_queued(call)
        elif status in (NOT_LEADER, BUSY, UNKNOWN) or (status == FULL and call.was_in_doubt):
            # Without memory only what is new is refused: what an earlier attempt did may still be answered.
            self._again(call, reply)
        elif status == EXPIRED and call.seq:
            self._sessions.on_expired(call)
        else:
            self.conclude(call, reply)

    def _on_queued(self, call: Call) -> None:
        # It waits in the log: whatever refuses a later attempt, this one was applied.
        call.is_queued = call.may_be_applied = call.was_in_doubt = True
        ledger = call.ledger
        if ledger is None or not self._sessions.is_current(ledger):
            self._sessions.on_expired(call)
            return
        ledger.answered(call.seq)
        self._sessions.admit(ledger)

    def _again(self, call: Call, reply: Reply) -> None:
        """The attempt was refused, or nobody knows: try again, elsewhere if a hint says where."""
        if reply[0] != UNKNOWN:
            call.may_be_applied = call.was_in_doubt
        if reply[0] == BUSY and len(reply) > 1:
            call.put_off = str(reply[1])
        if reply[0] == BUSY and call.seq and call.ledger is not None and not call.is_withdrawing:
            # With what is confirmed by now: the slot may have refused for want of exactly that.
            call.payload = call.entry(call.ledger)
        if reply[0] == NOT_LEADER and len(reply) == 3 and reply[1] not in (None, call.leader):
            self._routes.hint(call.slot, reply[1], reply[2])
            topology = self._routes.topology()
            if topology is not None and topology.leader_of(call.slot) == reply[1]:
                self.dispatch(call)
                return
        self._table.park(call)

    def conclude(self, call: Call, reply: Reply) -> None:
        """A final answer."""
        self._table.forget(call)
        status = reply[0]
        ledger = call.ledger
        if call.seq and ledger is not None:
            call.has_taken = is_taken(call.entity[0], reply)
            if call.is_waiting and is_granted(call.entity[0], reply):
                self._granted(call, ledger, reply)
            if not call.has_taken:
                self._answered(call)
        if call.future.done():
            return
        if call.is_waiting and status in (WITHDRAWN, STALE):
            # Stale: withdrawn, and forgotten since; nothing else is forgotten while it is waited for.
            text = f"{call}: not granted within {call.timeout_s} s; the request is withdrawn"
            call.future.set_exception(TimeoutError(text))
        elif status == TOO_LARGE:
            call.future.set_exception(MessageTooLarge(reply[1]))
        elif status in (BAD, STALE):
            call.future.set_exception(
                InternalError(f"the slot answered {reply} to {call.command!r}; please report")
            )
        else:
            call.future.set_result(reply)

    def _granted(self, call: Call, ledger: Ledger[Hold], reply: Reply) -> None:
        until_ns = visible_until_ns(self._clock.now(), self._routes.topology(), call.entity[0], reply)
        call.hold = Hold(self._clock, ledger, call.seq, reply[1], until_ns)
        ledger.hold(call.seq, call.entity, call.hold)
        self.keep_alive.watch(ledger)
        if self.ledgers.get(call.slot) is not ledger:
            self.keep_alive.lose_all(ledger, LOST_EXPIRED, abandon=False)

    def _answered(self, call: Call) -> None:
        """Its caller has the answer to a numbered call, or what is left of it is in the ledger."""
        ledger = call.ledger
        assert ledger is not None, "a number comes from a ledger"
        ledger.waiting.pop(call.seq, None)
        ledger.answered(call.seq)
        if call.is_waiting and call.hold is None and ledger.wait_low < call.seq:
            # The slot keeps the outcome until it is told, and an older call may wait for ever.
            ledger.confirm(call.seq, call.entity)
            if len(ledger.abandoned) % CONFIRMED_AT_ONCE == 0:
                self.keep_alive.soon(call.slot)
        self._sessions.admit(ledger)

    # -- ends of calls

    def _on_due(self, key: int) -> None:
        if key == RETRY:
            self._retry()
        elif key < 0:
            self._withdraw(self._calls.get(-key))
        else:
            overdue = self._calls.get(key)
            if overdue is not None:
                self._overdue(overdue)

    def _retry(self) -> None:
        left = BATCH
        for slot, count, is_admission in self._table.due():
            if slot == NO_SLOT:
                self._retry_without_topology()
            elif is_admission and left <= 0:
                self._table.admit_soon(slot)
            elif is_admission:
                parked = self._table.parked_count
                self._admit_first(slot)
                left -= parked - self._table.parked_count
                self._table.behind(slot)
            elif not self._has_way(slot) or (left <= 0 and count is None):
                self._table.retry_later(slot, is_longer=False)
            elif left <= 0:
                self._table.retry_now(slot, count)
            else:
                left -= self._retry_slot(slot, count)
                self._table.behind(slot)

    def _retry_without_topology(self) -> None:
        if self._routes.topology() is None and self._routes.refusal() is None:
            self._table.retry_later(NO_SLOT, is_longer=False)
            return
        for call in self._table.routed(NO_SLOT, BATCH):
            self.resume(call)
        if self._table.routed(NO_SLOT, 1):
            self._table.retry_now(NO_SLOT)

    def _retry_slot(self, slot: int, count: int | None) -> int:
        """Send parked calls of a slot that can be reached: the first `count`, or a few that find out if it serves.

        Returns about how many were sent; no more than `BATCH` are in one turn.
        """
        parked = self._table.parked_count
        # What waits for the window is let in by the answers that move it; this finds a session that has to be opened.
        self._admit_first(slot)
        for call in self._table.routed(slot, PROBES if count is None else min(count, BATCH)):
            self.resume(call)
        if count is not None and count > BATCH:
            # Those that were refused meanwhile are behind the others.
            self._table.retry_now(slot, count - BATCH)
        else:
            self._table.retry_later(slot)
        return parked - self._table.parked_count

    def _admit_first(self, slot: int) -> None:
        first = self._table.first_unnumbered(slot)
        ledger = self.ledgers.get(slot)
        if first is not None and (ledger is None or first.is_urgent or not self._sessions.is_full(ledger)):
            self.resume(first)
            ledger = self.ledgers.get(slot)
            if ledger is not None:
                self._sessions.admit(ledger)

    def _withdraw(self, call: Call | None) -> None:
        """Shortly before its deadline a waiting call asks to be withdrawn if it still waits."""
        if call is None or not call.may_be_applied:
            return
        ledger = call.ledger
        assert ledger is not None, "a number comes from a ledger"
        call.is_withdrawing = True
        call.payload = pack([CANCEL, ledger.number, call.seq, *call.entity])
        self.resume(call)

    def _overdue(self, call: Call) -> None:
        in_doubt = call.may_be_applied
        self._give_up(call)
        alone = (
            "" if self._routes.linked() else f"; linked with nobody: {self._routes.answers()[:MAX_ANSWERS]}"
        )
        within = f"within {call.timeout_s} s{alone}"
        if in_doubt:
            text = f"{call}: no answer from slot {call.slot} {within}; it was applied once or never"
            call.fail(OutcomeUnknown(text))
            return
        lack = (
            call.put_off or f"no route to slot {call.slot} or no leader"
            if call.slot >= 0
            else "no node told of the cluster"
        )
        call.fail(Unavailable(f"{call}: {lack} {within}; it was not applied"))

    def _give_up(self, call: Call) -> None:
        """Nobody waits for the call any more: see that it takes no effect for nobody."""
        is_under_way = call.call_id in self._calls
        self._table.forget(call)
        ledger = call.ledger
        if ledger is None or not call.seq or self.ledgers.get(call.slot) is not ledger:
            return
        if not is_under_way:
            # The answer crossed the cancellation: a grant is given back, and so is what was taken.
            if call.has_taken or (call.seq in ledger.held and call.hold is not None):
                if call.hold is not None:
                    call.hold.release()
                ledger.abandon(call.seq, call.entity)
                self.keep_alive.soon(call.slot)
            return
        if call.may_be_applied:
            ledger.abandon(call.seq, call.entity)
            self.keep_alive.soon(call.slot)
        else:
            ledger.waiting.pop(call.seq, None)
            ledger.answered(call.seq)

    # -- what the owner tells

    def limited(self, max_value_bytes: int, max_window_replies: int) -> None:
        """Keep to the limits that the cluster tells."""
        self._sessions.limited(max_value_bytes, max_window_replies)

    def on_topology(self) -> None:
        """Something about the cluster changed: park no longer, and follow leaders that moved."""
        topology = self._routes.topology()
        if topology is None:
            return
        self._sessions.enter(topology)
        self._sessions.follow(topology)
        self._wake(topology)
        self._moves.follow(topology)
        self.keep_alive.follow(topology)

    def _wake(self, news: Topology | None = None) -> None:
        """Parked calls that can be sent now are: the first of them here, the others in the turns that follow.

        Of `news` only slots that are led anew: elsewhere they were refused, and nothing says that they would not be.
        """
        left = BATCH
        for slot in self._table.parked_slots():
            if slot == NO_SLOT:
                self._retry_without_topology()
                continue
            if not self._has_way(slot):
                continue
            if news is not None:
                led = (news.epoch_of(slot), news.leaders.hint_of(slot))
                if led == self._woken.get(slot):
                    continue
                self._woken[slot] = led
            if left > 0:
                left -= self._retry_slot(slot, self._table.routed_count(slot))
            else:
                self._table.retry_now(slot)

    def on_link_up(self, node_id: str) -> None:
        """A node can be reached (again)."""
        self.relay_paths.link_up(node_id)
        self._wake()

    def on_link_down(self, node_id: str) -> None:
        """A link ended: what was sent on it is in doubt, and sent again."""
        self.relay_paths.link_down(node_id)
        self._moves.cut_off(node_id, self._attempts)

    def retry_if_back(self, call: Call) -> None:
        """The call was parked as its link ended, and others were tried on the next one before that."""
        if self._has_way(call.slot):
            self._table.retry_now(call.slot)

    def on_keepalive_ack(self, body: bytes) -> None:
        """Take the acknowledgement of a keep-alive."""
        self.keep_alive.on_ack(body)

    def on_outcome(self, slot: int, seq: int, reply: Reply) -> None:
        """An acknowledgement repeats the outcome of a waiting call."""
        call = self._table.numbered(slot, seq)
        if call is not None and (not self._sessions.lost or self._sessions.settle(call)):
            self._on_answer(call, reply)

    def admit(self, ledger: Ledger[Hold]) -> None:
        """The slot says that the session lives on: let calls in that waited for that."""
        if self._table.parked_count:
            self._sessions.admit(ledger)

    def on_session_expired(self, ledger: Ledger[Hold]) -> None:
        """An acknowledgement says that the session is gone."""
        self._sessions.lose(ledger, EXPIRED_BY_SLOT, is_answered_each=True)

    def send_close(self, ledger: Ledger[Hold]) -> asyncio.Future[Reply]:
        """Close a session of a slot; returns the future of the answer."""
        return self._ask_aside(ledger, OP_WRITE, pack([CLOSE, ledger.number]))

    def send_abandon(self, ledger: Ledger[Hold], rows: list[list[object]]) -> asyncio.Future[Reply]:
        """Withdraw requests now, and not only by keep-alive; returns the future of the answer."""
        return self._ask_aside(ledger, OP_WRITE, pack([ABANDON, ledger.number, ledger.low, rows]))

    def ask_around(self, ledger: Ledger[Hold], row: list[object]) -> asyncio.Future[Reply]:
        """Keep a session alive whose slot's leader is out of reach; returns the future of ``[OK, row]``."""
        return self._ask_aside(ledger, OP_KEEPALIVE, pack(row))

    def _ask_aside(self, ledger: Ledger[Hold], operation: int, payload: bytes) -> asyncio.Future[Reply]:
        call = self._table.make(operation, (0, b""), ASIDE_NS)
        call.slot, call.ledger, call.payload = ledger.slot, ledger, payload
        self._table.add(call)
        self.dispatch(call)
        return call.future

    async def close(self) -> None:
        """End every call and session; what was held is free at once where the slot answers in time.

        When it is cancelled it ends at once, and the slots expire what they were not told of.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._stop_parts()
        closing: list[asyncio.Future[Reply]] = []
        try:
            while self._end_calls(BATCH):
                await next_turn(self._clock)
            self._end_sessions(closing)
            while not self.keep_alive.is_told:
                await next_turn(self._clock)
            for future in closing:
                await settled(future)
        finally:
            self.abort()

    def _stop_parts(self) -> None:
        self._sessions.close()
        self._moves.close()

    def _end_sessions(self, closing: list[asyncio.Future[Reply]]) -> None:
        """End the sessions; adds the answers of the slots that are told."""
        for ledger in list(self.ledgers.values()):
            self.keep_alive.lose_all(ledger, CLOSED, abandon=False)
            rows: list[list[object]] = [[seq, *of] for seq, of in ledger.abandoned.items() if of[0] == QUEUE]
            if ledger.number is not None and rows:
                # On the same link, so before it: the slot forgets with the session who took what.
                closing.append(self.send_abandon(ledger, rows[:CONFIRMED_AT_ONCE]))
                closing[-1].add_done_callback(seen)
            if ledger.number is not None:
                closing.append(self.send_close(ledger))
                closing[-1].add_done_callback(seen)
        self.ledgers.clear()

    def _end_calls(self, most: int) -> bool:
        """End the calls under way, or so many; True if there are more."""
        for call in list(islice(self._calls.values(), most)):
            if call.entity[0] == QUEUE and call.may_be_applied:
                # Its session ends, and with it what it waits for, but not what it may have been given by now.
                self._give_up(call)
            self._table.forget(call)
            call.fail(left_alone(call))
        return bool(self._calls)

    def abort(self) -> None:
        """End every call and session here and now; the slots expire the sessions."""
        self._is_closed = True
        self._stop_parts()
        self._end_calls(len(self._calls))
        for ledger in list(self.ledgers.values()):
            self.keep_alive.lose_all(ledger, CLOSED, abandon=False)
        self.ledgers.clear()
        self.keep_alive.close()
        self._table.deadlines.close()
