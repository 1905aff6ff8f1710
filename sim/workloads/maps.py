"""What planned operations on keys with a time to live do, and who watches maps and writes down what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from casty.distributed.map import Dict
from casty.distributed.map_watch import MapChange, MapState
from casty.errors import CastyError

from ..checks.history.map_changes import STATE, Sight
from ..checks.step.protected import OfMap
from ..plans.keys import key_of
from .recorder import OperationContext

__all__ = ["KEYS", "MAP_PERFORMERS", "ttl_of"]

KEYS = (1, 2, 3)
"""The numbers of all keys that workloads use."""


def ttl_of(context: OperationContext) -> dict[str, int]:
    """Return the argument of a call that gives a time to live; empty where it gives none."""
    ttl_ms = context.number("ttl_ms")
    return {"ttl_ms": ttl_ms} if ttl_ms else {}


def _map_of(context: OperationContext) -> Dict[Any, int]:
    entries: Dict[Any, int] = context.d.map[Any, int](context.entity, timeout=context.patience_s())
    return entries


async def _touch(context: OperationContext) -> None:
    number, ttl_ms = context.number("key"), context.number("ttl_ms", 1000)
    answer = _map_of(context).touch(key_of(context.entity, number, 0), ttl_ms / 1000)
    await context.call("map.touch", {"key": number, "ttl_ms": ttl_ms}, answer)


async def _persist(context: OperationContext) -> None:
    number = context.number("key")
    await context.call(
        "map.persist", {"key": number}, _map_of(context).persist(key_of(context.entity, number, 0))
    )


async def _items(context: OperationContext) -> None:
    await context.call("map.items", {}, _listed(context.entity, _map_of(context).items()))


async def _listed(entity: str, items: AsyncIterator[tuple[Any, int]]) -> str:
    """Return what each key had, as ``1=5 2= 3=7``: of those that were not met nothing."""
    numbers = {_canonical(entity, number): number for number in KEYS}
    found: dict[int, int] = {}
    async for key, value in items:
        number = numbers.get(_canonical_key(key))
        if number is not None:  # crowds use many more
            found[number] = value
    return " ".join(f"{number}={found.get(number, '')}" for number in KEYS)


def _canonical(entity: str, number: int) -> str:
    return _canonical_key(key_of(entity, number, 0))


def _canonical_key(key: object) -> str:
    return f"{type(key).__name__} {key!r}"


async def _watch(context: OperationContext) -> None:
    """Watch one key, or all of them, for a while; what is told is judged in the end."""
    entries, number = _map_of(context), context.number("key")
    watch = entries.watch(key_of(context.entity, number, 0)) if number else entries.watch()
    sights = context.recorder.watcher(f"{context.process.name} of {context.entity}[{number or 'all'}]")
    entities = {number: OfMap.entity_of(entries, key_of(context.entity, number, 0)) for number in KEYS}
    of_key = {_canonical(context.entity, number): entity for number, entity in entities.items()}
    try:
        async with asyncio.timeout(context.number("hold_ms") / 1000), watch as events:
            async for event in events:
                _note(context, event, sights, of_key)
                await asyncio.sleep(context.number("pause_ms") / 1000)
    except TimeoutError:
        context.recorder.goal("a watch ended in peace")
    except CastyError as error:
        context.recorder.goal(f"a watch ended with {type(error).__name__}")


def _note(context: OperationContext, event: object, sights: list[Sight], of_key: dict[str, bytes]) -> None:
    if isinstance(event, MapChange):
        sights.append(Sight(event.kind, of_key[_canonical_key(event.key)], event.value))
        context.recorder.goal("a watcher was told a change")
        if event.kind == "expired":
            context.recorder.goal("a watcher was told an end")
        return
    assert isinstance(event, MapState), "there are two kinds of events"
    if not event.is_first:
        context.recorder.goal("a watcher was told that it lost changes")
    values = {_canonical_key(key): value for key, value in event.entries}
    for number in KEYS:
        key = key_of(context.entity, number, 0)
        if event.covers(key):
            sights.append(Sight(STATE, of_key[_canonical_key(key)], values.get(_canonical_key(key))))


MAP_PERFORMERS: dict[str, Callable[[OperationContext], Awaitable[None]]] = {
    "map.touch": _touch,
    "map.persist": _persist,
    "map.items": _items,
    "map.watch": _watch,
}
"""Kind of operation -> what it does."""
