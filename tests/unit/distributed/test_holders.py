"""Lock and semaphore as their users see them, over a slot in miniature."""

from __future__ import annotations

import asyncio
import random

import pytest

from casty.distributed.semaphore import Semaphore
from casty.errors import (
    AlreadyHeld,
    Destroyed,
    LockLost,
    Mismatch,
    OutcomeUnknown,
    Unavailable,
)
from tests.kit.clock import settle
from tests.unit.distributed.holders import TwoClients, for_ever, inside


@pytest.fixture
def clients() -> TwoClients:
    return TwoClients()


# -- lock


async def test_acquire_and_release(clients: TwoClients) -> None:
    lock = clients.lock()
    assert (lock.held, lock.token) == (False, None)
    await lock.acquire()
    assert lock.held
    first = lock.token
    assert await lock.release() is True
    assert (lock.held, lock.token) == (False, None)
    assert await lock.release() is False
    await lock.acquire()
    assert first is not None and lock.token is not None and lock.token > first
    assert await lock.release() is True


async def test_try_acquire(clients: TwoClients) -> None:
    lock, other = clients.lock(), clients.lock(1)
    assert await lock.try_acquire() is True
    assert await lock.try_acquire() is False, "also when this instance is the holder"
    assert await other.try_acquire() is False
    await lock.release()
    assert await other.try_acquire() is True
    assert await lock.try_acquire() is False


async def test_another_instance_waits(clients: TwoClients) -> None:
    lock, other = clients.lock(), clients.lock()
    await lock.acquire()
    waiting = asyncio.create_task(other.acquire())
    await settle()
    assert not waiting.done()
    await lock.release()
    await waiting
    assert other.held and not lock.held


async def test_the_task_that_holds_may_not_acquire_again(clients: TwoClients) -> None:
    lock = clients.lock()
    await lock.acquire()
    with pytest.raises(AlreadyHeld, match="door"):
        await lock.acquire()
    assert issubclass(AlreadyHeld, RuntimeError)
    assert await lock.release() is True


