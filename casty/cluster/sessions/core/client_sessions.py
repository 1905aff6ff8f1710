"""The sessions of one gateway, one in each slot that it uses: opened by the first use, lost with the slot's word.

Life of a session: none -> opening (the same opening is sent until it is answered) -> open -> closed by its owner,
or *lost*: expired by the slot, or gone with the slot's epoch or the cluster's generation. A lost session takes its
holds along. Its calls that certainly were not applied get a number in the next one; the others end `OutcomeUnknown`.

A session is lost at once, with its holds: no call is sent in it any more. Its calls, which may be thousands, are
resolved in parts, `RESOLVED_AT_ONCE` a turn: each goes on in the next session, or ends in doubt. Whatever comes for one
that still waits for that resolves it first: it is not sent again, for its number may be somebody else's by now, and no
answer counts for it any more. A deadline, a cancellation and the end of the gateway end it as any call.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from casty.cluster.control.topology import Topology
from casty.cluster.sessions.core.answers import refusal_of
from casty.cluster.sessions.core.call import Call, Purpose
from casty.cluster.sessions.core.call_table import CallTable
from casty.cluster.sessions.core.client_session import ClientSession
from casty.cluster.sessions.core.effects import Alarm, Fail, Step
from casty.cluster.sessions.core.keepalive import KeepAlive
from casty.cluster.slots.operations import OP_WRITE
from casty.cluster.slots.schema import OPEN, OPEN_FOR
from casty.config import Settings
from casty.distributed.machines.base import Reply
from casty.distributed.machines.record import wrapper_bytes
from casty.errors import MessageTooLarge, OutcomeUnknown, SessionExpired
from casty.limits import MAX_NAME_BYTES
from casty.wire.pack import pack

__all__ = ["EXPIRED_BY_SLOT", "CallSessions", "Numbering"]

WINDOW_MARGIN = 64
"""Numbers of the slot's window left free for releases, withdrawals and what is on its way."""

RESOLVED_AT_ONCE = 256
"""Calls on the slots of lost sessions that are looked at in one turn of the loop: about a millisecond."""

EXPIRED_BY_SLOT = "the cluster expired the session"
ANEW = "the slot began anew"
OTHER_GENERATION = "another generation of the cluster took over"


class _Lost(NamedTuple):
    """A session that is lost, and the calls of its slot at that moment that were not looked at, the first last."""

    session: ClientSession
    calls: list[Call]
    reason: str
    is_answered_each: bool


class Numbering(IntEnum):
    """What became of a command that needs a number."""

    TAKEN = 0
    """It has one, and its bytes."""
    NOT_OPEN = 1
    """There is a session without a number: it has to be opened, if it is not being opened."""
    IN_QUESTION = 2
    """The time of the session ran out by this clock: the slot has to be asked whether it lives on."""
    NO_ROOM = 3
    """The window is full."""
    MEANINGLESS = 4
    """The session that the command is about is gone, and with it what the command would end."""
    TOO_LARGE = 5
    """It has more bytes than the cluster takes; the number was given back."""


_TAKEN = Numbering.TAKEN


