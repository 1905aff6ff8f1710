"""Sessions are lost at once, their calls are settled in parts, and whatever comes in between finds them settled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from casty.cluster.control.topology import Topology
from casty.cluster.sessions.core import client_sessions as call_sessions
from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.effects import Alarm
from casty.cluster.sessions.core.inputs import ConfirmLoss, Woken
from casty.cluster.slots.operations import OP_WRITE
from casty.cluster.slots.schema import COMMAND
from casty.distributed.machines.base import COUNTER, EXPIRED, LOCK, OK, OVERLOADED
from casty.distributed.machines.lock import ACQUIRE
from casty.errors import NotStarted, OutcomeUnknown, Overloaded
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.unit.cluster.sessions.session_world import NAME, SessionWorld

PART = 2


class Changing(SessionWorld):
    """Its cluster may begin anew: another generation, or another epoch of the slot."""

    def __init__(self) -> None:
        self.generation, self.epoch = "first", 1
        super().__init__()

    def topology(self) -> Topology | None:
        known = super().topology()
        if known is None:
            return None
        if self.epoch != 1:
            self.leaders.learn(0, self.epoch, self.term, self.leader)
        return replace(known, cluster_id=self.generation, slots=((self.epoch, known.slots[0][1]),))

    def begin_anew(self) -> None:
        """All nodes were replaced: nothing of the machine is left, and nothing that was sent is answered."""
        self.generation = "second"
        self.gateway.on_topology()

    def sent_commands(self) -> list[Any]:
        """Return the entries of all commands that were sent so far."""
        entries = [
            unpack(row[4])
            for _, kind, rows in self.sent()
            if kind == frames.REQUEST
            for row in rows
            if row[3] & 1
        ]
        return [entry for entry in entries if isinstance(entry, list) and entry[0] == COMMAND]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Changing:
    monkeypatch.setattr(call_sessions, "RESOLVED_AT_ONCE", PART)
    return Changing()


def add(world: Changing, timeout_s: float | None = 10.0) -> asyncio.Task[Any]:
    return asyncio.ensure_future(world.gateway.command(COUNTER, NAME, [1, 1], timeout_s=timeout_s))


async def under_way(world: Changing, count: int) -> list[asyncio.Task[Any]]:
    """Return calls that were sent and are not answered."""
    assert (await add(world))[0] == OK
    world.hold_answers()
    calls = [add(world) for _ in range(count)]
    await world.settle()
    assert len(world.held_calls()) == count
    return calls


def over(calls: list[asyncio.Task[Any]]) -> int:
    return sum(call.done() for call in calls)


@pytest.mark.parametrize("is_epoch", [False, True])
async def test_calls_of_a_lost_session_are_settled_in_parts(world: Changing, is_epoch: bool) -> None:
    calls = await under_way(world, 5)
    if is_epoch:
        world.epoch = 2
        world.gateway.on_topology()
    else:
        world.begin_anew()
    counts = []
    for _ in range(4):
        await world.settle()
        counts.append(over(calls))
        world.clock.run_due()
    assert counts == [2, 4, 5, 5]
    for call in calls:
        with pytest.raises(OutcomeUnknown):
            await call
    assert not world.gateway.core.sessions.lost


async def test_what_waits_for_it_is_not_sent_again_under_its_number(world: Changing) -> None:
    calls = await under_way(world, 6)
    world.link_down("a")
    before = len(world.sent_commands())
    world.begin_anew()
    world.link_up("a")
    await world.settle()
    assert over(calls) >= PART
    world.elect("b")
    world.gateway.on_topology()
    await world.settle()
    assert len(world.sent_commands()) == before
    for _ in range(4):
        world.clock.run_due()
        await world.settle()
    assert over(calls) == 6
    assert len(world.sent_commands()) == before


async def test_what_was_never_sent_goes_on_in_the_next_session(world: Changing) -> None:
    assert (await add(world))[0] == OK
    world.link_down("a")
    numbered = [add(world) for _ in range(5)]
    await world.settle()
    assert all(call.seq for call in world.gateway.core.table.calls.values())
    world.generation = "second"
    world.link_up("a")
    world.gateway.on_topology()
    for _ in range(8):
        world.clock.run_due()
        await world.settle()
    await world.advance(1.0)
    assert [(await call)[0] for call in numbered] == [OK] * 5


async def test_an_answer_that_comes_late_counts_no_more(world: Changing) -> None:
    calls = await under_way(world, 4)
    world.begin_anew()
    world.network.release()
    await world.settle()
    for call in calls:
        with pytest.raises(OutcomeUnknown, match="another generation"):
            await call


async def test_deadlines_cancellations_and_the_end_of_the_gateway_go_first(world: Changing) -> None:
    calls = await under_way(world, 3)
    late = [add(world, 0.5), add(world)]
    await world.settle()
    world.begin_anew()
    late[1].cancel()
    await asyncio.sleep(0)
    world.clock.skip(0.6)
    gateway = world.gateway
    gateway._driver.step(Woken(Alarm.CALLS))
    with pytest.raises(asyncio.CancelledError):
        await late[1]
    with pytest.raises(OutcomeUnknown, match="no answer"):
        await late[0]
    gateway.abort()
    for call in calls:
        with pytest.raises((OutcomeUnknown, NotStarted)):
            await call
    world.clock.run_due()
    assert not gateway.core.table.calls and not gateway.core.sessions.lost


async def test_holds_are_lost_before_any_call_is_settled(world: Changing) -> None:
    calls = await under_way(world, 3)
    world.network.let_pass()
    _, grant = await world.gateway.wait(LOCK, NAME, [ACQUIRE], timeout_s=5)
    assert grant is not None and grant.is_valid
    world.begin_anew()
    assert not grant.is_valid
    await world.settle()
    assert over(calls) <= PART


async def test_an_opening_that_is_refused_fails_a_part_of_those_who_wait(world: Changing) -> None:
    world.hold_answers()
    calls = [add(world) for _ in range(5)]
    await world.settle()
    assert len(world.held_calls()) == 1
    refused = [(call_id, [OVERLOADED, "max_sessions", 1]) for call_id in world.held_calls()]
    counts = []
    for _ in range(3):
        world.network.held.clear()
        for call_id, reply in refused:
            world.gateway.on_reply(pack([[call_id, reply]]))
        await world.settle()
        counts.append(over(calls))
        world.clock.run_due()
        await world.settle()
        refused = [(call_id, [OVERLOADED, "max_sessions", 1]) for call_id in world.held_calls()]
    assert counts == [2, 4, 5]
    for call in calls:
        with pytest.raises(Overloaded):
            await call


async def test_a_withdrawal_of_a_lost_session_is_none_of_the_next_one(world: Changing) -> None:
    calls = await under_way(world, 1)
    gateway, session = world.gateway, world.gateway.sessions_by_slot[0]
    session.abandoned[99] = (LOCK, NAME)
    call = Call(OP_WRITE, (0, b""), world.clock.now(), None)
    aside = asyncio.ensure_future(gateway._driver.call(call, ConfirmLoss(call, session, [99])))
    await world.settle()
    world.link_down("a")
    world.begin_anew()
    before = len(world.sent())
    await world.settle()
    assert not aside.done() and over(calls) == 1
    world.epoch = 2
    world.link_up("a")
    assert (await aside)[0] == EXPIRED
    assert len(world.sent()) == before


async def test_calls_of_a_slot_that_are_in_no_lost_session_are_passed_over_in_parts(world: Changing) -> None:
    calls = await under_way(world, 1)
    reads = [asyncio.ensure_future(world.gateway.read(COUNTER, NAME, [1], timeout_s=10)) for _ in range(7)]
    await world.settle()
    world.begin_anew()
    counts = []
    while world.gateway.core.sessions.lost:
        (lost,) = world.gateway.core.sessions.lost.values()
        counts.append(len(lost.calls))
        world.clock.run_due()
    assert counts == [6, 4, 2] and over(reads) == 0
    await world.settle()
    assert over(calls) == 1
    world.network.release()
    world.network.let_pass()
    await world.settle()
    assert [(await read)[0] for read in reads] == [OK] * 7
