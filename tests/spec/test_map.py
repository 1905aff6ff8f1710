"""`casty.Dict`, clause by clause."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

from casty import Dict
from casty.structures import MapChange, MapState, MapWatch
from tests.spec.conftest import Run
from tests.spec.places import Place, run_simulated


def test_put_returns_the_previous_value_or_none(run: Run) -> None:
    async def body(place: Place) -> None:
        users = (await place.client()).distributed().map[str, dict[str, int]]("puts")
        assert await users.put("alice", {"age": 30}) is None
        assert await users.put("alice", {"age": 31}) == {"age": 30}

    run(body)


def test_get_returns_the_value_or_none(run: Run) -> None:
    """Also with ``local=True``, which is reserved."""

    async def body(place: Place) -> None:
        users = (await place.client()).distributed().map[str, dict[str, int]]("gets")
        assert await users.get("alice") is None
        await users.put("alice", {"age": 30})
        assert await users.get("alice") == {"age": 30}
        assert await users.get("alice", local=True) == {"age": 30}
        assert await users.get("bob") is None

    run(body)


def test_delete_is_true_if_the_key_existed(run: Run) -> None:
    async def body(place: Place) -> None:
        users = (await place.client()).distributed().map[str, int]("deletes")
        assert await users.delete("alice") is False
        await users.put("alice", 1)
        assert await users.delete("alice") is True
        assert await users.get("alice") is None

    run(body)


def test_contains_says_whether_the_key_exists(run: Run) -> None:
    async def body(place: Place) -> None:
        users = (await place.client()).distributed().map[str, int | None]("contains")
        assert await users.contains("alice") is False
        await users.put("alice", None)
        assert await users.contains("alice") is True

    run(body)


def test_each_key_is_an_entity_of_its_own_seen_by_everybody(run: Run) -> None:
    async def body(place: Place) -> None:
        mine = (await place.client()).distributed().map[str, int]("entries", shards=10)
        theirs = place.nodes[1].distributed().map[str, int]("entries", shards=10)
        for number in range(20):
            await mine.put(f"key-{number}", number)
        assert [await theirs.get(f"key-{number}") for number in range(20)] == list(range(20))

    run(body)


T = TypeVar("T")

TTL_S = 0.3
LATE_S = 5.0
"""When a key whose time to live is short is certainly gone, on a machine that is busy."""


async def gone(read: Callable[[], Awaitable[object]]) -> None:
    """Wait until a read finds nothing."""
    async with asyncio.timeout(LATE_S):
        while await read() is not None:
            await asyncio.sleep(0.01)


async def all_of(found: AsyncIterator[T]) -> list[T]:
    return [one async for one in found]


def test_items_keys_and_size_go_through_the_map(run: Run) -> None:
    async def body(place: Place) -> None:
        entries = (await place.client()).distributed().map[object, int]("listed")
        assert await entries.size() == 0 and await all_of(entries.items()) == []
        stored = {1: 1, "1": 2, 1.5: 3, (1, "a"): 4, b"k": 5, frozenset({1, 2}): 6, None: 7}
        for key, value in stored.items():
            await entries.put(key, value)
        await entries.put("gone", 0)
        await entries.delete("gone")
        assert dict(await all_of(entries.items())) == stored
        assert set(await all_of(entries.keys())) == set(stored)
        assert await entries.size() == len(stored)
        other = place.nodes[0].distributed().map[object, int]("liste")
        assert await other.size() == 0, "a name that another one begins with is another map"
        await entries.clear()
        assert await entries.size() == 0

    run(body)


def test_a_key_is_there_for_its_time_to_live_and_gone_after_it(run: Run) -> None:
    async def body(place: Place) -> None:
        entries = (await place.client()).distributed().map[str, int]("lasting")
        clock = asyncio.get_running_loop().time
        since = clock()
        assert await entries.put("a", 1, ttl_s=TTL_S) is None
        left = await entries.ttl("a")
        assert left is not None and 0 <= left <= TTL_S + 0.02
        await gone(lambda: entries.get("a"))
        assert clock() - since >= TTL_S
        assert not await entries.contains("a") and await entries.ttl("a") is None
        assert not await entries.compare_and_set("a", 1, 2), "a key that is over is absent"
        assert await entries.put("a", 2) is None
        assert await entries.ttl("a") == math.inf

    run(body)


def test_what_gives_and_takes_a_time_to_live(run: Run) -> None:
    async def body(place: Place) -> None:
        entries = (await place.client()).distributed().map[str, int]("touched")
        await entries.put("plain", 1, ttl_s=TTL_S)
        assert await entries.put("plain", 2) == 1, "a put without takes it away"
        await entries.put("kept", 1, ttl_s=TTL_S)
        assert await entries.persist("kept") and not await entries.persist("kept")
        await entries.put("touched", 1)
        assert await entries.touch("touched", 600.0) and not await entries.touch("nothing", 1.0)
        assert not await entries.persist("nothing")
        left = await entries.ttl("touched")
        assert left is not None and 500 < left <= 600.02
        assert await entries.put_if_absent("once", 1, ttl_s=TTL_S)
        assert await entries.put_if_absent("swapped", 1)
        assert await entries.compare_and_set("swapped", 1, 2, ttl_s=TTL_S)
        await gone(lambda: entries.get("once"))
        await gone(lambda: entries.get("swapped"))
        assert await entries.get("plain") == 2 and await entries.ttl("plain") == math.inf
        assert await entries.get("kept") == 1 and await entries.get("touched") == 1

    run(body)


@pytest.mark.parametrize("ttl_s", [0, -1, math.nan, math.inf, 1e12])
def test_a_time_to_live_is_some_time(ttl_s: float) -> None:
    async def body(place: Place) -> None:
        entries = (await place.client()).distributed().map[str, int]("refused")
        wrong: Any = "1"
        with pytest.raises(ValueError, match="ttl_s: expected seconds above 0"):
            await entries.put("a", 1, ttl_s=ttl_s)
        with pytest.raises(TypeError, match="ttl_s"):
            await entries.touch("a", wrong)

    run_simulated(body)


async def take(events: MapWatch[str, int], count: int) -> list[object]:
    async with asyncio.timeout(30.0):
        return [await anext(events) for _ in range(count)]


def test_a_watch_of_a_key_tells_its_state_and_then_each_change(run: Run) -> None:
    async def body(place: Place) -> None:
        entries = (await place.client()).distributed().map[str, int]("watched")
        theirs: Dict[str, int] = place.nodes[1].distributed().map[str, int]("watched")
        await entries.put("a", 1)
        async with theirs.watch("a") as events:
            (state,) = await take(events, 1)
            assert isinstance(state, MapState) and state.is_first
            assert state.entries == (("a", 1),) and state.covers("a") and not state.covers("b")
            await entries.put("b", 7)
            await entries.put("a", 2)
            await entries.put("a", 2)
            assert not await entries.compare_and_set("a", 1, 3)
            await entries.touch("a", 600.0)
            await entries.delete("a")
            await entries.put("a", 4, ttl_s=TTL_S)
            assert await take(events, 5) == [
                MapChange("a", "put", 2),
                MapChange("a", "put", 2),
                MapChange("a", "deleted"),
                MapChange("a", "put", 4),
                MapChange("a", "expired"),
            ]
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    run(body)


def test_a_watch_of_a_map_covers_every_key(run: Run) -> None:
    async def body(place: Place) -> None:
        entries = (await place.client()).distributed().map[str, int]("watched-all")
        numbers = {f"key-{number}": number for number in range(20)}
        for key, number in numbers.items():
            await entries.put(key, number)
        async with entries.watch() as events:
            mirror: dict[str, int] = {}
            covered: dict[str, int] = {}
            async with asyncio.timeout(30.0):
                while len(covered) < len(numbers):
                    state = await anext(events)
                    assert isinstance(state, MapState) and state.is_first
                    mirror.update(state.entries)
                    for key in numbers:
                        covered.update({key: 1} if state.covers(key) else {})
            assert mirror == numbers
            for key in numbers:
                await entries.put(key, -1)
            seen: list[object] = []
            async with asyncio.timeout(30.0):
                while len(seen) < len(numbers):
                    event = await anext(events)
                    seen += [event] if isinstance(event, MapChange) else []
            assert sorted(seen, key=str) == sorted([MapChange(key, "put", -1) for key in numbers], key=str)

    run(body)
