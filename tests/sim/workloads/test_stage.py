"""The workload's side of a run."""

from __future__ import annotations

import asyncio

from sim import World
from sim.workloads.recorder import Stage


def test_what_happens_at_one_instant_has_an_order() -> None:
    async def main(world: World) -> None:
        stage = Stage(world)
        moments = [stage.moment() for _ in range(3)]
        await asyncio.sleep(0.001)
        moments += [stage.moment(), world.now_ns + 1, stage.moment() + 1]
        assert moments == sorted(set(moments))
        assert moments[3] == world.now_ns

    with World(1) as world:
        world.run(main(world))
