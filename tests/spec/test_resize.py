"""`Semaphore.resize`: the number of permits changes for all, nothing is revoked, nothing is granted beyond it."""

from __future__ import annotations

import asyncio

import pytest

from casty.errors import Mismatch
from tests.spec.conftest import Run
from tests.spec.places import Place, queued


def test_more_permits_are_granted_at_once_in_order(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second, third = (d.semaphore("grown", permits=1) for _ in range(3))
        await first.acquire()
        waiting = [await queued(one, d.semaphore("grown", permits=1)) for one in (second, third)]
        assert await first.resize(2) == 1
        await waiting[0]
        assert not waiting[1].done()
        assert await second.release() is True
        await waiting[1]
        assert [await one.release() for one in (first, third)] == [True, True]
        assert await first.destroy() is True

    run(body)


def test_fewer_permits_revoke_nothing_and_grant_nothing_beyond(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second, third = (d.semaphore("shrunk", permits=2) for _ in range(3))
        await first.acquire()
        await second.acquire()
        assert await third.resize(1) == 2
        assert await third.available() == 0
        assert await first.release() is True
        assert await third.try_acquire() is False
        assert await second.release() is True
        assert await third.try_acquire() is True
        assert await third.release() is True
        assert await third.destroy() is True

    run(body)


def test_the_number_of_the_creation_and_the_present_one_go_on(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        assert await d.semaphore("named", permits=2).resize(4) == 2
        assert await d.semaphore("named", permits=2).available() == 4
        assert await d.semaphore("named", permits=4).available() == 4
        with pytest.raises(Mismatch, match="permits=4, which it has now"):
            await d.semaphore("named", permits=3).acquire()
        # Nobody holds or waits, and the number stays until the semaphore is destroyed.
        assert await d.semaphore("named", permits=2).destroy() is True
        assert await d.semaphore("named", permits=3).available() == 3

    run(body)


def test_whoever_resized_it_goes_on_when_others_resize_it_again(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second, other = (d.semaphore("twice", permits=1) for _ in range(3))
        assert await first.resize(2) == 1
        assert await second.resize(4) == 2
        await first.acquire(3)  # its own number was 1, and then 2
        assert await other.try_acquire(2) is False
        assert await other.available() == 1
        with pytest.raises(Mismatch, match="at most the 4 permits"):
            await other.acquire(5)
        assert await first.release() is True
        present = d.semaphore("twice", permits=4)
        assert await present.resize(5) == 4
        assert await second.resize(6) == 5
        assert await present.available() == 6
        assert await present.destroy() is True

    run(body)


def test_who_waits_for_more_than_there_will_be_is_told(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        holder, large, small = (d.semaphore("cut", permits=3) for _ in range(3))
        await holder.acquire()
        asking = asyncio.create_task(large.acquire(n=3))
        while await holder.try_acquire():
            await holder.release()
        behind = await queued(small, d.semaphore("cut", permits=3))
        assert await holder.resize(2) == 3
        with pytest.raises(Mismatch, match="at most the 2 permits"):
            await asking
        await behind
        with pytest.raises(Mismatch, match="at most the 2 permits"):
            await large.try_acquire(n=3)
        assert [await one.release() for one in (holder, small)] == [True, True]
        assert await holder.destroy() is True

    run(body)
