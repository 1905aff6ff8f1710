"""`examples/leader_elected_cron.py` where leaders die: in simulated clusters under faults, and on real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ClusteredActorSystem, Settings
from casty.sim import FAMILIES as ALL_FAMILIES
from casty.sim import Faults, World, simulate
from examples.leader_elected_cron import cron

TICKS = 20
EVERY_S = 0.5
NODES = 3
SETTINGS = Settings(slots=8, heartbeat_s=0.1, election_min_s=0.5, election_max_s=0.75, session_ttl_s=4.0)
LIMIT_S = 120.0
FAMILIES = tuple(name for name in ALL_FAMILIES if name != "crash")
"""All but crashes: which node dies, and when, is for the test to say."""


class Runs:
    """The jobs that ran: who ran which tick, in the order of their beginnings."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = []

    async def job(self, name: str, tick: int) -> None:
        self.rows.append((name, tick))

    @property
    def leader(self) -> str:
        return self.rows[-1][0]

    def check(self) -> None:
        """No tick ran twice, none came after a later one, and at most the one at each change is missing."""
        ticks = [tick for _, tick in self.rows]
        assert ticks == sorted(dict.fromkeys(ticks)), f"a tick ran twice, or late: {self.rows}"
        leaders = [name for name, _ in self.rows]
        changes = sum(one != other for one, other in zip(leaders, leaders[1:], strict=False))
        assert len(ticks) >= TICKS - 2 * changes - 2, f"ticks were left out: {self.rows}"


def start(world: World, index: int, runs: Runs) -> asyncio.Task[None]:
    """Run the cron on a node, as part of its process: it dies with it."""
    name, d = world.node_names[index], world.node(index).distributed()
    return world.processes[name].spawn(cron(d, name, runs.job, every_s=EVERY_S, last=TICKS))


async def last_claim(system: ClusteredActorSystem) -> int:
    """Return the last tick that was claimed, as its register says."""
    value, _ = await system.distributed().fence("cron-claims", timeout=LIMIT_S).read()
    return int(value or 0)


@simulate(nodes=NODES, seeds=6, faults=Faults.swarm(*FAMILIES), config=SETTINGS)
async def test_no_job_runs_twice_for_a_tick_when_nodes_die(world: World) -> None:
    runs = Runs()
    works = {world.node_names[index]: start(world, index, runs) for index in range(NODES)}
    await world.until(lambda: len(runs.rows) >= TICKS // 3, timeout_s=LIMIT_S)
    victim = runs.leader
    world.crash(victim)
    del works[victim]
    # Not until the last job ran: whoever does not know whether its claim was taken leaves the job of that tick out.
    await world.until(lambda: all(work.done() for work in works.values()), timeout_s=2 * LIMIT_S)
    assert [work.result() for work in works.values()] == [None] * (NODES - 1)
    runs.check()
    survivor = world.node_names.index(next(iter(works)))
    assert await world.processes[next(iter(works))].run(last_claim(world.node(survivor))) == TICKS
    assert len(dict.fromkeys(name for name, _ in runs.rows)) > 1, "another went on"


@pytest.mark.slow
@pytest.mark.live
def test_no_job_runs_twice_when_a_node_dies_on_real_sockets() -> None:
    asyncio.run(asyncio.wait_for(on_sockets(), LIMIT_S))


async def on_sockets() -> None:
    runs = Runs()
    systems: list[ClusteredActorSystem] = []
    for number in range(NODES):
        seeds: Any = [tuple(systems[0].self_node)] if systems else None
        system = ClusteredActorSystem(
            name="office",
            host="127.0.0.1",
            port=0,
            node_id=f"node-{number}",
            seed_nodes=seeds,
            config=SETTINGS,
        )
        systems.append(await system.__aenter__())
    await systems[0].wait_for(NODES)
    works = {
        system.node_id: asyncio.create_task(
            cron(system.distributed(), system.node_id, runs.job, every_s=EVERY_S / 5, last=TICKS)
        )
        for system in systems
    }
    try:
        while len(runs.rows) < TICKS // 3:
            await asyncio.sleep(EVERY_S / 10)
        victim = next(system for system in systems if system.node_id == runs.leader)
        await victim.abort()
        systems.remove(victim)
        works.pop(victim.node_id).cancel()
        await asyncio.gather(*works.values())
        runs.check()
        assert await last_claim(systems[0]) == TICKS
        assert len(dict.fromkeys(name for name, _ in runs.rows)) > 1, "another went on"
    finally:
        for system in systems:
            await system.abort()
