"""Bodies of ``async with`` under a hold, and what becomes of the objects themselves."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import pickle
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import pytest

from casty.distributed.facade import Distributed
from casty.distributed.lock import Lock
from casty.distributed.port import LOST_DESTROYED
from casty.distributed.semaphore import Semaphore
from casty.errors import (
    LockLost,
    NotStarted,
    SessionExpired,
    Unavailable,
)
from tests.kit.clock import settle
from tests.unit.distributed.holders import TwoClients, fail, for_ever, inside


@pytest.fixture
def clients() -> TwoClients:
    return TwoClients()


# -- async with


async def test_the_body_holds(clients: TwoClients) -> None:
    async with clients.lock() as lock:
        assert lock.held
    assert not lock.held


async def test_an_error_of_the_body_goes_out_and_the_lock_is_free(clients: TwoClients) -> None:
    lock = clients.lock()
    with pytest.raises(KeyError):
        await inside(lock, fail)
    assert await clients.lock(1).try_acquire() is True


async def test_a_body_may_release_by_itself(clients: TwoClients) -> None:
    async with clients.lock() as lock:
        assert await lock.release() is True


async def test_the_body_is_cancelled_when_the_hold_is_lost(clients: TwoClients) -> None:
    lock, reached = clients.lock(), list[str]()

    async def body() -> None:
        async with lock:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                reached.append("cancelled")

    task = asyncio.create_task(body())
    await settle()
    clients.lose(lock)
    with pytest.raises(LockLost, match="door") as caught:
        await task
    assert reached == ["cancelled"]
    assert task.cancelling() == 0
    assert isinstance(caught.value.__cause__, SessionExpired)


async def test_lock_lost_names_its_cause(clients: TwoClients) -> None:
    for is_destroyed, cause in ((False, SessionExpired), (True, type(None))):
        lock = clients.lock()
        with pytest.raises(LockLost) as caught:
            await inside(lock, lock.destroy if is_destroyed else partial(clients.lose, lock))
        assert isinstance(caught.value.__cause__, cause)


async def test_lock_lost_is_raised_even_if_the_body_ended_normally(clients: TwoClients) -> None:
    lock = clients.lock()
    with pytest.raises(LockLost):
        await inside(lock, lambda: clients.lose(lock), lambda: lock.held)
    await settle()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_no_cancellation_leaks_out_of_a_body_that_ends_at_once(clients: TwoClients) -> None:
    lock = clients.lock()
    with pytest.raises(LockLost):
        await inside(lock, settle, lambda: clients.lose(lock), lock.try_acquire)
    await settle(5)


async def test_a_lost_hold_chains_the_error_of_the_body(clients: TwoClients) -> None:
    lock = clients.lock()
    with pytest.raises(LockLost) as caught:
        await inside(lock, lambda: clients.lose(lock), fail)
    assert isinstance(caught.value.__cause__, SessionExpired)
    assert isinstance(caught.value.__cause__.__cause__, KeyError)


async def test_a_cancellation_from_outside_goes_through(clients: TwoClients) -> None:
    lock = clients.lock()

    async def body() -> None:
        async with lock:
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(body())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await clients.lock(1).try_acquire() is True


async def test_a_cancellation_from_outside_wins_over_a_loss(clients: TwoClients) -> None:
    lock = clients.lock()

    async def body() -> None:
        async with lock:
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(body())
    await settle()
    clients.lose(lock)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_around_the_body_still_times_out(clients: TwoClients) -> None:
    lock = clients.lock()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await inside(lock, for_ever)
    await settle()
    assert await clients.lock(1).try_acquire() is True


async def test_a_loss_inside_a_task_group_inside_the_body(clients: TwoClients) -> None:
    lock, children = clients.lock(), list[asyncio.Task[None]]()

    async def child() -> None:
        await asyncio.get_running_loop().create_future()

    async def body() -> None:
        async with lock, asyncio.TaskGroup() as group:
            children.append(group.create_task(child()))

    task = asyncio.create_task(body())
    await settle()
    clients.lose(lock)
    with pytest.raises(LockLost):
        await task
    assert children[0].cancelled()


async def test_the_same_task_may_enter_again_after_a_loss(clients: TwoClients) -> None:
    lock = clients.lock()
    with pytest.raises(LockLost):
        await inside(lock, lambda: clients.lose(lock), lambda: inside(lock))
    assert await clients.lock(1).try_acquire() is True


async def test_a_hold_that_the_slot_does_not_know_at_release_was_lost(clients: TwoClients) -> None:
    lock = clients.lock()
    with pytest.raises(LockLost, match=LOST_DESTROYED):
        await inside(lock, clients.lock(1).destroy)


@pytest.mark.parametrize("error", [Unavailable("no route"), NotStarted("its client was left")], ids=repr)
async def test_a_release_that_fails_does_not_hide_the_error_of_the_body(
    clients: TwoClients, error: Exception
) -> None:
    lock = clients.lock()

    def cut_off() -> None:
        clients.ports[0].fail = error

    with pytest.raises(KeyError):
        await inside(lock, cut_off, fail)
    clients.ports[0].fail = None
    clients.slot.expire(1)
    with pytest.raises(type(error)):
        await inside(lock, cut_off)


async def test_an_interrupted_release_is_a_cancellation(clients: TwoClients) -> None:
    lock = clients.lock()
    clients.ports[0].release_gate = asyncio.Event()

    async def body() -> None:
        async with lock:
            pass

    task = asyncio.create_task(body())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not lock.held


async def test_a_body_entered_in_one_task_and_left_in_another_releases(clients: TwoClients) -> None:
    """A fixture: an async generator whose set-up and tear-down run in tasks of their own."""
    for holder in (clients.lock(), clients.pool(1)):

        async def fixture(holder: Lock | Semaphore = holder) -> AsyncGenerator[None, None]:
            async with holder:
                yield

        body = fixture()
        await asyncio.create_task(anext(body))  # type: ignore[arg-type]
        with pytest.raises(StopAsyncIteration):
            await body.__anext__()
    assert await clients.lock(1).try_acquire() is True
    assert await clients.pool(1, at=1).try_acquire() is True


async def test_a_body_left_in_another_task_tells_of_its_loss(clients: TwoClients) -> None:
    lock = clients.lock()
    stack = contextlib.AsyncExitStack()
    await asyncio.create_task(stack.enter_async_context(lock))  # type: ignore[arg-type]
    clients.lose(lock)
    await settle()
    with pytest.raises(LockLost):
        await stack.aclose()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_bodies_of_several_tasks_end_each_with_their_own_hold(clients: TwoClients) -> None:
    pool, ends = clients.pool(3), list[asyncio.Event]()

    async def body(end: asyncio.Event) -> None:
        async with pool:
            await end.wait()

    for _ in range(3):
        ends.append(asyncio.Event())
    tasks = [asyncio.create_task(body(end)) for end in ends]
    await settle()
    for left, number in enumerate((1, 0, 2), 1):
        ends[number].set()
        await tasks[number]
        assert await pool.available() == left


async def test_a_cancellation_that_repeats_leaves_nothing_held(clients: TwoClients) -> None:
    lock, pool = clients.lock(), clients.pool(1)

    async def body() -> None:
        async with pool, lock:
            await for_ever()

    for steps in range(6):
        task = asyncio.create_task(body())
        await settle(steps)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(task, return_exceptions=True)
        assert await clients.lock(1).try_acquire() is True, steps
        await clients.lock(1).destroy()
        assert await pool.available() == 1, steps


# -- objects


async def test_structures_are_neither_copied_nor_pickled(clients: TwoClients) -> None:
    d = Distributed(clients.gateways[0])
    for one in (clients.lock(), clients.pool(), d.barrier("b", node_id="x"), d.counter("c"), d.map("m"), d.set("s"),
                d.queue("q"), d.fence("f")):  # fmt: skip
        for copied in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=r"cannot be copied or pickled"):
                copied(one)


async def test_dropping_what_holds_is_said_and_keeps_the_hold(
    clients: TwoClients, caplog: pytest.LogCaptureFixture
) -> None:
    await clients.lock().acquire()
    gc.collect()
    assert "lock 'door': the last reference" in caplog.text
    assert await clients.lock(1).try_acquire() is False
    caplog.clear()
    lock = clients.lock()
    del lock
    async with clients.pool():
        pass
    gc.collect()
    # A node of an earlier test in this process may say something of its own.
    assert [record.getMessage() for record in caplog.records if record.name != "casty.node"] == []


async def test_a_queue_takes_no_none(clients: TwoClients) -> None:
    jobs = Distributed(clients.gateways[0]).queue[Any]("jobs")
    with pytest.raises(ValueError, match="queue 'jobs': expected a value, found None"):
        await jobs.enqueue(None)
    await jobs.enqueue((None,))
    assert await jobs.dequeue() == (None,)
    assert await jobs.dequeue() is None


async def test_destroy_is_true_for_the_instance_that_used_it(clients: TwoClients) -> None:
    lock = clients.lock()
    await lock.acquire()
    await lock.release()
    assert await clients.lock().destroy() is False
    assert await lock.destroy() is True
    assert await lock.destroy() is False
