"""States of many parts move between members while they are written, and nothing of them is lost."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from casty import Settings
from casty.cluster.slots import dump as slot_dump
from casty.errors import CastyError
from sim import World

if TYPE_CHECKING:
    from casty.client import ClusterClient

SETTINGS = Settings(slots=2, snapshot_entries=200, retained_entries=50)


def is_ready(world: World, name: str) -> bool:
    system = world.processes[name].value
    return system is not None and not system._node.missing


async def write(client: ClusterClient, number: int, added: dict[str, None]) -> None:
    members = client.distributed().set[str]("grows")
    for count in range(10**6):
        try:
            await members.add(f"{number}/{count}")
        except (CastyError, TimeoutError):
            await asyncio.sleep(0.2)
        else:
            added[f"{number}/{count}"] = None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_member_is_restarted_under_a_queue_of_many_parts(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_dump, "MAX_ROWS", 16)

    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        client = await world.client()
        queue = client.distributed().queue[int]("big", timeout=30)
        for first in range(0, 1500, 50):
            await asyncio.gather(*[queue.enqueue(number) for number in range(first, first + 50)])
        added: dict[str, None] = {}
        writers = [asyncio.create_task(write(client, number, added)) for number in range(3)]
        for name in world.node_names:
            world.crash(name)
            await asyncio.sleep(1)
            world.start_soon(name)
            await world.until(partial(is_ready, world, name), timeout_s=60)
            await asyncio.sleep(4)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        assert await queue.size() == 1500 and len(added) > 100
        members = client.distributed().set[str]("grows", timeout=30)
        assert all(await asyncio.gather(*[members.contains(member) for member in added]))
        assert sorted(await asyncio.gather(*[queue.dequeue() for _ in range(1500)])) == list(range(1500))

    with World(seed) as world:
        world.run(main(world), limit_s=300)
