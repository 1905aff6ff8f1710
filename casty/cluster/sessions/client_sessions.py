"""The sessions of one gateway, one in each slot that it uses: opened by the first use, lost with the slot's word.

Life of a session: none -> opening (the same opening is sent until it is answered) -> open -> closed by its owner,
or *lost*: expired by the slot, or gone with the slot's epoch or the cluster's generation. A lost session takes its
holds along. Its calls that certainly were not applied get a number in the next one; the others end `OutcomeUnknown`.

A session is lost at once, with its holds: no call is sent in it any more. Its calls, which may be thousands, are
settled in parts, `SETTLED_AT_ONCE` a turn. Whatever comes for one that still waits for that settles it first: it is not
sent again, for its number may be somebody else's by now, and no answer counts for it any more. A deadline, a
cancellation and the end of the gateway end it as any call.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from casty.cluster.control.topology import Topology
from casty.cluster.sessions.call import Call, refusal_of, seen
from casty.cluster.sessions.call_table import CallTable
from casty.cluster.sessions.client_session import Ledger
from casty.cluster.sessions.grant import Hold
from casty.cluster.sessions.keepalive import KeepAlive
from casty.cluster.slots.operations import OP_WRITE
from casty.cluster.slots.schema import OPEN, OPEN_FOR
from casty.config import Settings
from casty.distributed.machines.base import OK, Reply
from casty.distributed.machines.record import wrapper_bytes
from casty.errors import MessageTooLarge, OutcomeUnknown, SessionExpired
from casty.limits import MAX_NAME_BYTES
from casty.ports import Runtime, Timer
from casty.wire.pack import pack

__all__ = ["EXPIRED_BY_SLOT", "CallSessions", "SessionOwner"]

WINDOW_MARGIN = 64
"""Numbers of the slot's window left free for releases, withdrawals and what is on its way."""

ADMITTED_AT_ONCE = 16
"""Calls that one answer lets into a session: answers for all slots may come in one frame."""

SETTLED_AT_ONCE = 256
"""Calls on the slots of lost sessions that are looked at in one turn of the loop: about a millisecond."""

EXPIRED_BY_SLOT = "the cluster expired the session"
ANEW = "the slot began anew"
OTHER_GENERATION = "another generation of the cluster took over"


class _Lost(NamedTuple):
    """A session that is lost, and the calls of its slot at that moment that were not looked at, the first last."""

    ledger: Ledger[Hold]
    calls: list[Call]
    reason: str
    is_answered_each: bool


class SessionOwner(Protocol):
    """Whose calls they number; see `CallRouter`."""

    @property
    def keep_alive(self) -> KeepAlive:
        """What keeps the sessions alive."""
        ...

    def dispatch(self, call: Call) -> None:
        """Send a call on its way."""

    def resume(self, call: Call) -> None:
        """Send a call on its way that was parked."""

    def conclude(self, call: Call, reply: Reply) -> None:
        """Give a call its final answer."""


