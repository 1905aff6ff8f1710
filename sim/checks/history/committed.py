"""An order of a history, taken from the log: what was committed tells in which order things happened.

Looking for an order takes a search that may be given up (`linear`). But the run has one: the shadow machines see every
command when it is committed. Here that order is only a proposal. It counts if the model gives each operation the
answer that its client saw, and if nothing stands before what had ended when it was called - which is all that
*linearizable* asks for. So a log that is wrong explains nothing, and the search is asked as before.

Reads are in no log. Each is put at the first place where its answer fits, not before what had ended when it was
called: any earlier place only leaves more to those that were called after it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from casty.distributed.machines import counter as counters
from casty.distributed.machines import map as maps
from casty.distributed.machines import set as sets
from casty.distributed.machines.base import COUNTER, DESTROY, KIND_NAMES, MAP, OK, QUEUE, SET
from casty.errors import RemoteProtocolError
from casty.wire.codec import default_codec
from casty.wire.pack import unpack

from ...history import OK as OK_OUTCOME
from ...history import UNKNOWN, Operation
from ...plans.keys import LARGE_BYTES, key_of, number_in
from .linearizability import Model, State
from .queue_rows import LOST, MOVED, REVIVED, Change, Row

__all__ = ["CommandLog", "Committed", "hidden", "is_explained_by", "kept_order"]


_NAMES: Mapping[int, Mapping[int, str]] = {
    COUNTER: {
        DESTROY: "destroy",
        counters.ADD: "add",
        counters.COMPARE_AND_SET: "compare_and_set",
        counters.RESET: "reset",
    },
    MAP: {
        DESTROY: "delete",
        maps.PUT: "put",
        maps.PUT_IF_ABSENT: "put_if_absent",
        maps.COMPARE_AND_SET: "compare_and_set",
        maps.PUT_FOR: "put",
        maps.PUT_IF_ABSENT_FOR: "put_if_absent",
        maps.COMPARE_AND_SET_FOR: "compare_and_set",
        maps.TOUCH: "touch",
        maps.PERSIST: "persist",
    },
    SET: {DESTROY: "destroy", sets.ADD: "add", sets.REMOVE: "remove"},
}
"""Kind of structure -> its commands, as histories name them. An order of others is searched without help."""
_HIDDEN = (MOVED, REVIVED, LOST)
"""What happens to items of a queue, and is no client's call."""
_EXPIRE = -1
"""How the end of a key's time to live is written among the commands."""
_INSTANT_NS = 10_000
"""Histories tell calls and returns of one instant of the world apart, by a nanosecond each."""


class Committed(NamedTuple):
    """A command that was committed and took effect, and what it was answered."""

    t_ns: int
    """When it was seen to be committed: after its call, and before whoever asked was answered."""
    kind: int
    command: Sequence[Any]
    answer: Any
    undone: Change | None = None
    """See `Row`."""


class CommandLog:
    """What took effect in each counter, queue, set and key of a map, in the order of the log; it ends with the run."""

    def __init__(self) -> None:
        self._commands: dict[tuple[str, str], dict[bytes, list[Committed]]] = {}

    def take(self, kind: int, name: bytes, t_ns: int, command: Sequence[Any], reply: Sequence[Any]) -> None:
        """Note a command that was answered for the first time."""
        if kind in _NAMES and reply[0] == OK:
            key: Any = unpack(name) if kind == MAP else None
            entity = name.decode(errors="replace") if key is None else key[0]
            rows = self._commands.setdefault((KIND_NAMES[kind], entity), {})
            rows.setdefault(name, []).append(Committed(t_ns, kind, command, reply[1]))

    def take_row(self, row: Row, t_ns: int) -> None:
        """Note what happened to a queue; see `QueueItems`."""
        rows = self._commands.setdefault((KIND_NAMES[QUEUE], row.name.decode(errors="replace")), {})
        rows.setdefault(row.name, []).append(
            Committed(t_ns, QUEUE, [row.word, *row.args], row.answer, row.undone)
        )

    def reconcile(self, is_on_record: Callable[[Change], bool]) -> None:
        """The run is over, and it is known what went on record: leave out what was not undone."""
        for names in self._commands.values():
            for name, rows in names.items():
                names[name] = _reconciled(rows, is_on_record)

    def moved(self, entity: str) -> list[Operation]:
        """Return what came back to a queue, and what it lost, as operations of nobody."""
        rows = [one for rows in self._commands.get((KIND_NAMES[QUEUE], entity), {}).values() for one in rows]
        return [hidden(one, at) for at, one in enumerate(rows) if one.command[0] in _HIDDEN]

    def ended(self, name: bytes, t_ns: int) -> None:
        """Note that the time to live of a key of a map was over."""
        key: Any = unpack(name)
        rows = self._commands.setdefault((KIND_NAMES[MAP], key[0]), {})
        rows.setdefault(name, []).append(Committed(t_ns, MAP, [_EXPIRE], None))

    def of(self, structure: str, entity: str) -> list[Sequence[Committed]]:
        """Return what may have taken effect in one entity: nothing, or what did; of a map, in each of its keys."""
        return [(), *self._commands.get((structure, entity), {}).values()]


