"""How the costs of one slot's machine grow: pure, every replica pays them. In processor time, as nothing waits."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from benchmarks.growth import Curve
from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import Applied, MachineLimits, SlotMachine
from casty.cluster.slots.schema import CLOSE, COMMAND, OPEN, PAY
from casty.distributed.machines.base import DESTROY, LOCK, MAP, OK, QUEUED, RW_LOCK, SEMAPHORE, Command
from casty.distributed.machines.rw_lock import READ, WRITE
from casty.wire.pack import pack

__all__ = ["CURVES", "Driver", "each_us"]

OPERATIONS = 500
SECOND_NS = 1_000_000_000
ACQUIRE, RELEASE = 1, 3


class Driver:
    """A machine and the next index, session and number to give it."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1)
        self.index = 0
        self.seq = 0

    def apply(self, *entry: object) -> Applied:
        """Apply one entry."""
        return self.apply_packed(pack(list(entry)))

    def apply_packed(self, entry: bytes) -> Applied:
        """Apply one entry as a leader proposed it."""
        self.index += 1
        return self.machine.apply(self.index, entry)

    def open(self) -> int:
        """Open a session and return its number."""
        self.apply(OPEN, b"%d" % self.index, b"gateway")
        return self.index

    def command(self, session: int, kind: int, entity: bytes, command: Command) -> int:
        """Apply one request of a session that confirms all earlier ones; return its number."""
        self.seq += 1
        reply = self.apply(COMMAND, session, self.seq, self.seq, 1, kind, entity, list(command)).reply
        assert reply[0] in (OK, QUEUED), reply
        return self.seq


def each_us(operation: Callable[[int], object], count: int = OPERATIONS) -> float:
    """Return what one of `count` operations costs, in microseconds."""
    began_ns = time.process_time_ns()
    for number in range(count):
        operation(number)
    return (time.process_time_ns() - began_ns) / count / 1e3


def _put(size: int) -> float:
    driver = Driver()
    session = driver.open()
    for number in range(size):
        driver.command(session, MAP, b"%d" % number, [1, b"value"])
    return each_us(lambda number: driver.command(session, MAP, b"new-%d" % number, [1, b"value"]))


def _release(size: int) -> float:
    driver = Driver()
    session = driver.open()
    for number in range(size):
        driver.command(session, LOCK, b"%d" % number, [ACQUIRE])
    tokens = [line.grants[key].token for line in driver.machine.entities.values() for key in line.grants]
    return each_us(lambda number: driver.command(session, LOCK, b"%d" % number, [RELEASE, tokens[number]]))


def _cycle(size: int) -> float:
    driver = Driver()
    session = driver.open()
    holders = deque(driver.command(session, LOCK, b"one", [ACQUIRE]) for _ in range(size))

    def cycle(number: int) -> None:
        del number
        line = driver.machine.entities[LOCK, b"one"]
        driver.command(session, LOCK, b"one", [RELEASE, line.grants[session, holders.popleft()].token])
        holders.append(driver.command(session, LOCK, b"one", [ACQUIRE]))

    return each_us(cycle)


def _permit(size: int) -> float:
    driver = Driver()
    session = driver.open()
    for _ in range(size):
        driver.command(session, SEMAPHORE, b"pool", [ACQUIRE, size + 1, 1])

    def cycle(number: int) -> None:
        del number
        seq = driver.command(session, SEMAPHORE, b"pool", [ACQUIRE, size + 1, 1])
        driver.command(session, SEMAPHORE, b"pool", [RELEASE, seq])

    return each_us(cycle)


class _Nobody:
    def add(self, call_id: int, reply: list[object]) -> None:
        """Nobody waits for this answer."""


def _waiting_sessions(size: int) -> tuple[Driver, SlotLeader, list[int]]:
    driver = Driver()
    leader = SlotLeader(driver.machine, SECOND_NS, 0)
    sessions = []
    for _ in range(size):
        session = driver.open()
        leader.opened(session, 0)
        seq = driver.command(session, LOCK, b"one", [ACQUIRE])
        leader.wait(session, seq, _Nobody(), 1)
        sessions.append(session)
    return driver, leader, sessions


def _end(driver: Driver, leader: SlotLeader, entry: bytes) -> None:
    applied = driver.apply_packed(entry)
    leader.resolve(applied.effects)
    assert applied.ended is not None, "every session ends once"
    leader.ended(applied.ended)


def _close(size: int) -> float:
    driver, leader, sessions = _waiting_sessions(size)
    entries = [pack([CLOSE, session]) for session in reversed(sessions)]
    return each_us(lambda number: _end(driver, leader, entries[number]), min(size, OPERATIONS))


