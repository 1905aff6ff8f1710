"""After any churn, a cluster at rest has the rows that it had before: what is over leaves nothing (8, 9)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from functools import partial
from types import MappingProxyType

import pytest

from casty import Settings
from sim import World
from sim.checks.step.leftovers import Rows, grown, kept_rows, rows_of, rows_of_process
from tests.cluster.churning import Churn

SETTINGS = Settings(slots=4, snapshot_entries=20, retained_entries=10)
REST_S = 90.0
"""Past the four TTLs of an idle session, and all that is kept for a while."""


async def counted(world: World) -> dict[str, Rows]:
    """Return what everybody who stayed has, after a rest."""
    await asyncio.sleep(REST_S)
    return {name: rows_of_process(world.processes[name]) for name in (*world.node_names, "loyal")}


async def main(world: World) -> tuple[dict[str, Rows], dict[str, Rows]]:
    await world.cluster(3, config=SETTINGS)
    churn = Churn(world)
    await churn.begin()
    for _ in range(2):
        await churn.round()
    before = await counted(world)
    for _ in range(6):
        await churn.round()
    return before, await counted(world)


@pytest.mark.slow
def test_churn_leaves_nothing() -> None:
    with World(1) as world:
        before, after = world.run(main(world), limit_s=1000)
    kept = kept_rows(SETTINGS, members=3, groups=SETTINGS.slots + 1)
    left = {name: grown(before[name], after[name], kept) for name in before}
    assert not any(left.values()), left


class Trap:
    """Whatever is asked of it runs code."""

    __module__ = "casty.trap"
    __slots__ = ("__dict__", "_slot", "_unset")

    def __init__(self, slot: object) -> None:
        self._slot = slot
        self.own = [1, 2]

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} was read")

    def __iter__(self) -> Iterator[object]:
        raise AssertionError("it was iterated")

    def __len__(self) -> int:
        raise AssertionError("its length was asked")

    def __hash__(self) -> int:
        raise AssertionError("its hash was asked")


class Table(dict[str, object]):
    """A table of the library's own."""

    __module__ = "casty.trap"


def test_a_walk_finds_rows_wherever_they_are_and_runs_nothing() -> None:
    inner = Trap(None)
    table = Table(a=[1, 2, 3], b=deque([4]))
    outer = Trap([inner, MappingProxyType({"x": 1}), partial(len, [table]), (i for i in range(3))])
    found = rows_of(outer, inner)
    assert found == {
        "trap.Table": 1,
        "trap.Table[]": 6,
        "trap.Trap": 2,
        "trap.Trap._slot": 4,
        "trap.Trap._slot[]": 2,
        "trap.Trap.own": 4,
    }


def test_what_grows_is_told_unless_it_stays_within_what_is_kept() -> None:
    before, after = {"a": 1, "b": 5, "c": 2}, {"a": 1, "b": 6, "c": 4, "d": 1}
    assert grown(before, after, {"c": 4}) == ["b: 5 -> 6", "d: 0 -> 1"]
    assert grown(before, after, {"b": 6, "c": 3, "d": 1}) == ["c: 2 -> 4"]
