"""A session that is over by the client's clock is not used before the slot was asked; confirmations are bounded."""

from __future__ import annotations

from typing import Any

from casty.distributed.machines.base import LOCK
from casty.wire import frames
from tests.kit.clock import settle
from tests.unit.cluster.replica_calls import (
    TRY_ACQUIRE,
    L,
    acquire,
    add,
    end_session,
    opened,
    run,
    task,
    value,
)
from tests.unit.cluster.replica_world import TTL_S, Client, ReplicaWorld


def sent(client: Client, kind: int) -> int:
    return sum(one == kind for _, one in client.frames_sent())


async def stalled(world: ReplicaWorld, client: Client) -> None:
    """Nothing gets through for a TTL, and what was sent meanwhile is lost."""
    await world.advance(TTL_S, quiet=True)
    world.network.lose()
    world.network.sent.clear()


async def test_nothing_is_sent_in_a_session_that_is_over_by_its_own_clock() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    end_session(world, client)
    await stalled(world, client)
    call = add(client)
    await settle()
    world.network.lose()
    for node_id in list(client.links):  # as a long stall ends: the node has closed the link meanwhile
        client.link_down(node_id)
    for node_id in ("a", "b", "c"):
        client.link_up(node_id)
    await world.advance(1)
    assert call.result() == [0, 1], "not in doubt: it was never sent in the session that had ended"
    assert value(world) == 1


async def test_a_session_that_lives_on_is_used_again_after_one_question() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    number = client.gateway.sessions_by_slot[0].number
    await stalled(world, client)
    calls = [add(client) for _ in range(500)]
    await world.advance(1)
    assert [call.result() for call in calls] == [[0, count] for count in range(1, 501)]
    assert client.gateway.sessions_by_slot[0].number == number
    assert sent(client, frames.KEEPALIVE) <= 3, "one question, however many calls wait for it"


def attempt(client: Client) -> Any:
    return task(client.gateway.wait(LOCK, L, [TRY_ACQUIRE], timeout_s=5.0))


async def test_failed_tries_beside_a_waiting_call_are_confirmed_in_bounded_numbers() -> None:
    world = ReplicaWorld()
    holder, client = await opened(world, "holder"), await opened(world)
    await run(world, acquire(holder))
    waiting = acquire(client, timeout_s=None)
    await world.run()
    most = 0
    for _ in range(30):
        tries = [attempt(client) for _ in range(100)]
        await world.run()
        most = max(most, len(client.gateway.sessions_by_slot[0].abandoned))
        if not all(one.done() for one in tries):
            await world.advance(0.5)
        assert all(one.done() for one in tries)
    assert most <= 1024
    assert not waiting.done()
    await world.advance(TTL_S)
    assert not client.gateway.sessions_by_slot[0].abandoned
