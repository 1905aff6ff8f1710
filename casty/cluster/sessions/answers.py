"""What an answer of a slot means to the call that it ends: a hold, an item out of a queue, or neither. Pure."""

from __future__ import annotations

from casty.cluster.control.topology import Topology
from casty.cluster.sessions.call import Call
from casty.config import SECOND_NS
from casty.distributed.machines.base import HOLDING_KINDS, OK, QUEUE, Reply
from casty.errors import CastyError, NotStarted, OutcomeUnknown

__all__ = ["is_granted", "is_taken", "left_alone", "visible_until_ns"]


def is_granted(kind: int, reply: Reply) -> bool:
    """Whether the answer to a call that may wait is a hold: a token. Of a queue there are other answers as well."""
    return kind in (*HOLDING_KINDS, QUEUE) and reply[0] == OK and type(reply[1]) is int


def is_taken(kind: int, reply: Reply) -> bool:
    """Whether the answer to a numbered call is an item, which nobody else has any more."""
    return kind == QUEUE and reply[0] == OK and type(reply[1]) is bytes


def visible_until_ns(now_ns: int, topology: Topology | None, kind: int, reply: Reply) -> int | None:
    """When a hold that was answered now may end though its session lives; None is never.

    The slot's leader begins to count later, when a keep-alive names the hold; see `casty.cluster.slots.visibility`.
    """
    if kind != QUEUE or topology is None:
        return None
    return now_ns + int(reply[4] * SECOND_NS // 1000 * (1 - topology.drift))


def left_alone(call: Call) -> CastyError:
    """Return what a call ends with whose client or system is left: in doubt it may have been applied."""
    where = "the client or system was left while the call was under way"
    # What waits in line ends with the session; so does a grant that comes now.
    is_harmless = (call.is_queued and call.entity[0] != QUEUE) or call.entity[0] in HOLDING_KINDS
    if (call.may_be_applied or call.was_in_doubt) and not is_harmless:
        return OutcomeUnknown(f"{call}: {where}; it was applied once or never")
    return NotStarted(f"{call}: {where}; it was not applied")
