"""`casty.RwLock`: readers share, a writer excludes, nobody passes who asked before."""

from __future__ import annotations

import asyncio

import pytest

from casty.distributed.rw_lock import ReadSide, WriteSide
from casty.errors import AlreadyHeld, Destroyed, LockLost, UpgradeRefused
from casty.structures import RwLock
from tests.spec.conftest import Run
from tests.spec.places import TTL_S, Place

SOON_S = 10.0


async def waiting_for(side: ReadSide | WriteSide, rw: RwLock, waiters: int) -> asyncio.Task[None]:
    """Begin to acquire, and return when the cluster knows that so many wait."""
    task: asyncio.Task[None] = asyncio.create_task(side.acquire())
    while (await rw.info()).waiters < waiters:
        assert not task.done()
    return task


def test_readers_share_and_a_writer_excludes(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second, third = (d.rw_lock("shared") for _ in range(3))
        async with first.read, second.read:
            assert first.read.held and second.read.held and not first.write.held
            assert await third.write.try_acquire() is False
            info = await third.info()
            assert (info.writer, info.readers, info.waiters) == (None, 2, 0)
        async with third.write as side:
            assert side.held
            assert [await first.read.try_acquire(), await second.write.try_acquire()] == [False, False]
            info = await first.info()
            assert info.writer is not None and info.token == side.token and info.readers == 0
            assert info.held_s is not None and 0 <= info.held_s < SOON_S

    run(body)


def test_requests_are_granted_in_order_and_readers_together(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        reading, writing, *later = (d.rw_lock("ordered") for _ in range(4))
        await reading.read.acquire()
        writer = await waiting_for(writing.write, reading, 1)
        readers = [await waiting_for(one.read, reading, 2 + at) for at, one in enumerate(later)]
        # A reader could share with the first one, and does not pass the writer that waits.
        assert await d.rw_lock("ordered").read.try_acquire() is False
        assert await reading.read.release() is True
        await asyncio.wait_for(writer, SOON_S)
        assert not any(task.done() for task in readers)
        assert await writing.write.release() is True
        await asyncio.wait_for(asyncio.gather(*readers), SOON_S)
        assert all([await one.read.release() for one in later])

    run(body)


def test_tokens_grow_over_both_sides(run: Run) -> None:
    async def body(place: Place) -> None:
        rw = (await place.client()).distributed().rw_lock("tokens")
        tokens: list[int | None] = []
        for side in (rw.read, rw.write, rw.read, rw.write):
            async with side:
                tokens.append(side.token)
            assert side.token is None
        assert tokens == sorted({token for token in tokens if token is not None})

    run(body)


def test_an_upgrade_is_refused(run: Run) -> None:
    async def body(place: Place) -> None:
        rw = (await place.client()).distributed().rw_lock("upgraded")
        async with rw.read:
            with pytest.raises(UpgradeRefused, match="would wait for itself"):
                await rw.write.acquire()
            with pytest.raises(AlreadyHeld):
                await rw.read.acquire()
            assert await rw.write.try_acquire() is False
            assert rw.read.held
        async with rw.write:
            with pytest.raises(AlreadyHeld):
                await rw.read.acquire()
            with pytest.raises(AlreadyHeld):
                await rw.write.acquire()

    run(body)


def test_one_that_timed_out_or_was_cancelled_leaves_nothing_behind(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        holder, hasty, fickle, reader = (
            d.rw_lock("withdrawn"), d.rw_lock("withdrawn", timeout=1.0), d.rw_lock("withdrawn"),
            d.rw_lock("withdrawn"),
        )  # fmt: skip
        await holder.read.acquire()
        cancelled = await waiting_for(fickle.write, holder, 1)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with pytest.raises(TimeoutError):
            await hasty.write.acquire()
        # No writer waits any more, so a reader shares.
        await asyncio.wait_for(reader.read.acquire(), SOON_S)
        assert [await holder.read.release(), await reader.read.release()] == [True, True]

    run(body)


def test_destroy_tells_waiters_and_holders(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        holder, waiter = d.rw_lock("destroyed"), d.rw_lock("destroyed")
        assert await holder.destroy() is False
        await holder.read.acquire()
        waiting = await waiting_for(waiter.write, holder, 1)
        lost = asyncio.create_task(holder.read.wait_lost())
        await asyncio.sleep(0)
        assert await waiter.destroy() is True
        with pytest.raises(Destroyed):
            await waiting
        assert await asyncio.wait_for(lost, SOON_S) is True
        assert not holder.read.held
        await asyncio.wait_for(waiter.write.acquire(), SOON_S)
        assert await waiter.write.release() is True
        assert await holder.destroy() is True

    run(body)


def test_a_body_is_cancelled_with_the_loss_of_its_hold(run: Run) -> None:
    async def body(place: Place) -> None:
        muffled = await place.muffled()
        rw = muffled.client.distributed().rw_lock("lost")
        other = (await place.client()).distributed().rw_lock("lost", timeout=4 * TTL_S)

        async def write() -> None:
            async with rw.write:
                muffled.mute(range(len(place.nodes)))
                await place.sleep(3 * TTL_S)

        with pytest.raises(LockLost):
            await write()
        assert not rw.write.held
        await other.read.acquire()
        muffled.unmute()
        assert await other.read.release() is True

    run(body)