def _expiry_turn(size: int) -> float:
    """All sessions are due: what the longest of the turns costs that let them go, proposing and applying."""
    driver, leader, _ = _waiting_sessions(size)
    worst_ns, ended = 0, 0
    while ended < size:
        began_ns = time.process_time_ns()
        entries = leader.due(10 * SECOND_NS)
        for entry in entries:
            _end(driver, leader, entry)
        worst_ns = max(worst_ns, time.process_time_ns() - began_ns)
        ended += len(entries)
    return worst_ns / 1e3


def _end_turn(size: int) -> float:
    """A session with very many holds ends: what the longest of its entries costs, each in a turn of its own."""
    driver = Driver()
    session = driver.open()
    for number in range(size):
        driver.command(session, LOCK, b"%d" % number, [ACQUIRE])
    return _longest_end_us(driver, session)


def _end_line_turn(size: int) -> float:
    """The same with requests that all wait for one lock, which the session holds."""
    driver = Driver()
    session = driver.open()
    for _ in range(size):
        driver.command(session, LOCK, b"one", [ACQUIRE])
    return _longest_end_us(driver, session)


def _waiting_lock(size: int) -> tuple[Driver, int]:
    """Return a slot with so many requests of 20 sessions that wait for one lock, and the session that holds it."""
    driver = Driver()
    holder, *others = [driver.open() for _ in range(21)]
    driver.command(holder, LOCK, b"one", [ACQUIRE])
    for number in range(size):
        driver.command(others[number % 20], LOCK, b"one", [ACQUIRE])
    return driver, holder


def _destroy_turn(size: int) -> float:
    """A lock with very many waiters is destroyed: what the longest of its entries costs, each in a turn of its own."""
    driver, holder = _waiting_lock(size)
    began_ns = time.process_time_ns()
    driver.command(holder, LOCK, b"one", [DESTROY])
    return max((time.process_time_ns() - began_ns) / 1e3, _longest_part_us(driver))


def _readers_turn(size: int) -> float:
    """Very many readers wait for one writer, who goes."""
    driver = Driver()
    writer, *others = [driver.open() for _ in range(21)]
    driver.command(writer, RW_LOCK, b"one", [ACQUIRE, WRITE])
    for number in range(size):
        driver.command(others[number % 20], RW_LOCK, b"one", [ACQUIRE, READ])
    began_ns = time.process_time_ns()
    driver.command(writer, RW_LOCK, b"one", [RELEASE, 1])
    return max((time.process_time_ns() - began_ns) / 1e3, _longest_part_us(driver))


def _longest_part_us(driver: Driver) -> float:
    assert driver.machine.debts, "nothing is left to be told in parts"
    worst_ns = 0
    while (key := driver.machine.debts.first()) is not None:
        entry = pack([PAY, *key])
        began_ns = time.process_time_ns()
        driver.apply_packed(entry)
        worst_ns = max(worst_ns, time.process_time_ns() - began_ns)
    return worst_ns / 1e3


def _longest_end_us(driver: Driver, session: int) -> float:
    entry, worst_ns = pack([CLOSE, session]), 0
    while session in driver.machine.sessions:
        began_ns = time.process_time_ns()
        driver.apply_packed(entry)
        worst_ns = max(worst_ns, time.process_time_ns() - began_ns)
    return worst_ns / 1e3


CURVES = (
    Curve("map put, by keys of the slot", (1_000, 30_000), _put),
    Curve("lock release, by locks that its session holds", (500, 2_000, 8_000), _release),
    Curve("lock cycle, by requests of its session that wait for it", (100, 1_000, 10_000), _cycle),
    Curve("semaphore acquire and release, by its grants", (100, 1_000, 10_000), _permit),
    Curve("a session ends, by sessions that wait", (1_000, 5_000, 20_000), _close),
    Curve("longest turn of an expiry, by sessions that expire", (2_000, 20_000), _expiry_turn, max_ms=20.0),
    Curve("longest turn of the end of a session, by its holds", (2_000, 20_000), _end_turn, max_ms=20.0),
    Curve(
        "longest turn of the end of a session, by its requests", (2_000, 20_000), _end_line_turn, max_ms=20.0
    ),
    Curve(
        "longest turn of a destroyed lock, by its waiters",
        (2_000, 20_000),
        _destroy_turn,
        max_growth=None,
        max_ms=20.0,
    ),
    Curve(
        "longest turn of a writer that goes, by readers",
        (2_000, 20_000),
        _readers_turn,
        max_growth=None,
        max_ms=20.0,
    ),
)
