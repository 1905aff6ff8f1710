"""Taking out of queues through a gateway: what is taken is had by its caller, or there again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.distributed.machines.base import QUEUE
from casty.distributed.machines.queue_shapes import DEQUEUE, ENQUEUE, GET, RESERVE
from casty.errors import NotStarted, OutcomeUnknown
from tests.kit.clock import settle
from tests.unit.cluster.replica_calls import opened, run, task
from tests.unit.cluster.replica_world import Client, ReplicaWorld

Q = b"q"


def get(client: Client, timeout_s: float | None = 5.0) -> asyncio.Task[Any]:
    return task(client.gateway.wait(QUEUE, Q, [GET, None, None], timeout_s=timeout_s))


def enqueue(client: Client, data: bytes) -> asyncio.Task[Any]:
    return task(client.gateway.command(QUEUE, Q, [ENQUEUE, data], timeout_s=5.0))


def items(world: ReplicaWorld) -> list[bytes]:
    state: Any = world.machine.entities[QUEUE, Q]
    return [*(item.data for item in state.returned), *state.fresh]


async def without_news_of(world: ReplicaWorld, client: Client, call: asyncio.Task[Any]) -> None:
    """Let a call of another client be applied, and lose what is told to this one."""
    await settle()
    while not call.done():
        world.commit()
        world.network.lose(lambda one: not one.message.to_node and one.message.client is client)
        if world.network.flights:
            world.arrive(world.network.flights[0])
        await settle()


async def cancelled(call: asyncio.Task[Any]) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_what_crosses_a_cancellation_is_put_back() -> None:
    """Cancelled in the turn in which the answer is there, before its task had it."""
    world = ReplicaWorld()
    client = await opened(world)
    for data in (b"a", b"b"):
        await run(world, enqueue(client, data))
    for is_waiting in (True, False):
        asking = (
            get(client) if is_waiting else task(client.gateway.command(QUEUE, Q, [DEQUEUE], timeout_s=5.0))
        )
        await settle()
        world.arrive(next(one for one in world.network.flights if one.message.to_node))
        world.commit()
        while client.gateway.core.table.calls:
            world.arrive(next(one for one in world.network.flights if not one.message.to_node))
        await cancelled(asking)
        await world.advance(1)
        assert items(world) == [b"a", b"b"]
    assert client.gateway.sessions_by_slot and all(
        not one.abandoned for one in client.gateway.sessions_by_slot.values()
    )


async def test_a_cancelled_waiter_whose_item_came_first_gives_it_back() -> None:
    world = ReplicaWorld()
    client, other = await opened(world, "1"), await opened(world, "2")
    waiting = get(client, None)
    await world.run()
    await without_news_of(world, client, enqueue(other, b"a"))
    await cancelled(waiting)
    # What the client says next moves its marks: the slot has to keep what it answered.
    await run(world, enqueue(client, b"b"))
    await world.advance(2)
    assert items(world) == [b"a", b"b"]


async def test_an_item_whose_caller_has_it_is_confirmed_while_an_older_call_waits() -> None:
    world = ReplicaWorld()
    client, other = await opened(world, "1"), await opened(world, "2")
    older = task(client.gateway.wait(QUEUE, b"other", [GET, None, None], timeout_s=None))
    calls = [get(client, None), get(client, None)]
    await world.run()
    for data in (b"a", b"b"):
        await run(world, enqueue(other, data))
    assert [(await call)[0][1] for call in calls] == [b"a", b"b"]
    await world.advance(8)
    assert items(world) == []
    assert not any(session.outcomes for session in world.machine.sessions.values())
    assert not older.done()


async def test_who_leaves_gives_back_what_it_may_have_been_given() -> None:
    world = ReplicaWorld()
    client, other = await opened(world, "1"), await opened(world, "2")
    waiting = get(client, None)
    await world.run()
    await without_news_of(world, client, enqueue(other, b"a"))
    await run(world, task(client.gateway.close()))
    with pytest.raises((OutcomeUnknown, NotStarted)):
        await waiting
    assert items(world) == [b"a"]


async def test_a_reservation_is_valid_for_its_visibility_and_no_longer() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    await run(world, enqueue(client, b"a"))
    asking = client.gateway.wait(QUEUE, Q, [RESERVE, 2_000, True, None, None], timeout_s=5.0)
    reply, grant = await run(world, task(asking))
    assert (reply[2], grant.token, grant.is_valid) == (b"a", reply[1], True)
    await world.advance(1.5)
    assert grant.is_valid
    await world.advance(0.6)
    assert not grant.is_valid
