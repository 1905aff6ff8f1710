"""A node without memory for more refuses what grows, with its reason; everything else goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.cluster.multiraft.memory_budget import Usage
from casty.distributed.handle import failure
from casty.distributed.machines.base import COUNTER, FULL, LOCK, MAP, QUEUE, SET
from casty.errors import OutcomeUnknown, Overloaded
from tests.kit.clock import settle
from tests.unit.cluster.replica_calls import acquire, add, opened, release, run, task
from tests.unit.cluster.replica_world import Client, ReplicaWorld

BUDGET = 1 << 20


def fill(world: ReplicaWorld, share: float = 1.0) -> None:
    world.memory.budget.budget_bytes = BUDGET
    world.memory.budget.measured(Usage(state=int(share * BUDGET)))


def command(client: Client, kind: int, command: list[Any], timeout_s: float = 5.0) -> asyncio.Task[Any]:
    return task(client.gateway.command(kind, b"it", command, timeout_s=timeout_s))


async def test_what_users_store_is_refused_at_once_with_budget_and_use() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    fill(world)
    for kind, growing in ((QUEUE, [1, b"item"]), (SET, [1, b"member"]), (MAP, [1, b"value"])):
        reply = await run(world, command(client, kind, growing))
        assert reply[:4] == [FULL, "a", BUDGET, BUDGET]
        error = failure(reply, "queue 'it'")
        assert isinstance(error, Overloaded)
        assert "1,048,576 of the 1,048,576 bytes" in str(error)
    assert not world.machine.entities.get((QUEUE, b"it"))


async def test_everything_else_goes_on() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    await run(world, command(client, QUEUE, [1, b"item"]))
    await run(world, command(client, MAP, [1, b"value"]))
    fill(world)
    assert (await run(world, command(client, QUEUE, [2])))[:2] == [0, b"item"]
    assert await run(world, command(client, MAP, [1, b"other"])) == [0, b"value"], "no longer than before"
    assert await run(world, command(client, MAP, [0])) == [0, True]
    assert await run(world, task(client.gateway.read(QUEUE, b"it", [2], timeout_s=5))) == [0, 0]
    assert (await run(world, add(client)))[0] == 0
    _, hold = await run(world, acquire(client))
    assert await run(world, release(client, hold)) == [0, True]


async def test_a_new_client_can_open_and_make_room() -> None:
    world = ReplicaWorld()
    await run(world, command(await opened(world), QUEUE, [1, b"item"]))
    fill(world, 2.0)
    newcomer = world.client("newcomer")
    assert (await run(world, command(newcomer, QUEUE, [2])))[:2] == [0, b"item"]


async def test_beyond_the_reserve_small_records_are_refused_too() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    await run(world, command(client, LOCK, [1]))
    fill(world, 1.2)
    assert (await run(world, command(client, LOCK, [2])))[0] == FULL
    assert (await run(world, command(client, COUNTER, [0])))[0] == 0


async def test_what_was_applied_before_is_answered_also_by_a_full_node() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = command(client, QUEUE, [1, b"item"])
    await settle()
    world.arrive(world.network.flights[0], again=True)
    world.commit()
    fill(world)
    client.link_down("a")
    client.link_up("a")
    assert await run(world, call) == [0, None]
    assert list(world.machine.entities[QUEUE, b"it"].fresh) == [b"item"]


async def test_a_call_in_doubt_is_not_called_refused() -> None:
    """The first attempt may lie in the log of a leader that is gone: only its deadline ends the doubt."""
    world = ReplicaWorld()
    client = await opened(world)
    call = command(client, QUEUE, [1, b"item"], timeout_s=2.0)
    await settle()
    world.network.lose()
    client.link_down("a")
    client.link_up("a")
    fill(world)
    await world.advance(1)
    assert not call.done()
    await world.advance(2)
    with pytest.raises(OutcomeUnknown):
        call.result()


async def test_a_call_in_doubt_succeeds_when_there_is_room_again() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = command(client, QUEUE, [1, b"item"])
    await settle()
    world.network.lose()
    client.link_down("a")
    client.link_up("a")
    fill(world)
    await world.advance(1)
    fill(world, 0.1)
    await world.advance(1)
    assert call.result() == [0, None]
    assert list(world.machine.entities[QUEUE, b"it"].fresh) == [b"item"]
