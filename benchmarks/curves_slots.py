"""How the costs of one slot's machine grow: pure, every replica pays them."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.growth import Curve
from casty.cluster.slot_machine import COMMAND, OPEN, MachineLimits, SlotMachine
from casty.distributed.core import MAP, Command
from casty.wire.pack import pack

__all__ = ["CURVES", "Driver", "each_us"]

OPERATIONS = 500


class Driver:
    """A machine and the next index, session and number to give it."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1)
        self.index = 0
        self.seq = 0

    def apply(self, *entry: object) -> None:
        """Apply one entry."""
        self.index += 1
        self.machine.apply(self.index, pack(list(entry)))

    def open(self) -> int:
        """Open a session and return its number."""
        self.apply(OPEN, b"%d" % self.index, b"gateway")
        return self.index

    def command(self, session: int, kind: int, entity: bytes, command: Command) -> int:
        """Apply one request of a session that confirms all earlier ones; return its number."""
        self.seq += 1
        self.apply(COMMAND, session, self.seq, self.seq, self.seq, kind, entity, list(command))
        return self.seq


def each_us(operation: Callable[[int], object], count: int = OPERATIONS) -> float:
    """Return what one of `count` operations costs, in microseconds."""
    began_ns = time.perf_counter_ns()
    for number in range(count):
        operation(number)
    return (time.perf_counter_ns() - began_ns) / count / 1e3


def _put(size: int) -> float:
    driver = Driver()
    session = driver.open()
    for number in range(size):
        driver.command(session, MAP, b"%d" % number, [1, b"value"])
    return each_us(lambda number: driver.command(session, MAP, b"new-%d" % number, [1, b"value"]))


CURVES = (Curve("map put, by keys of the slot", (1_000, 30_000), _put),)