class CallSessions:
    """The sessions of one gateway, and the numbers of its calls.

    Parameters
    ----------
    step
        The step under way.
    sessions_by_slot
        The sessions in use, by slot: kept here.
    table, keep_alive
        The calls, and what keeps sessions alive.
    settings
        Bounds.
    gateway_id
        Identity of this process in sessions, for people who look at them.
    attempt
        Draws 128 bits that nobody can guess: the proof of a session.
    """

    __slots__ = (
        "_attempt", "_gateway_id", "_is_set", "_keep_alive", "_left", "_max_bytes", "_openings", "_step", "_table",
        "_window", "cluster_id", "lost", "sessions_by_slot", "ttl_ms",
    )  # fmt: skip

    def __init__(
        self,
        step: Step,
        sessions_by_slot: dict[int, ClientSession],
        table: CallTable,
        keep_alive: KeepAlive,
        settings: Settings,
        gateway_id: bytes,
        attempt: Callable[[], bytes],
    ) -> None:
        self._step = step
        self._table = table
        self._keep_alive = keep_alive
        self._attempt = attempt
        self._gateway_id = gateway_id[:MAX_NAME_BYTES]
        self.limited(settings.max_value_bytes, settings.max_window_replies)
        self.cluster_id = ""
        """The generation of which all sessions are; empty until a topology came."""
        self.ttl_ms = 0
        """How long a session lives without being heard of; 0 for what is usual in the cluster."""
        self._openings: dict[int, Call] = {}
        """The calls that open sessions, by slot; one for each session that waits for its number and no other."""
        self.sessions_by_slot = sessions_by_slot
        """At most one by slot, of its present epoch when it is used. None of them is in `lost`."""
        self.lost: dict[ClientSession, _Lost] = {}
        """Lost sessions with calls to look at; a row goes with the last of them."""
        self._is_set = False
        """Whether the alarm for the next turn is set: exactly while this turn's fill was begun."""
        self._left = RESOLVED_AT_ONCE
        """How many calls may still be resolved in this turn of the loop."""

    def limited(self, max_value_bytes: int, max_window_replies: int) -> None:
        """Keep to these limits of the cluster from now on."""
        self._max_bytes = max_value_bytes
        self._window = max_window_replies - min(WINDOW_MARGIN, max_window_replies // 4)

    def enter(self, topology: Topology) -> None:
        """See that no session of another cluster generation is used."""
        if topology.cluster_id == self.cluster_id:
            return
        if self.cluster_id:
            for session in list(self.sessions_by_slot.values()):
                self.lose(session, OTHER_GENERATION)
        self.cluster_id = topology.cluster_id

    def follow(self, topology: Topology) -> None:
        """See that no session of an earlier epoch of its slot is used."""
        for session in list(self.sessions_by_slot.values()):
            if session.epoch != topology.epoch_of(session.slot):
                self.lose(session, ANEW)

    def is_current(self, session: ClientSession) -> bool:
        """Whether that session is the one in use in its slot."""
        return self.sessions_by_slot.get(session.slot) is session

    def is_of_former_epoch(self, call: Call, epoch: int) -> bool:
        """Whether the call is of an earlier epoch of its slot, where its number may be somebody else's by now."""
        session = call.session
        if session is None or session.epoch == epoch:
            return False
        self.lose(session, ANEW)
        self.resolve(call)
        return call.session is session

    def number(self, call: Call, epoch: int) -> Numbering:
        """Give a command its number and bytes in this epoch of its slot, or say why it has none."""
        session = self.sessions_by_slot.get(call.slot)
        if session is not None and session.epoch != epoch:
            self.lose(session, ANEW)
            session = None
        if call.only_in is not None and session is not call.only_in:
            # The hold ended with its session, and its number names somebody else's request in the next one.
            return Numbering.MEANINGLESS
        now_ns = self._step.now_ns
        if session is None:
            session = self.sessions_by_slot[call.slot] = ClientSession(
                call.slot, epoch, self._attempt(), now_ns
            )
        if session.number is None:
            return Numbering.NOT_OPEN
        if now_ns >= session.covered_until_ns:
            # A call that is sent in it might end in doubt for no reason.
            return Numbering.IN_QUESTION
        if self.is_full(session) and not call.is_urgent:
            return Numbering.NO_ROOM
        call.seq = session.take()
        call.session = session
        if call.is_waiting:
            self._table.number(call)
            session.waiting[call.seq] = call.entity
        session.used_ns = now_ns
        payload = call.payload = call.entry(session)
        most_bytes = self._max_bytes
        if len(payload) > most_bytes and len(payload) > most_bytes + wrapper_bytes(call.command):
            self._table.end(call)
            session.waiting.pop(call.seq, None)
            session.answered(call.seq)
            return Numbering.TOO_LARGE
        return _TAKEN

    def too_large(self, call: Call) -> MessageTooLarge:
        """Return the error of a command that has more bytes than the cluster takes."""
        return MessageTooLarge(
            f"expected at most max_value_bytes = {self._max_bytes} bytes in a command, "
            f"found {len(call.payload) - wrapper_bytes(call.command)}"
        )

    def open(self, slot: int) -> Call | None:
        """Return the call that opens the session of a slot, in the table by now; None if one does so already."""
        if slot in self._openings:
            return None
        session = self.sessions_by_slot[slot]
        call = Call(OP_WRITE, (0, b""), self._step.now_ns, None)
        call.purpose = Purpose.OPEN
        call.slot = slot
        opening: list[object] = [OPEN, session.attempt, self._gateway_id]
        call.payload = pack([OPEN_FOR, *opening[1:], self.ttl_ms] if self.ttl_ms else opening)
        self._openings[slot] = call
        self._table.add(call)
        return call

    def opened(self, call: Call, reply: Reply) -> ClientSession:
        """The slot answered an opening: the session is open. Returns it."""
        self._end_opening(call)
        session = self.sessions_by_slot[call.slot]
        session.number = reply[1]
        self._keep_alive.covered(session, call.started_ns)
        return session

    def not_opened(self, call: Call, reply: Reply) -> None:
        """The slot refused an opening: who waits for it ends, as many as a turn has room for."""
        self._end_opening(call)
        del self.sessions_by_slot[call.slot]
        for one in self._table.unnumbered(call.slot, RESOLVED_AT_ONCE):
            self._table.end(one)
            self._step.effects.append(Fail(one, refusal_of(reply)))
        # The others ask again, and hear the same or better.
        self._table.admit_soon(call.slot)

    def _end_opening(self, call: Call) -> None:
        self._openings.pop(call.slot, None)
        self._table.end(call)

    def is_full(self, session: ClientSession) -> bool:
        """Whether the slot, or a keep-alive, would have to name too many numbers."""
        return session.next_seq - session.ack_watermark + len(session.abandoned) >= self._window

    def on_expired(self, call: Call) -> bool:
        """The session was gone before this attempt; other first attempts hear the same, each by itself.

        Returns whether the call goes on, in the next session.
        """
        session = call.session
        assert session is not None, "a number comes from a session"
        if self.is_current(session):
            self.lose(session, EXPIRED_BY_SLOT, is_answered_each=True)
        if call.call_id not in self._table.calls:
            return False
        if call.was_in_doubt:
            self._unknown(call, EXPIRED_BY_SLOT)
            return False
        if call.seq:
            self._unnumber(call)
        return True

    def lose(self, session: ClientSession, reason: str, *, is_answered_each: bool = False) -> None:
        """The session is gone: its holds are lost, what was sent in it is unknown, the next use opens anew."""
        if self.is_current(session):
            del self.sessions_by_slot[session.slot]
            opening = self._openings.pop(session.slot, None)
            if opening is not None:
                # Its answer would be taken for that of the next one.
                self._table.end(opening)
        self._keep_alive.lose_all(session, reason, abandon=False)
        # All of the slot: which of them are in it is asked one by one when their turn comes.
        calls = self._table.of_slot(session.slot)
        if calls and not (is_answered_each and session in self.lost):
            calls.reverse()
            self.lost[session] = _Lost(session, calls, reason, is_answered_each)
            self._resolve_some()

    def resolve(self, call: Call) -> bool:
        """Settle a call of a lost session whose turn has not come; False when it is over with that."""
        lost = None if call.session is None else self.lost.get(call.session)
        if lost is not None and call.seq:
            self._resolve(call, lost)
        return call.call_id in self._table.calls

    def close(self) -> None:
        """Settle nothing any more: whoever closes ends all calls."""
        self.lost.clear()
        if self._is_set:
            self._is_set = False
            self._step.wake(Alarm.LOST, None)

    def _resolve(self, call: Call, lost: _Lost) -> None:
        if not call.may_be_applied:
            self._unnumber(call)
        elif call.was_in_doubt or not lost.is_answered_each:
            self._unknown(call, lost.reason)

    def _resolve_some(self) -> None:
        """Settle what this turn has room for; the rest follows in the next ones."""
        while self.lost and self._left > 0:
            lost = next(iter(self.lost.values()))
            call = lost.calls.pop()
            self._left -= 1
            if call.session is lost.session and call.seq and call.call_id in self._table.calls:
                self._resolve(call, lost)
            if not lost.calls:
                self.lost.pop(lost.session, None)
        if self._left < RESOLVED_AT_ONCE and not self._is_set:
            self._is_set = True
            self._step.wake(Alarm.LOST, self._step.now_ns)

    def woken(self) -> None:
        """Another turn: resolve more calls of the lost."""
        self._is_set = False
        self._left = RESOLVED_AT_ONCE
        self._resolve_some()

    def _unnumber(self, call: Call) -> None:
        is_parked = call.is_parked
        if is_parked:
            self._table.unpark(call)
        self._table.unnumber(call)
        call.unnumber()
        if is_parked:
            self._table.park(call)

    def _unknown(self, call: Call, reason: str) -> None:
        self._table.end(call)
        error = OutcomeUnknown(f"{reason} while the call was under way")
        error.__cause__ = SessionExpired(reason)
        self._step.effects.append(Fail(call, error))
