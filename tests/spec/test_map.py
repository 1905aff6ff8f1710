"""`casty.Dict`, clause by clause."""

from __future__ import annotations

from tests.spec.conftest import Run
from tests.spec.places import Place


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
