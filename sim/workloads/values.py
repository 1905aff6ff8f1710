"""What planned operations on counters, maps, sets and queues do.

The history names keys and members by number; the name of a map or set says of which type they really are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..plans.keys import key_of, large_item, number_in
from ..plans.swarm.memory import LARGE
from ..plans.swarm.queues import settings_of
from .maps import ttl_of
from .recorder import OperationContext

if TYPE_CHECKING:
    from casty.distributed.facade import Distributed
    from casty.distributed.queue import Queue
    from casty.distributed.reservation import Reservation

__all__ = ["VALUE_PERFORMERS", "Large", "items_of", "numbers_of"]

_SAMPLES = 4
_NOBODYS = -1
"""A value that is never stored."""


async def _add(context: OperationContext) -> None:
    counter = context.d.counter(context.entity, timeout=context.patience_s())
    amount = context.number("amount", 1)
    await context.call("counter.add", {"amount": amount}, counter.increment(amount))


async def _subtract(context: OperationContext) -> None:
    counter = context.d.counter(context.entity, timeout=context.patience_s())
    amount = context.number("amount", 1)
    await context.call("counter.subtract", {"amount": amount}, counter.decrement(amount))


async def _get_count(context: OperationContext) -> None:
    await context.call(
        "counter.get", {}, context.d.counter(context.entity, timeout=context.patience_s()).get()
    )


async def _destroy_counter(context: OperationContext) -> None:
    await context.call(
        "counter.destroy", {}, context.d.counter(context.entity, timeout=context.patience_s()).destroy()
    )


async def _compare_count(context: OperationContext) -> None:
    """Read, and set what was read to something else."""
    counter = context.d.counter(context.entity, timeout=context.patience_s())
    asked, seen = await context.call("counter.get", {}, counter.get())
    if asked.is_ok and seen is not None:
        args = {"expected": seen, "value": seen + context.number("amount", 1)}
        await context.call(
            "counter.compare_and_set", args, counter.compare_and_set(args["expected"], args["value"])
        )


async def _reset_count(context: OperationContext) -> None:
    await context.call(
        "counter.reset", {}, context.d.counter(context.entity, timeout=context.patience_s()).reset()
    )


async def _on_map(context: OperationContext) -> None:
    entries = context.d.map[Any, int](context.entity, timeout=context.patience_s())
    number, value, kind = context.number("key"), context.number("value"), context.planned.kind
    key, args = key_of(context.entity, number, value), {"key": number, "value": value, **ttl_of(context)}
    ttl_s = context.number("ttl_ms") / 1000 or None
    if kind == "map.put":
        await context.call(kind, args, entries.put(key, value, ttl_s=ttl_s))
    elif kind == "map.put_if_absent":
        await context.call(kind, args, entries.put_if_absent(key, value, ttl_s=ttl_s))
    elif kind == "map.delete":
        await context.call(kind, {"key": number}, entries.delete(key))
    elif kind == "map.contains":
        await context.call(kind, {"key": number}, entries.contains(key))
    else:
        await context.call(kind, {"key": number}, entries.get(key))


async def _compare_entry(context: OperationContext) -> None:
    """Read a key, and set what was read to something else; what nobody has where there is nothing."""
    entries = context.d.map[Any, int](context.entity, timeout=context.patience_s())
    number, value = context.number("key"), context.number("value")
    key = key_of(context.entity, number, value)
    asked, seen = await context.call("map.get", {"key": number}, entries.get(key))
    if asked.is_ok:
        expected = _NOBODYS if seen is None else seen
        args = {"key": number, "expected": expected, "value": value, **ttl_of(context)}
        ttl_s = context.number("ttl_ms") / 1000 or None
        await context.call(
            "map.compare_and_set", args, entries.compare_and_set(key, expected, value, ttl_s=ttl_s)
        )


async def _destroy_map(context: OperationContext) -> None:
    await context.call(
        "map.destroy", {}, context.d.map[Any, int](context.entity, timeout=context.patience_s()).destroy()
    )


async def _on_set(context: OperationContext) -> None:
    members = context.d.set[Any](context.entity, timeout=context.patience_s())
    number, kind = context.number("value"), context.planned.kind
    value = key_of(context.entity, number, number + context.planned.at_us)
    if kind == "set.size":
        await context.call(kind, {}, members.size())
    elif kind == "set.destroy":
        await context.call(kind, {}, members.destroy())
    elif kind == "set.add":
        await context.call(kind, {"value": number}, members.add(value))
    elif kind == "set.remove":
        await context.call(kind, {"value": number}, members.remove(value))
    else:
        await context.call(kind, {"value": number}, members.contains(value))


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
    return jobs_of(d, entity, timeout_s)


def jobs_of(d: Distributed, entity: str, timeout_s: float | None) -> Queue[int]:
    """Return a queue of numbers with the settings that its name says."""
    maxsize, max_deliveries = settings_of(entity)
    return d.queue[int](entity, timeout=timeout_s, maxsize=maxsize, max_deliveries=max_deliveries)


def items_of(kind: str, args: Mapping[str, object]) -> int:
    """Return how many items an operation may put into a queue."""
    count = args.get("count") if kind == "queue.fill" else kind in ("queue.enqueue", "queue.put")
    return int(count) if isinstance(count, int) else 0


async def _fill(context: OperationContext) -> None:
    """Enqueue many items, until that is refused."""
    items = numbers_of(context.d, context.entity, context.patience_s())
    first = context.number("value")
    for value in range(first, first + context.number("count")):
        asked, _ = await context.call("queue.enqueue", {"value": value}, items.enqueue(value))
        if not asked.is_ok:
            return


async def _empty(context: OperationContext) -> None:
    """Take everything out, as people do when a node is full."""
    items = numbers_of(context.d, context.entity, context.patience_s())
    value: int | None = 0
    while value is not None:
        _, value = await context.call("queue.dequeue", {}, items.dequeue())


async def _on_queue(context: OperationContext) -> None:
    items = numbers_of(context.d, context.entity, context.patience_s())
    kind = context.planned.kind
    if kind == "queue.enqueue":
        value = context.number("value")
        await context.call(kind, {"value": value}, items.enqueue(value))
    elif kind == "queue.dequeue":
        await context.call(kind, {}, items.dequeue())
    elif kind == "queue.peek":
        await context.call(kind, {}, items.peek())
    elif kind == "queue.destroy":
        await context.call(kind, {}, items.destroy())
    else:
        await context.call(kind, {}, items.size())


async def _wait_for_queue(context: OperationContext) -> None:
    jobs, kind = jobs_of(context.d, context.entity, context.patience_s()), context.planned.kind
    if kind == "queue.put":
        value = context.number("value")
        await context.call(kind, {"value": value}, jobs.put(value))
    elif kind == "queue.get":
        await context.call(kind, {}, jobs.get())
    elif kind == "queue.dead":
        await context.call(kind, {}, jobs.dead_letters.dequeue())
    else:
        await context.call(kind, {}, jobs.dead_letters.requeue(100))


async def _reserve(context: OperationContext) -> None:
    """Reserve, work on it for a while, and end it, or leave that to its visibility; late ends change nothing."""
    jobs = jobs_of(context.d, context.entity, context.patience_s())
    visibility_s = context.number("visible_ms", 1000) / 1000
    got: list[Reservation[int]] = []

    async def reserving() -> int | None:
        if context.planned.args.get("waits", True):
            got.append(await jobs.reserve(visibility_s))
        elif (found := await jobs.try_reserve(visibility_s)) is not None:
            got.append(found)
        return got[0].item if got else None

    asked, _ = await context.call("queue.reserve", {}, reserving())
    if not got:
        return
    ending, how = got[0], context.planned.args.get("ends", "ack")
    try:
        for _ in range(_SAMPLES):
            if ending.held:
                context.recorder.is_sure(asked)
            await asyncio.sleep(context.number("hold_ms") / 1000 / _SAMPLES)
    finally:
        if ending.held:
            context.recorder.is_sure(asked)
        args = {"value": ending.item, "of": asked.number}
        if how == "ack":
            await context.call("queue.ack", args, ending.ack())
        elif how == "nack":
            await context.call("queue.nack", args, ending.nack())


VALUE_PERFORMERS: dict[str, Callable[[OperationContext], Awaitable[None]]] = {
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
    "queue.reserve": _reserve,
    **dict.fromkeys(("queue.put", "queue.get", "queue.dead", "queue.requeue"), _wait_for_queue),
    "queue.empty": _empty,
    **dict.fromkeys(
        ("queue.enqueue", "queue.dequeue", "queue.peek", "queue.size", "queue.destroy"), _on_queue
    ),
}
"""Kind of operation -> what it does."""
