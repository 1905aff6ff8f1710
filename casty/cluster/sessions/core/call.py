"""One call of a gateway, as a value: what is asked, where its life stands, and what it ends with."""

from __future__ import annotations

from enum import IntEnum

from casty.cluster.sessions.core.client_session import ClientSession, Entity, Held
from casty.cluster.sessions.core.life import NEXT, CallEvent, CallState, illegal
from casty.cluster.slots.schema import CANCEL, COMMAND
from casty.config import SECOND_NS
from casty.distributed.machines.base import EVENTS, KIND_NAMES, MAP, Reply
from casty.distributed.machines.events import log_label
from casty.distributed.machines.map import map_label
from casty.wire.pack import pack

__all__ = ["IS_PARKED", "Call", "Purpose"]

_READY, _SENT, _RESENT, _DONE = CallState.READY, CallState.SENT, CallState.RESENT, CallState.DONE
IS_PARKED = tuple(state in (
    CallState.PARKED, CallState.PARKED_IN_DOUBT, CallState.PARKED_QUEUED, CallState.PARKED_WITHDRAWING
) for state in CallState)  # fmt: skip
"""By state, whether a call is parked."""
_QUEUED_ONES = (CallState.QUEUED, CallState.READY_QUEUED, CallState.PARKED_QUEUED)


class Purpose(IntEnum):
    """For whom a call is: who hears of its end."""

    OWNER = 0
    OPEN = 1
    """Opens a session; it has no deadline, and ends with its answer or with the session."""
    CLOSE = 2
    KEEP_ALIVE = 3
    """Keeps a session alive whose slot's leader is out of reach."""


_OWNER = Purpose.OWNER


class Call:
    """What a caller waits for.

    Parameters
    ----------
    operation, entity
        What is asked, and of what; neither changes.
    now_ns, timeout_ns
        When it begins, and how long it may take; None for ever.
    """

    __slots__ = (
        "attempt", "call_id", "command", "deadline_ns", "entity", "held", "is_urgent", "is_waiting", "leader",
        "only_in", "operation", "payload", "purpose", "put_off", "reply", "sent_to", "seq", "session", "slot",
        "started_ns", "state",
    )  # fmt: skip

    def __init__(self, operation: int, entity: Entity, now_ns: int, timeout_ns: int | None) -> None:
        self.call_id = 0
        """0 until the table of calls has it; then above that of every call before, and never another one's."""
        self.operation = operation
        self.entity = entity
        self.started_ns = now_ns
        """Never changes, and never later than any attempt: a session that it opens, or keeps alive, is covered from
        here."""
        self.deadline_ns = None if timeout_ns is None else now_ns + timeout_ns
        """At this instant it ends, whatever its state."""
        self.state = _READY
        """Moves as `life.NEXT` says and no other way."""
        self.purpose = _OWNER
        """Set before it begins, as are the four that follow."""
        self.is_waiting = False
        """Whether it may be answered ``queued``, and granted something; then it is withdrawn before its deadline."""
        self.is_urgent = False
        """Whether it gets a number though the window is full: it makes room."""
        self.only_in: ClientSession | None = None
        """The one session in which it means anything: that of the hold which a release ends."""
        self.command: object = None
        """What is asked of the structure; in `payload` once it has a number. None for what is about the session
        itself."""
        self.slot = -1
        """-1 until a topology says; the same from then on, as kinds and names hash to a slot for good."""
        self.session: ClientSession | None = None
        """Whose number it has; None exactly while `seq` is 0, but for what the gateway itself asks about a session."""
        self.seq = 0
        """0 for what needs no number (reads, opens, withdrawals) and until a session gave one. It is sent again under
        the same number for as long as it may have been applied."""
        self.payload = b""
        """What is sent: made with the number, the log entry as leader and followers store it. Empty until then."""
        self.attempt = 0
        """Which of the gateway's attempts to send anything was its latest: tells what left on a link that ended."""
        self.sent_to: str | None = None
        """Whom the attempt under way went to; None while it is parked."""
        self.leader: str | None = None
        """Who was thought to lead at the latest attempt: `sent_to`, or whom that one passes it on to."""
        self.held: Held | None = None
        """What it was granted, once it is over; the same object as in `session.held` while it is held."""
        self.reply: Reply | None = None
        """What it was answered, once it is over with that and not with an error."""
        self.put_off = ""
        """Why the slot's leader did not take it, the last time that it said so."""

    def move(self, event: CallEvent) -> None:
        """Something happened to the call; it raises `AssertionError` where that cannot be."""
        following = NEXT[self.state][event]
        assert following is not None, illegal(self.state, event)
        self.state = following

    @property
    def is_parked(self) -> bool:
        """Whether it waits until something can be sent for it."""
        return IS_PARKED[self.state]

    @property
    def may_be_applied(self) -> bool:
        """Whether an attempt left that was not refused."""
        return _SENT <= self.state < _DONE

    @property
    def was_in_doubt(self) -> bool:
        """Whether it may be applied, whatever becomes of the attempt under way."""
        return _RESENT <= self.state < _DONE

    @property
    def is_queued(self) -> bool:
        """Whether the slot said last that it waits."""
        return self.state in _QUEUED_ONES

    @property
    def is_given(self) -> bool:
        """Whether its answer is an item that its caller does not have yet."""
        return self.state is CallState.GIVEN

    @property
    def is_withdrawing(self) -> bool:
        """Whether its withdrawal is sent, and not its command."""
        return CallState.WITHDRAWING <= self.state < _DONE

    @property
    def timeout_s(self) -> float | None:
        """How long it may take; None for ever."""
        return None if self.deadline_ns is None else (self.deadline_ns - self.started_ns) / SECOND_NS

    def entry(self, session: ClientSession) -> bytes:
        """Return the log entry of a numbered call, with the marks of this moment."""
        kind, name = self.entity
        ack, wait = session.ack_watermark, session.wait_watermark
        return pack([COMMAND, session.number, self.seq, ack, wait, kind, name, self.command])

    def withdraw(self) -> None:
        """From now on its withdrawal is sent, under the same number."""
        assert self.session is not None, "what may be applied has a number, and a number comes from a session"
        self.move(CallEvent.WITHDRAW)
        self.payload = pack([CANCEL, self.session.number, self.seq, *self.entity])

    def unnumber(self) -> None:
        """Its session is gone and it was never applied there: it takes part in the next one."""
        self.move(CallEvent.RENUMBER)
        self.session = None
        self.seq, self.payload = 0, b""

    def __str__(self) -> str:
        """Name what was called, for the text of an error."""
        kind, entity = self.entity
        name = KIND_NAMES.get(kind, "call")
        if not entity:
            return name
        if kind == MAP:
            return f"{name} {map_label(entity)}"
        if kind == EVENTS:
            return f"{name} of {log_label(entity):.100}"
        return f"{name} {entity.decode(errors='replace')!r:.100}"
