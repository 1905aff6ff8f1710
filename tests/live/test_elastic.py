"""Real processes that come, leave, die for good and are replaced under other names, while a client counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from casty.cli.status import fetch_status
from tests.live.node_processes import SLOTS, WITHIN_S, Nodes, counting, drain, even, whole

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    """Processes that are gone afterwards."""
    made = Nodes(tmp_path)
    yield made
    await made.end()


async def test_three_become_five_seven_and_four_under_load_and_no_call_fails(nodes: Nodes) -> None:
    await nodes.add("a", "b", "c")

    async def change() -> None:
        await nodes.add("d", "e")
        await nodes.until(lambda members: even(members, ["a", "b", "c", "d", "e"]))
        leads = [member["leads"] for member in (await nodes.members()).values()]
        assert sum(leads) == SLOTS
        await nodes.add("f", "g")
        await nodes.until(lambda members: even(members, ["a", "b", "c", "d", "e", "f", "g"]))
        for name in ("a", "b", "c"):
            await drain(nodes, name)
        await nodes.until(lambda members: even(members, ["d", "e", "f", "g"]))

    assert await counting(nodes, change) > 1000


async def test_the_loss_of_a_zone_fails_no_call(nodes: Nodes) -> None:
    for zone in ("x", "y", "z"):
        nodes.extra[f"{zone}1"] = nodes.extra[f"{zone}2"] = ("--zone", zone)
    await nodes.add("x1", "y1", "z1")
    await nodes.add("x2", "y2", "z2")
    await nodes.until(lambda members: even(members, ["x1", "x2", "y1", "y2", "z1", "z2"]))

    async def change() -> None:
        document = await fetch_status(nodes.contacts[0])
        for slot in document["slots"]:
            assert sorted(name[0] for name in slot["replicas"]) == ["x", "y", "z"]
        victims = [nodes.there.pop(name) for name in ("x1", "x2")]
        await asyncio.gather(*[victim.kill() for victim in victims])
        # Nobody of that zone is left: others take its places, so each slot has three replicas again.
        await nodes.until(lambda members: sum(members[name]["replicas"] for name in nodes.there) == 3 * SLOTS)

    assert await counting(nodes, change) > 2 * SLOTS


async def test_three_nodes_are_replaced_one_by_one_under_other_names_and_nothing_is_lost(
    nodes: Nodes,
) -> None:
    await nodes.add("a", "b", "c")

    async def change() -> None:
        for victim, newcomer in (("a", "d"), ("b", "e"), ("c", "f")):
            await nodes.there.pop(victim).kill()
            await nodes.add(newcomer)
            await nodes.until(whole(list(nodes.there)))
        await nodes.until(lambda members: even(members, ["d", "e", "f"]))

    assert await counting(nodes, change) > 1000


async def test_a_node_that_leaves_when_it_is_told_to_stop_takes_nothing_along(nodes: Nodes) -> None:
    await nodes.add("a", "b", "c", "d", extra=("--leave-on-stop",))

    async def change() -> None:
        assert await nodes.there.pop("a").stop(WITHIN_S) == 0
        await nodes.until(lambda members: even(members, ["b", "c", "d"]))

    await counting(nodes, change)
