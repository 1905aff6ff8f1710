"""What a step comes to: what is to be sent, who is to be told, and when the core wants to be woken."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.client_session import Held
from casty.errors import CastyError

__all__ = [
    "Alarm",
    "Effect",
    "Fail",
    "Hint",
    "Item",
    "Lost",
    "Send",
    "SendKeepAlive",
    "SessionsClosed",
    "Step",
    "WakeAt",
]

Item = tuple[int, int, int, int, bytes, bytes]
"""(call id, slot, epoch, operation, payload, proof of the session in the payload, empty where there is none)."""


class Alarm(IntEnum):
    """The reasons to be woken; there is one alarm of each."""

    CALLS = 0
    """Deadlines, withdrawals and retries of calls."""
    KEEP_ALIVE = 1
    """Keep-alives that are due, and holds whose time runs out."""
    LOST = 2
    """More calls of lost sessions are to be looked at."""
    FOLLOW = 3
    """More calls are to be sent to a new leader."""
    CUT_OFF = 4
    """More calls of a link that ended are to be looked at."""
    TELL_LOST = 5
    """More owners are to hear that what they held is lost."""
    NAME = 6
    """More frames of keep-alives are to be sent."""


Send = tuple[str, Item]
"""A request for a node, (node id, item); several for one node leave together at the end of the turn.

A plain tuple, as a call that is answered is given as it is: every call comes to one of each, and to make a named tuple
costs as much as five calls of a function.
"""


class SendKeepAlive(NamedTuple):
    """A keep-alive for a node: ``[nonce, rows]``."""

    node_id: str
    nonce: int
    rows: list[list[object]]


class Fail(NamedTuple):
    """A call of the owner's is over with an error."""

    call: Call
    error: CastyError | TimeoutError


class Lost(NamedTuple):
    """A hold is over before its owner gave it back."""

    held: Held
    reason: str


class Hint(NamedTuple):
    """An answer named a slot's leader; of a keep-alive if `call_id` is 0. `Hinted` follows when it is taken note of."""

    slot: int
    leader: str
    term: int
    call_id: int


class WakeAt(NamedTuple):
    """Wake the core at an instant, and not at an earlier one that was wanted; None: not at all."""

    alarm: Alarm
    when_ns: int | None


class SessionsClosed(NamedTuple):
    """Each slot that was told of the end of its session has answered, or its time is up."""


Effect = Send | SendKeepAlive | Call | Fail | Held | Lost | Hint | WakeAt | SessionsClosed
"""A call of the owner's is given when it is over with a reply, which it has by then, as what it was granted.

A hold is given when its owner gave it back.
"""


class Step:
    """The step under way: its instant, and what it has come to so far."""

    __slots__ = ("effects", "now_ns")

    def __init__(self) -> None:
        self.now_ns = 0
        self.effects: list[Effect] = []

    def wake(self, alarm: Alarm, when_ns: int | None) -> None:
        """Set one alarm."""
        self.effects.append(WakeAt(alarm, when_ns))
