"""The life of a call: its states, what happens to it, and which moves are legal.

A call is *ready* while a step decides about it, *parked* while nothing can be sent for it, *under way* while an answer
is awaited. What the slot may have of it makes the other half of a state:

- nothing: every attempt was refused before it was proposed, or there was none;
- *in doubt*: an attempt left, and nobody knows what became of it;
- *queued*: the slot said that the request waits in its log, so it was applied, and its outcome follows;
- *withdrawing*: its owner's time is nearly up, and what is sent for it is its withdrawal, under the same number.

An answer that is an item out of a queue is nobody else's any more. Until its caller has it (`GIVEN`) the slot does not
hear that it was answered: whoever gives the call up then has the item put back.

A read is never in doubt: it changes nothing. `SENT` is the first attempt of a change; until its answer comes it may be
applied, but a refusal still says that it was not. After `RESENT` a refusal says nothing about the attempt before.

Invariants that the table keeps, for every sequence of events:

- doubt once there stays, until the call is over or its session is known never to have applied it (`RENUMBERED`);
- a withdrawal is for good: no move leads from a withdrawing state to one in which the command itself is sent;
- whoever is over stays over, and of `GIVEN` only that is left;
- only what is not in doubt gets a number in another session: of a state in doubt `RENUMBERED` is no legal move.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["NEXT", "CallEvent", "CallState", "illegal"]


class CallState(IntEnum):
    """Where a call is, and what the slot may have of it. The order serves the questions that `Call` answers."""

    READY = 0
    PARKED = 1
    ASKED = 2
    SENT = 3
    RESENT = 4
    READY_IN_DOUBT = 5
    PARKED_IN_DOUBT = 6
    QUEUED = 7
    READY_QUEUED = 8
    PARKED_QUEUED = 9
    WITHDRAWING = 10
    READY_WITHDRAWING = 11
    PARKED_WITHDRAWING = 12
    DONE = 13
    GIVEN = 14


class CallEvent(IntEnum):
    """What happens to a call."""

    ASK = 0
    """A question leaves: nothing of it can be applied."""
    SEND = 1
    """A request leaves that the slot may apply."""
    PARK = 2
    """Nothing can be sent for it now; of an attempt under way nobody knows what became."""
    RESUME = 3
    """Something may be sent for it now."""
    REFUSE = 4
    """The attempt was refused before it was proposed, or never left."""
    DOUBT = 5
    """Whoever was asked does not know what became of the attempt."""
    QUEUE = 6
    """The slot says that it waits."""
    WITHDRAW = 7
    """From now on its withdrawal is sent."""
    RENUMBER = 8
    """Its session is gone, where it was never applied: it takes part in the next one."""
    GIVE = 9
    """Its answer is an item out of a queue, which is handed to its caller."""
    END = 10
    """It has its outcome, or nobody waits for one any more."""


_S = CallState
_E = CallEvent

_ROWS: dict[CallState, dict[CallEvent, CallState]] = {
    _S.READY: {
        _E.ASK: _S.ASKED, _E.SEND: _S.SENT, _E.PARK: _S.PARKED, _E.RENUMBER: _S.READY, _E.END: _S.DONE,
    },
    _S.PARKED: {
        _E.RESUME: _S.READY, _E.PARK: _S.PARKED, _E.REFUSE: _S.PARKED, _E.DOUBT: _S.PARKED,
        _E.QUEUE: _S.PARKED_QUEUED, _E.RENUMBER: _S.PARKED, _E.GIVE: _S.GIVEN, _E.END: _S.DONE,
    },
    _S.ASKED: {
        _E.ASK: _S.ASKED, _E.PARK: _S.PARKED, _E.REFUSE: _S.READY, _E.DOUBT: _S.READY, _E.END: _S.DONE,
    },
    _S.SENT: {
        _E.SEND: _S.RESENT, _E.PARK: _S.PARKED_IN_DOUBT, _E.REFUSE: _S.READY, _E.DOUBT: _S.READY_IN_DOUBT,
        _E.QUEUE: _S.QUEUED, _E.WITHDRAW: _S.READY_WITHDRAWING, _E.RENUMBER: _S.READY, _E.GIVE: _S.GIVEN,
        _E.END: _S.DONE,
    },
    _S.RESENT: {
        _E.SEND: _S.RESENT, _E.PARK: _S.PARKED_IN_DOUBT, _E.REFUSE: _S.READY_IN_DOUBT,
        _E.DOUBT: _S.READY_IN_DOUBT, _E.QUEUE: _S.QUEUED, _E.WITHDRAW: _S.READY_WITHDRAWING, _E.GIVE: _S.GIVEN,
        _E.END: _S.DONE,
    },
    _S.READY_IN_DOUBT: {
        _E.SEND: _S.RESENT, _E.PARK: _S.PARKED_IN_DOUBT, _E.WITHDRAW: _S.READY_WITHDRAWING, _E.END: _S.DONE,
    },
    _S.PARKED_IN_DOUBT: {
        _E.RESUME: _S.READY_IN_DOUBT, _E.PARK: _S.PARKED_IN_DOUBT, _E.REFUSE: _S.PARKED_IN_DOUBT,
        _E.DOUBT: _S.PARKED_IN_DOUBT, _E.QUEUE: _S.PARKED_QUEUED, _E.GIVE: _S.GIVEN, _E.END: _S.DONE,
    },
    _S.QUEUED: {
        _E.SEND: _S.RESENT, _E.PARK: _S.PARKED_QUEUED, _E.REFUSE: _S.READY_QUEUED, _E.DOUBT: _S.READY_QUEUED,
        _E.QUEUE: _S.QUEUED, _E.WITHDRAW: _S.READY_WITHDRAWING, _E.GIVE: _S.GIVEN, _E.END: _S.DONE,
    },
    _S.READY_QUEUED: {
        _E.SEND: _S.RESENT, _E.PARK: _S.PARKED_QUEUED, _E.WITHDRAW: _S.READY_WITHDRAWING, _E.END: _S.DONE,
    },
    _S.PARKED_QUEUED: {
        _E.RESUME: _S.READY_QUEUED, _E.PARK: _S.PARKED_QUEUED, _E.REFUSE: _S.PARKED_QUEUED,
        _E.DOUBT: _S.PARKED_QUEUED, _E.QUEUE: _S.PARKED_QUEUED, _E.GIVE: _S.GIVEN, _E.END: _S.DONE,
    },
    _S.WITHDRAWING: {
        _E.SEND: _S.WITHDRAWING, _E.PARK: _S.PARKED_WITHDRAWING, _E.REFUSE: _S.READY_WITHDRAWING,
        _E.DOUBT: _S.READY_WITHDRAWING, _E.QUEUE: _S.WITHDRAWING, _E.GIVE: _S.GIVEN, _E.END: _S.DONE,
    },
    _S.READY_WITHDRAWING: {
        _E.SEND: _S.WITHDRAWING, _E.PARK: _S.PARKED_WITHDRAWING, _E.END: _S.DONE,
    },
    _S.PARKED_WITHDRAWING: {
        _E.RESUME: _S.READY_WITHDRAWING, _E.PARK: _S.PARKED_WITHDRAWING, _E.REFUSE: _S.PARKED_WITHDRAWING,
        _E.DOUBT: _S.PARKED_WITHDRAWING, _E.QUEUE: _S.PARKED_WITHDRAWING, _E.GIVE: _S.GIVEN, _E.END: _S.DONE,
    },
    _S.DONE: {},
    _S.GIVEN: {_E.END: _S.DONE},
}  # fmt: skip

NEXT: tuple[tuple[CallState | None, ...], ...] = tuple(
    tuple(_ROWS[state].get(event) for event in CallEvent) for state in CallState
)
"""The state that follows, by state and event; None where the move is not legal."""


def illegal(state: CallState, event: CallEvent) -> str:
    """Name a move that is not in the table: this program has a bug."""
    return f"a call that is {state.name} cannot {event.name}; please report"
