"""Calls on their way: from a key to slot, session, number and leader; and what their ends mean for their session.

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

from casty.cluster.sessions.core.answers import is_granted, is_taken, visible_until_ns
from casty.cluster.sessions.core.call import Call, Purpose
from casty.cluster.sessions.core.call_table import CallTable
from casty.cluster.sessions.core.client_session import ClientSession, Held
from casty.cluster.sessions.core.client_sessions import CallSessions, Numbering
from casty.cluster.sessions.core.effects import Fail, SessionsClosed, Step
from casty.cluster.sessions.core.keepalive import KeepAlive
from casty.cluster.sessions.core.life import CallEvent, CallState
from casty.cluster.sessions.core.relay_paths import RelayPaths
from casty.cluster.sessions.core.surroundings import Surroundings
from casty.cluster.slots.operations import OP_WRITE, RELAY
from casty.config import SECOND_NS
from casty.distributed.machines.base import (
    BAD,
    EXPIRED,
    LOST_EXPIRED,
    OK,
    QUEUE,
    STALE,
    TOO_LARGE,
    WITHDRAWN,
    Reply,
)
from casty.errors import CastyError, InternalError, MessageTooLarge

__all__ = ["ADMITTED_AT_ONCE", "ASIDE_NS", "CallRouter"]

ASIDE_NS = SECOND_NS
"""How long a call of the gateway's own may take, an opening excepted: keep-alives and expiry make it good."""

ADMITTED_AT_ONCE = 16
"""Calls that one answer lets into a session: answers for all slots may come in one frame."""

CONFIRMED_AT_ONCE = 256
"""A keep-alive goes out early when so many outcomes are to be confirmed."""


_ASK, _SEND = CallEvent.ASK, CallEvent.SEND
_TAKEN, _OWNER = Numbering.TAKEN, Purpose.OWNER


