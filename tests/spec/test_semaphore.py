"""`casty.Semaphore`, clause by clause."""

from __future__ import annotations

import pytest

from casty import Semaphore
from casty.errors import Mismatch
from tests.spec.conftest import Run
from tests.spec.places import Place, queued


def test_acquire_blocks_until_a_permit_is_free(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second, third = (d.semaphore("acquired", permits=2) for _ in range(3))
        assert await first.acquire() is None
        await second.acquire()
        waiting = await queued(third, d.semaphore("acquired", permits=2))
        assert await first.release() is True
        await waiting
        assert [await second.release(), await third.release()] == [True, True]

    run(body)


def test_try_acquire_is_false_if_none_is_available(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second = d.semaphore("tried", permits=1), d.semaphore("tried", permits=1)
        assert await first.try_acquire() is True
        assert await second.try_acquire() is False
        await first.release()
        assert await second.try_acquire() is True
        await second.release()

    run(body)


def test_release_is_false_for_who_holds_none(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        first, second = d.semaphore("released", permits=1), d.semaphore("released", permits=1)
        assert await first.release() is False
        await first.acquire()
        assert await second.release() is False
        assert await first.release() is True

    run(body)


def test_destroy_is_true_if_it_existed(run: Run) -> None:
    async def body(place: Place) -> None:
        semaphore = (await place.client()).distributed().semaphore("destroyed", permits=1)
        assert await semaphore.destroy() is False
        await semaphore.acquire()
        await semaphore.release()
        assert await semaphore.destroy() is True

    run(body)


def test_async_with_and_several_permits_at_once(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        mine, theirs = d.semaphore("several", permits=3), d.semaphore("several", permits=3)
        async with mine:
            assert await theirs.try_acquire(n=3) is False
            assert await theirs.try_acquire(n=2) is True
            await theirs.release()
        assert await theirs.try_acquire(n=3) is True
        await theirs.release()

    run(body)


def test_made_by_hand_it_has_the_permits_that_are_recorded(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        mine = Semaphore(gateway=client, region_ref=None, name="by hand")
        with pytest.raises(Mismatch, match="semaphore 'by hand'"):
            await mine.acquire()
        theirs = client.distributed().semaphore("by hand", permits=2)
        await theirs.acquire()
        await mine.acquire()
        assert await mine.try_acquire() is False
        assert [await mine.release(), await theirs.release()] == [True, True]

    run(body)