class CallSessions:
    """The sessions of one gateway, and the numbers of its calls.

    Parameters
    ----------
    owner, table
        Whose they are, and its calls.
    runtime, settings
        Ports and bounds.
    gateway_id
        Identity of this process in sessions, for people who look at them.
    """

    __slots__ = (
        "_clock", "_cluster_id", "_entropy", "_gateway_id", "_left", "_max_bytes", "_openings", "_owner",
        "_settling", "_table", "_window", "ledgers", "lost", "ttl_ms",
    )  # fmt: skip

    def __init__(
        self,
        owner: SessionOwner,
        table: CallTable,
        runtime: Runtime,
        settings: Settings,
        gateway_id: bytes,
    ) -> None:
        self._owner = owner
        self._table = table
        self._clock = runtime.clock
        self._entropy = runtime.entropy
        self._gateway_id = gateway_id[:MAX_NAME_BYTES]
        self.limited(settings.max_value_bytes, settings.max_window_replies)
        self._cluster_id = ""
        self.ttl_ms = 0
        """How long a session lives without being heard of; 0 for what is usual in the cluster."""
        self._openings: dict[int, Call] = {}
        self.ledgers: dict[int, Ledger[Hold]] = {}
        self.lost: dict[Ledger[Hold], _Lost] = {}
        """Lost sessions with calls to look at; a row goes with the last of them."""
        self._settling: Timer | None = None
        self._left = SETTLED_AT_ONCE
        """How many calls may still be settled in this turn of the loop."""

    def limited(self, max_value_bytes: int, max_window_replies: int) -> None:
        """Keep to these limits of the cluster from now on."""
        self._max_bytes = max_value_bytes
        self._window = max_window_replies - min(WINDOW_MARGIN, max_window_replies // 4)

    def enter(self, topology: Topology) -> None:
        """See that no session of another cluster generation is used."""
        if topology.cluster_id == self._cluster_id:
            return
        if self._cluster_id:
            for ledger in list(self.ledgers.values()):
                self.lose(ledger, OTHER_GENERATION)
        self._cluster_id = topology.cluster_id

    def follow(self, topology: Topology) -> None:
        """See that no session of an earlier epoch of its slot is used."""
        for ledger in list(self.ledgers.values()):
            if ledger.epoch != topology.epoch_of(ledger.slot):
                self.lose(ledger, ANEW)

    def is_opening(self, call: Call) -> bool:
        """Whether the call opens a session."""
        return call is self._openings.get(call.slot)

    def is_current(self, ledger: Ledger[Hold]) -> bool:
        """Whether that session is the one in use in its slot."""
        return self.ledgers.get(ledger.slot) is ledger

    def is_of_former_epoch(self, call: Call, topology: Topology) -> bool:
        """Whether the call is of an earlier epoch of its slot, where its number may be somebody else's by now."""
        ledger = call.ledger
        if ledger is None or ledger.epoch == topology.epoch_of(call.slot):
            return False
        self.lose(ledger, ANEW)
        self.settle(call)
        return call.ledger is ledger

    def number(self, call: Call, topology: Topology) -> bool:
        """Give a command its number and bytes; False when it has to wait for a session or for the window."""
        ledger = self.ledgers.get(call.slot)
        epoch = topology.epoch_of(call.slot)
        if ledger is not None and ledger.epoch != epoch:
            self.lose(ledger, ANEW)
            ledger = None
        if call.only_in is not None and ledger is not call.only_in:
            # The hold ended with its session, and its number names somebody else's request in the next one.
            self._owner.conclude(call, [OK, False])
            return False
        if ledger is None:
            attempt = self._entropy.token("attempt", 16)
            ledger = self.ledgers[call.slot] = Ledger(call.slot, epoch, attempt, self._clock.now())
        if ledger.number is None:
            self._open(ledger)
            self._table.park(call)
            return False
        now_ns = self._clock.now()
        if now_ns >= ledger.covered_until_ns:
            # Expired by this clock: a call that is sent in it might end in doubt for no reason. The slot is asked.
            self._owner.keep_alive.ask(ledger)
            self._table.park(call)
            return False
        if self.is_full(ledger) and not call.is_urgent:
            self._table.park(call)
            return False
        call.seq = ledger.take()
        call.ledger = ledger
        if call.is_waiting:
            self._table.number(call)
            ledger.waiting[call.seq] = call.entity
        ledger.used_ns = now_ns
        call.payload = call.entry(ledger)
        most_bytes = self._max_bytes
        if len(call.payload) > most_bytes and len(call.payload) > most_bytes + wrapper_bytes(call.command):
            self._table.forget(call)
            ledger.waiting.pop(call.seq, None)
            ledger.answered(call.seq)
            call.fail(MessageTooLarge(
                f"expected at most max_value_bytes = {self._max_bytes} bytes in a command, "
                f"found {len(call.payload) - wrapper_bytes(call.command)}"
            ))  # fmt: skip
            return False
        return True

    def _open(self, ledger: Ledger[Hold]) -> None:
        if ledger.slot in self._openings:
            return
        call = self._table.make(OP_WRITE, (0, b""), None)
        call.future.add_done_callback(seen)  # nobody awaits it
        call.slot = ledger.slot
        opening: list[object] = [OPEN, ledger.attempt, self._gateway_id]
        call.payload = pack([OPEN_FOR, *opening[1:], self.ttl_ms] if self.ttl_ms else opening)
        self._openings[ledger.slot] = call
        self._table.add(call)
        self._owner.dispatch(call)

    def opened(self, call: Call, reply: Reply) -> None:
        """Take the final answer to an opening."""
        self._openings.pop(call.slot, None)
        self._table.forget(call)
        ledger = self.ledgers[call.slot]
        if reply[0] == OK:
            ledger.number = reply[1]
            self._owner.keep_alive.covered(ledger, call.started_ns)
            self.admit(ledger)
            return
        del self.ledgers[call.slot]
        for one in self._table.unnumbered(call.slot, SETTLED_AT_ONCE):
            self._table.forget(one)
            one.fail(refusal_of(reply))
        # The others ask again, and hear the same or better.
        self._table.admit_soon(call.slot)

    def is_full(self, ledger: Ledger[Hold]) -> bool:
        """Whether the slot, or a keep-alive, would have to name too many numbers."""
        return ledger.outstanding + len(ledger.abandoned) >= self._window

    def admit(self, ledger: Ledger[Hold]) -> None:
        """The window moved: let calls in that waited for it, some now and the others in the next turn."""
        table = self._table
        admitted = 0
        while table.parked_count and not self.is_full(ledger) and self.is_current(ledger):
            first = table.first_unnumbered(ledger.slot)
            if first is not None and admitted >= ADMITTED_AT_ONCE:
                table.admit_soon(ledger.slot)
                return
            admitted += 1
            if first is None:
                return
            before = ledger.next_seq
            self._owner.resume(first)
            if ledger.next_seq == before:
                return

    def on_expired(self, call: Call) -> None:
        """The session was gone before this attempt; other first attempts hear the same, each by itself."""
        ledger = call.ledger
        assert ledger is not None, "a number comes from a ledger"
        if self.is_current(ledger):
            self.lose(ledger, EXPIRED_BY_SLOT, is_answered_each=True)
        if call.call_id in self._table.calls:
            if call.was_in_doubt or call.is_queued:
                self._unknown(call, EXPIRED_BY_SLOT)
            else:
                self._unnumber(call)
                self._owner.dispatch(call)

    def lose(self, ledger: Ledger[Hold], reason: str, *, is_answered_each: bool = False) -> None:
        """The session is gone: its holds are lost, what was sent in it is unknown, the next use opens anew."""
        if self.is_current(ledger):
            del self.ledgers[ledger.slot]
            opening = self._openings.pop(ledger.slot, None)
            if opening is not None:
                # Its answer would be taken for that of the next one.
                self._table.forget(opening)
        self._owner.keep_alive.lose_all(ledger, reason, abandon=False)
        # All of the slot: which of them are in it is asked one by one when their turn comes.
        calls = self._table.of_slot(ledger.slot)
        if calls and not (is_answered_each and ledger in self.lost):
            calls.reverse()
            self.lost[ledger] = _Lost(ledger, calls, reason, is_answered_each)
            self._settle_some()

    def settle(self, call: Call) -> bool:
        """Settle a call of a lost session whose turn has not come; False when it is over with that."""
        lost = None if call.ledger is None else self.lost.get(call.ledger)
        if lost is not None and call.seq:
            self._settle(call, lost)
        return call.call_id in self._table.calls

    def close(self) -> None:
        """Settle nothing any more: whoever closes ends all calls."""
        self.lost.clear()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def _settle(self, call: Call, lost: _Lost) -> None:
        if not call.may_be_applied:
            self._unnumber(call)
        elif call.was_in_doubt or call.is_queued or call.is_parked or not lost.is_answered_each:
            self._unknown(call, lost.reason)

    def _settle_some(self) -> None:
        """Settle what this turn has room for; the rest follows in the next ones."""
        while self.lost and self._left > 0:
            lost = next(iter(self.lost.values()))
            call = lost.calls.pop()
            self._left -= 1
            if call.ledger is lost.ledger and call.seq and call.call_id in self._table.calls:
                self._settle(call, lost)
            if not lost.calls:
                self.lost.pop(lost.ledger, None)
        if self._left < SETTLED_AT_ONCE and self._settling is None:
            self._settling = self._clock.call_at(self._clock.now(), self._settle_on)

    def _settle_on(self) -> None:
        self._settling = None
        self._left = SETTLED_AT_ONCE
        self._settle_some()

    def _unnumber(self, call: Call) -> None:
        is_parked = call.is_parked
        if is_parked:
            self._table.unpark(call)
        self._table.unnumber(call)
        call.unnumber()
        if is_parked:
            self._table.park(call)

    def _unknown(self, call: Call, reason: str) -> None:
        self._table.forget(call)
        error = OutcomeUnknown(f"{reason} while the call was under way")
        error.__cause__ = SessionExpired(reason)
        call.fail(error)
