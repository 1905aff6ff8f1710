"""Planted bugs in the rarer operations: conditions, destruction, fences, shared instances."""

from __future__ import annotations

from typing import Any

from casty.distributed.holds import Hold, Holds
from casty.distributed.machines.barrier import BarrierStructure
from casty.distributed.machines.base import DESTROY, OK, Decision
from casty.distributed.machines.counter import COMPARE_AND_SET, RESET, CounterStructure
from casty.distributed.machines.fence import CHECK, FenceStructure
from casty.distributed.machines.map import COMPARE_AND_SET as COMPARE_ENTRY
from casty.distributed.machines.map import PUT_IF_ABSENT, MapStructure
from casty.distributed.machines.queue import QueueStructure
from casty.distributed.machines.set import SetStructure

from .bug import Planted, bug_in

__all__ = ["RARE"]


def _deciding(operation: int, wrong: Any) -> Any:
    """Return what makes one operation of a structure decide wrongly."""

    def make(right: Any) -> Any:
        def decide(structure: Any, state: Any, command: Any, ctx: Any) -> Decision:
            decision: Decision = right(structure, state, command, ctx)
            return wrong(state, command, decision) if command[0] == operation else decision

        return decide

    return make


def _said_yes(_state: Any, _command: Any, decision: Decision) -> Decision:
    """A condition that was not met is said to be."""
    return Decision(decision.state, [OK, True])


def _set_anyway(_state: Any, command: Any, decision: Decision) -> Decision:
    """The last argument is stored whatever the condition says."""
    return Decision(command[-1], decision.reply)


def _answers_after(_state: Any, _command: Any, decision: Decision) -> Decision:
    return Decision(decision.state, [OK, 0])


def _not_seen(state: Any, _command: Any, decision: Decision) -> Decision:
    """A token that was checked is forgotten."""
    return Decision(state, decision.reply)


def _lost_anyway(right: Any) -> Any:
    """Whoever waits for the loss of a hold is told of one whenever it ends."""

    def finish(hold: Any, is_lost: bool) -> None:
        del is_lost
        right(hold, True)

    return finish


def _oldest_meant(right: Any) -> Any:
    """A release gives back the oldest hold of the instance, whosever it is."""
    del right
    return Holds.oldest


def _goes_on(right: Any) -> Any:
    """A destroyed barrier is one whose parties were released."""

    def decide(structure: Any, state: Any, command: Any, ctx: Any) -> Decision:
        if command[0] == DESTROY and state is not None:
            return Decision(None, [OK, True], state.end([OK, state.generation]))
        decision: Decision = right(structure, state, command, ctx)
        return decision

    return decide


RARE: tuple[Planted, ...] = (
    bug_in("a condition of a counter is always met", "1", "counter", CounterStructure, "decide",
           _deciding(COMPARE_AND_SET, _said_yes)),
    bug_in("a counter is set anyway", "1", "counter", CounterStructure, "decide",
           _deciding(COMPARE_AND_SET, _set_anyway)),
    bug_in("a reset answers what the counter has then", "1", "counter", CounterStructure, "decide",
           _deciding(RESET, _answers_after)),
    bug_in("put_if_absent overwrites", "1", "map", MapStructure, "decide", _deciding(PUT_IF_ABSENT, _set_anyway)),
    bug_in("a condition of a map is always met", "1", "map", MapStructure, "decide",
           _deciding(COMPARE_ENTRY, _said_yes)),
    bug_in("a checked token is not seen", "22", "lock", FenceStructure, "decide", _deciding(CHECK, _not_seen)),
    bug_in("a destroyed set stays", "1", "set", SetStructure, "decide", _deciding(DESTROY, _not_seen)),
    bug_in("a destroyed queue stays", "1", "queue", QueueStructure, "decide", _deciding(DESTROY, _not_seen)),
    bug_in("a destroyed barrier trips", "31", "barrier", BarrierStructure, "decide", _goes_on),
    bug_in("wait_lost tells a loss of what was released", "26", "lock", Hold, "finish", _lost_anyway),
    bug_in("a shared instance gives back another's permits", "26", "semaphore", Holds, "meant", _oldest_meant, True),
)  # fmt: skip
"""Each takes an operation that the usual workload does not have."""
