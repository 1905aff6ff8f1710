"""Dumps in parts: of one index while entries go on, of any size, and restored to the same state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from casty.cluster.slots import dump as slot_dump
from casty.cluster.slots.dump import MAX_ROWS, SlotDump
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import (
    ABANDON,
    CANCEL,
    CLOSE,
    COMMAND,
    OPEN,
)
from casty.distributed.machines.base import BARRIER, COUNTER, FENCE, LOCK, MAP, QUEUE, SEMAPHORE, SET
from casty.distributed.machines.registry import STRUCTURES
from casty.errors import RemoteProtocolError
from casty.limits import MAX_ITEMS
from casty.wire.pack import pack, unpack

LIMITS = MachineLimits(max_entities=2**31, max_waiters=50)


class Driver:
    """Clients of a machine that do anything; all from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.machine = SlotMachine(LIMITS, 1)
        self.index = 0
        self.sessions: dict[int, int] = {}
        self.requests: list[tuple[int, int, int, bytes]] = []

    def apply(self, *entry: Any) -> Any:
        self.index += 1
        return self.machine.apply(self.index, pack(list(entry))).reply

    def step(self) -> None:
        roll = self.random.random()
        if roll < 0.08 or not self.sessions:
            self.sessions[self.apply(OPEN, b"%d" % self.index, b"gateway")[1]] = 0
            return
        session = self.random.choice(list(self.sessions))
        if roll < 0.11:
            self.apply(CLOSE, session)
            del self.sessions[session]
        elif roll < 0.25 and self.requests:
            number, seq, kind, name = self.random.choice(self.requests)
            if roll < 0.18:
                self.apply(CANCEL, number, seq, kind, name)
            else:
                self.apply(ABANDON, number, 1, [[seq, kind, name]])
        else:
            self._command(session)

    def _command(self, session: int) -> None:
        seq = self.sessions[session] = self.sessions[session] + 1
        kind, command = self.random.choice(
            [
                (COUNTER, [1, 5]), (COUNTER, [0]), (MAP, [1, b"v%d" % self.index]), (MAP, [0]),
                (SET, [1, b"m%d" % self.random.randrange(30)]), (SET, [2, b"m%d" % self.random.randrange(30)]),
                (QUEUE, [1, b"i%d" % self.index]), (QUEUE, [1, b"j"]), (QUEUE, [2]), (QUEUE, [0]),
                (LOCK, [1]), (LOCK, [1]), (LOCK, [3, self.random.randrange(2**34)]), (LOCK, [0]),
                (SEMAPHORE, [1, 3, 1]), (SEMAPHORE, [0]), (BARRIER, [1, f"n{session}", 3]),
                (FENCE, [1, self.index, b"value"]),
            ]
        )  # fmt: skip
        name = b"e%d" % self.random.randrange(6)
        low = max(1, seq - self.random.randrange(8))
        self.apply(COMMAND, session, seq, low, self.random.choice((1, low)), kind, name, command)
        self.requests.append((session, seq, kind, name))


def restored(parts: list[bytes]) -> SlotMachine:
    machine = SlotMachine(LIMITS, 9)
    load = machine.begin_load()
    for part in parts:
        load.take(part)
    load.finish()
    return machine


def rest_of(dump: SlotDump) -> list[bytes]:
    parts, is_last = [], False
    while not is_last:
        part, is_last = dump.next_part()
        parts.append(part)
    return parts


@pytest.mark.parametrize("seed", range(40))
def test_a_dump_is_of_the_index_at_which_it_began(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_dump, "MAX_ROWS", 2)
    monkeypatch.setattr(slot_dump, "PAGE", 1 + seed % 3)
    driver = Driver(seed)
    for _ in range(driver.random.randrange(20, 200)):
        driver.step()
    expected = driver.machine.dump()
    dump = driver.machine.begin_dump(part_bytes=100)
    parts, is_last = [], False
    while not is_last:
        for _ in range(driver.random.randrange(3)):
            driver.step()
        part, is_last = dump.next_part()
        parts.append(part)
    dump.close()
    copy = restored(parts)
    assert copy.dump() == expected
    assert copy.weights.total(0) == _weighed(expected)
    assert driver.machine.begin_dump(100) is not dump, "the former one is over"


