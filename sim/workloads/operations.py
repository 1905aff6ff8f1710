"""What each kind of planned operation does; those on values are in `values`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from casty.distributed.lock import Lock
from casty.distributed.semaphore import Semaphore
from casty.errors import LockLost

from ..checks.step.protected import OfHolder
from ..history import Operation
from .actors import ask_entity, tell_entity, tell_inbox
from .entities import ENTITY_PERFORMERS
from .flows import FLOW_PERFORMERS
from .leaders import LEADER_PERFORMERS
from .ledger_calls import LEDGER_PERFORMERS
from .maps import MAP_PERFORMERS
from .recorder import OperationContext
from .services import SERVICE_PERFORMERS
from .trees import TREE_PERFORMERS
from .values import VALUE_PERFORMERS

if TYPE_CHECKING:
    from casty.distributed.fence import Fence
    from casty.distributed.holds import Hold

__all__ = ["PERFORMERS", "perform"]

T = TypeVar("T")

_SAMPLES = 4
_SOON_S = 1.0
_TIMEOUT_S = 5.0


async def perform(context: OperationContext) -> None:
    """Do one planned operation; a kind that is not known is skipped and listed."""
    performer = PERFORMERS.get(context.planned.kind)
    if performer is None:
        context.recorder.skipped.append(f"operation {context.planned.kind}")
        return
    await performer(context)


# -- holds


async def _hold_lock(context: OperationContext) -> None:
    lock = context.d.lock(context.entity, timeout=context.patience_s())
    asked, _ = await context.call("lock.acquire", {}, _acquire(lock))
    await _keep_lock(context, lock, asked)


async def _try_lock(context: OperationContext) -> None:
    lock = context.d.lock(context.entity, timeout=_TIMEOUT_S)
    asked, _ = await context.call("lock.try", {}, _try_acquire(lock))
    await _keep_lock(context, lock, asked)


async def _guard_with_lock(context: OperationContext) -> None:
    """Hold, and write to a fenced register at the beginning and at the end: late writes have to be refused."""
    lock = context.d.lock(context.entity, timeout=context.patience_s())
    asked, _ = await context.call("lock.acquire", {}, _acquire(lock))
    if asked.is_ok and isinstance(asked.value, int):
        fence: Fence[int] = context.d.fence(f"{context.entity}-guarded")
        try:
            await _write(context, fence, asked.value, asked.number)
            await _keep_lock(context, lock, asked, releases=False)
            await _write(context, fence, asked.value, asked.number)
        finally:
            await _keep_lock(context, lock, asked)


async def _fence_with_lock(context: OperationContext) -> None:
    """Hold, and do all that a fenced register can do; at last with the token of a hold that is over."""
    lock = context.d.lock(context.entity, timeout=context.patience_s())
    asked, _ = await context.call("lock.acquire", {}, _acquire(lock))
    if not asked.is_ok or not isinstance(asked.value, int):
        return
    fence: Fence[int] = context.d.fence(f"{context.entity}-guarded")
    try:
        await _check(context, fence, asked.value)
        if asked.number % 2:  # otherwise only the check tells the fence of this token
            await _write(context, fence, asked.value, asked.number)
        await context.call("fence.read", {}, _read(fence), f"{context.entity}-guarded")
    finally:
        await _keep_lock(context, lock, asked)
    await _check(context, fence, asked.value)


async def _check(context: OperationContext, fence: Fence[int], token: int) -> None:
    await context.call("fence.check", {"token": token}, fence.check(token), f"{context.entity}-guarded")


async def _read(fence: Fence[int]) -> str:
    value, token = await fence.read()
    return f"{value}@{token}"


async def _share_lock(context: OperationContext) -> None:
    """Use one instance from all tasks of this process that share the name."""
    lock = _shared(context, "lock", lambda: context.d.lock(context.entity, timeout=_TIMEOUT_S))
    asked, _ = await context.call("lock.acquire", {}, _acquire(lock))
    await _keep_lock(context, lock, asked)


def _shared(context: OperationContext, structure: str, make: Callable[[], T]) -> T:
    key = (context.process.name, context.process.incarnation.ordinal, f"{structure} {context.entity}")
    instance: T = context.recorder.shared.setdefault(key, make())
    return instance


async def _hold_lock_twice(context: OperationContext) -> None:
    """Acquire, give back, and acquire again with the same instance."""
    lock = context.d.lock(context.entity, timeout=context.patience_s())
    for _ in range(2):
        asked, _ = await context.call("lock.acquire", {}, _acquire(lock))
        await _keep_lock(context, lock, asked)


async def _watch_lock(context: OperationContext) -> None:
    """Hold, with a task beside that waits for the loss: it has to end with the hold, and to tell why it ended."""
    lock = context.d.lock(context.entity, timeout=context.patience_s())
    asked, _ = await context.call("lock.acquire", {}, _acquire(lock))
    if not asked.is_ok:
        return
    watch = asyncio.create_task(lock.wait_lost())
    try:
        released = await _keep_lock(context, lock, asked)
        done, _ = await asyncio.wait([watch], timeout=_SOON_S)
        if not done:
            context.violate(26, f"wait_lost() goes on after the hold of #{asked.number} ended", asked.number)
        elif released is not None and released.value is True and watch.result():
            context.violate(
                26, f"wait_lost() told a loss of #{asked.number}, which was released", asked.number
            )
    finally:
        watch.cancel()


async def _with_lock(context: OperationContext) -> None:
    """What ``async with`` does, with both ends recorded: a loss ends the body, and is told as `LockLost`."""
    lock = context.d.lock(context.entity, timeout=context.patience_s())
    asked, _ = await context.call("lock.acquire", {}, _enter(lock))
    if not asked.is_ok:
        return
    args = {"token": asked.value, "grant": asked.number}
    try:
        await _sample(context, lock, asked)
    except asyncio.CancelledError as error:
        released, answer = await context.call("lock.release", args, _leave(lock, error))
        if not released.is_ok or answer is not None:
            raise
        context.recorder.goal("a body was ended by the loss of its lock")
    else:
        await context.call("lock.release", args, _leave(lock, None))


async def _enter(lock: Lock) -> int | None:
    return OfHolder.latest_token_of(await lock.__aenter__())


async def _leave(lock: Lock, error: BaseException | None) -> bool | None:
    """Return whether it was certainly released; None when the hold ended before the body did."""
    try:
        await lock.__aexit__(None if error is None else type(error), error, None)
    except LockLost:
        return None
    return error is None


async def _write(context: OperationContext, fence: Fence[int], token: int, value: int) -> None:
    await context.call(
        "fence.write",
        {"token": token, "value": value},
        fence.write(token, value),
        f"{context.entity}-guarded",
    )


async def _acquire(lock: Lock) -> int | None:
    await lock.acquire()
    return OfHolder.latest_token_of(lock)


async def _try_acquire(lock: Lock) -> int | None:
    return OfHolder.latest_token_of(lock) if await lock.try_acquire() else None


def _is_held(lock: Lock, token: object) -> bool:
    """Whether `held` is true because of this grant: another task may hold with the same instance."""
    return lock.held and token in OfHolder.holds_of(lock).by_token


async def _keep_lock(
    context: OperationContext, lock: Lock, asked: Operation, *, releases: bool = True
) -> Operation | None:
    """Hold for a while; return the release, if there was one."""
    released: Operation | None = None
    if not asked.is_ok or not isinstance(asked.value, int) or asked.value < 0:
        return released
    try:
        await _sample(context, lock, asked)
    finally:
        # Also when cancelled: whoever holds gives back.
        if releases:
            args = {"token": asked.value, "grant": asked.number}
            released, _ = await context.call("lock.release", args, lock.release())
    return released


async def _sample(context: OperationContext, lock: Lock, asked: Operation) -> None:
    if asked.until_ns is None:
        context.recorder.granted(context.process, context.entity, lock, asked)
        if _is_held(lock, asked.value):
            context.recorder.is_sure(asked)
    for _ in range(_SAMPLES):
        await asyncio.sleep(context.number("hold_ms") / 1000 / _SAMPLES)
        if _is_held(lock, asked.value):
            context.recorder.is_sure(asked)


async def _destroy_lock(context: OperationContext) -> None:
    await context.call("lock.destroy", {}, context.d.lock(context.entity, timeout=_TIMEOUT_S).destroy())


async def _hold_semaphore(context: OperationContext) -> None:
    semaphore = context.d.semaphore(
        context.entity, context.number("permits", 1), timeout=context.patience_s()
    )
    await _keep_permits(context, semaphore, "semaphore.acquire", semaphore.acquire(context.number("n", 1)))


async def _try_semaphore(context: OperationContext) -> None:
    semaphore = context.d.semaphore(context.entity, context.number("permits", 1), timeout=_TIMEOUT_S)
    await _keep_permits(context, semaphore, "semaphore.try", semaphore.try_acquire(context.number("n", 1)))


async def _keep_permits(
    context: OperationContext, semaphore: Semaphore, kind: str, asking: Awaitable[bool | None]
) -> None:
    got = await _ask_permits(context, semaphore, kind, context.number("n", 1), asking)
    if got is not None:
        await _keep_grants(context, semaphore, [got])


async def _ask_permits(
    context: OperationContext, semaphore: Semaphore, kind: str, count: int, asking: Awaitable[bool | None]
) -> tuple[Operation, Hold] | None:
    permits = context.number("permits", 1)
    asked, _ = await context.call(kind, {"permits": permits, "n": count}, _granted(asking))
    if not asked.is_ok or asked.value is False:
        return None
    latest = OfHolder.holds_of(semaphore).latest
    assert latest is not None, "nothing ran since it was granted, so the latest of the instance is the one"
    return asked, latest


async def _keep_grants(
    context: OperationContext, semaphore: Semaphore, grants: list[tuple[Operation, Hold]]
) -> None:
    try:
        for _ in range(_SAMPLES):
            _note_sure(context, semaphore, grants)
            await asyncio.sleep(context.number("hold_ms") / 1000 / _SAMPLES)
        _note_sure(context, semaphore, grants)
    finally:
        await _give_back(context, semaphore, grants)


async def _give_back(
    context: OperationContext, semaphore: Semaphore, grants: list[tuple[Operation, Hold]]
) -> None:
    """Give back one grant after the other, the latest first, as `release` does; also when cancelled in between."""
    *rest, (asked, _) = grants
    try:
        await context.call("semaphore.release", {"grant": asked.number}, semaphore.release())
    finally:
        if rest:
            await _give_back(context, semaphore, rest)


async def _hold_permits_twice(context: OperationContext) -> None:
    """Two grants of one instance at one time."""
    semaphore = context.d.semaphore(
        context.entity, context.number("permits", 1), timeout=context.patience_s()
    )
    first = await _ask_permits(context, semaphore, "semaphore.acquire", 1, semaphore.acquire())
    if first is None:
        return
    grants = [first]
    try:
        second = await _ask_permits(context, semaphore, "semaphore.try", 1, semaphore.try_acquire())
        grants += [] if second is None else [second]
    except asyncio.CancelledError:
        await _give_back(context, semaphore, grants)
        raise
    await _keep_grants(context, semaphore, grants)


async def _share_semaphore(context: OperationContext) -> None:
    """Use one instance from all tasks of this process that share the name."""
    permits, count = context.number("permits", 1), context.number("n", 1)
    semaphore = _shared(
        context, "semaphore", lambda: context.d.semaphore(context.entity, permits, timeout=_TIMEOUT_S)
    )
    got = await _ask_permits(context, semaphore, "semaphore.acquire", count, semaphore.acquire(count))
    if got is not None:
        await _keep_grants(context, semaphore, [got])


async def _granted(asking: Awaitable[bool | None]) -> bool:
    return await asking is not False


def _note_sure(context: OperationContext, semaphore: Semaphore, grants: list[tuple[Operation, Hold]]) -> None:
    for asked, hold in grants:
        if OfHolder.holds_of(semaphore).is_good(hold):
            context.recorder.is_sure(asked)
        elif hold.reason is None:
            context.violate(
                26, f"the permits of #{asked.number} were given back by another task", asked.number
            )


async def _destroy_semaphore(context: OperationContext) -> None:
    permits = context.number("permits", 1)
    semaphore = context.d.semaphore(context.entity, permits, timeout=_TIMEOUT_S)
    await context.call("semaphore.destroy", {"permits": permits}, semaphore.destroy())


async def _available(context: OperationContext) -> None:
    permits = context.number("permits", 1)
    semaphore = context.d.semaphore(context.entity, permits, timeout=_TIMEOUT_S)
    await context.call("semaphore.available", {"permits": permits}, semaphore.available())


# -- the barrier


async def _arrive_again(context: OperationContext) -> None:
    """Arrive, also while another request of the same party waits."""
    party, expected = (
        str(context.planned.args.get("party", context.process.name)),
        context.number("expected", 1),
    )
    barrier = context.d.barrier(context.entity, node_id=party, timeout=context.patience_s())
    await context.call("barrier.arrive", {"party": party, "expected": expected}, barrier.arrive(expected))


async def _destroy_barrier(context: OperationContext) -> None:
    barrier = context.d.barrier(context.entity, node_id=context.process.name, timeout=_TIMEOUT_S)
    await context.call("barrier.destroy", {}, barrier.destroy())


async def _arrive(context: OperationContext) -> None:
    """Arrive as a party of which no other request is under way; a second one is left out, see `_arrive_again`."""
    party = str(context.planned.args.get("party", context.process.name))
    key = (context.entity, party)
    recorder = context.recorder
    if recorder.arriving.get(key, -1) == context.process.incarnation.ordinal:
        recorder.skipped.append(f"arrival of {party}, which is still waiting")
        return
    recorder.arriving[key] = context.process.incarnation.ordinal
    try:
        expected = context.number("expected", 1)
        barrier = context.d.barrier(context.entity, node_id=party, timeout=context.patience_s())
        await context.call("barrier.arrive", {"party": party, "expected": expected}, barrier.arrive(expected))
    finally:
        recorder.arriving.pop(key, None)


PERFORMERS: dict[str, Callable[[OperationContext], Awaitable[None]]] = {
    "lock.hold": _hold_lock,
    "lock.try": _try_lock,
    "lock.guard": _guard_with_lock,
    "lock.fence": _fence_with_lock,
    "lock.with": _with_lock,
    "lock.again": _hold_lock_twice,
    "lock.watch": _watch_lock,
    "lock.shared": _share_lock,
    "lock.destroy": _destroy_lock,
    "semaphore.hold": _hold_semaphore,
    "semaphore.try": _try_semaphore,
    "semaphore.twice": _hold_permits_twice,
    "semaphore.shared": _share_semaphore,
    "semaphore.available": _available,
    "semaphore.destroy": _destroy_semaphore,
    "barrier.arrive": _arrive,
    "barrier.again": _arrive_again,
    "barrier.destroy": _destroy_barrier,
    "entity.tell": tell_entity,
    "entity.ask": ask_entity,
    "inbox.tell": tell_inbox,
    **SERVICE_PERFORMERS,
    **VALUE_PERFORMERS,
    **MAP_PERFORMERS,
    **TREE_PERFORMERS,
    **ENTITY_PERFORMERS,
    **FLOW_PERFORMERS,
    **LEADER_PERFORMERS,
    **LEDGER_PERFORMERS,
}
"""Kind of operation -> what it does."""
