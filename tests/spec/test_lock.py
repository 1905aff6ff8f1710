"""`casty.Lock`, clause by clause."""

from __future__ import annotations

import asyncio

import pytest

from casty.errors import Destroyed
from tests.spec.conftest import Run
from tests.spec.places import TTL_S, Place, queued

SOON_S = 3.0


def test_acquire_blocks_until_the_lock_is_granted(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second = d.lock("acquired"), d.lock("acquired")
        assert await first.acquire() is None
        waiting = await queued(second, d.lock("acquired"))
        assert await first.release() is True
        await waiting
        assert await second.release() is True

    run(body)


def test_try_acquire_answers_at_once(run: Run) -> None:
    async def body(place: Place) -> None:
        first = (await place.client()).distributed().lock("tried")
        second = place.nodes[1].distributed().lock("tried")
        assert await first.try_acquire() is True
        began_s = place.now_s()
        assert await second.try_acquire() is False
        assert place.now_s() - began_s < SOON_S
        await first.release()
        assert await second.try_acquire() is True
        await second.release()

    run(body)


def test_release_is_false_for_who_does_not_hold(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second = d.lock("released"), d.lock("released")
        assert await first.release() is False
        await first.acquire()
        assert await second.release() is False
        assert await first.release() is True
        assert await first.release() is False

    run(body)


def test_destroy_is_true_if_it_existed_and_ends_the_waiting(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second = d.lock("destroyed"), d.lock("destroyed")
        assert await first.destroy() is False
        await first.acquire()
        waiting = await queued(second, d.lock("destroyed"))
        assert await first.destroy() is True
        with pytest.raises(Destroyed):
            await waiting

    run(body)


def test_a_waiter_that_timed_out_leaves_nothing_behind(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        holder, waiter, next_one = d.lock("timed"), d.lock("timed", timeout=1.0), d.lock("timed")
        await holder.acquire()
        with pytest.raises(TimeoutError):
            await waiter.acquire()
        await holder.release()
        await asyncio.wait_for(next_one.acquire(), SOON_S)
        await next_one.release()

    run(body)


def test_a_waiter_that_was_cancelled_leaves_nothing_behind(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        holder, waiter, next_one = d.lock("cancelled"), d.lock("cancelled"), d.lock("cancelled")
        await holder.acquire()
        waiting = await queued(waiter, d.lock("cancelled"))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await holder.release()
        await asyncio.wait_for(next_one.acquire(), SOON_S)
        await next_one.release()

    run(body)


def test_a_waiter_that_lost_its_reply_leaves_nothing_behind(run: Run) -> None:
    """The grant is on its way when the answers stop coming: the client gives up, and the lock is free again."""

    async def body(place: Place) -> None:
        muffled = await place.muffled()
        deaf = muffled.client.distributed()
        holder = (await place.client()).distributed().lock("unheard")
        waiter = deaf.lock("unheard", timeout=1.0)
        await holder.acquire()
        waiting = await queued(waiter, deaf.lock("unheard"))
        muffled.mute(range(len(place.nodes)))
        await holder.release()
        with pytest.raises(TimeoutError):
            await waiting
        muffled.unmute()
        next_one = (await place.client()).distributed().lock("unheard", timeout=3 * TTL_S)
        await next_one.acquire()
        assert not waiter.held
        await next_one.release()

    run(body)


def test_async_with_holds_and_the_token_grows(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        tokens = []
        for _ in range(3):
            async with d.lock("guarded") as lock:
                assert lock.held
                tokens.append(lock.token)
            assert not lock.held
            assert lock.token is None
        assert tokens == sorted({token for token in tokens if token is not None})

    run(body)


def test_info_says_who_holds_since_when_and_how_many_wait(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        lock, waiter = d.lock("told"), d.lock("told")
        free = await lock.info()
        assert (free.holder, free.held_s, free.token, free.waiters) == (None, None, None, 0)
        await lock.acquire()
        waiting = await queued(waiter, d.lock("told"))
        await place.sleep(0.5)
        info = await waiter.info()
        assert info.holder is not None and info.holder.startswith("client-")
        assert (info.token, info.waiters) == (lock.token, 1)
        assert info.held_s is not None and 0.4 < info.held_s < SOON_S
        await lock.release()
        await waiting
        after = await lock.info()
        assert after.token == waiter.token and after.held_s is not None and after.held_s < info.held_s
        await waiter.release()
        node = place.nodes[0]
        async with node.distributed().lock("told"):
            of_node = await lock.info()
        assert of_node.holder is not None and of_node.holder.startswith(node.node_id)

    run(body)
