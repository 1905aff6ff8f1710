"""What each structure does when nothing is concurrent and nothing fails; for the general search."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from ...history import FOREVER_NS, Operation, Value
from .linearizability import IsEnough, Model, State
from .queue_rows import DEAD
from .trails import CounterTrails

__all__ = [
    "COUNTER_MODEL",
    "DRIFT",
    "FENCE_MODEL",
    "LOCK_MODEL",
    "QUEUE_MODEL",
    "REGISTER_MODEL",
    "SET_MODEL",
]

_SIMPLE = ("queue.enqueue", "queue.dequeue", "queue.peek", "queue.size", "queue.destroy")
"""What takes items in order, and gives none back."""
_ABSENT = ("absent",)


def _counter(state: State, operation: Operation) -> State | None:
    """State: (exists, value)."""
    assert isinstance(state, tuple)
    exists, value = state
    kind = operation.kind
    if kind == "counter.destroy":
        return (False, 0) if not operation.is_ok or operation.value is exists else None
    answer: Value = value
    after = value
    if kind in ("counter.add", "counter.subtract"):
        amount = operation.args["amount"]
        assert isinstance(amount, int)
        answer = after = value + (amount if kind == "counter.add" else -amount)
        exists = True
    elif kind == "counter.reset":
        exists, after = True, 0
    elif kind == "counter.compare_and_set":
        answer = value == operation.args["expected"]
        exists, after = exists or answer, operation.args["value"] if answer else value
    return (exists, after) if not operation.is_ok or operation.value == answer else None


def _same_change(operation: Operation) -> Hashable:
    amount = operation.args.get("amount", 0)
    assert isinstance(amount, int)
    if operation.kind == "counter.subtract":
        return ("counter.add", -amount)
    return (operation.kind, *operation.args.values())


def _trails(operations: Sequence[Operation]) -> IsEnough:
    return CounterTrails(operations).is_enough


COUNTER_MODEL = Model("counter", (False, 0), _counter, alike=_same_change, is_enough=_trails)


DRIFT = 0.99
"""A clock that is right within the bound counts no time to live shorter than this part of it."""
_FOR_EVER_NS = FOREVER_NS + 1


def _register(state: State, operation: Operation) -> State | None:
    """State: what one key of a map has and from when on that may end, so that a stored None is not absence.

    That a time to live is over is no operation. So a key has ended where an answer says so, and where that is possible:
    the operation ends after the call that gave it its time to live, and that time. Where nothing tells, it is there:
    it can still end later. Of an operation of unknown outcome only what it might have done counts, or it is left out.
    """
    assert isinstance(state, tuple)
    kind = operation.kind
    if kind == "map.expire":
        return _ABSENT if state != _ABSENT and state[2] <= operation.args["at_ns"] else None
    after = _register_step(state, operation)
    if after is None and state != _ABSENT and state[2] <= operation.end_ns:
        after = _register_step(_ABSENT, operation)
    return after


def _register_step(state: tuple[Any, ...], operation: Operation) -> State | None:
    kind = operation.kind
    is_there = state != _ABSENT
    held = state[1] if is_there else None
    answer: Value
    after: State = state
    if kind == "map.put":
        answer, after = held, _stored(operation)
    elif kind == "map.put_if_absent":
        answer = not is_there
        may_end = is_there and not operation.is_ok and state[2] <= operation.end_ns
        after = _stored(operation) if answer or may_end else state
    elif kind == "map.compare_and_set":
        answer = is_there and held == operation.args["expected"]
        after = _stored(operation) if answer else state
    elif kind == "map.sweep":
        # The share of a `destroy` in one key: its answer can say that no key existed, never that this one did.
        return None if operation.value is False and is_there else _ABSENT
    elif kind == "map.delete":
        answer, after = is_there, _ABSENT
    elif kind == "map.touch":
        answer, after = is_there, ("is", held, _ends_ns(operation)) if is_there else state
    elif kind == "map.persist":
        answer = is_there and state[2] != _FOR_EVER_NS
        after = ("is", held, _FOR_EVER_NS) if is_there else state
    else:
        answer = is_there if kind == "map.contains" else held
    return after if not operation.is_ok or operation.value == answer else None


def _stored(operation: Operation) -> State:
    return ("is", operation.args["value"], _ends_ns(operation))


def _ends_ns(operation: Operation) -> int:
    """Return the first time at which what an operation stored may have ended."""
    ttl_ms = operation.args.get("ttl_ms")
    if not isinstance(ttl_ms, int) or not ttl_ms:
        return _FOR_EVER_NS
    return operation.call_ns + round(ttl_ms * 1_000_000 * DRIFT)


def _same_entry(operation: Operation) -> Hashable:
    # Of two that give the same time to live the later one lets the key live longer.
    is_timed = "ttl_ms" in operation.args
    return (operation.kind, tuple(operation.args.items()), operation.number if is_timed else -1)


REGISTER_MODEL = Model("map key", _ABSENT, _register, alike=_same_entry)


def _set(state: State, operation: Operation) -> State | None:
    """State: the members, as bits of an integer; -1 while there is no set. Emptied it still exists."""
    assert isinstance(state, int)
    kind = operation.kind
    if kind == "set.destroy":
        return -1 if not operation.is_ok or operation.value is (state >= 0) else None
    after = _members(max(state, 0), operation)
    return state if after == 0 and state < 0 and kind != "set.add" else after


def _members(state: int, operation: Operation) -> int | None:
    kind = operation.kind
    if kind == "set.size":
        return state if not operation.is_ok or operation.value == state.bit_count() else None
    value = operation.args["value"]
    assert isinstance(value, int)
    bit = 1 << value
    is_in = bool(state & bit)
    answer = not is_in if kind == "set.add" else is_in
    if operation.is_ok and operation.value is not answer:
        return None
    if kind == "set.add":
        return state | bit
    return state & ~bit if kind == "set.remove" else state


SET_MODEL = Model("set", -1, _set)


def _queue(state: State, operation: Operation) -> State | None:
    """State: how many items came, and those that are free, out with somebody, and dead, each with its number.

    Nothing while there is no queue; emptied it still exists. That an item came back is no client's to see: the log says
    it (`queue.moved`), and what was forgotten before it was on record that it came (`queue.lost`). What an
    acknowledgement or a refusal of one says of the items is settled by that as well.
    """
    assert isinstance(state, tuple)
    word = operation.kind.partition(".")[2]
    if word == "destroy":
        return () if not operation.is_ok or operation.value is bool(state) else None
    count, free, out, dead = state or (0, (), (), ())
    if word in ("enqueue", "put"):
        return (count + 1, (*free, (count, operation.args["value"])), out, dead)
    if word in ("dequeue", "get", "reserve"):
        front = free[0][1] if free else None
        if operation.is_ok and operation.value != front:
            return None
        return (count, free[1:], (*out, free[0]), dead) if free else state
    if word == "lost":
        left = [
            tuple(one for one in items if one[1] != operation.args["value"]) for items in (free, out, dead)
        ]
        return (count, *left) if state else state
    if word in ("ack", "moved", "revived"):
        return _gone_or_back(state, operation)
    if word == "nack":
        is_known = any(item[1] == operation.args["value"] for item in out)
        return state if not operation.is_ok or operation.value is False or is_known else None
    return _on_dead_letters(state, operation, word)


def _gone_or_back(state: State, operation: Operation) -> State | None:
    assert isinstance(state, tuple)
    if operation.is_ok and operation.value is False:
        return state
    count, free, out, dead = state or (0, (), (), ())
    item = next((one for one in out if one[1] == operation.args["value"]), None)
    if item is None and operation.kind == "queue.revived":
        item = next((one for one in dead if one[1] == operation.args["value"]), None)
        dead = tuple(one for one in dead if one is not item)
    if item is None:
        return state if operation.kind == "queue.revived" else None  # it was put back before, or never came
    rest = tuple(one for one in out if one is not item)
    if operation.kind == "queue.ack":
        return (count, free, rest, dead)
    if operation.args["place"] == DEAD:
        return (count, free, rest, (*dead, item))
    return (count, tuple(sorted((*free, item))), rest, dead)


def _on_dead_letters(state: State, operation: Operation, word: str) -> State | None:
    """Take one, or put some back as new items; or ask for what changes nothing."""
    assert isinstance(state, tuple)
    count, free, out, dead = state or (0, (), (), ())
    if word == "dead":
        front = dead[0][1] if dead else None
        if operation.is_ok and operation.value != front:
            return None
        return (count, free, (*out, dead[0]), dead[1:]) if dead else state
    if word == "requeue":
        moved = operation.value if operation.is_ok else len(dead)
        if not isinstance(moved, int) or moved > len(dead):
            return None
        fresh = tuple((count + at, item[1]) for at, item in enumerate(dead[:moved]))
        return (count + moved, (*free, *fresh), out, dead[moved:]) if moved else state
    answer = len(free) if word == "size" else free[0][1] if free else None
    return state if not operation.is_ok or operation.value == answer else None


def _order_of_enqueues(operations: Sequence[Operation]) -> dict[int, list[int]]:
    """Return, by number, which enqueues came before each: those of items that were certainly dequeued sooner.

    Enqueues that overlapped may show their order only hundreds of operations later. No value is enqueued twice.
    """
    if any(one.kind not in _SIMPLE for one in operations):
        return {}
    enqueues = {one.args["value"]: one.number for one in operations if one.kind == "queue.enqueue"}
    taken = [one for one in operations if one.kind == "queue.dequeue" and one.is_ok and one.value in enqueues]
    return {
        enqueues[later.value]: [enqueues[sooner.value] for sooner in taken if sooner.end_ns < later.call_ns]
        for later in taken
    }


QUEUE_MODEL = Model("queue", (), _queue, _order_of_enqueues)


def _lock(state: State, operation: Operation) -> State | None:
    """State: (token of the holder or 0, highest token). Only for histories without expired holders."""
    assert isinstance(state, tuple)
    holder, highest = state
    if operation.kind == "lock.release":
        token = operation.args["token"]
        was_holder = holder == token
        if operation.is_ok and operation.value is not was_holder:
            return None
        return (0, highest) if was_holder else state
    token = operation.value
    if token is None:
        # A try that found it taken, or a request of unknown outcome, which then is withdrawn.
        return state if not operation.is_ok or holder else None
    assert isinstance(token, int)
    return (token, token) if not holder and token > highest else None


LOCK_MODEL = Model("lock", (0, 0), _lock)


def _fence(state: State, operation: Operation) -> State | None:
    """State: (highest token seen, value written last). A check is seen, and writes nothing."""
    assert isinstance(state, tuple)
    highest, held = state
    if operation.kind == "fence.read":
        return state if not operation.is_ok or operation.value == f"{held}@{highest}" else None
    token = operation.args["token"]
    assert isinstance(token, int)
    is_taken = token >= highest
    if operation.is_ok and operation.value is not is_taken:
        return None
    if not is_taken:
        return state
    return (token, operation.args.get("value") if operation.kind == "fence.write" else held)


FENCE_MODEL = Model("fence", (0, None), _fence)
