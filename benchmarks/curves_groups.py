"""How long one turn of a node takes that creates, ticks or changes very many groups at once."""

from __future__ import annotations

import gc
import heapq
import time
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.growth import Curve
from casty.cluster.control.machine import ControlMachine, MemberRow, SlotRow
from casty.cluster.multiraft.host import Host, Replica
from casty.cluster.multiraft.memory_budget import MemoryBudget
from casty.cluster.node.replica_factory import Groups
from casty.cluster.slots.node_memory import NodeMemory
from casty.cluster.slots.replica import SlotReplica
from casty.config import SECOND_NS, Settings
from casty.ports import EventSink, Runtime
from casty.realtime import SystemEntropy
from casty.transport.output_batch import OutputBatch

__all__ = ["CURVES"]

SIZES = (256, 1_024, 4_096)
NAMES = ("a", "b", "c")


class Clock:
    """Stands still, and runs one timer when it is told to."""

    def __init__(self) -> None:
        self.now_ns = SECOND_NS
        self.timers: list[tuple[int, int, Timer]] = []
        self.count = 0

    def now(self) -> int:
        """Return the time."""
        return self.now_ns

    def call_at(self, when_ns: int, callback: Callable[..., object], *arguments: object) -> Timer:
        """Keep a callback."""
        self.count += 1
        timer = Timer(callback, arguments)
        heapq.heappush(self.timers, (when_ns, self.count, timer))
        return timer

    def run_one(self) -> bool:
        """Run the first timer that is due; False where none is."""
        if not self.timers or self.timers[0][0] > self.now_ns:
            return False
        timer = heapq.heappop(self.timers)[2]
        if not timer.is_cancelled:
            timer.callback(*timer.arguments)
        return True


class Timer:
    """A callback that was not called yet."""

    def __init__(self, callback: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self.callback, self.arguments = callback, arguments
        self.is_cancelled = False

    def cancel(self) -> None:
        """Never call it."""
        self.is_cancelled = True


class Storage:
    """Durable at once."""

    def persist(self, writes: Iterable[object], done: Callable[[], None]) -> None:
        """Take note of nothing."""
        del writes
        done()


class Node:
    """A founder of very many slots, whose fellow founders are silent."""

    def __init__(self, slots: int) -> None:
        self.clock = Clock()
        ports: Any = (self.clock, SystemEntropy(), None, Storage(), EventSink())
        runtime, settings = Runtime(*ports), Settings()
        self.settings = settings
        self.runtime = runtime
        self.host = Host(runtime, lambda to, kind, body: True, settings.max_frame_bytes)
        self.memory = NodeMemory(MemoryBudget(2**30), "a", self.host, {}, lambda: 0)
        output = OutputBatch(runtime, lambda callback: None)
        output.hooks.append(self.host.settle)
        self.groups = Groups(self.host, runtime, settings, "a#1", self._replica, output)
        self.machine = ControlMachine()
        self.machine.members = {name: MemberRow(name, "1", name, 1, "up", was_up=True) for name in NAMES}
        self.machine.settings = {
            name: getattr(settings, name)
            for name in ("session_ttl_s", "max_entities", "max_sessions", "max_waiters")
        }
        row = SlotRow(1, tuple(f"{name}#1" for name in NAMES), NAMES, "a")
        self.machine.slots = [row] * slots

    def _replica(self, slot: int, epoch: int, machine: ControlMachine) -> Replica:
        del epoch
        return SlotReplica(
            slot, self.runtime, self.settings, 1, machine.settings, lambda group: None, self.memory
        )

    def follow(self) -> None:
        """The control state names the slots."""
        self.groups.follow(self.machine, "a")
        self.host.settle()

    def longest_us(self, begin: Callable[[], object]) -> float:
        """Return the processor time of the longest turn from `begin` on until nothing is due."""
        gc.disable()
        try:
            began_ns = time.thread_time_ns()
            begin()
            longest_ns = time.thread_time_ns() - began_ns
            is_due = True
            while is_due:
                began_ns = time.thread_time_ns()
                is_due = self.clock.run_one()
                longest_ns = max(longest_ns, time.thread_time_ns() - began_ns)
        finally:
            gc.enable()
        return longest_ns / 1e3


def _create(slots: int) -> float:
    node = Node(slots)
    return node.longest_us(node.follow)


def _stand(slots: int) -> float:
    node = Node(slots)
    node.longest_us(node.follow)

    def later() -> None:
        node.clock.now_ns += 60 * SECOND_NS

    return node.longest_us(later)


CURVES = (
    Curve("longest turn of a start, by slots", SIZES, _create, max_growth=None, max_ms=20.0),
    Curve("longest turn as all elections are due, by slots", SIZES, _stand, max_growth=None, max_ms=20.0),
)
