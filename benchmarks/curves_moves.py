"""What one turn costs when very many calls are under way and the cluster changes under them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any, cast

from benchmarks.growth import Curve
from casty.cluster.control.topology import LeaderTable, MemberInfo, Topology
from casty.cluster.sessions.gateway import Gateway
from casty.config import Settings
from casty.distributed.machines.base import COUNTER
from casty.errors import CastyError
from casty.ports import EventSink, Runtime
from casty.realtime import SystemClock, SystemEntropy
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["CURVES"]

SLOTS = 64
SIZES = (1_000, 10_000, 50_000)


class Silent:
    """Two nodes that open sessions and answer nothing else; node a leads every slot, until it is told otherwise."""

    def __init__(self) -> None:
        self.leader, self.cluster_id = "a", "first"
        self.sessions = 0
        self.gateway = Gateway(
            Runtime(SystemClock(), SystemEntropy(), cast(Any, None), cast(Any, None), EventSink()),
            cast(Any, self), Settings(max_window_replies=4096), b"bench",
        )  # fmt: skip
        self.known = self._topology()

    def _topology(self) -> Topology:
        members = {name: MemberInfo(name, "1", name, 1, "up") for name in ("a", "b")}
        leaders = LeaderTable()
        for slot in range(SLOTS):
            leaders.learn(slot, 1, 1 if self.leader == "a" else 2, self.leader)
        slots = tuple((1, ("a", "b")) for _ in range(SLOTS))
        return Topology(1, self.cluster_id, 1, 15.0, 0.01, members, slots, {}, {}, leaders)

    def change(self, **changes: str) -> None:
        """Let the gateway see another cluster or another leader."""
        vars(self).update(changes)
        self.known = self._topology()
        self.gateway.on_topology()

    def topology(self) -> Topology:
        """Return what is known."""
        return self.known

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        """Nobody redirects."""

    def linked(self) -> list[str]:
        """Return both nodes."""
        return ["a", "b"]

    def is_linked(self, node_id: str) -> bool:
        """Both can be reached."""
        return True

    def answers(self) -> str:
        """Everybody is linked."""
        return ""

    def refusal(self) -> None:
        """It refuses nobody."""

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        """Open sessions in the next turn, and take everything else in silence."""
        if kind == frames.REQUEST:
            requests: Any = unpack(body)
            entries: list[Any] = [unpack(row[4]) for row in requests]
            opened = [[row[0], [0, 1]] for row, entry in zip(requests, entries, strict=True) if entry[0] == 1]
            if opened:
                asyncio.get_running_loop().call_soon(self.gateway.on_reply, pack(opened))
        return True


async def _longest_us(calls: int, change: Callable[[Silent], None]) -> float:
    """Return the processor time of the longest turn of the loop from a change on, until all is done."""
    routes = Silent()
    waiting = [
        asyncio.ensure_future(routes.gateway.command(COUNTER, b"%d" % number, [1, 1], timeout_s=60))
        for number in range(calls)
    ]
    for _ in range(3 * calls // 16 // SLOTS + 100):
        await asyncio.sleep(0)
    gc.disable()
    try:
        began_ns = time.thread_time_ns()
        change(routes)
        longest_ns = time.thread_time_ns() - began_ns
        for _ in range(4 * calls // 256 + 200):
            began_ns = time.thread_time_ns()
            await asyncio.sleep(0)
            longest_ns = max(longest_ns, time.thread_time_ns() - began_ns)
    finally:
        gc.enable()
    for call in waiting:
        call.cancel()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, (asyncio.CancelledError, CastyError)), result
    await routes.gateway.close()
    return longest_ns / 1e3


def _curve(name: str, change: Callable[[Silent], None]) -> Curve:
    def measure(calls: int) -> float:
        return asyncio.run(_longest_us(calls, change))

    return Curve(name, SIZES, measure, max_growth=None, max_ms=20.0)


CURVES = (
    _curve("longest turn at a new generation, by calls", lambda one: one.change(cluster_id="second")),
    _curve("longest turn as all leaders move, by calls", lambda one: one.change(leader="b")),
    _curve("longest turn as a link ends, by calls", lambda one: one.gateway.on_link_down("a")),
)
