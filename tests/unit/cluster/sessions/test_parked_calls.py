"""Parked calls: they cost other slots nothing, are tried less and less often, and are woken by what helps them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from casty.cluster.control.placement import slot_of
from casty.cluster.multiraft.proposals import BUSY
from casty.cluster.sessions.core.deadlines import MOST_AT_ONCE
from casty.cluster.sessions.core.effects import Alarm
from casty.cluster.sessions.core.inputs import Woken
from casty.cluster.sessions.core.retries import BATCH, PROBES
from casty.cluster.sessions.core.router import ADMITTED_AT_ONCE, CallRouter
from casty.cluster.sessions.core.session_core import SessionCore
from casty.errors import NotStarted, Unavailable
from casty.wire import frames
from casty.wire.pack import unpack
from tests.kit.clock import settle
from tests.unit.cluster.replica_calls import add, opened, run, task, value
from tests.unit.cluster.replica_world import Client, ReplicaWorld


def requests(client: Client) -> int:
    return sum(kind == frames.REQUEST for _, kind in client.frames_sent())


def reads(client: Client, count: int, timeout_s: float = 60.0) -> list[asyncio.Task[Any]]:
    return [task(client.gateway.read(1, b"n", [1], timeout_s=timeout_s)) for _ in range(count)]


class Dispatches:
    """Counts how often calls are dispatched."""

    def __init__(self, monkeypatch: Any) -> None:
        self.count = 0
        right = CallRouter.dispatch

        def dispatch(router: CallRouter, call: Any) -> None:
            self.count += 1
            right(router, call)

        monkeypatch.setattr(CallRouter, "dispatch", dispatch)


async def test_refused_calls_are_tried_less_and_less_often() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    world.leader = None
    world.network.sent.clear()
    call = add(client, timeout_s=30.0)
    await world.advance(10)
    assert 5 <= requests(client) <= 18, "0.05, 0.1, 0.2, 0.4 s, then every 0.8 s"
    world.elect("b")
    client.hear()
    await world.run()
    assert call.done(), "a new leader wakes it at once"


async def test_many_refused_calls_send_a_few_to_find_out(monkeypatch: Any) -> None:
    world = ReplicaWorld()
    client = await opened(world)
    world.leader = None
    waiting = reads(client, 1000)
    await world.advance(1)
    counted = Dispatches(monkeypatch)
    await world.advance(8)
    assert counted.count <= 12 * PROBES
    world.elect("a")
    await world.advance(1)
    assert all(call.done() for call in waiting), "the answer to one lets all others go"


async def test_nothing_is_dispatched_for_a_slot_without_a_leader(monkeypatch: Any) -> None:
    world = ReplicaWorld()
    client = await opened(world)
    client.leaders.learn(0, world.epoch, world.term + 1, None)
    waiting = reads(client, 300)
    await settle()
    counted = Dispatches(monkeypatch)
    await world.advance(5)
    client.gateway.on_topology()
    client.link_down("b")
    client.link_up("b")
    await settle()
    assert counted.count == 0
    for call in waiting:
        call.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert client.gateway.core.table.parked_count == 0
    assert not client.gateway.core.table.of_slot(0)


async def test_an_answer_in_one_slot_looks_at_no_parked_call_of_another(monkeypatch: Any) -> None:
    world = ReplicaWorld()
    world.slots = 2
    client = await opened(world)
    table = client.gateway.core.table
    dead = 1 - slot_of(1, b"n", 2)
    other = next(name for name in (b"%d" % number for number in range(99)) if slot_of(1, name, 2) == dead)
    client.leaders.learn(dead, world.epoch, world.term + 1, None)
    parked = [task(client.gateway.read(1, other, [1], timeout_s=60)) for _ in range(200)]
    await settle()
    assert table.parked_count == 200
    counted = Dispatches(monkeypatch)
    for _ in range(5):
        await run(world, add(client, 1))
    assert counted.count == 5
    for call in parked:
        call.cancel()
    await asyncio.gather(*parked, return_exceptions=True)


async def test_woken_calls_leave_in_batches(monkeypatch: Any) -> None:
    world = ReplicaWorld()
    client = await opened(world)
    client.leaders.learn(0, world.epoch, world.term + 1, None)
    waiting = reads(client, 2 * BATCH + 1)
    await settle()
    counted = Dispatches(monkeypatch)
    world.term += 2
    client.hear()
    assert counted.count == BATCH
    await world.advance(0.01)
    assert all(call.done() for call in waiting)


async def test_calls_that_wait_for_their_session_get_in_by_its_opening() -> None:
    world = ReplicaWorld()
    client = world.client()
    calls = [add(client) for _ in range(3)]
    await settle()
    assert len(world.network.flights) == 1
    await world.run()
    assert all(call.done() for call in calls)
    assert value(world) == 3


async def test_many_deadlines_at_one_instant_are_worked_off_in_parts() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    client.leaders.learn(0, world.epoch, world.term + 1, None)
    waiting = reads(client, MOST_AT_ONCE + 10, timeout_s=1.0)
    await settle()
    world.clock.skip(2)
    client.gateway._driver.step(Woken(Alarm.CALLS))
    await settle()
    assert sum(call.done() for call in waiting) <= MOST_AT_ONCE
    await world.advance(0.1)
    for call in waiting:
        assert isinstance(call.exception(), Unavailable)


async def test_calls_of_many_slots_that_can_go_on_share_one_turn_s_fill(monkeypatch: Any) -> None:
    world = ReplicaWorld()
    world.slots = 8
    client = world.client("c")
    for node_id in ("a", "b", "c"):
        client.link_down(node_id)
    names = [b"n%d" % number for number in range(8 * BATCH)]
    waiting = [task(client.gateway.read(1, name, [1], timeout_s=60.0)) for name in names]
    await settle()
    counted = Dispatches(monkeypatch)
    client.link_up("a")
    assert 0 < counted.count <= 2 * BATCH, "one slot may add a batch of its own to what others sent"
    await world.advance(1)
    assert counted.count >= len(waiting)


async def test_an_answer_lets_a_few_calls_in_and_the_others_follow(monkeypatch: Any) -> None:
    world = ReplicaWorld()
    client = world.client("c")
    waiting = [add(client, 1, timeout_s=60.0) for _ in range(10 * ADMITTED_AT_ONCE)]
    await settle()
    most: list[int] = []
    right = SessionCore._on_own

    def opened_counted(core: SessionCore, call: Any, reply: Any) -> bool:
        counted = Dispatches(monkeypatch)
        is_done = right(core, call, reply)
        most.append(counted.count)
        return is_done

    monkeypatch.setattr(SessionCore, "_on_own", opened_counted)
    await world.run()
    assert most == [ADMITTED_AT_ONCE]
    assert all(call.done() for call in waiting) and value(world) == len(waiting)


class Refusing:
    """A replica that refuses reads of one name and does everything else."""

    def __init__(self, right: Any, refused: bytes) -> None:
        self._right = right
        self._refused = refused
        self.is_refusing = True
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._right, name)

    def read(self, group: Any, payload: bytes, answers: Any, call_id: int) -> None:
        query: Any = unpack(payload)
        is_refused = query[1] == self._refused
        self.sent += is_refused
        if is_refused and self.is_refusing:
            answers.add(call_id, [BUSY, "not now"])
        else:
            self._right.read(group, payload, answers, call_id)


async def test_a_refused_call_does_not_go_again_with_each_answer_to_others() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    refusing = Refusing(world.replicas["a"], b"r")
    world.replicas["a"] = cast(Any, refusing)
    refused = task(client.gateway.read(1, b"r", [1], timeout_s=60.0))
    for _ in range(500):
        await run(world, task(client.gateway.read(1, b"n", [1], timeout_s=60.0)))
        await world.advance(0.01)
    assert 5 <= refusing.sent <= 20, "with twice the pauses of one whose slot answers nobody, at most"
    refusing.is_refusing = False
    await world.advance(1)
    assert refused.done()


async def test_news_of_the_cluster_send_nothing_again_where_nobody_else_leads() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    refusing = Refusing(world.replicas["a"], b"r")
    world.replicas["a"] = cast(Any, refusing)
    refused = task(client.gateway.read(1, b"r", [1], timeout_s=60.0))
    await world.run()
    client.hear()
    await world.run()
    before = refusing.sent
    for _ in range(20):
        world.version += 1
        client.hear()
        await world.run()
    assert refusing.sent == before
    refusing.is_refusing = False
    world.elect("a")
    client.hear()
    await world.run()
    assert refused.done(), "another leadership, of the same node, is news"


async def test_calls_on_slots_that_the_next_generation_does_not_have_stay_parked() -> None:
    world = ReplicaWorld()
    world.slots = 8
    client = world.client("c")
    for slot in range(8):
        client.leaders.learn(slot, world.epoch, world.term + 1, None)
    waiting = [task(client.gateway.read(1, b"n%d" % number, [1], timeout_s=1.0)) for number in range(50)]
    await settle()
    world.slots, world.cluster_id = 1, "y"
    client.leaders.clear()
    world.term += 2
    client.hear()
    await world.advance(2)
    assert all(call.done() for call in waiting)
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_leaving_ends_a_turn_s_fill_of_calls_at_a_time() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    client.leaders.learn(0, world.epoch, world.term + 1, None)
    waiting = reads(client, 2 * BATCH + 1)
    await settle()
    closing = task(client.gateway.close())
    await settle()
    ended = [sum(call.done() for call in waiting)]
    while ended[-1] < len(waiting):
        assert world.clock.run_next() == world.clock.now_ns, "the next turn, no later"
        await settle()
        ended.append(sum(call.done() for call in waiting))
        assert ended[-1] - ended[-2] <= BATCH
    assert ended[0] == BATCH
    assert all(isinstance(call.exception(), NotStarted) for call in waiting)
    await world.advance(2)
    assert closing.done() and not client.gateway.core.table.calls


async def test_leaving_that_is_cancelled_ends_all_calls_at_once() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    client.leaders.learn(0, world.epoch, world.term + 1, None)
    waiting = reads(client, 3 * BATCH)
    await settle()
    closing = task(client.gateway.close())
    await settle()
    closing.cancel()
    await settle()
    assert closing.cancelled() and all(call.done() for call in waiting)
    assert not client.gateway.core.table.calls and not client.gateway.sessions_by_slot
    await asyncio.gather(*waiting, return_exceptions=True)
