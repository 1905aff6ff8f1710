"""`casty.Barrier`, clause by clause."""

from __future__ import annotations

import asyncio

import pytest

from casty import Barrier
from casty.errors import OutcomeUnknown
from tests.spec.conftest import Run
from tests.spec.places import Place


def test_all_block_until_the_expected_number_has_arrived(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        parties = [client.distributed().barrier("init-sync", node_id=f"worker-{n}") for n in range(3)]
        waiting = [asyncio.create_task(party.arrive(expected=3)) for party in parties[:2]]
        await place.sleep(0.1)
        assert not any(task.done() for task in waiting)
        await parties[2].arrive(3)
        await asyncio.gather(*waiting)

    run(body)


def test_it_can_be_used_again_and_again(run: Run) -> None:
    async def body(place: Place) -> None:
        parties = [
            (await place.client()).distributed().barrier("rounds", node_id=f"worker-{n}") for n in range(2)
        ]
        for _ in range(3):
            await asyncio.gather(*(party.arrive(2) for party in parties))

    run(body)


def test_members_are_known_by_host_and_port(run: Run) -> None:
    """The default of `node_id`; a member's other instances are the same party."""

    async def body(place: Place) -> None:
        barriers = [node.distributed().barrier("members") for node in place.nodes]
        await asyncio.gather(*(barrier.arrive(3) for barrier in barriers))

    run(body)


def test_it_says_how_many_parties_wait(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        parties = [d.barrier("counted", node_id=f"worker-{n}") for n in (1, 2, 2, 3)]
        assert await parties[0].waiting() == 0
        waiting = [asyncio.create_task(party.arrive(3)) for party in parties[:3]]
        # A party that arrives twice is one.
        while await parties[0].waiting() < 2:
            assert not any(task.done() for task in waiting)
        await parties[3].arrive(3)
        await asyncio.gather(*waiting)
        assert await parties[0].waiting() == 0

    run(body)


def test_a_client_has_to_say_who_it_is(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        with pytest.raises(TypeError, match="node_id"):
            client.distributed().barrier("nameless")

    run(body)


async def nobody_waits(barrier: Barrier, ended: BaseException) -> None:
    """Return when the cluster counts nobody: at once, unless the call said that its withdrawal is in doubt."""
    waiting = await barrier.waiting()
    assert waiting == 0 or isinstance(ended, OutcomeUnknown)
    while waiting:
        waiting = await barrier.waiting()


def test_the_timeout_of_the_wait_is_the_barrier_s(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        alone = d.barrier("timed", node_id="worker-1", timeout=1.0)
        with pytest.raises(TimeoutError) as ended:
            await alone.arrive(2)
        # It is no longer counted: one other does not open the barrier.
        await nobody_waits(alone, ended.value)
        with pytest.raises(TimeoutError):
            await d.barrier("timed", node_id="worker-2", timeout=1.0).arrive(2)

    run(body)


def test_destroy_is_true_if_it_existed(run: Run) -> None:
    async def body(place: Place) -> None:
        barrier = (await place.client()).distributed().barrier("destroyed", node_id="worker-1")
        assert await barrier.destroy() is False
        await barrier.arrive(1)
        assert await barrier.destroy() is True

    run(body)
