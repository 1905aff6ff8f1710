"""An honest client that asks for very much at once gets all of it, over the intake that runs in production."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from casty import Settings
from casty.transport.intake import CLIENT, FULL_BYTES
from chaos.ablations.bug import Planted, planted
from chaos.ablations.floods import SHARES
from sim import World

SETTINGS = Settings(slots=1)
MANY = 4_000
LARGE = b"v" * 200_000
READS = 60
SOON_S = 20


async def at_once(world: World) -> None:
    """Let one client call very often at once, and read very much over a slow network."""
    await world.cluster(1, config=SETTINGS)
    (name,) = world.node_names
    system: Any = world.processes[name].value
    client = await world.client("reader")
    d = client.distributed()
    counters = [d.counter(f"c{number % 20}", timeout=SOON_S) for number in range(MANY)]
    await asyncio.gather(*[counter.increment() for counter in counters])
    values = await asyncio.gather(*[d.counter(f"c{number}", timeout=SOON_S).get() for number in range(20)])
    assert values == [MANY // 20] * 20
    intake = system._node.acceptor.intake
    assert intake.shares > 0
    queue = d.queue[bytes]("large", timeout=SOON_S)
    await queue.enqueue(LARGE)
    world.slow(name, "reader", 2_000_000)
    most = 0
    reading = [asyncio.ensure_future(queue.peek()) for _ in range(READS)]
    while not all(task.done() for task in reading):
        most = max(most, system._node.acceptor.buffered_bytes)
        await asyncio.sleep(0.01)
    assert [await task for task in reading] == [LARGE] * READS
    assert FULL_BYTES < most < FULL_BYTES + CLIENT.answer_bytes + 2 * len(LARGE)
    assert intake.waiting == 0


def run(seed: int) -> None:
    with World(seed) as world:
        world.run(at_once(world), limit_s=120)


@pytest.mark.parametrize("seed", [1, 2])
def test_who_asks_for_very_much_at_once_gets_it(seed: int) -> None:
    run(seed)


@pytest.mark.slow
@pytest.mark.parametrize("bug", SHARES, ids=lambda bug: bug.name)
def test_work_that_is_left_over_and_lost_is_noticed(bug: Planted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    with planted(bug), pytest.raises(Exception) as noticed:  # whatever notices it first
        run(1)
    found: Any = noticed.value
    assert isinstance(found, (TimeoutError, AssertionError)) or "within" in str(found), repr(found)
