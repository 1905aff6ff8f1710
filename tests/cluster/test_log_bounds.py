"""Logs of a running cluster stay within their bounds, whoever is down (invariant 9)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from casty import Settings
from casty.errors import CastyError
from sim import World

if TYPE_CHECKING:
    from casty.client import ClusterClient
    from casty.cluster.multiraft.host import Group

SETTINGS = Settings(slots=1, snapshot_entries=100, retained_entries=50)
LONGEST = 100 + 50 + 64
"""What is applied, and what may be in flight from three callers."""


async def count_up(client: ClusterClient, number: int) -> None:
    counter = client.distributed().counter(f"c{number}")
    while True:
        try:
            await counter.increment()
        except (CastyError, TimeoutError):
            await asyncio.sleep(0.1)


def group_of(world: World, name: str) -> Group:
    group: Group = world.processes[name].value._node.host.groups[1]
    return group


async def watch(world: World, names: list[str], duration_s: int) -> int:
    """Return the length of the longest log among these nodes, as seen every 50 ms."""
    longest = 0
    for _ in range(duration_s * 20):
        await asyncio.sleep(0.05)
        for name in names:
            core = group_of(world, name).core
            longest = max(longest, core.last_index - core.first_index + 1)
    return longest


@pytest.mark.slow
@pytest.mark.parametrize("dies_again", [False, True], ids=["dead voter", "dead learner"])
def test_no_log_grows_while_a_member_is_down(dies_again: bool) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        client = await world.client()
        tasks = [asyncio.create_task(count_up(client, number)) for number in range(3)]
        await asyncio.sleep(2)
        victim = next(name for name in world.node_names if not group_of(world, name).is_leading)
        others = [name for name in world.node_names if name != victim]
        world.crash(victim)
        if dies_again:
            leader = next(name for name in others if group_of(world, name).is_leading)
            world.start_soon(victim)
            core = group_of(world, leader).core
            await world.until(lambda: bool(core.membership and core.membership.learners), timeout_s=30)
            world.crash(victim, power_loss=True)
        before = max(group_of(world, name).core.commit for name in others)
        assert await watch(world, others, 20) <= LONGEST
        assert max(group_of(world, name).core.commit for name in others) > before + 1000
        cores = [group_of(world, name).core for name in others]
        assert all(core.outbound(peer) is None for core in cores for peer in core.peers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with World(2) as world:
        world.run(main(world), limit_s=200)
