"""`casty.Counter`, clause by clause."""

from __future__ import annotations

from tests.spec.conftest import Run
from tests.spec.places import Place


def test_increment_adds_and_returns_the_new_value(run: Run) -> None:
    async def body(place: Place) -> None:
        counter = (await place.client()).distributed().counter("increments")
        assert await counter.increment() == 1
        assert await counter.increment(5) == 6

    run(body)


def test_decrement_subtracts_and_returns_the_new_value(run: Run) -> None:
    async def body(place: Place) -> None:
        counter = (await place.client()).distributed().counter("decrements")
        assert await counter.decrement() == -1
        assert await counter.decrement(4) == -5

    run(body)


def test_get_returns_the_current_value_and_0_before_the_first_use(run: Run) -> None:
    async def body(place: Place) -> None:
        counter = (await place.client()).distributed().counter("gets")
        assert await counter.get() == 0
        await counter.increment(5)
        assert await counter.get() == 5

    run(body)


def test_destroy_is_true_if_it_existed_and_the_name_begins_anew(run: Run) -> None:
    async def body(place: Place) -> None:
        counter = (await place.client()).distributed().counter("destroyed")
        assert await counter.destroy() is False
        await counter.increment()
        assert await counter.destroy() is True
        assert await counter.get() == 0

    run(body)


def test_a_name_is_one_counter_for_members_and_clients(run: Run) -> None:
    """The first use makes it: no node has named it before."""

    async def body(place: Place) -> None:
        counters = [(await place.client()).distributed().counter("shared")]
        counters += [node.distributed().counter("shared", shards=50) for node in place.nodes]
        assert [await counter.increment() for counter in counters] == [1, 2, 3, 4]

    run(body)