class CallRouter:
    """What sends calls, and ends them.

    Parameters
    ----------
    step, surroundings
        The step under way, and what it reads.
    table, sessions, keep_alive, relay_paths
        What it works on.

    Bounds: `closing` has a row per session that is being closed at the end.
    """

    __slots__ = (
        "_keep_alive", "_relay_paths", "_sessions", "_step", "_surroundings", "_table", "attempts", "closing",
    )  # fmt: skip

    def __init__(
        self,
        step: Step,
        surroundings: Surroundings,
        table: CallTable,
        sessions: CallSessions,
        keep_alive: KeepAlive,
        relay_paths: RelayPaths,
    ) -> None:
        self._step = step
        self._surroundings = surroundings
        self._table = table
        self._sessions = sessions
        self._keep_alive = keep_alive
        self._relay_paths = relay_paths
        self.attempts = 0
        """How often anything was sent."""
        self.closing: dict[int, None] = {}
        """The closes without an answer, for whose end the owner waits."""

    # -- on the way

    def dispatch(self, call: Call) -> None:
        """Send a call on its way, or park it until there is one."""
        topology = self._surroundings.topology()
        if topology is None:
            self._await_topology(call)
            return
        sessions, slot = self._sessions, call.slot
        if topology.cluster_id != sessions.cluster_id:
            sessions.enter(topology)
        if slot < 0:
            kind, name = call.entity
            slot = call.slot = topology.slot_of(kind, name)
        self._table.index_by_slot(call)
        if sessions.lost and not sessions.resolve(call):
            return
        epoch = topology.slots[slot][0]
        if call.session is not None and sessions.is_of_former_epoch(call, epoch):
            if call.state is not CallState.DONE:
                self.conclude(call, [EXPIRED])
            return
        if call.operation == OP_WRITE and not call.payload:
            numbering = sessions.number(call, epoch)
            if numbering is not _TAKEN:
                self._not_numbered(call, numbering)
                return
        leader = topology.leaders.leader_of(slot)
        if leader is None:
            self._table.park(call)
        elif self._surroundings.is_linked(leader):
            self._send(call, leader, leader, epoch, call.operation)
        elif (way := self._relay_paths.around(leader)) is not None:
            self._send(call, way, leader, epoch, call.operation | RELAY)
        else:
            self._table.park(call)

    def _await_topology(self, call: Call) -> None:
        refusal = self._surroundings.refusal()
        if refusal is None:
            self._table.park(call)
        else:
            self.fail(call, refusal)

    def _not_numbered(self, call: Call, numbering: Numbering) -> None:
        if numbering is Numbering.MEANINGLESS:
            self.conclude(call, [OK, False])
            return
        if numbering is Numbering.TOO_LARGE:
            self.fail(call, self._sessions.too_large(call))
            return
        if numbering is Numbering.NOT_OPEN:
            opening = self._sessions.open(call.slot)
            if opening is not None:
                self.dispatch(opening)
        elif numbering is Numbering.IN_QUESTION:
            self._keep_alive.ask(self._sessions.sessions_by_slot[call.slot])
        self._table.park(call)

    def resume(self, call: Call) -> None:
        """Send a call on its way that was parked, or whose leader moved; it may have ended since it was chosen."""
        if call.state is not CallState.DONE:
            self._table.unpark(call)
            self.dispatch(call)

    def withdraw(self, call: Call) -> None:
        """Shortly before its deadline a waiting call asks to be withdrawn, if the slot may have it."""
        if not call.may_be_applied:
            return
        self._table.unpark(call)
        call.withdraw()
        self.dispatch(call)

    def has_way(self, slot: int) -> bool:
        """Whether calls of a slot can be sent now."""
        topology = self._surroundings.topology()
        leader = None if topology is None else topology.leader_of(slot)
        return leader is not None and (
            self._surroundings.is_linked(leader) or self._relay_paths.around(leader) is not None
        )

    def _send(self, call: Call, node_id: str, leader: str, epoch: int, operation: int) -> None:
        self.attempts += 1
        call.attempt = self.attempts
        call.sent_to = node_id
        call.leader = leader
        call.move(_SEND if call.operation == OP_WRITE else _ASK)
        proof = b"" if call.session is None else call.session.attempt
        self._step.effects.append((node_id, (call.call_id, call.slot, epoch, operation, call.payload, proof)))

    def admit(self, session: ClientSession) -> None:
        """The window moved: let calls in that waited for it, some now and the others in the next turn."""
        table, sessions = self._table, self._sessions
        admitted = 0
        while table.parked_count and not sessions.is_full(session) and sessions.is_current(session):
            first = table.first_unnumbered(session.slot)
            if first is None:
                return
            if admitted >= ADMITTED_AT_ONCE:
                table.admit_soon(session.slot)
                return
            admitted += 1
            before = session.next_seq
            self.resume(first)
            if session.next_seq == before:
                return

    def aside(self, purpose: Purpose, session: ClientSession, operation: int, payload: bytes) -> Call:
        """Return a call of the gateway's own about a session, in the table by now; it is still to be sent."""
        call = Call(operation, (0, b""), self._step.now_ns, ASIDE_NS)
        call.purpose = purpose
        call.slot, call.session, call.payload = session.slot, session, payload
        self._table.add(call)
        return call

    # -- ends

    def conclude(self, call: Call, reply: Reply) -> None:
        """A final answer."""
        session = call.session
        if not call.seq or session is None:
            self._table.end(call)
            self._deliver(call, reply, None if reply[0] == OK else _error_of(call, reply))
            return
        kind = call.entity[0]
        if kind == QUEUE and is_taken(kind, reply):
            self._table.end(call, CallEvent.GIVE)
            self._deliver(call, reply, None)
            return
        self._table.end(call)
        if call.is_waiting and is_granted(kind, reply):
            self._granted(call, session, reply)
        self.answered(call)
        self._deliver(call, reply, None if reply[0] == OK else _error_of(call, reply))
        if call.held is not None and self._is_late(call, session):
            self._keep_alive.lose_all(session, LOST_EXPIRED, abandon=False)

    def _granted(self, call: Call, session: ClientSession, reply: Reply) -> None:
        until_ns = visible_until_ns(self._step.now_ns, self._surroundings.topology(), call.entity[0], reply)
        call.held = Held(session, call.seq, call.entity, reply[1], until_ns)
        session.hold(call.held)
        self._keep_alive.watch(session)

    def _is_late(self, call: Call, session: ClientSession) -> bool:
        """Whether something was granted in a session that is lost by now, and its holds with it."""
        return call.held is not None and not self._sessions.is_current(session)

    def answered(self, call: Call) -> None:
        """Its caller has the answer to a numbered call, or what was granted is kept: its number is done with."""
        session = call.session
        assert session is not None, "a number comes from a session"
        session.waiting.pop(call.seq, None)
        session.answered(call.seq)
        if call.is_waiting and call.held is None and session.wait_watermark < call.seq:
            # The slot keeps the outcome until it is told, and an older call may wait for ever.
            session.confirm(call.seq, call.entity)
            if len(session.abandoned) % CONFIRMED_AT_ONCE == 0:
                self._keep_alive.soon(call.slot)
        if self._table.parked_count:
            self.admit(session)

    def taken(self, call: Call) -> None:
        """Its caller has the item that a call was answered with."""
        if call.is_given:
            self._table.end(call)
            self.answered(call)

    def fail(self, call: Call, error: CastyError) -> None:
        """End a call with an error; nothing of it is left to be done."""
        self._table.end(call)
        self._deliver(call, [], error)

    def _deliver(self, call: Call, reply: Reply, error: CastyError | TimeoutError | None) -> None:
        if call.purpose is _OWNER:
            if error is None:
                call.reply = reply
                self._step.effects.append(call)
            else:
                self._step.effects.append(Fail(call, error))
        elif call.call_id in self.closing:
            del self.closing[call.call_id]
            if not self.closing:
                self._step.effects.append(SessionsClosed())

    def give_up(self, call: Call) -> None:
        """Nobody waits for the call any more: see that it takes no effect for nobody."""
        is_under_way, may_be_applied = call.call_id in self._table.calls, call.may_be_applied
        is_given = call.is_given
        self._table.end(call)
        session = call.session
        if session is None or not call.seq or not self._sessions.is_current(session):
            return
        if not is_under_way:
            # The answer crossed the cancellation: a grant is given back, and so is what was taken.
            held = session.held.get(call.seq)
            if held is not None and held is call.held:
                self.give_back(held)
                is_given = True
            if is_given:
                self.abandon(session, call.seq, call.entity)
        elif may_be_applied:
            self.abandon(session, call.seq, call.entity)
        else:
            session.waiting.pop(call.seq, None)
            session.answered(call.seq)

    def abandon(self, session: ClientSession, seq: int, entity: tuple[int, bytes]) -> None:
        """Nobody wants what has this number any more: keep-alives say so from now on."""
        session.abandon(seq, entity)
        self._keep_alive.soon(session.slot)

    def give_back(self, held: Held) -> None:
        """Its owner lets a hold go: it is not held any more, and not lost either."""
        held.session.let_go(held.seq)
        held.is_over = True
        self._step.effects.append(held)


def _error_of(call: Call, reply: Reply) -> CastyError | TimeoutError | None:
    """Return the error that a final answer stands for; None if the answer itself is the outcome."""
    status = reply[0]
    if call.is_waiting and status in (WITHDRAWN, STALE):
        # Stale: withdrawn, and forgotten since; nothing else is forgotten while it is waited for.
        return TimeoutError(f"{call}: not granted within {call.timeout_s} s; the request is withdrawn")
    if status == TOO_LARGE:
        return MessageTooLarge(reply[1])
    if status in (BAD, STALE):
        return InternalError(f"the slot answered {reply} to {call.command!r}; please report")
    return None