def _reconciled(rows: Sequence[Committed], is_on_record: Callable[[Change], bool]) -> list[Committed]:
    """Return the rows without what was not undone. Of an item's changes the first that was tells where it is then."""
    first: dict[Hashable, int] = {}
    for one in rows:
        if one.undone is not None and not is_on_record(one.undone):
            key = (one.undone.life, one.command[1])
            first[key] = min(first.get(key, one.undone.number), one.undone.number)
    return [
        one
        for one in rows
        if one.undone is None or first.get((one.undone.life, one.command[1])) == one.undone.number
    ]


def kept_order(operations: Sequence[Operation], committed: Sequence[Committed]) -> list[Operation] | None:
    """Return the operations that the log has, in its order; None where it has what nobody recorded.

    Of several that may have been the one that is in the log, one that was answered so is taken, the first to end:
    the others may be later ones as well. Else one of unknown outcome: none of them has an end, so any will do.
    """
    waiting: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        waiting.setdefault(_effect(operation), []).append(operation)
    order: list[Operation] = []
    for at, one in enumerate(committed):
        if one.command[0] == _EXPIRE:
            order.append(Operation(_EXPIRE, "", "map.expire", "", {"at_ns": one.t_ns}, 0))
            continue
        effect, answer = _plain(one)
        if one.command[0] in _HIDDEN:
            if one.command[0] != REVIVED or _is_had(one.command[1], committed[at + 1 :]):
                order.append(hidden(one, len(order)))
            continue
        alike = waiting.get(effect, [])
        called = [operation for operation in alike if _is_within(one.t_ns, operation)]
        answered = [operation for operation in called if operation.is_ok and _is_answered(operation, answer)]
        found = answered or [operation for operation in called if not operation.is_ok]
        if not found and effect[0] == "nack":
            continue  # a gateway gave back what it could not confirm: where the item is now the next row says
        if not found and effect[0] == "ack" and answer is False:
            continue  # it came to nothing, so the log does not know any more of which item it was
        if not found:
            return None
        first = min(found, key=lambda operation: operation.end_ns)
        alike.remove(first)
        order.append(first)
    return order


def _is_had(item: bytes, later: Sequence[Committed]) -> bool:
    """Whether somebody had an item that may be free again: else that it was taken is on record, and it is gone."""
    return any(one.answer == item or (one.command[0] == MOVED and one.command[1] == item) for one in later)


def hidden(one: Committed, at: int) -> Operation:
    """Return what nobody asked for as an operation. It overlaps with all that was called or ended at its instant."""
    word, data, place = one.command
    args = {"value": _value(data), "place": place}
    operation = Operation(-1 - at, "slot", f"queue.{word}", "", args, one.t_ns - 1)
    operation.outcome = UNKNOWN if word == REVIVED else OK_OUTCOME
    operation.return_ns = one.t_ns + _INSTANT_NS
    return operation


def _is_within(t_ns: int, operation: Operation) -> bool:
    return operation.call_ns - _INSTANT_NS <= t_ns <= operation.end_ns


def _is_answered(operation: Operation, answer: object) -> bool:
    """Whether the client saw that answer; what a sweep answers is about all keys of its map."""
    is_same = operation.value == answer and type(operation.value) is type(answer)
    return is_same or operation.kind == "map.sweep"


def _effect(operation: Operation) -> Hashable:
    """Return what a command does, however it was asked for."""
    name = operation.kind.partition(".")[2]
    if name == "subtract":
        amount = operation.args["amount"]
        assert isinstance(amount, int)
        return ("add", -amount)
    if operation.kind in ("set.add", "set.remove"):
        number = operation.args["value"]
        assert isinstance(number, int)
        return (name, _value(default_codec().canonical(key_of(operation.entity, number, 0))))
    # The share of a `destroy` in one key is a deletion; of which reservation an item is given back no row says.
    args = [value for key, value in operation.args.items() if key not in ("key", "of")]
    return ("delete" if name == "sweep" else name, *args)


def _plain(one: Committed) -> tuple[tuple[Hashable, ...], object]:
    """Return a command and its answer as a history has them."""
    name = one.command[0] if one.kind == QUEUE else _NAMES[one.kind].get(one.command[0], "?")
    arguments = [_value(argument) for argument in one.command[1:]]
    if one.kind == MAP and one.command[0] in maps.TIMED:
        arguments[-1] *= maps.TICK_MS
    return (name, *arguments), _value(one.answer)


def _value(data: Any) -> Any:
    """Return the number that encoded bytes stand for; other bytes are left as they are."""
    if not isinstance(data, bytes):
        return data
    try:
        value = unpack(data)
    except RemoteProtocolError:
        return data
    if isinstance(value, bytes) and len(value) == LARGE_BYTES:
        return number_in(value)
    return value if isinstance(value, int) else data


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
