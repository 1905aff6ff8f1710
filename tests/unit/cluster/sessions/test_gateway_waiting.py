"""Waiting calls: a grant for whoever still wants it, and nothing for nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.cluster.slots.schema import CANCEL
from casty.distributed.machines.base import BARRIER, LOCK, SEMAPHORE
from casty.distributed.port import LOST_DESTROYED
from casty.errors import OutcomeUnknown
from tests.kit.clock import settle
from tests.unit.cluster.replica_calls import (
    ACQUIRE,
    RELEASE,
    TRY_ACQUIRE,
    B,
    L,
    S,
    acquire,
    add,
    arrive,
    end_session,
    entries,
    expire,
    line,
    opened,
    release,
    run,
    task,
)
from tests.unit.cluster.replica_world import TTL_S, Client, ReplicaWorld

# -- locks and other waiting calls


async def test_lock_goes_from_one_to_the_next() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, first = await run(world, acquire(one))
    waiting = acquire(two)
    await world.run()
    assert not waiting.done()
    assert await run(world, release(one, first)) == [0, True]
    _, second = await run(world, waiting)
    assert second.token > first.token
    assert second.is_valid and not first.is_valid


async def test_timeout_withdraws_and_says_so() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    waiting = acquire(two, timeout_s=1.0)
    await world.advance(1.1)
    with pytest.raises(TimeoutError) as caught:
        waiting.result()
    assert type(caught.value) is TimeoutError
    assert not line(world).waiters
    await run(world, release(one, grant))
    assert line(world) is None or not line(world).grants


async def test_unconfirmed_withdrawal_is_unknown_and_made_good_by_keep_alive() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    await run(world, acquire(one))
    waiting = acquire(two, timeout_s=1.0)
    await world.run()
    await world.advance(1.1, quiet=True)
    with pytest.raises(OutcomeUnknown):
        waiting.result()
    world.network.lose()
    await world.advance(6)
    assert not line(world).waiters
    assert not two.gateway.sessions_by_slot[0].abandoned


async def test_grant_that_crosses_its_withdrawal_is_the_result() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, first = await run(world, acquire(one))
    waiting = acquire(two, timeout_s=1.0)
    await world.run()
    giving = release(one, first)
    await settle()
    await world.advance(0.85, quiet=True)
    await world.run()
    assert giving.done()
    _, second = waiting.result()
    assert second.is_valid


async def test_cancelled_withdrawal_is_answered_the_same_again() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    await run(world, acquire(one))
    waiting = acquire(two, timeout_s=1.0)
    await world.run()
    await run(world, add(two))  # its mark passes the queued number
    await world.advance(0.82, quiet=True)
    for flight in [one for one in world.network.flights if one.message.to_node]:
        world.arrive(flight)
    world.commit()
    assert len(entries(world, CANCEL)) == 1
    two.link_down("a")
    two.link_up("a")
    await world.run()
    with pytest.raises(TimeoutError) as caught:
        waiting.result()
    assert type(caught.value) is TimeoutError


async def test_request_that_comes_after_its_own_withdrawal_does_nothing() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    waiting = acquire(client, timeout_s=1.0)
    await settle()
    late = world.network.flights.pop()
    await world.advance(0.9)
    with pytest.raises(TimeoutError):
        waiting.result()
    world.network.flights.append(late)
    await world.run()
    assert line(world) is None


async def test_cancelled_caller_leaves_no_waiter() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    waiting = acquire(two, timeout_s=None)
    await world.run()
    waiting.cancel()
    await world.advance(0.1)
    assert not line(world).waiters
    await run(world, release(one, grant))
    assert line(world) is None


async def test_grant_that_crosses_a_cancellation_is_given_back() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    waiting = acquire(client, timeout_s=None)
    await settle()
    world.arrive(world.network.flights[0])
    world.commit()
    world.arrive(world.network.flights[0])  # the grant is here, its task has not run yet
    waiting.cancel()
    await settle()
    assert waiting.cancelled()
    await world.advance(0.5)
    assert not line(world) or not line(world).grants


async def test_waiter_follows_the_leader_and_no_revoked_hold_stays_when_it_gives_up() -> None:
    """A leader that steps down refuses nothing that it had queued."""
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    waiting = acquire(two, timeout_s=2.0)
    await world.run()
    world.elect(None)
    await world.advance(2.5)
    with pytest.raises(OutcomeUnknown):
        waiting.result()
    world.elect("b")
    for client in world.clients:
        client.hear()
    await world.run()
    await world.advance(6)
    await run(world, release(one, grant))
    await world.advance(1)
    assert line(world) is None


async def test_grant_under_a_new_leader_reaches_the_waiter() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    waiting = acquire(two, timeout_s=None)
    await world.run()
    world.elect("c")
    for client in world.clients:
        client.hear()
    await run(world, release(one, grant))
    await world.run()
    assert waiting.done()
    assert waiting.result()[1].is_valid


async def test_lost_grant_is_repeated_by_the_keep_alive() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    waiting = acquire(two, timeout_s=None)
    await world.run()
    giving = release(one, grant)
    await settle()
    while world.network.flights or world.pending:
        if world.pending:
            world.commit()
        # The way back to the waiter is cut, and nobody notices.
        world.network.lose(lambda one: not one.message.to_node and one.message.client is two)
        if world.network.flights:
            world.arrive(world.network.flights[0])
        await settle()
    assert giving.done() and not waiting.done()
    await world.advance(TTL_S / 3 + 1)
    assert waiting.done()
    assert waiting.result()[1].is_valid


async def test_barrier_trips_for_all_and_a_lost_answer_tells_its_own_generation() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    first = arrive(one, "1", 2)
    await world.run()
    second = arrive(two, "2", 2)
    await settle()
    world.arrive(world.network.flights[0])
    world.commit()
    world.network.lose()
    for client in (one, two):
        client.link_down("a")
        client.link_up("a")
    await world.run()
    assert first.result() == second.result()


async def test_destroy_ends_waiters_and_holds() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    waiting = acquire(two)
    await world.run()
    assert await run(world, task(two.gateway.command(LOCK, L, [0], timeout_s=1.0))) == [0, True]
    assert waiting.result() == ([3], None)
    later = acquire(two, timeout_s=None)
    await world.run()
    assert not later.done()  # the holder does not know yet
    await world.advance(TTL_S / 3 + 1)
    assert grant.lost.done() and not grant.is_valid
    assert later.done()


@pytest.mark.parametrize("kind", [LOCK, SEMAPHORE])
async def test_destroy_by_the_holders_own_gateway_frees_the_name_at_once(kind: int) -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    asks = [1, 1] if kind == SEMAPHORE else []

    def ask(client: Client, operation: int) -> asyncio.Task[Any]:
        return task(client.gateway.wait(kind, L, [operation, *asks], timeout_s=5.0))

    _, grant = await run(world, ask(one, ACQUIRE))
    assert await run(world, task(one.gateway.command(kind, L, [0], timeout_s=1.0))) == [0, True]
    assert grant.lost.result() == LOST_DESTROYED
    assert line(world, kind) is None, "no revoked hold is left"
    _, again = await run(world, ask(one, TRY_ACQUIRE))
    assert again is not None and again.token > grant.token
    waiting = ask(two, ACQUIRE)
    await world.run()
    assert await run(world, task(one.gateway.command(kind, L, [0], timeout_s=1.0))) == [0, True]
    assert waiting.result() == ([3], None)
    assert (await run(world, ask(two, TRY_ACQUIRE)))[1] is not None


async def test_an_unheard_confirmation_of_a_destroy_is_made_good() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    destroying = task(one.gateway.command(LOCK, L, [0], timeout_s=None))
    await settle()
    for _ in range(20):
        destroying.cancel()
        await settle(1)
    later = acquire(two, timeout_s=None)
    await world.advance(TTL_S / 3 + 1)
    assert grant.lost.done() and later.done()


async def test_a_destroy_whose_answer_crosses_its_cancellation_frees_the_name_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    destroying = task(one.gateway.command(LOCK, L, [0], timeout_s=None))
    on_reply = one.gateway.on_reply

    def crossing(body: bytes) -> None:
        on_reply(body)
        destroying.cancel()

    monkeypatch.setattr(one.gateway, "on_reply", crossing)
    await world.run()
    assert destroying.cancelled()
    monkeypatch.undo()
    waiting = acquire(two, timeout_s=None)
    await world.advance(0.5)
    assert grant.lost.done() and waiting.done(), "not with the keep-alive that is due some time"


@pytest.mark.parametrize("steps", range(8))
async def test_cancelled_however_often_nobody_waits_or_holds(steps: int) -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(two))

    async def use() -> None:
        _, mine = await one.gateway.wait(LOCK, L, [ACQUIRE], timeout_s=None)
        try:
            await one.gateway.wait(BARRIER, B, [1, "x", 2], timeout_s=None)
        finally:
            await one.gateway.release(LOCK, L, mine, [RELEASE, mine.token], timeout_s=None)

    using = task(use())
    for step in range(steps):
        if step == 2:
            giving = release(two, grant)
        await world.run()
        if step == 4:
            assert giving.done()
    for _ in range(6):
        using.cancel()
        await settle(1)
    assert using.done()
    if steps <= 2:
        await run(world, release(two, grant))
    await world.advance(TTL_S)
    assert line(world) is None and line(world, BARRIER, B) is None
    assert one.gateway.sessions_by_slot[0].is_idle()


async def test_a_coroutine_that_is_closed_gives_up_as_well() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    await run(world, acquire(two))
    waiting = one.gateway.wait(LOCK, L, [ACQUIRE], timeout_s=None)
    waiting.send(None)
    await world.run()
    assert len(line(world).waiters) == 1
    waiting.close()
    await world.advance(TTL_S)
    assert not line(world).waiters


async def test_semaphore_release_of_an_old_session_frees_nobody_elses_permit() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, old = await run(world, task(client.gateway.wait(SEMAPHORE, S, [ACQUIRE, 1, 1], timeout_s=5.0)))
    await expire(world, client)
    client.hear()
    anew = add(client)
    await world.advance(0.5)
    assert anew.done()
    _, new = await run(world, task(client.gateway.wait(SEMAPHORE, S, [ACQUIRE, 1, 1], timeout_s=5.0)))
    assert old.seq == new.seq
    giving = task(client.gateway.release(SEMAPHORE, S, old, [RELEASE, old.seq], timeout_s=5.0))
    assert await run(world, giving) == [0, False]
    assert new.is_valid and line(world, SEMAPHORE, S).grants


async def test_release_on_its_way_when_the_session_ends_frees_nobody_elses_permit() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, old = await run(world, task(client.gateway.wait(SEMAPHORE, S, [ACQUIRE, 1, 1], timeout_s=5.0)))
    giving = task(client.gateway.release(SEMAPHORE, S, old, [RELEASE, old.seq], timeout_s=5.0))
    await settle()
    late = list(world.network.flights)
    world.network.lose()
    end_session(world, client)
    await run(world, add(client))
    _, new = await run(world, task(client.gateway.wait(SEMAPHORE, S, [ACQUIRE, 1, 1], timeout_s=5.0)))
    assert old.seq == new.seq
    world.network.flights.extend(late)
    assert await run(world, giving) == [0, False]
    assert new.is_valid and line(world, SEMAPHORE, S).grants
