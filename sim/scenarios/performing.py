"""What each kind of planned operation does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from casty.distributed.lock import Lock
from casty.distributed.semaphore import Semaphore

from ..checks.looking import inside
from ..history import Operation
from .actors import ask_entity, tell_entity, tell_inbox
from .stage import Act

if TYPE_CHECKING:
    from casty.distributed.fence import Fence

__all__ = ["PERFORMERS", "perform"]

_SAMPLES = 4
_TIMEOUT_S = 5.0


async def perform(act: Act) -> None:
    """Do one planned operation; a kind that is not known is skipped and listed."""
    performer = PERFORMERS.get(act.planned.kind)
    if performer is None:
        act.stage.skipped.append(f"operation {act.planned.kind}")
        return
    await performer(act)


# -- holds


async def _hold_lock(act: Act) -> None:
    lock = act.d.lock(act.entity, timeout=act.timeout_s())
    asked, _ = await act.call("lock.acquire", {}, _acquire(act, lock))
    await _keep_lock(act, lock, asked)


async def _try_lock(act: Act) -> None:
    lock = act.d.lock(act.entity, timeout=_TIMEOUT_S)
    asked, _ = await act.call("lock.try", {}, _try_acquire(act, lock))
    await _keep_lock(act, lock, asked)


async def _guard_with_lock(act: Act) -> None:
    """Hold, and write to a fenced register at the beginning and at the end: late writes have to be refused."""
    lock = act.d.lock(act.entity, timeout=act.timeout_s())
    asked, _ = await act.call("lock.acquire", {}, _acquire(act, lock))
    if asked.is_ok and isinstance(asked.value, int):
        fence: Fence[int] = act.d.fence(f"{act.entity}-guarded")
        try:
            await _write(act, fence, asked.value, asked.number)
            await _keep_lock(act, lock, asked, releases=False)
            await _write(act, fence, asked.value, asked.number)
        finally:
            await _keep_lock(act, lock, asked)


async def _write(act: Act, fence: Fence[int], token: int, value: int) -> None:
    await act.call("fence.write", {"token": token}, fence.write(token, value), f"{act.entity}-guarded")


async def _acquire(act: Act, lock: Lock) -> int | None:
    await lock.acquire()
    return _token(act, lock)


async def _try_acquire(act: Act, lock: Lock) -> int | None:
    return _token(act, lock) if await lock.try_acquire() else None


def _token(act: Act, lock: Lock) -> int:
    """Return the token of what was just granted: also if the hold ended in the same instant."""
    del act
    holds = inside(lock, "_holds", "_holds")
    for hold in holds.values():
        token: int = hold.grant.token
        return token
    return -1


async def _keep_lock(act: Act, lock: Lock, asked: Operation, *, releases: bool = True) -> None:
    if not asked.is_ok or not isinstance(asked.value, int) or asked.value < 0:
        return
    if asked.until_ns is None:
        act.stage.granted(act.process, act.entity, lock, asked.number)
        if lock.held:
            asked.until_ns = act.stage.moment()
    try:
        for _ in range(_SAMPLES):
            await asyncio.sleep(act.number("hold_ms") / 1000 / _SAMPLES)
            if lock.held:
                asked.until_ns = act.stage.moment()
    finally:
        # Also when cancelled: whoever holds gives back.
        if releases:
            args = {"token": asked.value, "grant": asked.number}
            await act.call("lock.release", args, lock.release())


async def _hold_semaphore(act: Act) -> None:
    semaphore = act.d.semaphore(act.entity, act.number("permits", 1), timeout=act.timeout_s())
    await _keep_permits(act, semaphore, "semaphore.acquire", semaphore.acquire(act.number("n", 1)))


async def _try_semaphore(act: Act) -> None:
    semaphore = act.d.semaphore(act.entity, act.number("permits", 1), timeout=_TIMEOUT_S)
    await _keep_permits(act, semaphore, "semaphore.try", semaphore.try_acquire(act.number("n", 1)))


async def _keep_permits(act: Act, semaphore: Semaphore, kind: str, asking: Awaitable[bool | None]) -> None:
    permits, count = act.number("permits", 1), act.number("n", 1)
    asked, _ = await act.call(kind, {"permits": permits, "n": count}, _granted(asking))
    if not asked.is_ok or asked.value is False:
        return
    try:
        for _ in range(_SAMPLES):
            if _is_sure(semaphore):
                asked.until_ns = act.stage.moment()
            await asyncio.sleep(act.number("hold_ms") / 1000 / _SAMPLES)
        if _is_sure(semaphore):
            asked.until_ns = act.stage.moment()
    finally:
        await act.call("semaphore.release", {"grant": asked.number}, semaphore.release())


async def _granted(asking: Awaitable[bool | None]) -> bool:
    return await asking is not False


def _is_sure(semaphore: Semaphore) -> bool:
    return inside(semaphore, "_holds").oldest() is not None


async def _available(act: Act) -> None:
    permits = act.number("permits", 1)
    semaphore = act.d.semaphore(act.entity, permits, timeout=_TIMEOUT_S)
    await act.call("semaphore.available", {"permits": permits}, semaphore.available())


# -- the barrier


async def _arrive(act: Act) -> None:
    """A party arrives one request at a time: a second one while the first is under way is left out."""
    party = str(act.planned.args.get("party", act.process.name))
    key = (act.entity, party)
    stage = act.stage
    if stage.arriving.get(key, -1) == act.process.incarnation.ordinal:
        stage.skipped.append(f"arrival of {party}, which is still waiting")
        return
    stage.arriving[key] = act.process.incarnation.ordinal
    try:
        expected = act.number("expected", 1)
        barrier = act.d.barrier(act.entity, node_id=party, timeout=act.timeout_s())
        await act.call("barrier.arrive", {"party": party, "expected": expected}, barrier.arrive(expected))
    finally:
        stage.arriving.pop(key, None)


# -- values


async def _add(act: Act) -> None:
    counter = act.d.counter(act.entity, timeout=_TIMEOUT_S)
    amount = act.number("amount", 1)
    await act.call("counter.add", {"amount": amount}, counter.increment(amount))


async def _subtract(act: Act) -> None:
    counter = act.d.counter(act.entity, timeout=_TIMEOUT_S)
    amount = act.number("amount", 1)
    await act.call("counter.subtract", {"amount": amount}, counter.decrement(amount))


async def _get_count(act: Act) -> None:
    await act.call("counter.get", {}, act.d.counter(act.entity, timeout=_TIMEOUT_S).get())


async def _destroy_counter(act: Act) -> None:
    await act.call("counter.destroy", {}, act.d.counter(act.entity, timeout=_TIMEOUT_S).destroy())


async def _destroy_lock(act: Act) -> None:
    await act.call("lock.destroy", {}, act.d.lock(act.entity, timeout=_TIMEOUT_S).destroy())


async def _on_map(act: Act) -> None:
    entries = act.d.map[int, int](act.entity, timeout=_TIMEOUT_S)
    key, value = act.number("key"), act.number("value")
    kind = act.planned.kind
    if kind == "map.put":
        await act.call(kind, {"key": key, "value": value}, entries.put(key, value))
    elif kind == "map.delete":
        await act.call(kind, {"key": key}, entries.delete(key))
    elif kind == "map.contains":
        await act.call(kind, {"key": key}, entries.contains(key))
    else:
        await act.call(kind, {"key": key}, entries.get(key))


async def _on_set(act: Act) -> None:
    members = act.d.set[int](act.entity, timeout=_TIMEOUT_S)
    value, kind = act.number("value"), act.planned.kind
    if kind == "set.size":
        await act.call(kind, {}, members.size())
    elif kind == "set.add":
        await act.call(kind, {"value": value}, members.add(value))
    elif kind == "set.remove":
        await act.call(kind, {"value": value}, members.remove(value))
    else:
        await act.call(kind, {"value": value}, members.contains(value))


async def _on_queue(act: Act) -> None:
    items = act.d.queue[int](act.entity, timeout=_TIMEOUT_S)
    kind = act.planned.kind
    if kind == "queue.enqueue":
        value = act.number("value")
        await act.call(kind, {"value": value}, items.enqueue(value))
    elif kind == "queue.dequeue":
        await act.call(kind, {}, items.dequeue())
    elif kind == "queue.peek":
        await act.call(kind, {}, items.peek())
    else:
        await act.call(kind, {}, items.size())


PERFORMERS: dict[str, Callable[[Act], Awaitable[None]]] = {
    "lock.hold": _hold_lock,
    "lock.try": _try_lock,
    "lock.guard": _guard_with_lock,
    "lock.destroy": _destroy_lock,
    "semaphore.hold": _hold_semaphore,
    "semaphore.try": _try_semaphore,
    "semaphore.available": _available,
    "barrier.arrive": _arrive,
    "counter.add": _add,
    "counter.subtract": _subtract,
    "counter.get": _get_count,
    "counter.destroy": _destroy_counter,
    "entity.tell": tell_entity,
    "entity.ask": ask_entity,
    "inbox.tell": tell_inbox,
    **dict.fromkeys(("map.put", "map.get", "map.delete", "map.contains"), _on_map),
    **dict.fromkeys(("set.add", "set.remove", "set.contains", "set.size"), _on_set),
    **dict.fromkeys(("queue.enqueue", "queue.dequeue", "queue.peek", "queue.size"), _on_queue),
}
"""Kind of operation -> what it does."""
