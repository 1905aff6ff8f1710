"""`casty.Election`: one leader at a time, which knows, and of which others are told."""

from __future__ import annotations

import asyncio

import pytest

from casty import Election
from casty.errors import AlreadyHeld, LockLost
from casty.structures import Leader
from tests.spec.conftest import Run
from tests.spec.places import TTL_S, Place

SOON_S = 10.0


async def candidate(place: Place, name: str, who: str) -> Election:
    """Return a candidate with a client of its own."""
    return (await place.client()).distributed().election(name, candidate=who)


def test_a_candidate_leads_until_it_resigns(run: Run) -> None:
    async def body(place: Place) -> None:
        one, two = await candidate(place, "resigned", "one"), await candidate(place, "resigned", "two")
        assert await one.leader() is None and not one.is_leader and one.token is None
        await one.campaign()
        assert one.is_leader and one.token is not None
        assert await two.leader() == Leader("one", one.token)
        with pytest.raises(AlreadyHeld):
            await one.campaign()
        with pytest.raises(TimeoutError):
            await two.campaign(timeout=0.5)
        waiting = asyncio.create_task(two.campaign())
        first = one.token
        assert await one.resign() is True
        await asyncio.wait_for(waiting, SOON_S)
        assert two.is_leader and two.token is not None and two.token > first
        assert await one.leader() == Leader("two", two.token)
        assert [await one.resign(), await two.resign()] == [False, True]

    run(body)


def test_a_watch_tells_the_present_leader_and_each_change(run: Run) -> None:
    async def body(place: Place) -> None:
        one, two = await candidate(place, "watched", "one"), await candidate(place, "watched", "two")
        watch = (await place.client()).distributed().election("watched").watch()
        assert await anext(watch) is None
        news = asyncio.create_task(anext(watch))
        await one.campaign()
        assert await asyncio.wait_for(news, SOON_S) == Leader("one", one.token or 0)
        late = two.watch()
        assert await anext(late) == Leader("one", one.token or 0)
        news = asyncio.create_task(anext(watch))
        await one.resign()
        assert await asyncio.wait_for(news, SOON_S) is None
        await two.campaign()
        assert await anext(watch) == Leader("two", two.token or 0)
        assert await anext(late) in (None, Leader("two", two.token or 0))
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await two.resign() is True

    run(body)


def test_destroy_ends_the_term_and_tells_who_watches(run: Run) -> None:
    async def body(place: Place) -> None:
        one, two = await candidate(place, "destroyed", "one"), await candidate(place, "destroyed", "two")
        await one.campaign()
        watch = two.watch()
        assert await anext(watch) == Leader("one", one.token or 0)
        news = asyncio.create_task(anext(watch))
        assert await two.destroy() is True
        assert await asyncio.wait_for(news, SOON_S) is None
        await asyncio.wait_for(two.campaign(), 3 * TTL_S)
        assert not one.is_leader
        assert await two.resign() is True

    run(body)


def test_a_leader_knows_of_its_loss_before_another_is_elected(run: Run) -> None:
    async def body(place: Place) -> None:
        muffled = await place.muffled()
        deaf = muffled.client.distributed().election("deaf", candidate="deaf")
        two = await candidate(place, "deaf", "two")
        led: list[str] = []

        async def leads() -> bool:
            return deaf.is_leader

        async def succeed() -> None:
            await two.campaign()
            assert not deaf.is_leader
            led.append("two")

        async def lead() -> None:
            async with deaf:
                muffled.mute(range(len(place.nodes)))
                await place.sleep(4 * TTL_S)
                led.append("deaf, to the end")

        leading = asyncio.create_task(lead())
        await place.until(leads, within_s=SOON_S)
        successor = asyncio.create_task(succeed())
        with pytest.raises(LockLost):
            await leading
        await asyncio.wait_for(successor, 3 * TTL_S)
        assert led == ["two"]
        muffled.unmute()
        assert await two.resign() is True

    run(body)


def test_candidates_have_names(run: Run) -> None:
    async def body(place: Place) -> None:
        of_client = (await place.client()).distributed().election("named")
        assert of_client.candidate.startswith("candidate-")
        node = place.nodes[0]
        assert (
            node.distributed().election("named").candidate == f"{node.self_node.host}:{node.self_node.port}"
        )
        with pytest.raises(ValueError, match="candidate"):
            node.distributed().election("named", candidate="x" * 256)

    run(body)
