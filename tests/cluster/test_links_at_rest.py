"""What is said at rest arrives, as links that died silently are found before; the simulator sees which did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from casty.config import Settings
from casty.transport.link_watch import MISSED_PINGS
from casty.transport.peers import BACK_OFF_MAX_NS, CONNECT_TIMEOUT_S
from sim import World
from sim.checks.step.lives import Lives

SETTINGS = Settings(slots=2)
FOUND_S = SETTINGS.unreachable_after_s * (1 + 1 / MISSED_PINGS)
DIALLED_S = BACK_OFF_MAX_NS / 1e9 + 2 * CONNECT_TIMEOUT_S
PAIR = ["node-1 and node-2"]

Body = Callable[[World, Lives], Awaitable[None]]


async def silent(world: World, lives: Lives) -> None:
    assert world.half_open("node-1", "node-2") == 2
    assert lives.unlinked() == PAIR, "though both think that they are linked"
    await asyncio.sleep(FOUND_S + DIALLED_S)


async def silent_to_a_client(world: World, lives: Lives) -> None:
    assert world.half_open("client-1", "node-1") == 1
    assert lives.unlinked() == ["client-1 and node-1"]
    await asyncio.sleep(FOUND_S + DIALLED_S)


async def one_way(world: World, lives: Lives) -> None:
    cut = world.cut("node-1", "node-2")
    await asyncio.sleep(FOUND_S + DIALLED_S)
    assert lives.unlinked() == PAIR
    cut.heal()
    await asyncio.sleep(DIALLED_S)


async def reset(world: World, lives: Lives) -> None:
    world.reset_links("node-1", "node-2")
    await asyncio.sleep(0.02)
    assert lives.unlinked() == PAIR
    await asyncio.sleep(DIALLED_S)


async def restart(world: World, lives: Lives) -> None:
    world.crash("node-2", power_loss=True)
    assert lives.unlinked() == [], "of those that run"
    await world.restart("node-2")
    assert PAIR[0] in lives.unlinked()
    await asyncio.sleep(FOUND_S + DIALLED_S)


@pytest.mark.parametrize("body", [silent, silent_to_a_client, one_way, reset, restart])
def test_links_that_are_not_there_are_seen_until_they_are(body: Body) -> None:
    async def main(world: World) -> None:
        lives = Lives(world)
        await world.cluster(3, config=SETTINGS)
        client = await world.client("client-1")
        lives.client_is(world.processes["client-1"], client._client_core.client_id)
        await asyncio.sleep(1)
        assert lives.unlinked() == []
        await body(world, lives)
        assert lives.unlinked() == []

    with World(1) as world:
        world.run(main(world), limit_s=60)
