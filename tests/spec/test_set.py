"""`casty.Set`, clause by clause."""

from __future__ import annotations

from tests.spec.conftest import Run
from tests.spec.places import Place


def test_add_is_true_if_added_and_false_if_present(run: Run) -> None:
    async def body(place: Place) -> None:
        tags = (await place.client()).distributed().set[str]("adds")
        assert await tags.add("python") is True
        assert await tags.add("python") is False

    run(body)


def test_remove_is_true_if_removed_and_false_if_absent(run: Run) -> None:
    async def body(place: Place) -> None:
        tags = (await place.client()).distributed().set[str]("removes")
        assert await tags.remove("python") is False
        await tags.add("python")
        assert await tags.remove("python") is True

    run(body)


def test_contains_and_size_tell_what_is_in_it(run: Run) -> None:
    async def body(place: Place) -> None:
        tags = (await place.client()).distributed().set[str]("looks")
        assert (await tags.contains("python"), await tags.size()) == (False, 0)
        await tags.add("python")
        assert (await tags.contains("python"), await tags.size()) == (True, 1)
        others = place.nodes[2].distributed().set[str]("looks")
        assert (await others.contains("python"), await others.size()) == (True, 1)

    run(body)


def test_destroy_is_true_if_it_existed_and_leaves_an_empty_set(run: Run) -> None:
    async def body(place: Place) -> None:
        tags = (await place.client()).distributed().set[str]("destroyed")
        assert await tags.destroy() is False
        await tags.add("python")
        assert await tags.destroy() is True
        assert await tags.size() == 0

    run(body)
