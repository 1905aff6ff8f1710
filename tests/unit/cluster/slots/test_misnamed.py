"""A keep-alive says of what kind each request is that it names: what its sender says so is no fact."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import COMMAND, OPEN
from casty.distributed.machines import lock, rw_lock
from casty.distributed.machines.base import KIND_NAMES, LOCK, OK, QUEUE, RECORD, RW_LOCK
from casty.distributed.machines.queue_shapes import ENQUEUE, RESERVE
from casty.wire.pack import pack

HELD = {
    LOCK: [lock.ACQUIRE],
    RW_LOCK: [rw_lock.ACQUIRE, rw_lock.READ],
    QUEUE: [RESERVE, 5, False, None, None],
}


@pytest.mark.parametrize("held", HELD, ids=KIND_NAMES.get)
@pytest.mark.parametrize("said", [kind for kind in KIND_NAMES if kind != RECORD], ids=KIND_NAMES.get)
def test_a_hold_that_is_named_as_something_else_is_kept_and_harms_nobody(held: int, said: int) -> None:
    machine = SlotMachine(MachineLimits(), 1)
    session = machine.apply(1, pack([OPEN, b"proof", b""])).reply[1]
    commands: list[tuple[int, list[Any]]] = [(QUEUE, [ENQUEUE, b"item"]), (held, HELD[held])]
    for seq, (kind, command) in enumerate(commands, 1):
        assert machine.apply(1 + seq, pack([COMMAND, session, seq, 0, 0, kind, b"x", command])).reply[0] == OK
    leader = SlotLeader(machine, 10**9, 0)
    row = [0, 0, session, [], [[2, said, b"other"]], [], 0]
    assert leader.keep_alive(row, 0) == ([OK, [], [], []], None)
    due = leader.visibility.due(10**9, 10)
    assert len(due) == (held == said == QUEUE), "what is no reservation has no time of its own"
