"""What an answer of a slot means to the call that it ends, and the errors that calls end with. Pure."""

from __future__ import annotations

from casty.cluster.control.topology import Topology
from casty.cluster.sessions.core.call import Call
from casty.config import SECOND_NS
from casty.distributed.machines.base import HOLDING_KINDS, MISMATCH, OK, OVERLOADED, QUEUE, Reply
from casty.errors import (
    CastyError,
    InternalError,
    Mismatch,
    NotStarted,
    OutcomeUnknown,
    Overloaded,
    Unavailable,
)

__all__ = ["is_granted", "is_taken", "left_alone", "overdue", "refusal_of", "visible_until_ns"]

GRANTING_KINDS = (*HOLDING_KINDS, QUEUE)
MAX_ANSWERS = 500
"""Characters of what contact points answered that an error tells."""


def is_granted(kind: int, reply: Reply) -> bool:
    """Whether the answer to a call that may wait is a hold: a token. Of a queue there are other answers as well."""
    return kind in GRANTING_KINDS and reply[0] == OK and type(reply[1]) is int


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


def refusal_of(reply: Reply) -> CastyError:
    """Return the error of calls whose session could not be opened."""
    if reply[0] == MISMATCH:
        low_s, high_s, found_s = (part / 1000 for part in reply[2:])
        return Mismatch(
            f"session_ttl_s: expected {low_s} to {high_s} s, as the cluster was founded with, found {found_s} s; "
            "nothing was changed: make the client with another one"
        )
    if reply[0] == OVERLOADED:
        return Overloaded(f"the slot reached {reply[1]} = {reply[2]}")
    return InternalError(f"the slot answered {reply} to an opening; please report")


def overdue(call: Call, answers: str | None) -> CastyError:
    """Return what a call ends with at its deadline; `answers` of contact points tell while nobody is linked."""
    alone = "" if answers is None else f"; linked with nobody: {answers[:MAX_ANSWERS]}"
    within = f"within {call.timeout_s} s{alone}"
    if call.may_be_applied:
        return OutcomeUnknown(
            f"{call}: no answer from slot {call.slot} {within}; it was applied once or never"
        )
    lack = (
        call.put_off or f"no route to slot {call.slot} or no leader"
        if call.slot >= 0
        else "no node told of the cluster"
    )
    return Unavailable(f"{call}: {lack} {within}; it was not applied")


def left_alone(call: Call) -> CastyError:
    """Return what a call ends with whose client or system is left: in doubt it may have been applied."""
    where = "the client or system was left while the call was under way"
    # What waits in line ends with the session; so does a grant that comes now.
    is_asking = call.is_waiting and call.entity[0] in HOLDING_KINDS
    is_harmless = is_asking or (call.is_queued and call.entity[0] != QUEUE)
    if call.may_be_applied and not is_harmless:
        return OutcomeUnknown(f"{call}: {where}; it was applied once or never")
    return NotStarted(f"{call}: {where}; it was not applied")
