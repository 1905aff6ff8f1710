"""`casty.Queue`: reservations, deliveries and dead letters, clause by clause."""

from __future__ import annotations

import asyncio

import pytest

from tests.spec.conftest import Run
from tests.spec.places import TTL_S, Place


def test_a_reserved_item_is_nobody_elses_and_gone_when_it_is_acked(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("reserved")
        for name in ("task-1", "task-2"):
            await jobs.enqueue(name)
        first = await jobs.reserve()
        assert (first.item, first.deliveries, first.held) == ("task-1", 1, True)
        assert [await jobs.peek(), await jobs.size(), await jobs.reserved()] == ["task-2", 1, 1]
        second = await place.nodes[0].distributed().queue[str]("reserved").reserve()
        assert second.item == "task-2"
        assert second.token > first.token
        assert await jobs.try_reserve() is None
        assert [await first.ack(), await first.ack(), await first.nack()] == [True, False, False]
        assert await second.ack() is True
        assert [await jobs.size(), await jobs.reserved()] == [0, 0]

    run(body)


def test_an_item_that_is_given_back_is_in_its_order_again(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("given back")
        for number in range(3):
            await jobs.enqueue(f"task-{number}")
        first, second = await jobs.reserve(), await jobs.reserve()
        assert await second.nack() is True
        assert await first.nack() is True
        again = await jobs.reserve()
        assert (again.item, again.deliveries) == ("task-0", 2)
        assert [await jobs.get(), await jobs.get()] == ["task-1", "task-2"]
        assert await again.ack() is True

    run(body)


def test_reserve_waits_in_line(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("in line")
        got = asyncio.ensure_future(jobs.get(timeout=30.0))
        await place.sleep(0.3)
        reserving = asyncio.ensure_future(jobs.reserve(timeout=30.0))
        await place.sleep(0.3)
        for number in range(2):
            await jobs.enqueue(f"task-{number}")
        assert await got == "task-0"
        reservation = await reserving
        assert reservation.item == "task-1"
        with pytest.raises(TimeoutError):
            await jobs.reserve(timeout=0.3)
        assert await reservation.ack() is True

    run(body)


def test_it_ends_with_its_visibility_and_a_late_ack_changes_nothing(run: Run) -> None:
    async def body(place: Place) -> None:
        d, other = (await place.client()).distributed(), place.nodes[0].distributed()
        await d.queue[str]("visible").enqueue("task-1")
        began_s = place.now_s()
        slow = await d.queue[str]("visible").reserve(visibility_s=1.0)
        again = await other.queue[str]("visible").reserve(timeout=30.0)
        took_s = place.now_s() - began_s
        assert 1.0 <= took_s <= 1.0 + TTL_S
        assert (again.item, again.deliveries, slow.held) == ("task-1", 2, False)
        assert await slow.ack() is False
        assert again.held
        assert await again.ack() is True

    run(body)


def test_it_ends_with_its_session(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("sessions")
        await jobs.enqueue("task-1")
        async with place.make_client() as leaving:
            held = await leaving.distributed().queue[str]("sessions").reserve(visibility_s=600.0)
            assert held.held
        again = await jobs.reserve(timeout=30.0)
        assert (again.item, again.deliveries, held.held) == ("task-1", 2, False)
        assert await again.ack() is True

    run(body)


def test_what_comes_back_too_often_is_a_dead_letter(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("dead", max_deliveries=2)
        dead = jobs.dead_letters
        for name in ("poison", "task-1"):
            await jobs.enqueue(name)
        for _ in range(2):
            assert await (await jobs.reserve()).nack() is True
        assert [await jobs.peek(), await dead.peek(), await dead.size()] == ["task-1", "poison", 1]
        assert [await dead.requeue(), await dead.size(), await jobs.size()] == [1, 0, 2]
        first = await jobs.reserve()
        assert first.item == "task-1", "what is requeued is a new item"
        second = await jobs.reserve()
        assert (second.item, second.deliveries) == ("poison", 1)
        assert await second.nack() is True
        assert await (await jobs.reserve()).nack() is True
        assert [await dead.dequeue(), await dead.dequeue(), await dead.requeue(3)] == ["poison", None, 0]
        assert await first.ack() is True

    run(body)


def test_a_destroyed_queue_has_no_reservations(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("destroyed reservations")
        await jobs.enqueue("task-1")
        held = await jobs.reserve()
        assert await jobs.destroy() is True
        assert await held.ack() is False
        await jobs.enqueue("task-2")
        assert [await jobs.size(), await jobs.reserved(), await jobs.get()] == [1, 0, "task-2"]

    run(body)


def test_members_of_a_set_come_page_by_page(run: Run) -> None:
    async def body(place: Place) -> None:
        tags = (await place.client()).distributed().set[str]("paged")
        assert [tag async for tag in tags.items()] == []
        added = [f"{number:04}" + "x" * 1_000 for number in range(80)]
        await asyncio.gather(*(tags.add(tag) for tag in added))
        assert sorted([tag async for tag in tags.items()]) == added

    run(body)


@pytest.mark.parametrize("visibility_s", [0, -1.0, 1e17, 2**70, float("nan"), float("inf")])
def test_what_is_no_visibility_is_refused_at_once(run: Run, visibility_s: float) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("timeless")
        await jobs.enqueue("a")
        for reserve in (jobs.reserve, jobs.try_reserve):
            with pytest.raises(ValueError, match="visibility_s: expected"):
                await reserve(visibility_s)
        longest = await jobs.reserve(visibility_s=2.0**53)
        assert longest.held
        assert await longest.ack() is True

    run(body)
