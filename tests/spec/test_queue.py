"""`casty.Queue`, clause by clause."""

from __future__ import annotations

from tests.spec.conftest import Run
from tests.spec.places import Place


def test_values_come_in_the_order_in_which_they_were_enqueued(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("orders")
        for number in range(5):
            assert await jobs.enqueue(f"task-{number}") is None
        others = place.nodes[0].distributed().queue[str]("orders")
        assert [await others.dequeue() for _ in range(5)] == [f"task-{number}" for number in range(5)]

    run(body)


def test_dequeue_removes_the_front_value_and_is_none_if_empty(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("dequeues")
        await jobs.enqueue("task-1")
        assert await jobs.dequeue() == "task-1"
        assert await jobs.dequeue() is None

    run(body)


def test_peek_leaves_the_front_value_and_is_none_if_empty(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("peeks")
        assert await jobs.peek() is None
        await jobs.enqueue("task-1")
        await jobs.enqueue("task-2")
        assert [await jobs.peek(), await jobs.peek()] == ["task-1", "task-1"]

    run(body)


def test_size_counts_the_items(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("sizes")
        assert await jobs.size() == 0
        await jobs.enqueue("task-1")
        assert await jobs.size() == 1

    run(body)


def test_destroy_is_true_if_it_existed_and_drops_what_was_queued(run: Run) -> None:
    async def body(place: Place) -> None:
        jobs = (await place.client()).distributed().queue[str]("destroyed")
        assert await jobs.destroy() is False
        await jobs.enqueue("task-1")
        assert await jobs.destroy() is True
        assert await jobs.dequeue() is None

    run(body)
