"""The near end of the session protocol as a value: inputs in, effects out.

`SessionCore.step` takes one input at one instant, and returns what is to be done. The same inputs at the same instants
in the same surroundings give the same effects: nothing here reads a clock, waits, or sends. What a call may go through
is the table of `life.py`; what may be lost on the way is told in `router.py`; sessions in `client_sessions.py`.

Whoever drives it gives one input at a time, performs the effects in their order, and then gives what came of them
(`NeverLeft`, `TooLarge`, a node's answer to itself), `Hinted` before anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, ClassVar

from casty.cluster.sessions.core import inputs
from casty.cluster.sessions.core.answers import left_alone, overdue
from casty.cluster.sessions.core.call import Call, Purpose
from casty.cluster.sessions.core.call_table import MAX_PARKED, CallTable
from casty.cluster.sessions.core.client_session import ClientSession, Entity, Held
from casty.cluster.sessions.core.client_sessions import EXPIRED_BY_SLOT, CallSessions
from casty.cluster.sessions.core.deadlines import RETRY
from casty.cluster.sessions.core.effects import Alarm, Effect, Hint, SessionsClosed, Step
from casty.cluster.sessions.core.keepalive import LOST_AT_ONCE, KeepAlive
from casty.cluster.sessions.core.life import CallEvent
from casty.cluster.sessions.core.moves import Moves
from casty.cluster.sessions.core.relay_paths import RelayPaths
from casty.cluster.sessions.core.retries import Retries
from casty.cluster.sessions.core.router import CONFIRMED_AT_ONCE, CallRouter
from casty.cluster.sessions.core.surroundings import Surroundings
from casty.cluster.slots.operations import OP_KEEPALIVE, OP_WRITE
from casty.cluster.slots.schema import ABANDON, CLOSE
from casty.config import SECOND_NS, Settings
from casty.distributed.machines.base import (
    BAD,
    BUSY,
    EXPIRED,
    FULL,
    LOST_DESTROYED,
    MISMATCH,
    NOT_LEADER,
    OK,
    OVERLOADED,
    QUEUE,
    QUEUED,
    UNKNOWN,
    Reply,
)
from casty.errors import NotStarted, Overloaded, RemoteProtocolError
from casty.wire.pack import pack

__all__ = ["SessionCore"]

CLOSED = "closed by its own client or system"
_REFUSALS = (NOT_LEADER, BUSY, UNKNOWN, FULL)


_OWNER = Purpose.OWNER


class SessionCore:
    """The calls and sessions of one gateway.

    Parameters
    ----------
    surroundings
        What a step reads.
    settings
        Bounds, until the cluster tells its own.
    gateway_id
        Identity of this process in sessions, for people who look at them.
    attempt
        Draws 128 bits that nobody can guess: the proof of a session.
    pick
        Draws a number below its argument: which way around a link that is missing.

    Bounds: `MAX_PARKED` calls wait for a way; each session has a window; see the parts for their tables.
    """

    __slots__ = (
        "_handlers", "_is_closed", "_moves", "_retries", "_router", "_step", "_surroundings", "keep_alive",
        "relay_paths", "sessions", "sessions_by_slot", "table",
    )  # fmt: skip

    def __init__(
        self,
        surroundings: Surroundings,
        settings: Settings,
        gateway_id: bytes,
        attempt: Callable[[], bytes],
        pick: Callable[[int], int],
    ) -> None:
        self._surroundings = surroundings
        self._step = step = Step()
        self._handlers = self._HANDLERS
        self._is_closed = False
        self.sessions_by_slot: dict[int, ClientSession] = {}
        """The sessions in use, by slot."""
        self.table = table = CallTable(step)
        self.relay_paths = RelayPaths(step, surroundings, pick)
        self.keep_alive = KeepAlive(step, surroundings, self.sessions_by_slot, self.relay_paths)
        self.sessions = CallSessions(
            step, self.sessions_by_slot, table, self.keep_alive, settings, gateway_id, attempt
        )
        self._router = CallRouter(step, surroundings, table, self.sessions, self.keep_alive, self.relay_paths)
        self._retries = Retries(surroundings, table, self.sessions, self._router)
        self._moves = Moves(step, table, surroundings)

    @property
    def is_closed(self) -> bool:
        """Whether its owner left; no call begins any more."""
        return self._is_closed

    @property
    def attempts(self) -> int:
        """How often anything was sent."""
        return self._router.attempts

    @property
    def is_following(self) -> bool:
        """Whether calls wait to be looked at since a link ended or a leader moved."""
        return not self._moves.is_done

    def step(self, now_ns: int, one: inputs.Input) -> list[Effect]:
        """Take one of `inputs` at an instant, which is never before that of the step before; return what is to be done.

        Raises
        ------
        RemoteProtocolError
            An answer has not the form of one; what was to be done until then is returned by the next step.
        """
        step = self._step
        step.now_ns = now_ns
        self._handlers[type(one)](self, one)
        effects, step.effects = step.effects, []
        return effects

    # -- what is asked and changes nothing

    def held_of(self, entity: Entity) -> tuple[ClientSession, list[int]] | None:
        """Return the numbers of what is held of an entity, with their session; None if nothing is."""
        topology = self._surroundings.topology()
        if topology is None:
            return None
        session = self.sessions_by_slot.get(topology.slot_of(entity[0], entity[1]))
        seqs = [] if session is None else session.held_of(entity)
        return None if session is None or not seqs else (session, seqs)

    def is_held(self, held: Held) -> bool:
        """Whether it was granted in a session in use, and is neither lost nor given back."""
        return self.sessions.is_current(held.session) and held.session.held.get(held.seq) is held

    # -- calls of the owner

    def _begin(self, call: Call) -> None:
        if self._is_closed:
            self._router.fail(call, NotStarted("the gateway is closed; use it inside `async with`"))
        elif (refusal := self._surroundings.refusal()) is not None:
            self._router.fail(call, refusal)
        elif self.table.parked_count >= MAX_PARKED:
            text = f"{MAX_PARKED} calls wait for a route already; see what the cluster lacks"
            self._router.fail(call, Overloaded(text))
        else:
            self.table.add(call)
            self._router.dispatch(call)

    def _give_up(self, one: inputs.GiveUp) -> None:
        self._router.give_up(one.call)

    def _taken(self, one: inputs.Taken) -> None:
        self._router.taken(one.call)

    def _let_go(self, held: Held) -> None:
        self._router.give_back(held)

    def _release_failed(self, one: inputs.ReleaseFailed) -> None:
        held = one.held
        self._router.abandon(held.session, held.seq, held.entity)

    def _ask_soon(self, one: inputs.AskSoon) -> None:
        self.keep_alive.soon(one.session.slot)

    def _confirm_loss(self, one: inputs.ConfirmLoss) -> None:
        call, session = one.call, one.session
        self.keep_alive.lose(session, one.seqs, LOST_DESTROYED)
        self.keep_alive.soon(session.slot)
        told = one.seqs[:LOST_AT_ONCE]
        rows: list[list[object]] = [
            [seq, *session.abandoned[seq]] for seq in told if seq in session.abandoned
        ]
        if not rows:
            self._router.conclude(call, [OK])
            return
        self.table.add(call)
        call.slot, call.session = session.slot, session
        call.payload = _abandon_entry(session, rows)
        self._router.dispatch(call)

    # -- answers

    def _replied(self, one: inputs.Replied) -> None:
        call_id, reply = one
        call = self.table.calls.get(call_id)
        if call is not None and (not self.sessions.lost or self.sessions.resolve(call)):
            self._on_answer(call, reply)

    def _on_answer(self, call: Call, reply: Reply) -> None:
        status = reply[0]
        if call.slot in self.table.pauses and status not in _REFUSALS:
            self.table.served(call.slot)
        if call.purpose is not _OWNER and self._on_own(call, reply):
            return
        if status == OK:
            self._router.conclude(call, reply)
        elif status == QUEUED:
            self._on_queued(call)
        elif status in (NOT_LEADER, BUSY, UNKNOWN) or (status == FULL and call.was_in_doubt):
            # Without memory only what is new is refused: what an earlier attempt did may still be answered.
            self._again(call, reply)
        elif status == EXPIRED and call.seq:
            self._on_expired(call)
        else:
            self._router.conclude(call, reply)

    def _on_own(self, call: Call, reply: Reply) -> bool:
        """Take an answer to a call of the gateway's own; False if it is one like any other."""
        if call.purpose is Purpose.OPEN:
            if reply[0] == OK:
                self._router.admit(self.sessions.opened(call, reply))
            elif reply[0] in (OVERLOADED, BAD, MISMATCH):
                self.sessions.not_opened(call, reply)
            else:
                self._again(call, reply)
            return True
        if call.purpose is Purpose.KEEP_ALIVE and reply[0] == OK:
            self.table.end(call)
            session = call.session
            if session is not None and self.sessions.is_current(session):
                self._on_row(session, _row(reply[1]), call.started_ns)
                self.keep_alive.arm_soonest()
            return True
        return False

    def _on_queued(self, call: Call) -> None:
        # It waits in the log: whatever refuses a later attempt, this one was applied.
        session = call.session
        if not call.seq or session is None:
            self._again(call, [UNKNOWN])
            return
        call.move(CallEvent.QUEUE)
        if not self.sessions.is_current(session):
            self._on_expired(call)
            return
        session.answered(call.seq)
        self._router.admit(session)

    def _on_expired(self, call: Call) -> None:
        if self.sessions.on_expired(call):
            self._router.resume(call)

    def _again(self, call: Call, reply: Reply) -> None:
        """The attempt was refused, or nobody knows: try again, elsewhere if a hint says where."""
        call.move(CallEvent.DOUBT if reply[0] == UNKNOWN else CallEvent.REFUSE)
        if reply[0] == BUSY and len(reply) > 1:
            call.put_off = str(reply[1])
        if reply[0] == BUSY and call.seq and call.session is not None and not call.is_withdrawing:
            # With what is confirmed by now: the slot may have refused for want of exactly that.
            call.payload = call.entry(call.session)
        if reply[0] == NOT_LEADER and len(reply) == 3 and reply[1] not in (None, call.leader):
            self._step.effects.append(Hint(call.slot, reply[1], reply[2], call.call_id))
        else:
            self.table.park(call)

    def _hinted(self, one: inputs.Hinted) -> None:
        if not one.call_id:
            self.keep_alive.redirected(one.slot)
            self.keep_alive.arm_soonest()
            return
        call = self.table.calls.get(one.call_id)
        topology = self._surroundings.topology()
        if call is None:
            return
        if topology is not None and topology.leader_of(one.slot) == one.leader:
            self._router.resume(call)
        else:
            self.table.park(call)

    # -- keep-alives

    def _kept_alive(self, one: inputs.KeptAlive) -> None:
        for session, row, sent_ns in self.keep_alive.answered(one.nonce, one.rows):
            self._on_row(session, row, sent_ns)

    def _on_row(self, session: ClientSession, row: list[Any], sent_ns: int) -> None:
        slot, status, outcomes, lost, cleared, leader, term = row
        if status == OK:
            if not isinstance(lost, list) or any(type(seq) is not int for seq in lost):
                raise RemoteProtocolError("keep-alive answer: expected the numbers of what is lost")
            self.keep_alive.covered(session, sent_ns)
            for seq in cleared:
                session.cleared(seq)
            if self.table.parked_count:
                self._router.admit(session)
            if lost:
                self.keep_alive.lose(session, lost, LOST_DESTROYED)
            for seq, reply in outcomes:
                self._on_outcome(slot, seq, reply)
            if session.abandoned:
                self.keep_alive.not_cleared(session)
        elif status == EXPIRED:
            self.sessions.lose(session, EXPIRED_BY_SLOT, is_answered_each=True)
        elif status == NOT_LEADER and leader is not None:
            self._step.effects.append(Hint(slot, leader, term, 0))

    def _on_outcome(self, slot: int, seq: int, reply: Reply) -> None:
        """An acknowledgement repeats the outcome of a waiting call."""
        call = self.table.numbered(slot, seq)
        if call is not None and (not self.sessions.lost or self.sessions.resolve(call)):
            self._on_answer(call, reply)

    def _keep_alives_due(self) -> None:
        for session in self.keep_alive.due():
            # An unanswered close is made good by the session's expiry.
            self._router.dispatch(self._close_of(session))
        self._name()
        self.keep_alive.arm_anew()

    def _name(self, *, is_woken: bool = False) -> None:
        for session, row in self.keep_alive.to_ask_around(is_woken=is_woken):
            self._router.dispatch(self._router.aside(Purpose.KEEP_ALIVE, session, OP_KEEPALIVE, pack(row)))

    def _close_of(self, session: ClientSession) -> Call:
        return self._router.aside(Purpose.CLOSE, session, OP_WRITE, pack([CLOSE, session.number]))

    # -- instants

    def _woken(self, one: inputs.Woken) -> None:
        alarm = one.alarm
        if alarm is Alarm.CALLS:
            for key in self.table.deadlines.due():
                self._on_due(key)
        elif alarm is Alarm.KEEP_ALIVE:
            self._keep_alives_due()
        elif alarm is Alarm.LOST:
            self.sessions.woken()
        elif alarm is Alarm.FOLLOW:
            self._follow(is_woken=True)
        elif alarm is Alarm.TELL_LOST:
            self.keep_alive.tell_lost(is_woken=True)
        elif alarm is Alarm.NAME:
            self._name(is_woken=True)
        else:
            self._park_cut_off(is_woken=True)

    def _on_due(self, key: int) -> None:
        if key == RETRY:
            self._retries.retry()
            return
        call = self.table.calls.get(abs(key))
        if call is None:
            return
        if key < 0:
            self._router.withdraw(call)
        else:
            self._overdue(call)

    def _overdue(self, call: Call) -> None:
        surroundings = self._surroundings
        error = overdue(call, None if surroundings.linked() else surroundings.answers())
        self._router.give_up(call)
        self._router.fail(call, error)

    # -- links, leaders, limits

    def _never_left(self, one: inputs.NeverLeft) -> None:
        call = self.table.calls.get(one.call_id)
        if call is not None and call.sent_to == one.node_id:
            call.move(CallEvent.REFUSE)
            self.table.park(call)

    def _too_large(self, one: inputs.TooLarge) -> None:
        call = self.table.calls.get(one.call_id)
        if call is not None:
            call.move(CallEvent.REFUSE)
            self._router.give_up(call)
            self._router.fail(call, one.error)

    def _limited(self, one: inputs.Limited) -> None:
        self.sessions.limited(one.max_value_bytes, one.max_window_replies)

    def _lasting(self, one: inputs.Lasting) -> None:
        self.sessions.ttl_ms = one.ttl_ms
        self.keep_alive.own_ttl_ns = one.ttl_ms * SECOND_NS // 1000

    def _topology_changed(self, one: inputs.TopologyChanged) -> None:
        """Something about the cluster changed: park no longer, and follow leaders that moved."""
        topology = self._surroundings.topology()
        if topology is None:
            return
        self.sessions.enter(topology)
        self.sessions.follow(topology)
        self._retries.wake(topology)
        self._moves.follow(topology)
        self._follow()
        self.keep_alive.follow(topology)

    def _follow(self, *, is_woken: bool = False) -> None:
        for call in self._moves.to_send(is_woken=is_woken):
            self._router.resume(call)

    def _link_up(self, one: inputs.LinkUp) -> None:
        self.relay_paths.link_up(one.node_id)
        self._retries.wake()

    def _link_down(self, one: inputs.LinkDown) -> None:
        """A link ended: what was sent on it is in doubt, and sent again."""
        self.relay_paths.link_down(one.node_id, has_failed=one.has_failed)
        self._moves.cut_off(one.node_id, self.attempts)
        self._park_cut_off()

    def _park_cut_off(self, *, is_woken: bool = False) -> None:
        for call, node_id in self._moves.to_park(is_woken=is_woken):
            self.table.park(call)
            # Others may have been tried on the next link before that.
            if self._surroundings.is_linked(node_id) and self._router.has_way(call.slot):
                self.table.retry_now(call.slot)

    # -- the end

    def _end_calls(self, one: inputs.EndCalls) -> None:
        self._is_closed = True
        self.sessions.close()
        self._moves.close()
        for call in list(islice(self.table.calls.values(), one.most)):
            error = left_alone(call)
            if call.entity[0] == QUEUE and call.may_be_applied:
                # Its session ends, and with it what it waits for, but not what it may have been given by now.
                self._router.give_up(call)
            self._router.fail(call, error)

    def _end_sessions(self, one: inputs.EndSessions) -> None:
        closes = []
        for session in list(self.sessions_by_slot.values()):
            self.keep_alive.lose_all(session, CLOSED, abandon=False)
            if one.is_told and session.number is not None:
                closes += self._last_words(session)
        self._router.closing.update((call.call_id, None) for call in closes)
        for call in closes:
            self._router.dispatch(call)
        self.sessions_by_slot.clear()
        if not one.is_told:
            self.keep_alive.close()
            self.table.deadlines.close()
        elif not closes:
            self._step.effects.append(SessionsClosed())

    def _last_words(self, session: ClientSession) -> list[Call]:
        rows: list[list[object]] = [[seq, *of] for seq, of in session.abandoned.items() if of[0] == QUEUE]
        if not rows:
            return [self._close_of(session)]
        # On the same link, so before it: the slot forgets with the session who took what.
        payload = _abandon_entry(session, rows[:CONFIRMED_AT_ONCE])
        return [self._router.aside(Purpose.CLOSE, session, OP_WRITE, payload), self._close_of(session)]

    _HANDLERS: ClassVar[dict[type, Callable[[SessionCore, Any], None]]] = {
        Call: _begin,
        list: _replied,
        inputs.Woken: _woken,
        inputs.KeptAlive: _kept_alive,
        inputs.Hinted: _hinted,
        inputs.GiveUp: _give_up,
        inputs.Taken: _taken,
        Held: _let_go,
        inputs.ReleaseFailed: _release_failed,
        inputs.AskSoon: _ask_soon,
        inputs.ConfirmLoss: _confirm_loss,
        inputs.NeverLeft: _never_left,
        inputs.TooLarge: _too_large,
        inputs.Limited: _limited,
        inputs.Lasting: _lasting,
        inputs.TopologyChanged: _topology_changed,
        inputs.LinkUp: _link_up,
        inputs.LinkDown: _link_down,
        inputs.EndCalls: _end_calls,
        inputs.EndSessions: _end_sessions,
    }


def _abandon_entry(session: ClientSession, rows: list[list[object]]) -> bytes:
    return pack([ABANDON, session.number, session.ack_watermark, rows])


def _row(row: Any) -> list[Any]:
    if not isinstance(row, list) or len(row) != 7:
        raise RemoteProtocolError("keep-alive answer: expected rows of seven")
    return row
