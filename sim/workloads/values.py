"""What planned operations on counters, maps, sets and queues do.

The history names keys and members by number; the name of a map or set says of which type they really are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..plans.keys import key_of, large_item, number_in
from ..plans.swarm.memory import LARGE
from .recorder import Act

if TYPE_CHECKING:
    from casty.distributed.facade import Distributed
    from casty.distributed.queue import Queue

__all__ = ["VALUE_PERFORMERS", "Large", "items_of", "numbers_of"]

_NOBODYS = -1
"""A value that is never stored."""


async def _add(act: Act) -> None:
    counter = act.d.counter(act.entity, timeout=act.patience_s())
    amount = act.number("amount", 1)
    await act.call("counter.add", {"amount": amount}, counter.increment(amount))


async def _subtract(act: Act) -> None:
    counter = act.d.counter(act.entity, timeout=act.patience_s())
    amount = act.number("amount", 1)
    await act.call("counter.subtract", {"amount": amount}, counter.decrement(amount))


async def _get_count(act: Act) -> None:
    await act.call("counter.get", {}, act.d.counter(act.entity, timeout=act.patience_s()).get())


async def _destroy_counter(act: Act) -> None:
    await act.call("counter.destroy", {}, act.d.counter(act.entity, timeout=act.patience_s()).destroy())


async def _compare_count(act: Act) -> None:
    """Read, and set what was read to something else."""
    counter = act.d.counter(act.entity, timeout=act.patience_s())
    asked, seen = await act.call("counter.get", {}, counter.get())
    if asked.is_ok and seen is not None:
        args = {"expected": seen, "value": seen + act.number("amount", 1)}
        await act.call(
            "counter.compare_and_set", args, counter.compare_and_set(args["expected"], args["value"])
        )


async def _reset_count(act: Act) -> None:
    await act.call("counter.reset", {}, act.d.counter(act.entity, timeout=act.patience_s()).reset())


async def _on_map(act: Act) -> None:
    entries = act.d.map[Any, int](act.entity, timeout=act.patience_s())
    number, value, kind = act.number("key"), act.number("value"), act.planned.kind
    key, args = key_of(act.entity, number, value), {"key": number, "value": value}
    if kind == "map.put":
        await act.call(kind, args, entries.put(key, value))
    elif kind == "map.put_if_absent":
        await act.call(kind, args, entries.put_if_absent(key, value))
    elif kind == "map.delete":
        await act.call(kind, {"key": number}, entries.delete(key))
    elif kind == "map.contains":
        await act.call(kind, {"key": number}, entries.contains(key))
    else:
        await act.call(kind, {"key": number}, entries.get(key))


async def _compare_entry(act: Act) -> None:
    """Read a key, and set what was read to something else; what nobody has where there is nothing."""
    entries = act.d.map[Any, int](act.entity, timeout=act.patience_s())
    number, value = act.number("key"), act.number("value")
    key = key_of(act.entity, number, value)
    asked, seen = await act.call("map.get", {"key": number}, entries.get(key))
    if asked.is_ok:
        expected = _NOBODYS if seen is None else seen
        args = {"key": number, "expected": expected, "value": value}
        await act.call("map.compare_and_set", args, entries.compare_and_set(key, expected, value))


async def _destroy_map(act: Act) -> None:
    await act.call("map.destroy", {}, act.d.map[Any, int](act.entity, timeout=act.patience_s()).destroy())


async def _on_set(act: Act) -> None:
    members = act.d.set[Any](act.entity, timeout=act.patience_s())
    number, kind = act.number("value"), act.planned.kind
    value = key_of(act.entity, number, number + act.planned.at_us)
    if kind == "set.size":
        await act.call(kind, {}, members.size())
    elif kind == "set.destroy":
        await act.call(kind, {}, members.destroy())
    elif kind == "set.add":
        await act.call(kind, {"value": number}, members.add(value))
    elif kind == "set.remove":
        await act.call(kind, {"value": number}, members.remove(value))
    else:
        await act.call(kind, {"value": number}, members.contains(value))


class Large:
    """A queue whose items are large: each number of the history stands for one of them."""

    def __init__(self, items: Queue[bytes]) -> None:
        self._items = items
        self.size, self.destroy = items.size, items.destroy

    async def enqueue(self, number: int) -> None:
        """Add the item that a number stands for."""
        await self._items.enqueue(large_item(number))

    async def dequeue(self) -> int | None:
        """Take the oldest item; None for an empty queue."""
        return _number_in(await self._items.dequeue())

    async def peek(self) -> int | None:
        """Return the oldest item."""
        return _number_in(await self._items.peek())


def _number_in(item: bytes | None) -> int | None:
    return None if item is None else number_in(item)


def numbers_of(d: Distributed, entity: str, timeout_s: float | None) -> Queue[int] | Large:
    """Return a queue of numbers; those whose names say so keep large items for them."""
    if entity.startswith(LARGE):
        return Large(d.queue[bytes](entity, timeout=timeout_s))
    return d.queue[int](entity, timeout=timeout_s)


def items_of(kind: str, args: Mapping[str, object]) -> int:
    """Return how many items an operation may put into a queue."""
    count = args.get("count") if kind == "queue.fill" else kind == "queue.enqueue"
    return int(count) if isinstance(count, int) else 0


async def _fill(act: Act) -> None:
    """Enqueue many items, until that is refused."""
    items = numbers_of(act.d, act.entity, act.patience_s())
    first = act.number("value")
    for value in range(first, first + act.number("count")):
        asked, _ = await act.call("queue.enqueue", {"value": value}, items.enqueue(value))
        if not asked.is_ok:
            return


async def _empty(act: Act) -> None:
    """Take everything out, as people do when a node is full."""
    items = numbers_of(act.d, act.entity, act.patience_s())
    value: int | None = 0
    while value is not None:
        _, value = await act.call("queue.dequeue", {}, items.dequeue())


async def _on_queue(act: Act) -> None:
    items = numbers_of(act.d, act.entity, act.patience_s())
    kind = act.planned.kind
    if kind == "queue.enqueue":
        value = act.number("value")
        await act.call(kind, {"value": value}, items.enqueue(value))
    elif kind == "queue.dequeue":
        await act.call(kind, {}, items.dequeue())
    elif kind == "queue.peek":
        await act.call(kind, {}, items.peek())
    elif kind == "queue.destroy":
        await act.call(kind, {}, items.destroy())
    else:
        await act.call(kind, {}, items.size())


VALUE_PERFORMERS: dict[str, Callable[[Act], Awaitable[None]]] = {
    "counter.add": _add,
    "counter.subtract": _subtract,
    "counter.get": _get_count,
    "counter.compare_and_set": _compare_count,
    "counter.reset": _reset_count,
    "counter.destroy": _destroy_counter,
    "map.compare_and_set": _compare_entry,
    "map.destroy": _destroy_map,
    **dict.fromkeys(("map.put", "map.put_if_absent", "map.get", "map.delete", "map.contains"), _on_map),
    **dict.fromkeys(("set.add", "set.remove", "set.contains", "set.size", "set.destroy"), _on_set),
    "queue.fill": _fill,
    "queue.empty": _empty,
    **dict.fromkeys(
        ("queue.enqueue", "queue.dequeue", "queue.peek", "queue.size", "queue.destroy"), _on_queue
    ),
}
"""Kind of operation -> what it does."""
