"""An order of a history, taken from the log: what was committed tells in which order things happened.

Looking for an order takes a search that may be given up (`linear`). But the run has one: the shadow machines see every
command when it is committed. Here that order is only a proposal. It counts if the model gives each operation the
answer that its client saw, and if nothing stands before what had ended when it was called - which is all that
*linearizable* asks for. So a log that is wrong explains nothing, and the search is asked as before.

Reads are in no log. Each is put at the first place where its answer fits, not before what had ended when it was
called: any earlier place only leaves more to those that were called after it ended.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from casty.distributed.core import COUNTER, DESTROY, KIND_NAMES, OK, QUEUE
from casty.distributed.counter import ADD, COMPARE_AND_SET, RESET
from casty.distributed.queue import DEQUEUE, ENQUEUE
from casty.errors import RemoteProtocolError
from casty.wire.pack import unpack

from ..history import Operation
from .linear import Model, State

__all__ = ["CommandLog", "Committed", "is_explained_by", "kept_order"]

_NAMES: Mapping[int, Mapping[int, str]] = {
    COUNTER: {DESTROY: "destroy", ADD: "add", COMPARE_AND_SET: "compare_and_set", RESET: "reset"},
    QUEUE: {DESTROY: "destroy", ENQUEUE: "enqueue", DEQUEUE: "dequeue"},
}
"""Kind of structure -> its commands, as histories name them. An order of others is searched without help."""
_INSTANT_NS = 10_000
"""Histories tell calls and returns of one instant of the world apart, by a nanosecond each."""


class Committed(NamedTuple):
    """A command that was committed and took effect, and what it was answered."""

    t_ns: int
    """When it was seen to be committed: after its call, and before whoever asked was answered."""
    command: Sequence[Any]
    answer: Any


class CommandLog:
    """What took effect in each counter and queue of a run, in the order of the log; it ends with the run."""

    def __init__(self) -> None:
        self._commands: dict[tuple[str, str], list[Committed]] = {}

    def take(self, kind: int, name: bytes, t_ns: int, command: Sequence[Any], reply: Sequence[Any]) -> None:
        """Note a command that was answered for the first time."""
        if kind in _NAMES and reply[0] == OK:
            key = (KIND_NAMES[kind], name.decode(errors="replace"))
            self._commands.setdefault(key, []).append(Committed(t_ns, command, reply[1]))

    def of(self, structure: str, entity: str) -> Sequence[Committed]:
        """Return what took effect in one entity."""
        return self._commands.get((structure, entity), ())


def kept_order(operations: Sequence[Operation], committed: Sequence[Committed]) -> list[Operation] | None:
    """Return the operations that the log has, in its order; None where it has what nobody recorded.

    Of several that may have been the one that is in the log, one that was answered so is taken, the first to end:
    the others may be later ones as well. Else one of unknown outcome: none of them has an end, so any will do.
    """
    waiting: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        waiting.setdefault(_effect(operation), []).append(operation)
    order: list[Operation] = []
    for one in committed:
        effect, answer = _plain(operations, one)
        alike = waiting.get(effect, [])
        called = [operation for operation in alike if _is_within(one.t_ns, operation)]
        answered = [operation for operation in called if operation.is_ok and _same(operation.value, answer)]
        found = answered or [operation for operation in called if not operation.is_ok]
        if not found:
            return None
        first = min(found, key=lambda operation: operation.end_ns)
        alike.remove(first)
        order.append(first)
    return order


def _is_within(t_ns: int, operation: Operation) -> bool:
    return operation.call_ns - _INSTANT_NS <= t_ns <= operation.end_ns


def _same(value: object, answer: object) -> bool:
    return value == answer and type(value) is type(answer)


def _effect(operation: Operation) -> Hashable:
    name = operation.kind.partition(".")[2]
    if name == "subtract":
        amount = operation.args["amount"]
        assert isinstance(amount, int)
        return ("add", -amount)
    return (name, *operation.args.values())


def _plain(operations: Sequence[Operation], one: Committed) -> tuple[Hashable, object]:
    """Return a command and its answer as a history has them."""
    structure = operations[0].kind.partition(".")[0]
    kind = next(kind for kind in _NAMES if KIND_NAMES[kind] == structure)
    name = _NAMES[kind].get(one.command[0], "?")
    if kind == COUNTER:
        return (name, *one.command[1:]), one.answer
    answer = _item(one.answer) if name == "dequeue" else one.answer
    return (name, *map(_item, one.command[1:])), answer


def _item(data: Any) -> Any:
    """Return the number that an item stands for; items of other queues are left as they are."""
    if not isinstance(data, bytes):
        return data
    try:
        item = unpack(data)
    except RemoteProtocolError:
        return data
    return item if isinstance(item, int) else data


def is_explained_by(order: Sequence[Operation], operations: Sequence[Operation], model: Model) -> bool:
    """Whether the operations are linearizable in that order, those of unknown outcome that it lacks left out."""
    states: list[State] = [model.initial]
    last_ns = -1
    for operation in order:
        after = model.step(states[-1], operation)
        if after is None or _is_over(operation, last_ns):
            return False
        last_ns = max(last_ns, operation.call_ns)
        states.append(after)
    placed = {operation.number for operation in order}
    rest = [one for one in operations if one.is_ok and one.number not in placed]
    return _are_placed(sorted(rest, key=lambda one: (one.call_ns, one.number)), order, states, model)


def _is_over(operation: Operation, t_ns: int) -> bool:
    """Whether it had ended when something was called at that time; what took no time overlaps with it."""
    return operation.end_ns < t_ns or operation.call_ns < operation.end_ns == t_ns


def _are_placed(
    reads: Sequence[Operation], order: Sequence[Operation], states: Sequence[State], model: Model
) -> bool:
    """Whether each read, in the order of their calls, finds a place between those that are in order."""
    places: list[tuple[Operation, int]] = []
    for read in reads:
        first = max([at + 1 for at, one in enumerate(order) if _is_over(one, read.call_ns)], default=0)
        first = max([first, *(place for one, place in places if _is_over(one, read.call_ns))])
        last = next((at for at, one in enumerate(order) if _is_over(read, one.call_ns)), len(order))
        place = next(
            (at for at in range(first, last + 1) if model.step(states[at], read) == states[at]), None
        )
        if place is None:
            return False
        places.append((read, place))
    return True
