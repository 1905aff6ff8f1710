"""How calls that wait for one slot weigh on another: one gateway, two slots, one of them without a leader."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any, cast

from benchmarks.growth import Curve
from casty.cluster.control.placement import slot_of
from casty.cluster.control.topology import LeaderTable, MemberInfo, Topology
from casty.cluster.sessions.gateway import Gateway
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.config import Settings
from casty.distributed.machines.base import COUNTER
from casty.errors import CastyError
from casty.ports import EventSink, Runtime
from casty.realtime import SystemClock, SystemEntropy
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["CURVES"]

CALLS = 2_000
NAMES = 512


class Routes:
    """A node that answers from its machine in the next turn; slot 0 has no leader."""

    def __init__(self) -> None:
        self.leaders = LeaderTable()
        self.leaders.learn(1, 1, 1, "a")
        self.machine = SlotMachine(MachineLimits(), 1)
        self.index = 0
        members = {"a": MemberInfo("a", "1", "a", 1, "up")}
        slots = ((1, ("a",)), (1, ("a",)))
        self.known = Topology(1, "c", 1, 15.0, 0.01, members, slots, {}, {}, self.leaders)
        self.gateway = Gateway(
            Runtime(SystemClock(), SystemEntropy(), cast(Any, None), cast(Any, None), EventSink()),
            cast(Any, self), Settings(), b"bench",
        )  # fmt: skip

    def topology(self) -> Topology:
        """Return what is known."""
        return self.known

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        """Nobody redirects."""

    def linked(self) -> list[str]:
        """Return the one node."""
        return ["a"]

    def is_linked(self, node_id: str) -> bool:
        """It can be reached."""
        return node_id == "a"

    def refusal(self) -> None:
        """It refuses nobody."""

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        """Apply requests, answer in the next turn."""
        if kind == frames.REQUEST:
            replies = []
            requests: Any = unpack(body)
            for call_id, _, _, _, payload, _ in requests:
                self.index += 1
                replies.append([call_id, self.machine.apply(self.index, payload).reply])
            asyncio.get_running_loop().call_soon(self.gateway.on_reply, pack(replies))
        return True


def _names(slot: int) -> list[bytes]:
    names = [b"%d" % number for number in range(4 * NAMES)]
    return [name for name in names if slot_of(COUNTER, name, 2) == slot][:NAMES]


async def _call_us(parked: int) -> float:
    routes = Routes()
    gateway = routes.gateway
    dead, live = _names(0), _names(1)
    await gateway.command(COUNTER, live[0], [1, 1], timeout_s=60)
    waiting = [
        asyncio.ensure_future(gateway.command(COUNTER, dead[number % len(dead)], [1, 1], timeout_s=60))
        for number in range(parked)
    ]
    await asyncio.sleep(0)
    started_s = time.perf_counter()
    for number in range(CALLS):
        await gateway.command(COUNTER, live[number % len(live)], [1, 1], timeout_s=60)
    took_s = time.perf_counter() - started_s
    for call in waiting:
        call.cancel()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, (asyncio.CancelledError, CastyError)), result
    await gateway.close()
    return took_s / CALLS * 1e6


def _parked(size: int) -> float:
    return asyncio.run(_call_us(size))


async def _longest_turn_us(gateway: Gateway) -> float:
    """Return the processor time of the longest turn of the loop while a gateway is closed."""
    closing = asyncio.ensure_future(gateway.close())
    longest_ns = 0
    while not closing.done():
        began_ns = time.thread_time_ns()
        await asyncio.sleep(0)
        longest_ns = max(longest_ns, time.thread_time_ns() - began_ns)
    await closing
    return longest_ns / 1e3


async def _leave_us(parked: int) -> float:
    routes = Routes()
    dead = _names(0)
    waiting = [
        asyncio.ensure_future(routes.gateway.command(COUNTER, dead[number % NAMES], [1, 1], timeout_s=60))
        for number in range(parked)
    ]
    await asyncio.sleep(0)
    gc.disable()
    try:
        longest_us = await _longest_turn_us(routes.gateway)
    finally:
        gc.enable()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, CastyError), result
    return longest_us


def _leave(size: int) -> float:
    return asyncio.run(_leave_us(size))


CURVES = (
    Curve("one call on a healthy slot, by calls parked on another", (0, 1_000, 10_000, 50_000), _parked),
    Curve("longest turn of leaving, by calls parked", (2_000, 20_000), _leave, max_growth=None, max_ms=20.0),
)
