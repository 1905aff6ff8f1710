"""How long one turn takes that dumps, restores or lists a part of a slot's state, by the size of the state.

The longest turn counts, in processor time, so that a busy machine lengthens none; and with the collector off: what
that adds is a matter of all objects of the process.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.growth import Curve
from casty.cluster.slots.dump import SlotDump
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.replica import FREED_AT_ONCE
from casty.cluster.slots.schema import COMMAND, OPEN
from casty.distributed.machines.base import LOCK, MAP, QUEUE, SET, Command
from casty.parts import Parts
from casty.wire.pack import pack

__all__ = ["CURVES"]

LIMITS = MachineLimits(max_waiters=1_000_000)
PART_BYTES = 256 * 1024
SESSIONS = 100
TURN_MS = 5.0

Make = Callable[[int], tuple[int, bytes, Command]]


class _Clock:
    """Stands still, and keeps what is due."""

    def __init__(self) -> None:
        self.due: list[Callable[[], object]] = []

    def now(self) -> int:
        """Return the time."""
        return 1

    def call_at(self, when_ns: int, callback: Callable[..., object], *arguments: object) -> Any:
        """Keep a callback."""
        del when_ns
        self.due.append(partial(callback, *arguments))


def _map_key(number: int) -> tuple[int, bytes, Command]:
    return MAP, b"key-%d" % number, [1, b"value-%d" % number]


def _queue_item(number: int) -> tuple[int, bytes, Command]:
    return QUEUE, b"queue", [1, b"item-%d" % number]


def _set_member(number: int) -> tuple[int, bytes, Command]:
    return SET, b"set", [1, b"member-%d" % number]


def _waiter(number: int) -> tuple[int, bytes, Command]:
    del number
    return LOCK, b"lock", [1]


def _machine(size: int, make: Make) -> SlotMachine:
    machine = SlotMachine(LIMITS, 1)
    for session in range(1, SESSIONS + 1):
        machine.apply(session, pack([OPEN, b"attempt-%d" % session, b"gateway"]))
    for number in range(size):
        kind, entity, command = make(number)
        session, seq = number % SESSIONS + 1, number // SESSIONS + 1
        entry = [COMMAND, session, seq, seq, 1, kind, entity, list(command)]
        machine.apply(SESSIONS + number + 1, pack(entry))
    return machine


def _parts(dump: SlotDump) -> tuple[list[bytes], float]:
    """Return all parts, and the longest that one took to make, in microseconds."""
    parts, longest_ns, is_last = [], 0, False
    while not is_last:
        began_ns = time.thread_time_ns()
        part, is_last = dump.next_part()
        longest_ns = max(longest_ns, time.thread_time_ns() - began_ns)
        parts.append(part)
    return parts, longest_ns / 1e3


def _dump(make: Make) -> Callable[[int], float]:
    def longest_us(size: int) -> float:
        machine = _machine(size, make)
        gc.disable()
        try:
            began_ns = time.thread_time_ns()
            dump = machine.begin_dump(PART_BYTES)
            begin_us = (time.thread_time_ns() - began_ns) / 1e3
            return max(begin_us, _parts(dump)[1])
        finally:
            gc.enable()

    return longest_us


def _load(make: Make) -> Callable[[int], float]:
    def longest_us(size: int) -> float:
        parts, _ = _parts(_machine(size, make).begin_dump(PART_BYTES))
        load = SlotMachine(LIMITS, 1).begin_load()
        longest_ns = 0
        gc.disable()
        try:
            for part in parts:
                began_ns = time.thread_time_ns()
                load.take(part)
                longest_ns = max(longest_ns, time.thread_time_ns() - began_ns)
        finally:
            gc.enable()
        return longest_ns / 1e3

    return longest_us


def _replace(size: int) -> float:
    """Put a restored state in the place of a large one, and let that go."""
    machine, clock, steps = _machine(size, _map_key), _Clock(), list[None]()
    ports: Any = clock
    former: Parts[None] = Parts(ports, steps.append, FREED_AT_ONCE)
    parts, _ = _parts(SlotMachine(LIMITS, 1).begin_dump(PART_BYTES))
    load = machine.begin_load(lambda former_state: former.add(former_state.discard()))
    for part in parts:
        load.take(part)
    gc.disable()
    try:
        began_ns = time.thread_time_ns()
        load.finish()
        longest_ns = time.thread_time_ns() - began_ns
        while clock.due:
            began_ns = time.thread_time_ns()
            clock.due.pop()()
            longest_ns = max(longest_ns, time.thread_time_ns() - began_ns)
    finally:
        gc.enable()
    return longest_ns / 1e3


def _scan(size: int) -> float:
    """List all keys, page by page."""
    machine = _machine(size, _map_key)
    longest_ns, after, is_more = 0, b"", True
    gc.disable()
    try:
        while is_more:
            began_ns = time.thread_time_ns()
            page, is_more = machine.scan(MAP, b"key", after, PART_BYTES)
            pack([0, [page, is_more]])
            longest_ns = max(longest_ns, time.thread_time_ns() - began_ns)
            after = page[-1]
    finally:
        gc.enable()
    return longest_ns / 1e3


def _touch(size: int) -> float:
    """Enqueue into a queue that is not dumped yet: its items are listed before."""
    machine = _machine(size, _queue_item)
    machine.begin_dump(PART_BYTES)
    kind, entity, command = _queue_item(size)
    entry = pack([COMMAND, 1, size + 1, size + 1, 1, kind, entity, list(command)])
    began_ns = time.thread_time_ns()
    machine.apply(SESSIONS + size + 1, entry)
    return (time.thread_time_ns() - began_ns) / 1e3


SIZES = (10_000, 100_000)
KEYS = (10_000, 1_000_000)
WAITERS = (10_000, 50_000)
"""Fewer: an ordered dictionary that doubles its table beyond this takes 9 ms, for an entry as for a part."""

CURVES = (
    Curve("longest turn of a dump, by keys of a map", KEYS, _dump(_map_key), None, TURN_MS, repeats=1),
    Curve("longest turn of a dump, by items of a queue", SIZES, _dump(_queue_item), None, TURN_MS),
    Curve("longest turn of a dump, by members of a set", SIZES, _dump(_set_member), None, TURN_MS),
    Curve("longest turn of a dump, by waiters of a lock", WAITERS, _dump(_waiter), None, TURN_MS),
    Curve("longest turn of a restore, by keys of a map", SIZES, _load(_map_key), None, TURN_MS),
    Curve("longest turn of a restore, by items of a queue", SIZES, _load(_queue_item), None, TURN_MS),
    Curve("longest turn of a restore, by waiters of a lock", WAITERS, _load(_waiter), None, TURN_MS),
    Curve("longest turn as a state is replaced, by keys of a map", KEYS, _replace, None, TURN_MS, repeats=1),
    Curve("longest turn of a scan, by keys of the slot", SIZES, _scan, 3.0, TURN_MS),
    Curve("write to a queue that is being dumped, by its items", SIZES, _touch, None, TURN_MS),
)
