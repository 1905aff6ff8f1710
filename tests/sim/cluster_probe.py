"""One run of a real cluster with clients and faults; prints its digest. Run by `test_sim_determinism`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, NamedTuple

from casty.errors import CastyError
from sim import Faults, World
from sim.faults.nemesis import Nemesis
from sim.kernel.draws import Draws

if TYPE_CHECKING:
    from casty.client import ClusterClient

FAULTS = Faults(gap_s=1.0, crash_gap_s=15.0)


class Returned(NamedTuple):
    """A client's call returned."""

    client: int
    call: int
    outcome: str


async def work(world: World, client: ClusterClient, number: int) -> None:
    counter = client.distributed().counter("visits")
    for call in range(10):
        try:
            async with asyncio.timeout(10):
                outcome = str(await counter.increment())
        except (CastyError, TimeoutError) as error:
            outcome = type(error).__name__
        world.record("test", Returned(number, call, outcome))
        await asyncio.sleep(1)


async def main(world: World) -> None:
    await world.cluster(3)
    clients = [await world.client(), await world.client()]
    nemesis = Nemesis(world, FAULTS)
    names = list(world.node_names)
    nemesis.begin(lambda: names)
    await asyncio.gather(*[work(world, client, number) for number, client in enumerate(clients)])
    nemesis.end()


def digest_of(seed: int) -> str:
    """Run the probe for one seed."""
    with World(seed, network=FAULTS.profile(Draws(seed))) as world:
        world.run(main(world), limit_s=600)
        return world.digest()


if __name__ == "__main__":
    print(*[digest_of(int(seed)) for seed in sys.argv[1].split(",")])
