"""`casty.Queue`: waiting for items and for room, clause by clause."""

from __future__ import annotations

import asyncio

import pytest

from casty import Queue
from casty.errors import Destroyed, Mismatch, QueueFull
from tests.kit.clock import settle
from tests.spec.conftest import Run
from tests.spec.places import Place


async def waiting(place: Place, calls: list[asyncio.Task[str]]) -> None:
    """Let calls that wait for an item come to the slot, one after the other."""
    await place.sleep(0.3)
    assert not any(call.done() for call in calls)


def test_get_waits_and_is_served_first_come_first_served(run: Run) -> None:
    async def body(place: Place) -> None:
        mine = (await place.client()).distributed().queue[str]("waited")
        theirs = place.nodes[0].distributed().queue[str]("waited")
        calls: list[asyncio.Task[str]] = []
        for queue in (mine, theirs, mine):
            calls.append(asyncio.ensure_future(queue.get(timeout=30.0)))
            await waiting(place, calls)
        for number in range(4):
            await theirs.enqueue(f"task-{number}")
        assert [await call for call in calls] == ["task-0", "task-1", "task-2"]
        assert await mine.get() == "task-3", "what is there is got at once"

    run(body)


def test_a_get_that_times_out_or_is_cancelled_takes_nothing(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("given up")
        with pytest.raises(TimeoutError):
            await jobs.get(timeout=0.3)
        call = asyncio.ensure_future(jobs.get(timeout=None))
        await waiting(place, [call])
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await jobs.enqueue("task-1")
        assert [await jobs.get(), await jobs.size()] == ["task-1", 0]

    run(body)


def test_what_a_cancelled_call_took_is_put_back_to_its_place(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[int]("crossed")
        for number in range(12):
            await jobs.enqueue(number)
        for steps in range(12):
            call = asyncio.ensure_future(jobs.dequeue() if steps % 2 else jobs.get())
            await settle(steps)
            await place.sleep(0.004 * steps)
            call.cancel()
            done = await asyncio.gather(call, return_exceptions=True)
            if not isinstance(done[0], BaseException):
                await jobs.enqueue(99)  # it was quicker: that one is had
                break

        async def all_there() -> bool:
            return await jobs.size() == 12

        await place.until(all_there, 10.0)
        rest = [await jobs.get() for _ in range(12)]
        assert rest == sorted(rest), "in their order"

    run(body)


def test_a_full_queue_refuses_or_makes_wait(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        jobs: Queue[str] = d.queue[str]("full", maxsize=2)
        await jobs.put("task-1")
        await jobs.enqueue("task-2")
        with pytest.raises(QueueFull, match="maxsize=2"):
            await d.queue[str]("full").enqueue("task-3")
        with pytest.raises(TimeoutError):
            await jobs.put("task-3", timeout=0.3)
        call = asyncio.ensure_future(jobs.put("task-4", timeout=30.0))
        await place.sleep(0.3)
        assert not call.done()
        reserved = await jobs.reserve()
        assert not call.done(), "a reserved item keeps its place"
        assert await reserved.ack() is True
        await call
        assert [await jobs.get(), await jobs.get(), await jobs.dequeue()] == ["task-2", "task-4", None]

    run(body)


def test_settings_belong_to_the_queue_until_it_is_destroyed(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        await d.queue[str]("settled", maxsize=2, max_deliveries=3).enqueue("task-1")
        for wrong in (d.queue[str]("settled", maxsize=3), d.queue[str]("settled", max_deliveries=2)):
            for call in (wrong.enqueue("x"), wrong.put("x"), wrong.get(), wrong.reserve()):
                with pytest.raises(Mismatch, match="settled"):
                    await call
        assert await d.queue[str]("settled").dequeue() == "task-1"
        assert await d.queue[str]("settled").destroy() is True
        await d.queue[str]("settled", maxsize=3).enqueue("task-2")
        with pytest.raises(ValueError, match="maxsize"):
            d.queue[str]("settled", maxsize=0)

    run(body)


def test_who_waits_is_told_of_the_destruction(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("destroyed under them")
        await jobs.enqueue("task-1")
        await jobs.dequeue()
        call = asyncio.ensure_future(jobs.get(timeout=30.0))
        await waiting(place, [call])
        assert await jobs.destroy() is True
        with pytest.raises(Destroyed):
            await call

    run(body)


def test_nothing_is_given_to_who_ended(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("left")
        async with place.make_client() as leaving:
            call = asyncio.ensure_future(leaving.distributed().queue[str]("left").get(timeout=None))
            await waiting(place, [call])
        assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], Exception)
        await jobs.enqueue("task-1")
        assert await jobs.get() == "task-1"

    run(body)
