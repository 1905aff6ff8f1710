"""Lock and semaphore as their users see them, over a slot in miniature."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from casty.distributed.facade import Distributed
from casty.distributed.lock import Lock
from casty.distributed.port import LOST_DESTROYED
from casty.distributed.semaphore import Semaphore
from casty.errors import (
    AlreadyHeld,
    Destroyed,
    LockLost,
    Mismatch,
    OutcomeUnknown,
    SessionExpired,
    Unavailable,
)
from tests.unit.distributed.machine import FakeGateway, FakePort, Slot, settle


class World:
    def __init__(self) -> None:
        self.slot = Slot()
        self.gateways = [FakeGateway(self.slot, session) for session in (1, 2)]
        self.ports: list[FakePort] = [gateway.structures for gateway in self.gateways]

    def lock(self, at: int = 0, timeout: float | None = 5.0) -> Lock:
        return Distributed(self.gateways[at]).lock("door", timeout=timeout)

    def pool(self, permits: int = 3, at: int = 0) -> Semaphore:
        return Distributed(self.gateways[at]).semaphore("pool", permits)

    def lose(self, holder: Any, at: int = 0) -> None:
        """The oldest hold of a lock or semaphore ends early."""
        self.ports[at].lose(next(iter(self.ports[at].grants)))


async def inside(holder: Lock | Semaphore, *steps: Callable[[], object]) -> None:
    """Run the steps, one after the other, while holding."""
    async with holder:
        for step in steps:
            result = step()
            if isinstance(result, Awaitable):
                await result


def fail() -> None:
    raise KeyError("body")


def for_ever() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@pytest.fixture
def world() -> World:
    return World()


# -- lock


async def test_acquire_and_release(world: World) -> None:
    lock = world.lock()
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


async def test_try_acquire(world: World) -> None:
    lock, other = world.lock(), world.lock(1)
    assert await lock.try_acquire() is True
    assert await lock.try_acquire() is False, "also when this instance is the holder"
    assert await other.try_acquire() is False
    await lock.release()
    assert await other.try_acquire() is True
    assert await lock.try_acquire() is False


async def test_another_instance_waits(world: World) -> None:
    lock, other = world.lock(), world.lock()
    await lock.acquire()
    waiting = asyncio.create_task(other.acquire())
    await settle()
    assert not waiting.done()
    await lock.release()
    await waiting
    assert other.held and not lock.held


async def test_the_task_that_holds_may_not_acquire_again(world: World) -> None:
    lock = world.lock()
    await lock.acquire()
    with pytest.raises(AlreadyHeld, match="door"):
        await lock.acquire()
    assert issubclass(AlreadyHeld, RuntimeError)
    assert await lock.release() is True


async def test_tasks_that_share_an_instance_take_turns(world: World) -> None:
    lock, order, inside = world.lock(), list[int](), 0

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


async def test_a_cancelled_turn_is_passed_on(world: World) -> None:
    lock = world.lock()
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


async def test_waiting_for_the_turn_ends_at_the_deadline(world: World) -> None:
    lock = world.lock(timeout=0.0)
    await lock.acquire()
    with pytest.raises(TimeoutError, match="share this instance"):
        await asyncio.create_task(lock.acquire())
    assert await lock.release() is True
    await lock.acquire()


async def test_what_is_left_of_the_timeout_goes_to_the_cluster(world: World) -> None:
    lock = world.lock(timeout=30.0)
    await lock.acquire()
    waiting = asyncio.create_task(lock.acquire())
    await settle()
    await lock.release()
    await waiting
    left = world.ports[0].timeouts[-1]
    assert left is not None and 0 < left < 30.0
    assert world.ports[0].timeouts[0] == 30.0


async def test_a_cancelled_acquire_leaves_nothing_behind(world: World) -> None:
    lock, other = world.lock(), world.lock(1)
    await other.acquire()
    waiting = asyncio.create_task(lock.acquire())
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await other.release()
    assert await lock.try_acquire() is True


async def test_an_unreachable_cluster_does_not_keep_the_turn(world: World) -> None:
    lock = world.lock()
    world.ports[0].cut_off()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await lock.acquire()
        with pytest.raises(Unavailable):
            await lock.try_acquire()
    world.ports[0].fail = None
    await lock.acquire()


async def test_a_release_that_fails_gives_the_hold_up_all_the_same(world: World) -> None:
    lock = world.lock()
    await lock.acquire()
    world.ports[0].fail = OutcomeUnknown("no reply")
    with pytest.raises(OutcomeUnknown):
        await lock.release()
    assert not lock.held
    assert await lock.release() is False


async def test_destroy_tells_waiters_and_takes_the_hold(world: World) -> None:
    lock, other = world.lock(), world.lock(1)
    await lock.acquire()
    waiting = asyncio.create_task(other.acquire())
    await settle()
    assert await lock.destroy() is True
    with pytest.raises(Destroyed, match="door"):
        await waiting
    assert not lock.held
    assert await lock.release() is False
    assert await lock.destroy() is False


async def test_a_hold_seen_invalid_stays_lost(world: World) -> None:
    lock = world.lock()
    await lock.acquire()
    grant = next(iter(world.ports[0].grants.values()))
    grant.is_valid = False
    assert (lock.held, lock.token) == (False, None)
    grant.is_valid = True
    assert not lock.held
    assert await lock.release() is False


async def test_the_turn_passes_on_when_the_hold_is_lost(world: World) -> None:
    lock = world.lock()
    await lock.acquire()
    waiting = asyncio.create_task(lock.acquire())
    await settle()
    world.lose(lock)
    await waiting
    assert lock.held
    assert await lock.release() is False, "this task's own hold was lost; the other's is not its to release"
    assert lock.held
    assert await lock.release() is True, "said once, and then it is a release like any other's"


async def test_another_task_may_release_for_the_instance(world: World) -> None:
    lock = world.lock()
    await lock.acquire()
    assert await asyncio.create_task(lock.release()) is True
    other = asyncio.create_task(lock.acquire())
    await other
    assert await lock.release() is False, "a late release of an earlier hold"
    assert lock.held


async def test_wait_lost(world: World) -> None:
    lock = world.lock()
    assert await lock.wait_lost() is False
    await lock.acquire()
    waiting = [asyncio.create_task(lock.wait_lost()) for _ in range(3)]
    await settle()
    waiting[0].cancel()
    await settle()
    world.lose(lock)
    assert await asyncio.gather(*waiting[1:]) == [True, True]
    await lock.acquire()
    released = asyncio.create_task(lock.wait_lost())
    await settle()
    await lock.release()
    assert await released is False


# -- async with


async def test_the_body_holds(world: World) -> None:
    async with world.lock() as lock:
        assert lock.held
    assert not lock.held


async def test_an_error_of_the_body_goes_out_and_the_lock_is_free(world: World) -> None:
    lock = world.lock()
    with pytest.raises(KeyError):
        await inside(lock, fail)
    assert await world.lock(1).try_acquire() is True


async def test_a_body_may_release_by_itself(world: World) -> None:
    async with world.lock() as lock:
        assert await lock.release() is True


async def test_the_body_is_cancelled_when_the_hold_is_lost(world: World) -> None:
    lock, reached = world.lock(), list[str]()

    async def body() -> None:
        async with lock:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                reached.append("cancelled")

    task = asyncio.create_task(body())
    await settle()
    world.lose(lock)
    with pytest.raises(LockLost, match="door") as caught:
        await task
    assert reached == ["cancelled"]
    assert task.cancelling() == 0
    assert isinstance(caught.value.__cause__, SessionExpired)


async def test_lock_lost_names_its_cause(world: World) -> None:
    for is_destroyed, cause in ((False, SessionExpired), (True, type(None))):
        lock = world.lock()
        with pytest.raises(LockLost) as caught:
            await inside(lock, lock.destroy if is_destroyed else partial(world.lose, lock))
        assert isinstance(caught.value.__cause__, cause)


async def test_lock_lost_is_raised_even_if_the_body_ended_normally(world: World) -> None:
    lock = world.lock()
    with pytest.raises(LockLost):
        await inside(lock, lambda: world.lose(lock), lambda: lock.held)
    await settle()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_no_cancellation_leaks_out_of_a_body_that_ends_at_once(world: World) -> None:
    lock = world.lock()
    with pytest.raises(LockLost):
        await inside(lock, settle, lambda: world.lose(lock), lock.try_acquire)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_lost_hold_chains_the_error_of_the_body(world: World) -> None:
    lock = world.lock()
    with pytest.raises(LockLost) as caught:
        await inside(lock, lambda: world.lose(lock), fail)
    assert isinstance(caught.value.__cause__, SessionExpired)
    assert isinstance(caught.value.__cause__.__cause__, KeyError)


async def test_a_cancellation_from_outside_goes_through(world: World) -> None:
    lock = world.lock()

    async def body() -> None:
        async with lock:
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(body())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await world.lock(1).try_acquire() is True


async def test_a_cancellation_from_outside_wins_over_a_loss(world: World) -> None:
    lock = world.lock()

    async def body() -> None:
        async with lock:
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(body())
    await settle()
    world.lose(lock)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_around_the_body_still_times_out(world: World) -> None:
    lock = world.lock()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await inside(lock, for_ever)
    await settle()
    assert await world.lock(1).try_acquire() is True


async def test_a_loss_inside_a_task_group_inside_the_body(world: World) -> None:
    lock, children = world.lock(), list[asyncio.Task[None]]()

    async def child() -> None:
        await asyncio.get_running_loop().create_future()

    async def body() -> None:
        async with lock, asyncio.TaskGroup() as group:
            children.append(group.create_task(child()))

    task = asyncio.create_task(body())
    await settle()
    world.lose(lock)
    with pytest.raises(LockLost):
        await task
    assert children[0].cancelled()


async def test_the_same_task_may_enter_again_after_a_loss(world: World) -> None:
    lock = world.lock()
    with pytest.raises(LockLost):
        await inside(lock, lambda: world.lose(lock), lambda: inside(lock))
    assert await world.lock(1).try_acquire() is True


async def test_a_hold_that_the_slot_does_not_know_at_release_was_lost(world: World) -> None:
    lock = world.lock()
    with pytest.raises(LockLost, match=LOST_DESTROYED):
        await inside(lock, world.lock(1).destroy)


async def test_a_release_that_fails_does_not_hide_the_error_of_the_body(world: World) -> None:
    lock = world.lock()
    with pytest.raises(KeyError):
        await inside(lock, world.ports[0].cut_off, fail)
    world.ports[0].fail = None
    world.slot.expire(1)
    with pytest.raises(Unavailable):
        await inside(lock, world.ports[0].cut_off)


async def test_an_interrupted_release_is_a_cancellation(world: World) -> None:
    lock = world.lock()
    world.ports[0].release_gate = asyncio.Event()

    async def body() -> None:
        async with lock:
            pass

    task = asyncio.create_task(body())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not lock.held


# -- semaphore


async def test_one_instance_may_hold_several_grants(world: World) -> None:
    pool = world.pool(3)
    await pool.acquire(2)
    await pool.acquire()
    assert await pool.available() == 0
    assert await pool.try_acquire() is False
    assert await pool.release() is True, "the latest: one permit"
    assert await pool.available() == 1
    assert await pool.release() is True
    assert await pool.available() == 3
    assert await pool.release() is False


async def test_release_means_the_tasks_own_latest_else_the_oldest(world: World) -> None:
    pool = world.pool(6)
    await pool.acquire(3)
    await asyncio.create_task(pool.acquire(2))
    await pool.acquire(1)
    assert await pool.release() is True
    assert await pool.available() == 1
    assert await asyncio.create_task(pool.release()) is True
    assert await pool.available() == 4


async def test_a_task_that_lost_its_grant_releases_nothing(world: World) -> None:
    pool = world.pool(3)
    await pool.acquire()
    await asyncio.create_task(pool.acquire())
    world.lose(pool)
    await settle()
    assert await pool.release() is False
    assert await pool.available() == 2
    assert await pool.release() is True


async def test_semaphore_arguments(world: World) -> None:
    pool = world.pool(2)
    with pytest.raises(ValueError, match="at most the 2 permits"):
        await pool.acquire(3)
    with pytest.raises(ValueError, match="at least 1"):
        await pool.acquire(0)
    with pytest.raises(TypeError, match="expected an int"):
        await pool.acquire(1.5)  # type: ignore[arg-type]
    await pool.acquire(2)
    with pytest.raises(Mismatch, match="permits=2"):
        await world.pool(3, at=1).acquire()
    with pytest.raises(ValueError, match="permits: expected at least 0"):
        world.pool(-1)


async def test_a_semaphore_made_without_permits(world: World) -> None:
    pool = Semaphore(gateway=world.gateways[0], region_ref=None, name="pool")
    for call in (pool.acquire, pool.try_acquire, pool.available):
        with pytest.raises(Mismatch, match=r"semaphore 'pool': nobody recorded.*Distributed\.semaphore"):
            await call()
    await world.pool(3, at=1).acquire()
    await pool.acquire(2)
    assert await pool.available() == 0
    with pytest.raises(ValueError, match="n: expected at most the 3 permits of semaphore 'pool', found 4"):
        await pool.acquire(4)
    assert await pool.release() is True


async def test_semaphore_async_with(world: World) -> None:
    pool = world.pool(1)
    async with pool:
        assert await pool.available() == 0
    assert await pool.available() == 1
    with pytest.raises(LockLost, match="semaphore 'pool'"):
        await inside(pool, lambda: world.lose(pool), for_ever)
    assert await pool.available() == 1


async def test_nested_bodies_give_back_their_own(world: World) -> None:
    pool = world.pool(2)
    async with pool:
        async with pool:
            assert await pool.available() == 0
        assert await pool.available() == 1
    assert await pool.available() == 2
