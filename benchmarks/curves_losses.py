"""What one turn costs when very much is lost at once, and what many holds cost one operation."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any, cast

from benchmarks.curves_moves import Silent
from benchmarks.growth import Curve
from casty.cluster.node.relays import Relays
from casty.cluster.sessions.core.client_session import ClientSession, Held
from casty.cluster.sessions.core.deadlines import Deadlines
from casty.cluster.sessions.core.effects import Step
from casty.cluster.sessions.core.inputs import AskSoon
from casty.cluster.sessions.grant import Hold
from casty.distributed.holds import Holds
from casty.distributed.machines.base import LOCK, SEMAPHORE
from casty.realtime import SystemClock

__all__ = ["CURVES"]

SIZES = (1_000, 10_000, 100_000)
FEW = 200
TURNS = 20


async def _longest_us(begin: Callable[[], object], turns: int) -> float:
    """Return the processor time of the longest turn of the loop, the first one with what begins the work."""
    gc.disable()
    try:
        longest_ns = 0
        for number in range(turns):
            began_ns = time.thread_time_ns()
            if number == 0:
                begin()
            await asyncio.sleep(0)
            longest_ns = max(longest_ns, time.thread_time_ns() - began_ns)
    finally:
        gc.enable()
    return longest_ns / 1e3


def _holding(routes: Silent, count: int) -> list[Hold]:
    """Let a gateway hold so many locks of one slot."""
    clock = SystemClock()
    session = ClientSession(0, 1, b"attempt", clock.now())
    session.number = 1
    session.cover(clock.now() + 10**12)
    routes.change()
    routes.gateway.sessions_by_slot[0] = session
    driver, holds = cast(Any, routes.gateway)._driver, []
    for seq in range(1, count + 1):
        held = Held(session, session.take(), (LOCK, b"lock-%d" % seq), seq)
        holds.append(Hold(clock, held))
        session.answered(seq)
        session.hold(held)
        driver._holds[held] = holds[-1]
    return holds


def _of_holds(
    act: Callable[[Silent], object], is_over: Callable[[Silent, list[Hold]], bool]
) -> Callable[[int], float]:
    async def measure(count: int) -> float:
        routes = Silent()
        holds = _holding(routes, count)
        longest_us = await _longest_us(lambda: act(routes), count // 64 + TURNS)
        assert is_over(routes, holds), "the work is not done"
        routes.gateway.abort()
        return longest_us

    return lambda count: asyncio.run(measure(count))


def _lose(routes: Silent) -> None:
    routes.change(cluster_id="second")


def _name(routes: Silent) -> None:
    cast(Any, routes.gateway)._driver.step(AskSoon(routes.gateway.sessions_by_slot[0]))


def _destroy_us(count: int) -> float:
    """Return what it costs to find the holds of an entity that is destroyed."""
    session = ClientSession(0, 1, b"attempt", 0)
    for seq in range(count):
        session.hold(Held(session, seq, (SEMAPHORE, b"%d" % seq), seq))
    began_ns = time.perf_counter_ns()
    for _ in range(FEW):
        session.held_of((SEMAPHORE, b"5"))
    return (time.perf_counter_ns() - began_ns) / FEW / 1e3


class _Owner:
    def hold_ended(self) -> None:
        """Nobody waits for it."""


def _release_us(count: int) -> float:
    """Return what it costs an instance to give back its latest permit, of those that one task acquired."""

    async def measure() -> float:
        owner, clock = _Owner(), SystemClock()
        session = ClientSession(0, 1, b"attempt", 0)
        session.cover(clock.now() + 10**12)
        holds = Holds(cast(Any, owner))
        for token in range(count):
            holds.begin(Hold(clock, Held(session, token, (SEMAPHORE, b"s"), token)), 1)
        began_ns = time.perf_counter_ns()
        for _ in range(FEW):
            meant = holds.meant()
            assert meant is not None
            holds.end(meant)
        return (time.perf_counter_ns() - began_ns) / FEW / 1e3

    return asyncio.run(measure())


def _deadline_us(count: int) -> float:
    """Return the longest that one more deadline took, where so many are live and as many were before."""
    live: dict[int, None] = {}

    deadlines = Deadlines(Step(), lambda when_ns, key: key in live)
    longest_ns = 0
    gc.disable()
    try:
        for key in range(1, 4 * count):
            if key <= count:
                live[key] = None
            began_ns = time.thread_time_ns()
            deadlines.add(10**12, key)
            longest_ns = max(longest_ns, time.thread_time_ns() - began_ns)
    finally:
        gc.enable()
    return longest_ns / 1e3


class _Caller:
    def add(self, call_id: int, reply: list[object]) -> None:
        """It takes whatever comes."""


def _of_relays(end: Callable[[Relays, _Caller], object]) -> Callable[[int], float]:
    async def measure(count: int) -> float:
        relays, caller = Relays(SystemClock()), _Caller()
        for number in range(count):
            relays.expect("a", caller, number)
        longest_us = await _longest_us(lambda: end(relays, caller), count // 512 + TURNS)
        assert not len(relays), "the work is not done"
        return longest_us

    return lambda count: asyncio.run(measure(count))


def _turn(name: str, measure: Callable[[int], float]) -> Curve:
    return Curve(name, SIZES, measure, max_growth=None, max_ms=20.0)


CURVES = (
    _turn(
        "longest turn as all holds of a slot are lost, by holds",
        _of_holds(_lose, lambda _, holds: all(hold.lost.done() for hold in holds)),
    ),
    _turn(
        "longest turn of a keep-alive, by holds that it names",
        _of_holds(_name, lambda routes, _: routes.gateway.core.keep_alive.is_sent),
    ),
    _turn(
        "longest turn as the link of relayed calls ends, by calls",
        _of_relays(lambda one, _: one.link_lost("a")),
    ),
    _turn("longest turn as the caller of relayed calls is gone, by calls", _of_relays(Relays.caller_lost)),
    _turn("longest that a call's deadline takes, by deadlines", _deadline_us),
    Curve("holds of an entity that is destroyed, by holds of the session", SIZES, _destroy_us),
    Curve("release of a permit, by permits of the instance", SIZES, _release_us),
)
