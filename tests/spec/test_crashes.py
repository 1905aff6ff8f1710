"""The clauses of `casty.Lock` and `casty.Semaphore` when a process dies: of who holds, or of who keeps the lock."""

from __future__ import annotations

import asyncio

import pytest

from tests.spec.conftest import Run
from tests.spec.places import TTL_S, Place, queued

LONG_S = 30.0


def test_the_crash_of_a_holder_frees_what_it_held_after_the_time_to_live(run_everywhere: Run) -> None:
    """`acquire` blocks *until it is granted*: also when the holder never releases, and not before."""

    async def body(place: Place) -> None:
        kill = await place.holder("orphaned")
        d = (await place.client()).distributed()
        lock, semaphore = d.lock("orphaned"), d.semaphore("orphaned", permits=2)
        assert (await lock.try_acquire(), await semaphore.available()) == (False, 1)
        await kill()
        took_s = await place.until(lock.try_acquire, within_s=2 * TTL_S)
        # Its last keep-alive was at most a third of the time before its end.
        assert took_s > TTL_S / 2

        async def is_whole() -> bool:
            return await semaphore.available() == 2

        await place.until(is_whole, within_s=TTL_S)
        assert await semaphore.try_acquire(n=2) is True
        assert await semaphore.available() == 0
        assert (await lock.release(), await semaphore.release()) == (True, True)

    run_everywhere(body)


def semaphore_led_by(place: Place, leader: int) -> str:
    """Return the name of a semaphore whose slot this node leads."""
    names = [f"kept-{number}" for number in range(100)]
    return next(name for name in names if place.leader_of("semaphore", name) == leader)


def test_the_crash_of_the_lock_s_node_frees_nothing(run_alone: Run) -> None:
    """`try_acquire` is False *if already held*, `release` True for the holder: whichever node answers."""

    async def body(place: Place) -> None:
        leader = place.leader_of("lock", "kept")
        name = semaphore_led_by(place, leader)
        mine, theirs = [(await place.client()).distributed() for _ in range(2)]
        lock, permit = mine.lock("kept", timeout=LONG_S), mine.semaphore(name, permits=1, timeout=LONG_S)
        await lock.acquire()
        await permit.acquire()
        token = lock.token
        assert token is not None
        next_one = theirs.lock("kept", timeout=LONG_S)
        waiting = await queued(next_one, theirs.lock("kept"))

        await place.kill_node(leader)
        rivals = theirs.lock("kept", timeout=LONG_S), theirs.semaphore(name, permits=1, timeout=LONG_S)
        assert [await rival.try_acquire() for rival in rivals] == [False, False]
        # The new leader counts from its election, so an unconfirmed session would have ended by now.
        with pytest.raises(TimeoutError):
            await theirs.lock("kept", timeout=1.25 * TTL_S).acquire()
        assert [await rival.try_acquire() for rival in rivals] == [False, False]
        assert (lock.held, lock.token, waiting.done()) == (True, token, False)

        assert await lock.release() is True
        await asyncio.wait_for(waiting, LONG_S)
        assert next_one.token is not None
        assert next_one.token > token
        assert (await next_one.release(), await permit.release()) == (True, True)
        assert [await rival.try_acquire() for rival in rivals] == [True, True]

    run_alone(body)