def _weighed(data: bytes) -> int:
    machine = SlotMachine(LIMITS, 1)
    machine.load(data)
    return machine.weights.total(0)


@pytest.mark.parametrize("seed", range(5))
def test_a_restored_machine_goes_on_as_the_other_one(seed: int) -> None:
    driver = Driver(seed)
    for _ in range(150):
        driver.step()
    copy = restored(rest_of(driver.machine.begin_dump(100)))
    for _ in range(150):
        before = driver.index
        machine, driver.machine = driver.machine, copy
        state = driver.random.getstate()
        sessions, requests = dict(driver.sessions), list(driver.requests)
        driver.step()
        driver.machine, driver.index, driver.sessions, driver.requests = machine, before, sessions, requests
        driver.random.setstate(state)
        driver.step()
        assert copy.dump() == driver.machine.dump()


@pytest.mark.parametrize("kind", [QUEUE, SET])
def test_tables_have_no_limit(kind: int) -> None:
    machine = SlotMachine(LIMITS, 1)
    machine.apply(1, pack([OPEN, b"a", b"g"]))
    machine.apply(2, pack([COMMAND, 1, 1, 1, 1, kind, b"big", [1, b"first"]]))
    state: Any = machine.entities[kind, b"big"]
    rows = [b"%d" % number for number in range(MAX_ITEMS + 10)]
    state.extend(0, rows) if kind == QUEUE else STRUCTURES[SET].extend(state, 0, rows)
    parts = rest_of(machine.begin_dump(256 * 1024))
    assert len(restored(parts).entities[kind, b"big"]) == MAX_ITEMS + 11
    assert max(len(part) for part in parts) <= 256 * 1024 + 100


def test_a_part_is_bounded_in_rows_and_bytes_but_for_a_single_value() -> None:
    machine = SlotMachine(LIMITS, 1)
    machine.apply(1, pack([OPEN, b"a", b"g"]))
    sizes = [5] * 3000 + [900] * 20 + [5000, 10, 10]
    for seq, size in enumerate(sizes, 1):
        machine.apply(seq + 1, pack([COMMAND, 1, seq, seq, 1, MAP, b"k%d" % seq, [1, b"v" * size]]))
    for part in rest_of(machine.begin_dump(1000)):
        rows: Any = unpack(part)
        assert len(rows) <= MAX_ROWS
        assert len(part) <= 1000 or len(rows) == 1


class Walked(dict[Any, Any]):
    """Entities that count how many of them somebody walks over."""

    steps = 0

    def __iter__(self) -> Iterator[Any]:
        for key in super().__iter__():
            self.steps += 1
            yield key


class Unwalked(dict[Any, Any]):
    """Entities that may be asked for, and counted; their order means nothing."""

    def __iter__(self) -> Any:
        raise AssertionError("nobody walks the entities of a slot")

    items = keys = values = __reversed__ = __iter__


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_entities_means_nothing(seed: int) -> None:
    driver = Driver(seed)
    driver.machine.entities = Unwalked()
    for _ in range(300):
        driver.step()
    expected = driver.machine.dump()
    copy = SlotMachine(LIMITS, 9)
    copy.load(expected)
    copy.entities = Unwalked({key: copy.entities[key] for key in sorted(copy.entities, reverse=True)})
    assert copy.dump() == expected
    driver.machine = copy
    for _ in range(100):
        driver.step()


def big(size: int) -> SlotMachine:
    machine = SlotMachine(LIMITS, 1)
    machine.apply(1, pack([OPEN, b"a", b"g"]))
    for seq in range(1, size + 1):
        machine.apply(seq + 1, pack([COMMAND, 1, seq, seq, 1, MAP, b"%06d" % seq, [1, b"v"]]))
    return machine


