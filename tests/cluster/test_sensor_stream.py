"""The example's stream over real sockets, and in a simulated cluster under faults."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.errors import StreamError
from casty.sim import Faults, World, simulate
from examples.sensor_stream import READINGS, Reading, listen, main, measure

PATIENCE_S = 90.0


@pytest.mark.slow
def test_all_readings_come_over_sockets(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0: 20.0 degrees"
    assert lines[READINGS:] == [f"{READINGS} readings, the last one 21.9 degrees"]


@simulate(
    nodes=3, seeds=range(9_965_200, 9_965_206), faults=Faults.swarm("delay", "reset", "link_loss", "split")
)
async def test_readings_come_in_order_whatever_breaks(world: World) -> None:
    client = await world.client()
    client_name = next(name for name in world.processes if name.startswith("client"))
    measuring = world.processes[world.node_names[0]].spawn(measure(world.node(0)))
    listening: asyncio.Task[list[Reading]] = world.processes[client_name].spawn(listen(client))
    await world.until(lambda: listening.done() and measuring.done(), timeout_s=PATIENCE_S)
    numbers = [reading.number for reading in listening.result()]
    assert numbers == list(range(len(numbers)))
    failure: Any = measuring.exception()
    assert failure is None or isinstance(failure, StreamError)
    assert (len(numbers) == READINGS) or failure is not None