async def test_tasks_that_share_an_instance_take_turns(clients: TwoClients) -> None:
    lock, order, inside = clients.lock(), list[int](), 0

    async def worker(number: int) -> None:
        nonlocal inside
        async with lock:
            inside += 1
            assert inside == 1
            order.append(number)
            await settle(3)
            inside -= 1

    await asyncio.gather(*(worker(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]


async def test_a_cancelled_turn_is_passed_on(clients: TwoClients) -> None:
    lock = clients.lock()
    await lock.acquire()
    tasks = [asyncio.create_task(lock.acquire()) for _ in range(3)]
    await settle()
    tasks[0].cancel()
    await settle()
    await lock.release()
    # The release gave the turn to the second; cancelled in the same moment, it owes it to the third.
    tasks[1].cancel()
    await tasks[2]
    assert lock.held
    assert [task.cancelled() for task in tasks] == [True, True, False]


async def test_waiting_for_the_turn_ends_at_the_deadline(clients: TwoClients) -> None:
    lock = clients.lock(timeout=0.0)
    await lock.acquire()
    with pytest.raises(TimeoutError, match="share this instance"):
        await asyncio.create_task(lock.acquire())
    assert await lock.release() is True
    await lock.acquire()


async def test_what_is_left_of_the_timeout_goes_to_the_cluster(clients: TwoClients) -> None:
    lock = clients.lock(timeout=30.0)
    await lock.acquire()
    waiting = asyncio.create_task(lock.acquire())
    await settle()
    await lock.release()
    await waiting
    left = clients.ports[0].timeouts[-1]
    assert left is not None and 0 < left < 30.0
    assert clients.ports[0].timeouts[0] == 30.0


async def test_a_cancelled_acquire_leaves_nothing_behind(clients: TwoClients) -> None:
    lock, other = clients.lock(), clients.lock(1)
    await other.acquire()
    waiting = asyncio.create_task(lock.acquire())
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await other.release()
    assert await lock.try_acquire() is True


async def test_an_unreachable_cluster_does_not_keep_the_turn(clients: TwoClients) -> None:
    lock = clients.lock()
    clients.ports[0].cut_off()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await lock.acquire()
        with pytest.raises(Unavailable):
            await lock.try_acquire()
    clients.ports[0].fail = None
    await lock.acquire()


async def test_a_release_that_fails_gives_the_hold_up_all_the_same(clients: TwoClients) -> None:
    lock = clients.lock()
    await lock.acquire()
    clients.ports[0].fail = OutcomeUnknown("no reply")
    with pytest.raises(OutcomeUnknown):
        await lock.release()
    assert not lock.held
    assert await lock.release() is False


async def test_destroy_tells_waiters_and_takes_the_hold(clients: TwoClients) -> None:
    lock, other = clients.lock(), clients.lock(1)
    await lock.acquire()
    waiting = asyncio.create_task(other.acquire())
    await settle()
    assert await lock.destroy() is True
    with pytest.raises(Destroyed, match="door"):
        await waiting
    assert not lock.held
    assert await lock.release() is False
    assert await lock.destroy() is False


async def test_a_hold_seen_invalid_stays_lost(clients: TwoClients) -> None:
    lock = clients.lock()
    await lock.acquire()
    grant = next(iter(clients.ports[0].grants.values()))
    grant.is_valid = False
    assert (lock.held, lock.token) == (False, grant.token), "the token is what fencing refuses by"
    grant.is_valid = True
    assert not lock.held
    assert await lock.release() is False
    assert lock.token is None


async def test_the_turn_passes_on_when_the_hold_is_lost(clients: TwoClients) -> None:
    lock, may_end = clients.lock(), asyncio.Event()

    async def worker() -> bool:
        await lock.acquire()
        await may_end.wait()
        return await lock.release()

    await lock.acquire()
    waiting = asyncio.create_task(worker())
    await settle()
    clients.lose(lock)
    await settle()
    assert lock.held
    assert await lock.release() is False, "this task's own hold was lost; the other's is not its to release"
    assert lock.held
    may_end.set()
    assert await waiting is True


async def test_any_task_may_release_for_the_instance(clients: TwoClients) -> None:
    lock = clients.lock()
    await lock.acquire()
    assert await asyncio.create_task(lock.release()) is True
    assert await lock.release() is False
    for _ in range(3):
        await asyncio.create_task(lock.acquire())
        assert await lock.release() is True, "acquired by a task that is over, as `wait_for` of 3.11 does"


async def test_a_loss_that_nobody_released_hides_no_later_hold(clients: TwoClients) -> None:
    lock = clients.lock()
    await lock.acquire()
    clients.lose(lock)
    await settle()
    await asyncio.create_task(lock.acquire())
    assert await lock.release() is True
    assert not lock.held


async def test_a_token_stays_until_the_hold_is_given_back(clients: TwoClients) -> None:
    lock = clients.lock()
    await lock.acquire()
    first = lock.token
    clients.lose(lock)
    await settle()
    assert (lock.held, lock.token) == (False, first)
    await lock.acquire()
    assert lock.token not in (None, first)
    await lock.release()
    assert lock.token is None
    with pytest.raises(LockLost):
        await inside(lock, lambda: clients.lose(lock), settle)
    assert lock.token is None, "the end of the body gave it back"


async def test_a_token_is_there_though_the_hold_was_lost_before_acquire_returned(clients: TwoClients) -> None:
    lock = clients.lock()
    clients.ports[0].loses_at_once = True
    await lock.acquire()
    assert not lock.held
    assert lock.token is not None
    assert await lock.release() is False
    assert lock.token is None


async def test_a_token_goes_once_its_user_saw_the_hold_and_then_its_loss(clients: TwoClients) -> None:
    lock = clients.lock()
    await lock.acquire()
    assert lock.held
    clients.lose(lock)
    await settle()
    assert lock.token is not None, "nobody was told yet"
    assert (lock.held, lock.token) == (False, None)
    assert await lock.release() is False


async def test_wait_lost(clients: TwoClients) -> None:
    lock = clients.lock()
    assert await lock.wait_lost() is False
    await lock.acquire()
    waiting = [asyncio.create_task(lock.wait_lost()) for _ in range(3)]
    await settle()
    waiting[0].cancel()
    await settle()
    clients.lose(lock)
    assert await asyncio.gather(*waiting[1:]) == [True, True]
    await lock.acquire()
    released = asyncio.create_task(lock.wait_lost())
    await settle()
    await lock.release()
    assert await released is False


# -- semaphore


async def test_one_instance_may_hold_several_grants(clients: TwoClients) -> None:
    pool = clients.pool(3)
    await pool.acquire(2)
    await pool.acquire()
    assert await pool.available() == 0
    assert await pool.try_acquire() is False
    assert await pool.release() is True, "the latest: one permit"
    assert await pool.available() == 1
    assert await pool.release() is True
    assert await pool.available() == 3
    assert await pool.release() is False


async def test_release_means_the_tasks_own_latest_else_the_smallest(clients: TwoClients) -> None:
    pool = clients.pool(6)
    await pool.acquire(3)
    await asyncio.create_task(pool.acquire(2))
    await pool.acquire(1)
    assert await pool.release() is True
    assert await pool.available() == 1
    assert await asyncio.create_task(pool.release()) is True
    assert await pool.available() == 3, "the two of a task that is over, not the three that may be in use"
    assert await pool.release() is True
    assert await pool.available() == 6


async def test_no_release_gives_back_what_another_uses(clients: TwoClients) -> None:
    """Acquired in tasks that are over at once, as by `wait_for` of Python 3.11."""
    rng = random.Random(1)
    for _ in range(50):
        pool, used = clients.pool(12), list[int]()
        for _ in range(30):
            if used and rng.random() < 0.5:
                used.pop(rng.randrange(len(used)))
                assert await asyncio.create_task(pool.release()) is True
            elif sum(used) < 9:
                count = rng.randint(1, 3)
                if await asyncio.create_task(pool.try_acquire(count)):
                    used.append(count)
            held = 12 - await pool.available()
            assert held >= sum(used), "somebody uses what was given back"
        for _ in used:
            assert await pool.release() is True
        assert await pool.available() == 12
        assert await pool.release() is False


async def test_a_task_that_lost_its_grant_releases_nothing(clients: TwoClients) -> None:
    pool = clients.pool(3)
    await pool.acquire()
    await asyncio.create_task(pool.acquire())
    clients.lose(pool)
    await settle()
    assert await pool.release() is False
    assert await pool.available() == 2
    assert await pool.release() is True


async def test_semaphore_arguments(clients: TwoClients) -> None:
    pool = clients.pool(2)
    with pytest.raises(ValueError, match="at most the 2 permits"):
        await pool.acquire(3)
    with pytest.raises(ValueError, match="at least 1"):
        await pool.acquire(0)
    with pytest.raises(TypeError, match="expected an int"):
        await pool.acquire(1.5)  # type: ignore[arg-type]
    await pool.acquire(2)
    with pytest.raises(Mismatch, match="permits=2"):
        await clients.pool(3, at=1).acquire()
    for permits in (-1, 0):
        with pytest.raises(ValueError, match="permits: expected at least 1"):
            clients.pool(permits)
        with pytest.raises(ValueError, match="permits: expected at least 1"):
            Semaphore(gateway=clients.gateways[0], region_ref=None, name="pool", permits=permits)


async def test_a_semaphore_made_without_permits(clients: TwoClients) -> None:
    pool = Semaphore(gateway=clients.gateways[0], region_ref=None, name="pool")
    for call in (pool.acquire, pool.try_acquire, pool.available):
        with pytest.raises(Mismatch, match=r"semaphore 'pool': nobody recorded.*Distributed\.semaphore"):
            await call()
    await clients.pool(3, at=1).acquire()
    await pool.acquire(2)
    assert await pool.available() == 0
    with pytest.raises(ValueError, match="n: expected at most the 3 permits of semaphore 'pool', found 4"):
        await pool.acquire(4)
    assert await pool.release() is True


async def test_semaphore_async_with(clients: TwoClients) -> None:
    pool = clients.pool(1)
    async with pool:
        assert await pool.available() == 0
    assert await pool.available() == 1
    with pytest.raises(LockLost, match="semaphore 'pool'"):
        await inside(pool, lambda: clients.lose(pool), for_ever)
    assert await pool.available() == 1


async def test_nested_bodies_give_back_their_own(clients: TwoClients) -> None:
    pool = clients.pool(2)
    async with pool:
        async with pool:
            assert await pool.available() == 0
        assert await pool.available() == 1
    assert await pool.available() == 2
