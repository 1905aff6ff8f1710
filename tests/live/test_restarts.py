"""Real processes, killed or stopped in turn and started again, or replaced, while a client counts: no call fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.node_processes import WITHIN_S, Nodes, counting, drain, even, whole

pytestmark = [pytest.mark.live, pytest.mark.slow]

NAMES = ("a", "b", "c")


@pytest.fixture(params=[False, True], ids=["in memory", "on disk"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Nodes]:
    """Three processes, gone afterwards."""
    made = Nodes(tmp_path, on_disk=request.param)
    try:
        await made.add(*NAMES)
        yield made
    finally:
        await made.end()


async def test_each_node_is_killed_and_started_again_and_no_call_fails(nodes: Nodes) -> None:
    async def change() -> None:
        for name in NAMES:
            node = nodes.there[name]
            await node.kill()
            await node.start()
            # It says so when it holds all that it held: the next one may be killed.
            await node.ready()
        await nodes.until(whole(list(NAMES)))

    assert await counting(nodes, change) > 200


async def test_each_node_is_stopped_and_started_again_and_no_call_fails(nodes: Nodes) -> None:
    async def change() -> None:
        for name in NAMES:
            node = nodes.there[name]
            assert await node.stop(WITHIN_S) == 0
            await node.start()
            await node.ready()
        await nodes.until(whole(list(NAMES)))

    assert await counting(nodes, change) > 200


async def test_each_node_is_replaced_by_one_of_another_name_and_no_call_fails(nodes: Nodes) -> None:
    async def change() -> None:
        for name, newcomer in zip(NAMES, ("d", "e", "f"), strict=True):
            await nodes.add(newcomer)
            await drain(nodes, name)
        await nodes.until(lambda members: even(members, ["d", "e", "f"]))

    assert await counting(nodes, change) > 200