@pytest.mark.parametrize("size", [2_000, 20_000])
def test_no_step_of_a_dump_looks_at_more_names_than_a_part_has(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = big(size)
    machine.entities = entities = Walked(machine.entities)
    names = 0

    def names_after(self: SlotMachine, kind: int, name: bytes | None, most: int) -> list[bytes]:
        nonlocal names
        found = right(self, kind, name, most)
        names += len(found)
        return found

    right = SlotMachine.names_after
    monkeypatch.setattr(SlotMachine, "names_after", names_after)
    dump, count, is_last = machine.begin_dump(256 * 1024), 0, False
    while not is_last:
        assert entities.steps + names <= MAX_ROWS + slot_dump.PAGE
        entities.steps = names = 0
        part, is_last = dump.next_part()
        rows: Any = unpack(part)
        count += sum(row[0] == slot_dump.ENTITY for row in rows)
    assert count == size


def test_what_appears_during_a_dump_is_passed_over_in_parts() -> None:
    machine = big(10)
    dump = machine.begin_dump(256 * 1024)
    for seq in range(11, 20_000):
        machine.apply(seq + 1, pack([COMMAND, 1, seq, seq, 1, MAP, b"new-%06d" % seq, [1, b"v"]]))
    born, counts, parts, is_last = len(dump._born), [], [], False
    assert born > 19_000
    while not is_last:
        part, is_last = dump.next_part()
        parts.append(part)
        counts.append(born - len(dump._born))
        born = len(dump._born)
    assert max(counts) <= slot_dump.PAGE * (MAX_ROWS // slot_dump.LOOKED_UP + 1)
    assert sorted(name for _, name in restored(parts).entities) == [b"%06d" % seq for seq in range(1, 11)]


def test_a_state_that_lacks_something_is_not_put_in_place() -> None:
    driver = Driver(1)
    for _ in range(100):
        driver.step()
    parts = rest_of(driver.machine.begin_dump(100))
    for broken in (parts[:-1], [*parts[:3], *parts[4:]], [*parts, parts[0]]):
        with pytest.raises(RemoteProtocolError):
            restored(broken)


@pytest.mark.parametrize("large", [0, 5_000])
def test_what_is_restored_so_far_is_counted(large: int) -> None:
    driver = Driver(2)
    for _ in range(300):
        driver.step()
    machine = driver.machine
    machine.apply(1000, pack([OPEN, b"new", b"g"]))
    session = max(machine.sessions)
    machine.apply(1001, pack([COMMAND, session, 1, 1, 1, QUEUE, b"large", [1, b"first"]]))
    state: Any = machine.entities[QUEUE, b"large"]
    state.extend(0, [b"%0100d" % number for number in range(large)])
    fresh = SlotMachine(LIMITS, 9)
    load = fresh.begin_load()
    sizes, received = [load.size_bytes], 0
    for part in rest_of(machine.begin_dump(2_000)):
        load.take(part)
        received += len(part)
        sizes.append(load.size_bytes)
    assert sizes == sorted(sizes)
    # But for the step in which the large one is whole: its parts count by their length until it is weighed.
    steps = sorted(after - before for before, after in pairwise(sizes))
    # A queue without an item is thirty bytes of a part, and takes 1,750.
    assert all(step < 22_000 for step in (steps[:-1] if large else steps))
    load.finish()
    assert sizes[-1] == fresh.weights.total(len(fresh.sessions)) > 100 * large


def test_a_state_that_is_replaced_goes_in_steps() -> None:
    machine, fresh = big(3_000), Driver(3)
    for _ in range(100):
        fresh.step()
    expected = fresh.machine.dump()
    former: list[SlotMachine] = []
    load = machine.begin_load(former.append)
    for part in rest_of(fresh.machine.begin_dump(100)):
        load.take(part)
    load.finish()
    (old,) = former
    assert machine.dump() == expected and len(old.entities) == 3_000
    left = [len(old.entities) + len(old.sessions) + len(old.attempts)]
    names = [sum(len(run) for order in old._orders.values() for run in order.runs)]
    for _ in old.discard():
        left.append(len(old.entities) + len(old.sessions) + len(old.attempts))
        names.append(sum(len(run) for order in old._orders.values() for run in order.runs))
    assert left[-1] == names[-1] == 0
    assert all(before - after <= 1 for before, after in pairwise(left))
    assert all(before - after <= 32 for before, after in pairwise(names))
    assert machine.dump() == expected
