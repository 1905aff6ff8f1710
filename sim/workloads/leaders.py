"""What operations on read-write locks, elections and the number of permits do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from ..checks.step.protected import OfHolder
from ..history import Operation
from .recorder import OperationContext

if TYPE_CHECKING:
    from casty.distributed.election import Election, LeaderWatch
    from casty.distributed.holder import Holder
    from casty.distributed.lock import Lock
    from casty.distributed.rw_lock import ReadSide, WriteSide

__all__ = ["LEADER_PERFORMERS"]

_SAMPLES = 4
_TIMEOUT_S = 5.0


# -- read-write locks


async def _read(context: OperationContext) -> None:
    rw = context.d.rw_lock(context.entity, timeout=context.patience_s())
    await _hold_side(context, rw.read, "read", rw.read.acquire(), "acquire")


async def _write(context: OperationContext) -> None:
    rw = context.d.rw_lock(context.entity, timeout=context.patience_s())
    await _hold_side(context, rw.write, "write", rw.write.acquire(), "acquire")


async def _try_read(context: OperationContext) -> None:
    rw = context.d.rw_lock(context.entity, timeout=_TIMEOUT_S)
    await _hold_side(context, rw.read, "read", rw.read.try_acquire(), "try")


async def _try_write(context: OperationContext) -> None:
    rw = context.d.rw_lock(context.entity, timeout=_TIMEOUT_S)
    await _hold_side(context, rw.write, "write", rw.write.try_acquire(), "try")


async def _hold_side(
    context: OperationContext,
    side: ReadSide | WriteSide,
    mode: str,
    asking: Awaitable[bool | None],
    kind: str,
) -> None:
    """Hold one side of an instance of its own for a while."""
    asked, _ = await context.call(f"rw_lock.{kind}", {"mode": mode}, _granted(side, asking))
    if not asked.is_ok or not isinstance(asked.value, int):
        return
    try:
        await _sample(context, side, asked)
    finally:
        args = {"token": asked.value, "grant": asked.number}
        await context.call("rw_lock.release", args, side.release())


async def _destroy_rw_lock(context: OperationContext) -> None:
    await context.call("rw_lock.destroy", {}, context.d.rw_lock(context.entity, timeout=_TIMEOUT_S).destroy())


# -- elections


async def _lead(context: OperationContext) -> None:
    """Campaign, lead for a while, resign."""
    timeout_s = context.patience_s()
    election = context.d.election(context.entity, candidate=context.process.name, timeout=timeout_s)
    asked, _ = await context.call("election.acquire", {}, _granted(election, election.campaign(timeout_s)))
    if not asked.is_ok or not isinstance(asked.value, int):
        return
    try:
        # A lock's `held` and an election's `is_leader` are the same hold; only its name differs.
        context.recorder.granted(context.process, context.entity, cast("Lock", election), asked)
        await _sample(context, election, asked)
    finally:
        args = {"token": asked.value, "grant": asked.number}
        await context.call("election.release", args, election.resign())


def _election(context: OperationContext) -> Election:
    return context.d.election(context.entity, candidate=context.process.name, timeout=_TIMEOUT_S)


async def _look(context: OperationContext) -> None:
    await context.call("election.leader", {}, _term(_election(context).leader()))


async def _follow(context: OperationContext) -> None:
    """Watch for a while: each answer is a call of its own."""
    watch = _election(context).watch()
    last = -1
    for _ in range(context.number("news", 3)):
        told, term = await context.call("election.told", {"known": last}, _told(watch, context.patience_s()))
        if not told.is_ok or term is None:
            return
        if term == last:
            context.violate(21, f"#{told.number} told of term {term} again", told.number)
        if term and term < last:
            context.violate(21, f"#{told.number} told of term {term} after {last}", told.number)
        last = term or last


async def _told(watch: LeaderWatch, timeout_s: float | None) -> int:
    return await asyncio.wait_for(_term(anext(watch)), timeout_s)


async def _term(asking: Awaitable[Any]) -> int:
    leader = await asking
    return 0 if leader is None else int(leader.token)


async def _destroy_election(context: OperationContext) -> None:
    await context.call("election.destroy", {}, _election(context).destroy())


# -- both


async def _granted(side: Holder, asking: Awaitable[bool | None]) -> int | None:
    """Return the token of what was just granted."""
    return None if await asking is False else OfHolder.latest_token_of(side)


async def _sample(context: OperationContext, side: Holder, asked: Operation) -> None:
    """Note, for as long as it is held, that its client is sure of it."""
    for _ in range(_SAMPLES):
        _note_sure(context, side, asked)
        await asyncio.sleep(context.number("hold_ms") / 1000 / _SAMPLES)
    _note_sure(context, side, asked)


def _note_sure(context: OperationContext, side: Holder, asked: Operation) -> None:
    assert isinstance(asked.value, int), "a token"
    hold = OfHolder.holds_of(side).by_token.get(asked.value)
    if hold is not None and hold.grant.is_valid:
        context.recorder.is_sure(asked)


# -- permits


async def _resize(context: OperationContext) -> None:
    """Change the number of permits."""
    permits, count = context.number("permits", 1), context.number("to", 1)
    semaphore = context.d.semaphore(context.entity, permits, timeout=_TIMEOUT_S)
    await context.call("semaphore.resize", {"permits": permits, "to": count}, semaphore.resize(count))


LEADER_PERFORMERS: dict[str, Callable[[OperationContext], Awaitable[None]]] = {
    "rw_lock.read": _read,
    "rw_lock.write": _write,
    "rw_lock.try_read": _try_read,
    "rw_lock.try_write": _try_write,
    "rw_lock.destroy": _destroy_rw_lock,
    "election.lead": _lead,
    "election.look": _look,
    "election.follow": _follow,
    "election.destroy": _destroy_election,
    "semaphore.resize": _resize,
}
"""Kind of operation -> what it does."""
