"""What may happen to the sessions of a gateway: one input a step."""

from __future__ import annotations

from typing import Any, NamedTuple

from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.client_session import ClientSession, Held
from casty.cluster.sessions.core.effects import Alarm
from casty.errors import MessageTooLarge

__all__ = [
    "AskSoon",
    "ConfirmLoss",
    "EndCalls",
    "EndSessions",
    "GiveUp",
    "Hinted",
    "Input",
    "KeptAlive",
    "Lasting",
    "Limited",
    "LinkDown",
    "LinkUp",
    "NeverLeft",
    "ReleaseFailed",
    "Replied",
    "Taken",
    "TooLarge",
    "TopologyChanged",
    "Woken",
]


class GiveUp(NamedTuple):
    """Nobody waits for the call any more; its answer may have come already."""

    call: Call


class Taken(NamedTuple):
    """The caller has the item that its call was answered with; nothing of it is put back any more."""

    call: Call


Replied = list[Any]
"""A node answered a call: ``[call id, reply]``, as a frame brings it; the reply has a status at least."""


class KeptAlive(NamedTuple):
    """A node acknowledged a keep-alive: rows of seven."""

    nonce: int
    rows: list[list[Any]]


class NeverLeft(NamedTuple):
    """There was no link when a request was to be sent."""

    node_id: str
    call_id: int


class TooLarge(NamedTuple):
    """No frame to its node can hold the request."""

    call_id: int
    error: MessageTooLarge


class Hinted(NamedTuple):
    """What an answer said about a slot's leader was taken note of; see `effects.Hint`."""

    slot: int
    leader: str
    call_id: int


class TopologyChanged(NamedTuple):
    """Something about the cluster changed: what it is, the surroundings tell."""


class LinkUp(NamedTuple):
    """A node can be reached (again)."""

    node_id: str


class LinkDown(NamedTuple):
    """A link ended: what was sent on it is in doubt. `has_failed`: because the other end was silent for too long."""

    node_id: str
    has_failed: bool = False


class Woken(NamedTuple):
    """The instant of an alarm has come."""

    alarm: Alarm


class Limited(NamedTuple):
    """The cluster tells its limits: bytes of a command, and replies that a slot keeps of one session."""

    max_value_bytes: int
    max_window_replies: int


class Lasting(NamedTuple):
    """Sessions that are opened from now on live so long without being heard of, and not as long as is usual."""

    ttl_ms: int


class ReleaseFailed(NamedTuple):
    """The command that gives a hold back came to nothing: keep-alives withdraw the hold instead."""

    held: Held


class AskSoon(NamedTuple):
    """Something may have become of what is held in this session: the slot is asked at once."""

    session: ClientSession


class ConfirmLoss(NamedTuple):
    """What was held is destroyed: it is lost here, and the slot hears so by `call` and not by a keep-alive."""

    call: Call
    session: ClientSession
    seqs: list[int]


class EndCalls(NamedTuple):
    """The owner leaves: no call begins any more, and so many of those under way end."""

    most: int


class EndSessions(NamedTuple):
    """Every session ends with its holds; `is_told` says whether the slots hear so."""

    is_told: bool


# What every call comes with is given as it is: a named tuple around it costs as much as five calls of a function.
Input = (
    Call | GiveUp | Taken | Replied | KeptAlive | NeverLeft | TooLarge | Hinted | TopologyChanged | LinkUp | LinkDown
    | Woken | Limited | Lasting | Held | ReleaseFailed | AskSoon | ConfirmLoss | EndCalls | EndSessions
)  # fmt: skip
"""A call of the owner's is given when it begins.

A hold is given when its owner gives it back: it is held no more, and not lost either. A command follows that tells the
slot.
"""
