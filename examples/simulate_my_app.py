"""Your own code under faults: run it with pytest. Each seed is another story, always the same one."""

from casty.sim import Faults, World, simulate


async def transfer(world: World) -> None:
    """Two clients add to one counter under one lock, while links break and processes pause."""
    clients = [await world.client(), await world.client()]
    for client in clients:
        d = client.distributed()
        lock, counter = d.lock("till", timeout=60.0), d.counter("sales", timeout=60.0)
        async with lock:
            before = await counter.get()
            after = await counter.increment()
            assert after == before + 1, "nobody else may sell while the till is locked"


@simulate(nodes=3, seeds=3, faults=Faults.swarm())
async def test_transfer(world: World) -> None:
    await transfer(world)
