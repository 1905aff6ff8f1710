"""What a slot takes in memory: the running sums are what a walk over the state finds, and what is no growth is none."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.slots.applied import MAX_UNWEIGHED
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import (
    ABANDON,
    CANCEL,
    CLOSE,
    COMMAND,
    OPEN,
)
from casty.cluster.slots.weights import LARGE_BYTES, weight_of
from casty.distributed.machines.base import BARRIER, COUNTER, FENCE, LOCK, MAP, QUEUE, SEMAPHORE, SET
from casty.distributed.machines.registry import STRUCTURES
from casty.wire.pack import pack

VALUES = st.integers(0, 300).map(bytes)
SESSIONS = st.integers(1, 3)
SEQS = st.integers(1, 9)
COMMANDS = st.one_of(
    st.tuples(st.just(QUEUE), st.one_of(st.builds(lambda v: [1, v], VALUES), st.sampled_from([[2], [0]]))),
    st.tuples(
        st.just(SET), st.one_of(st.builds(lambda o, v: [o, v], st.integers(1, 2), VALUES), st.just([0]))
    ),
    st.tuples(
        st.just(MAP),
        st.one_of(
            st.builds(lambda o, v: [o, v], st.integers(1, 2), VALUES),
            st.builds(lambda v, w: [3, v, w], VALUES, VALUES),
            st.just([0]),
        ),
    ),
    st.tuples(
        st.just(FENCE),
        st.one_of(
            st.builds(lambda t, v: [1, t, v], st.integers(0, 5), VALUES),
            st.builds(lambda t: [2, t], st.integers(0, 5)),
            st.just([0]),
        ),
    ),
    st.tuples(
        st.just(COUNTER),
        st.one_of(st.builds(lambda bits: [1, 1 << bits], st.integers(0, 2000)), st.sampled_from([[0], [3]])),
    ),
    st.tuples(st.just(LOCK), st.sampled_from([[1], [2], [0]])),
    st.tuples(st.just(SEMAPHORE), st.sampled_from([[1, 3, 2], [2, 3, 1], [0]])),
    st.tuples(st.just(SEMAPHORE), st.builds(lambda seq: [3, seq], SEQS)),
    st.tuples(st.just(BARRIER), st.sampled_from([[1, "a", 2], [1, "b", 2], [0]])),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(COMMAND), SESSIONS, SEQS, SEQS, COMMANDS),
        st.tuples(st.just(CANCEL), SESSIONS, SEQS, st.sampled_from([LOCK, SEMAPHORE, BARRIER])),
        st.tuples(st.just(ABANDON), SESSIONS, SEQS, st.sampled_from([LOCK, SEMAPHORE, BARRIER])),
        st.tuples(st.just(CLOSE), SESSIONS),
    ),
    max_size=40,
)
NAME = b"it"


def entry_of(step: tuple[Any, ...]) -> list[Any]:
    if step[0] == COMMAND:
        _, session, seq, low, (kind, command) = step
        return [COMMAND, session, seq, min(low, seq), 1, kind, NAME, command]
    if step[0] == CANCEL:
        return [CANCEL, step[1], step[2], step[3], NAME]
    if step[0] == ABANDON:
        return [ABANDON, step[1], 1, [[step[2], step[3], NAME]]]
    return [CLOSE, step[1]]


@given(STEPS)
def test_the_sums_are_what_a_walk_finds(steps: list[tuple[Any, ...]]) -> None:
    machine = SlotMachine(MachineLimits(), 1)
    for number in (1, 2, 3):
        machine.apply(number, pack([OPEN, b"attempt-%d" % number, b"gateway"]))
    for index, step in enumerate(steps, 4):
        machine.apply(index, pack(entry_of(step)))
    by_kind = [0] * len(machine.weights.by_kind)
    counts = [0] * len(by_kind)
    for key, state in machine.entities.items():
        by_kind[key[0]] += weight_of(key, state)
        counts[key[0]] += 1
    assert machine.weights.by_kind == by_kind
    assert machine.weights.count_by_kind == counts
    assert machine.weights.reply_bytes == sum(one.reply_bytes for one in machine.sessions.values())
    copy = SlotMachine(MachineLimits(), 1)
    copy.load(machine.dump())
    assert copy.weights.by_kind == by_kind
    assert copy.weights.count_by_kind == counts
    assert copy.weights.reply_bytes == machine.weights.reply_bytes


@given(STEPS)
def test_what_is_not_said_to_grow_does_not(steps: list[tuple[Any, ...]]) -> None:
    machine = SlotMachine(MachineLimits(), 1)
    for number in (1, 2, 3):
        machine.apply(number, pack([OPEN, b"attempt-%d" % number, b"gateway"]))
    for index, step in enumerate(steps, 4):
        entry = entry_of(step)
        grows = False
        if entry[0] == COMMAND:
            grows = STRUCTURES[entry[5]].grows(machine.entities.get((entry[5], NAME)), entry[7])
        before = sum(machine.weights.by_kind)
        machine.apply(index, pack(entry))
        # A counter's value may become as long as a usual number.
        assert grows or sum(machine.weights.by_kind) <= before + 8


def test_large_ones_are_known_by_name_as_long_as_they_are_large() -> None:
    machine = SlotMachine(MachineLimits(), 1)
    machine.apply(1, pack([OPEN, b"attempt", b"gateway"]))
    commands: list[list[Any]] = [[1, bytes(LARGE_BYTES)], [1, b"small"], [2], [2]]
    known = []
    for seq, command in enumerate(commands, 1):
        machine.apply(seq + 1, pack([COMMAND, 1, seq, seq, 1, QUEUE, NAME, command]))
        known.append(list(machine.weights.large))
    assert known == [[(QUEUE, NAME)], [(QUEUE, NAME)], [], []]


def test_a_restored_machine_knows_its_large_ones() -> None:
    machine = SlotMachine(MachineLimits(), 1)
    machine.apply(1, pack([OPEN, b"attempt", b"gateway"]))
    machine.apply(2, pack([COMMAND, 1, 1, 1, 1, MAP, NAME, [1, bytes(LARGE_BYTES)]]))
    copy = SlotMachine(MachineLimits(), 1)
    copy.load(machine.dump())
    assert copy.weights.large == machine.weights.large


def test_many_entities_are_weighed_however_late_somebody_looks() -> None:
    machine = SlotMachine(MachineLimits(), 1)
    machine.apply(1, pack([OPEN, b"attempt", b"gateway"]))
    size = 3 * MAX_UNWEIGHED
    for seq in range(1, 2 * size):
        name = b"%d" % (seq % size)
        command = [0] if seq > size and seq % 3 == 0 else [1, b"v" * seq]
        machine.apply(1 + seq, pack([COMMAND, 1, seq, seq, 1, MAP, name, command]))
    expected = sum(weight_of(key, state) for key, state in machine.entities.items())
    assert sum(machine.weights.by_kind) == expected


def test_a_state_that_takes_the_place_of_another_is_not_mixed_with_what_changed_there() -> None:
    machine, other = SlotMachine(MachineLimits(), 1), SlotMachine(MachineLimits(), 1)
    for one, value in ((machine, b"short"), (other, b"much longer")):
        one.apply(1, pack([OPEN, b"attempt", b"gateway"]))
        one.apply(2, pack([COMMAND, 1, 1, 1, 1, MAP, NAME, [1, value]]))
    machine.load(other.dump())
    machine.apply(3, pack([COMMAND, 1, 2, 1, 1, MAP, NAME, [1, b"then another"]]))
    assert sum(machine.weights.by_kind) == weight_of((MAP, NAME), b"then another")
