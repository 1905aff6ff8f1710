"""What each kind of planned operation does; those on values are in `values`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from casty.distributed.lock import Lock
from casty.distributed.semaphore import Semaphore
from casty.errors import LockLost

from ..checks.step.introspection import inside
from ..history import Operation
from .actors import ask_entity, tell_entity, tell_inbox
from .entities import ENTITY_PERFORMERS
from .recorder import Act
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


async def perform(act: Act) -> None:
    """Do one planned operation; a kind that is not known is skipped and listed."""
    performer = PERFORMERS.get(act.planned.kind)
    if performer is None:
        act.stage.skipped.append(f"operation {act.planned.kind}")
        return
    await performer(act)


# -- holds


async def _hold_lock(act: Act) -> None:
    lock = act.d.lock(act.entity, timeout=act.patience_s())
    asked, _ = await act.call("lock.acquire", {}, _acquire(act, lock))
    await _keep_lock(act, lock, asked)


async def _try_lock(act: Act) -> None:
    lock = act.d.lock(act.entity, timeout=_TIMEOUT_S)
    asked, _ = await act.call("lock.try", {}, _try_acquire(act, lock))
    await _keep_lock(act, lock, asked)


async def _guard_with_lock(act: Act) -> None:
    """Hold, and write to a fenced register at the beginning and at the end: late writes have to be refused."""
    lock = act.d.lock(act.entity, timeout=act.patience_s())
    asked, _ = await act.call("lock.acquire", {}, _acquire(act, lock))
    if asked.is_ok and isinstance(asked.value, int):
        fence: Fence[int] = act.d.fence(f"{act.entity}-guarded")
        try:
            await _write(act, fence, asked.value, asked.number)
            await _keep_lock(act, lock, asked, releases=False)
            await _write(act, fence, asked.value, asked.number)
        finally:
            await _keep_lock(act, lock, asked)


async def _fence_with_lock(act: Act) -> None:
    """Hold, and do all that a fenced register can do; at last with the token of a hold that is over."""
    lock = act.d.lock(act.entity, timeout=act.patience_s())
    asked, _ = await act.call("lock.acquire", {}, _acquire(act, lock))
    if not asked.is_ok or not isinstance(asked.value, int):
        return
    fence: Fence[int] = act.d.fence(f"{act.entity}-guarded")
    try:
        await _check(act, fence, asked.value)
        if asked.number % 2:  # otherwise only the check tells the fence of this token
            await _write(act, fence, asked.value, asked.number)
        await act.call("fence.read", {}, _read(fence), f"{act.entity}-guarded")
    finally:
        await _keep_lock(act, lock, asked)
    await _check(act, fence, asked.value)


async def _check(act: Act, fence: Fence[int], token: int) -> None:
    await act.call("fence.check", {"token": token}, fence.check(token), f"{act.entity}-guarded")


async def _read(fence: Fence[int]) -> str:
    value, token = await fence.read()
    return f"{value}@{token}"


async def _share_lock(act: Act) -> None:
    """Use one instance from all tasks of this process that share the name."""
    lock = _shared(act, "lock", lambda: act.d.lock(act.entity, timeout=_TIMEOUT_S))
    asked, _ = await act.call("lock.acquire", {}, _acquire(act, lock))
    await _keep_lock(act, lock, asked)


def _shared(act: Act, structure: str, make: Callable[[], T]) -> T:
    key = (act.process.name, act.process.incarnation.ordinal, f"{structure} {act.entity}")
    instance: T = act.stage.shared.setdefault(key, make())
    return instance


async def _hold_lock_twice(act: Act) -> None:
    """Acquire, give back, and acquire again with the same instance."""
    lock = act.d.lock(act.entity, timeout=act.patience_s())
    for _ in range(2):
        asked, _ = await act.call("lock.acquire", {}, _acquire(act, lock))
        await _keep_lock(act, lock, asked)


async def _watch_lock(act: Act) -> None:
    """Hold, with a task beside that waits for the loss: it has to end with the hold, and to tell why it ended."""
    lock = act.d.lock(act.entity, timeout=act.patience_s())
    asked, _ = await act.call("lock.acquire", {}, _acquire(act, lock))
    if not asked.is_ok:
        return
    watch = asyncio.create_task(lock.wait_lost())
    try:
        released = await _keep_lock(act, lock, asked)
        done, _ = await asyncio.wait([watch], timeout=_SOON_S)
        if not done:
            act.violate(26, f"wait_lost() goes on after the hold of #{asked.number} ended", asked.number)
        elif released is not None and released.value is True and watch.result():
            act.violate(26, f"wait_lost() told a loss of #{asked.number}, which was released", asked.number)
    finally:
        watch.cancel()


async def _with_lock(act: Act) -> None:
    """What ``async with`` does, with both ends recorded: a loss ends the body, and is told as `LockLost`."""
    lock = act.d.lock(act.entity, timeout=act.patience_s())
    asked, _ = await act.call("lock.acquire", {}, _enter(act, lock))
    if not asked.is_ok:
        return
    args = {"token": asked.value, "grant": asked.number}
    try:
        await _sample(act, lock, asked)
    except asyncio.CancelledError as error:
        released, answer = await act.call("lock.release", args, _leave(lock, error))
        if not released.is_ok or answer is not None:
            raise
        act.stage.goal("a body was ended by the loss of its lock")
    else:
        await act.call("lock.release", args, _leave(lock, None))


async def _enter(act: Act, lock: Lock) -> int:
    return _token(act, await lock.__aenter__())


async def _leave(lock: Lock, error: BaseException | None) -> bool | None:
    """Return whether it was certainly released; None when the hold ended before the body did."""
    try:
        await lock.__aexit__(None if error is None else type(error), error, None)
    except LockLost:
        return None
    return error is None


async def _write(act: Act, fence: Fence[int], token: int, value: int) -> None:
    await act.call(
        "fence.write", {"token": token, "value": value}, fence.write(token, value), f"{act.entity}-guarded"
    )


async def _acquire(act: Act, lock: Lock) -> int | None:
    await lock.acquire()
    return _token(act, lock)


async def _try_acquire(act: Act, lock: Lock) -> int | None:
    return _token(act, lock) if await lock.try_acquire() else None


def _token(act: Act, lock: Lock) -> int:
    """Return the token of what was just granted: also if the hold ended in the same instant."""
    del act
    token: int = inside(lock, "_holds", "latest", "grant", "token")
    return token


def _is_held(lock: Lock, token: object) -> bool:
    """Whether `held` is true because of this grant: another task may hold with the same instance."""
    return lock.held and token in inside(lock, "_holds", "_holds")


async def _keep_lock(act: Act, lock: Lock, asked: Operation, *, releases: bool = True) -> Operation | None:
    """Hold for a while; return the release, if there was one."""
    released: Operation | None = None
    if not asked.is_ok or not isinstance(asked.value, int) or asked.value < 0:
        return released
    try:
        await _sample(act, lock, asked)
    finally:
        # Also when cancelled: whoever holds gives back.
        if releases:
            args = {"token": asked.value, "grant": asked.number}
            released, _ = await act.call("lock.release", args, lock.release())
    return released


async def _sample(act: Act, lock: Lock, asked: Operation) -> None:
    if asked.until_ns is None:
        act.stage.granted(act.process, act.entity, lock, asked.number)
        if _is_held(lock, asked.value):
            act.stage.is_sure(asked)
    for _ in range(_SAMPLES):
        await asyncio.sleep(act.number("hold_ms") / 1000 / _SAMPLES)
        if _is_held(lock, asked.value):
            act.stage.is_sure(asked)


async def _destroy_lock(act: Act) -> None:
    await act.call("lock.destroy", {}, act.d.lock(act.entity, timeout=_TIMEOUT_S).destroy())


async def _hold_semaphore(act: Act) -> None:
    semaphore = act.d.semaphore(act.entity, act.number("permits", 1), timeout=act.patience_s())
    await _keep_permits(act, semaphore, "semaphore.acquire", semaphore.acquire(act.number("n", 1)))


async def _try_semaphore(act: Act) -> None:
    semaphore = act.d.semaphore(act.entity, act.number("permits", 1), timeout=_TIMEOUT_S)
    await _keep_permits(act, semaphore, "semaphore.try", semaphore.try_acquire(act.number("n", 1)))


async def _keep_permits(act: Act, semaphore: Semaphore, kind: str, asking: Awaitable[bool | None]) -> None:
    got = await _ask_permits(act, semaphore, kind, act.number("n", 1), asking)
    if got is not None:
        await _keep_grants(act, semaphore, [got])


async def _ask_permits(
    act: Act, semaphore: Semaphore, kind: str, count: int, asking: Awaitable[bool | None]
) -> tuple[Operation, Hold] | None:
    permits = act.number("permits", 1)
    asked, _ = await act.call(kind, {"permits": permits, "n": count}, _granted(asking))
    if not asked.is_ok or asked.value is False:
        return None
    # Nothing ran since it was granted, so the latest of the instance is the one.
    return asked, inside(semaphore, "_holds", "latest")


async def _keep_grants(act: Act, semaphore: Semaphore, grants: list[tuple[Operation, Hold]]) -> None:
    try:
        for _ in range(_SAMPLES):
            _note_sure(act, semaphore, grants)
            await asyncio.sleep(act.number("hold_ms") / 1000 / _SAMPLES)
        _note_sure(act, semaphore, grants)
    finally:
        await _give_back(act, semaphore, grants)


async def _give_back(act: Act, semaphore: Semaphore, grants: list[tuple[Operation, Hold]]) -> None:
    """Give back one grant after the other, the latest first, as `release` does; also when cancelled in between."""
    *rest, (asked, _) = grants
    try:
        await act.call("semaphore.release", {"grant": asked.number}, semaphore.release())
    finally:
        if rest:
            await _give_back(act, semaphore, rest)


async def _hold_permits_twice(act: Act) -> None:
    """Two grants of one instance at one time."""
    semaphore = act.d.semaphore(act.entity, act.number("permits", 1), timeout=act.patience_s())
    first = await _ask_permits(act, semaphore, "semaphore.acquire", 1, semaphore.acquire())
    if first is None:
        return
    grants = [first]
    try:
        second = await _ask_permits(act, semaphore, "semaphore.try", 1, semaphore.try_acquire())
        grants += [] if second is None else [second]
    except asyncio.CancelledError:
        await _give_back(act, semaphore, grants)
        raise
    await _keep_grants(act, semaphore, grants)


async def _share_semaphore(act: Act) -> None:
    """Use one instance from all tasks of this process that share the name."""
    permits, count = act.number("permits", 1), act.number("n", 1)
    semaphore = _shared(act, "semaphore", lambda: act.d.semaphore(act.entity, permits, timeout=_TIMEOUT_S))
    got = await _ask_permits(act, semaphore, "semaphore.acquire", count, semaphore.acquire(count))
    if got is not None:
        await _keep_grants(act, semaphore, [got])


async def _granted(asking: Awaitable[bool | None]) -> bool:
    return await asking is not False


def _note_sure(act: Act, semaphore: Semaphore, grants: list[tuple[Operation, Hold]]) -> None:
    for asked, hold in grants:
        if inside(semaphore, "_holds").is_good(hold):
            act.stage.is_sure(asked)
        elif hold.reason is None:
            act.violate(26, f"the permits of #{asked.number} were given back by another task", asked.number)


async def _destroy_semaphore(act: Act) -> None:
    permits = act.number("permits", 1)
    semaphore = act.d.semaphore(act.entity, permits, timeout=_TIMEOUT_S)
    await act.call("semaphore.destroy", {"permits": permits}, semaphore.destroy())


async def _available(act: Act) -> None:
    permits = act.number("permits", 1)
    semaphore = act.d.semaphore(act.entity, permits, timeout=_TIMEOUT_S)
    await act.call("semaphore.available", {"permits": permits}, semaphore.available())


# -- the barrier


async def _arrive_again(act: Act) -> None:
    """Arrive, also while another request of the same party waits."""
    party, expected = str(act.planned.args.get("party", act.process.name)), act.number("expected", 1)
    barrier = act.d.barrier(act.entity, node_id=party, timeout=act.patience_s())
    await act.call("barrier.arrive", {"party": party, "expected": expected}, barrier.arrive(expected))


async def _destroy_barrier(act: Act) -> None:
    barrier = act.d.barrier(act.entity, node_id=act.process.name, timeout=_TIMEOUT_S)
    await act.call("barrier.destroy", {}, barrier.destroy())


async def _arrive(act: Act) -> None:
    """Arrive as a party of which no other request is under way; a second one is left out, see `_arrive_again`."""
    party = str(act.planned.args.get("party", act.process.name))
    key = (act.entity, party)
    stage = act.stage
    if stage.arriving.get(key, -1) == act.process.incarnation.ordinal:
        stage.skipped.append(f"arrival of {party}, which is still waiting")
        return
    stage.arriving[key] = act.process.incarnation.ordinal
    try:
        expected = act.number("expected", 1)
        barrier = act.d.barrier(act.entity, node_id=party, timeout=act.patience_s())
        await act.call("barrier.arrive", {"party": party, "expected": expected}, barrier.arrive(expected))
    finally:
        stage.arriving.pop(key, None)


PERFORMERS: dict[str, Callable[[Act], Awaitable[None]]] = {
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
    **TREE_PERFORMERS,
    **ENTITY_PERFORMERS,
}
"""Kind of operation -> what it does."""
