"""Calls whose link ended or whose leader moved are seen to in parts; what is out of date by then is left alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.cluster.sessions import driver
from casty.cluster.sessions.core import moves, retries
from casty.distributed.machines.base import NOT_LEADER, OK
from casty.parts import Parts
from casty.wire.pack import pack
from tests.kit.clock import ManualClock
from tests.unit.cluster.sessions.test_lost_sessions import Changing, under_way

PART = 3


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Changing:
    monkeypatch.setattr(driver, "BATCH", PART)
    monkeypatch.setattr(retries, "BATCH", PART)
    monkeypatch.setattr(moves, "FOLLOWED_AT_ONCE", PART)
    monkeypatch.setattr(moves, "PARKED_AT_ONCE", PART)
    return Changing()


async def finish(world: Changing, calls: list[asyncio.Task[Any]]) -> list[int]:
    """Let everything that is due happen, but no time pass; return the counter's values as the calls saw them."""
    for _ in range(12):
        world.clock.run_due()
        await world.settle()
    replies = [call.result() for call in calls if call.done()]
    assert all(reply[0] == OK for reply in replies)
    return [reply[1] for reply in replies]


async def test_calls_follow_a_leader_in_parts(world: Changing) -> None:
    calls = await under_way(world, 8)
    before = len(world.sent_commands())
    world.network.let_pass()
    world.elect("b")
    world.gateway.on_topology()
    counts = []
    for _ in range(3):
        await world.settle()
        counts.append(len(world.sent_commands()) - before)
        world.clock.run_due()
    assert counts == [3, 6, 8]
    assert await finish(world, calls) == list(range(2, 10))
    assert len(world.sent_commands()) - before == 8


async def test_what_the_former_leader_refuses_meanwhile_goes_on_in_its_turn(world: Changing) -> None:
    calls = await under_way(world, 8)
    refused = world.held_calls()
    world.network.held.clear()
    world.network.let_pass()
    world.elect("b")
    world.gateway.on_topology()
    for call_id in refused[PART:]:
        world.gateway.on_reply(pack([[call_id, [NOT_LEADER, None, 1]]]))
    assert world.gateway.core.table.parked_count == 8 - PART
    assert await finish(world, calls) == list(range(2, 10))


async def test_a_leader_that_comes_back_between_the_parts_is_followed_as_well(world: Changing) -> None:
    calls = await under_way(world, 8)
    world.network.let_pass()
    world.network.held.clear()
    world.elect("b")
    world.gateway.on_topology()
    world.elect("a")
    world.gateway.on_topology()
    assert len(await finish(world, calls)) == 3
    # The others were sent to it in the term before, and never refused or answered: as before a change of leaders.
    assert all(call.leader == "a" for call in world.gateway.core.table.calls.values())


async def test_calls_of_a_link_that_ended_are_parked_in_parts(world: Changing) -> None:
    calls = await under_way(world, 8)
    world.link_down("a")
    counts = []
    for _ in range(4):
        counts.append(world.gateway.core.table.parked_count)
        world.clock.run_due()
    assert counts == [3, 6, 8, 8]
    world.network.let_pass()
    world.link_up("a")
    assert sorted(await finish(world, calls)) == list(range(2, 10))


async def test_a_link_that_is_back_between_the_parts_is_used_by_all(world: Changing) -> None:
    calls = await under_way(world, 8)
    before = len(world.sent_commands())
    world.link_down("a")
    world.network.let_pass()
    world.network.held.clear()
    world.link_up("a")
    assert sorted(await finish(world, calls)) == list(range(2, 10))
    assert len(world.sent_commands()) - before == 8


async def test_what_was_sent_on_the_next_link_is_not_sent_again_for_the_former(world: Changing) -> None:
    calls = await under_way(world, 8)
    before = len(world.sent_commands())
    world.link_down("a")
    world.link_up("a")
    for call in list(world.gateway.core.table.calls.values())[PART:]:
        world.gateway.core._router.resume(call)
    await finish(world, calls)
    assert len(world.sent_commands()) - before == 8
    assert world.gateway.core.table.parked_count == 0


async def test_what_ended_between_the_parts_is_left_alone(world: Changing) -> None:
    calls = await under_way(world, 8)
    world.link_down("a")
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    world.clock.run_due()
    world.clock.run_due()
    assert world.gateway.core.table.parked_count == 0 and not world.gateway.core.table.calls


async def test_a_gateway_that_ended_sees_to_nothing_more(world: Changing) -> None:
    calls = await under_way(world, 8)
    world.link_down("a")
    world.gateway.abort()
    assert not world.gateway.core.is_following
    await asyncio.wait(calls)
    assert all(call.exception() is not None for call in calls)


class LocalFifo:
    """Parts and what they did in each turn."""

    def __init__(self, most: int) -> None:
        self.clock = ManualClock()
        self.done: list[int] = []
        self.parts: Parts[int] = Parts(self.clock, self._work, most)

    def _work(self, row: int) -> None:
        if row == 100:
            self.parts.add([101, 102])
        if row == 200:
            self.parts.clear()
        if row == 300:
            raise ValueError(row)
        self.done.append(row)

    def turn(self) -> list[int]:
        """Run one turn; return what was done since the last look."""
        self.clock.run_due()
        done, self.done = self.done, []
        return done


def test_all_additions_of_a_turn_share_its_part() -> None:
    turns = LocalFifo(3)
    turns.parts.add([1, 2])
    turns.parts.add([3, 4, 5])
    assert turns.done == [1, 2, 3]
    assert [turns.turn(), turns.turn(), turns.turn()] == [[1, 2, 3, 4, 5], [], []]
    turns.parts.add([6])
    assert turns.done == [6] and turns.parts.is_done


def test_work_may_add_end_and_fail() -> None:
    turns = LocalFifo(2)
    turns.parts.add([100, 1])
    assert [turns.turn(), turns.turn(), turns.turn()] == [[100, 1, 101, 102], [], []]
    turns.parts.add([200, 1, 2])
    assert turns.turn() == [200] and turns.turn() == []
    with pytest.raises(ValueError, match="300"):
        turns.parts.add([300, 1, 2])
    assert [turns.turn(), turns.turn()] == [[1, 2], []]
