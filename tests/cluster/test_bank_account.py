"""The example's accounts under drawn faults: what was acknowledged is booked, each booking once."""

from __future__ import annotations

import asyncio

from casty import ClusterClient, ClusteredActorSystem, Settings, ShardEnvelope
from examples.bank_account import Look, Statement, app, book
from sim import Faults, World, simulate
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process

NODES = ("node-1", "node-2", "node-3")
ACCOUNTS = ("alice", "bob", "carol")
BOOKINGS = 60


async def hosting(process: Process) -> ClusteredActorSystem:
    """Start a node that hosts the accounts, also when it is started again."""
    system = ClusteredActorSystem(
        name=CLUSTER_NAME, host=process.name, port=NODE_PORT, node_id=process.node_id,
        seed_nodes=[(name, NODE_PORT) for name in NODES], config=Settings(slots=4, session_ttl_s=6.0),
    )  # fmt: skip
    await system.__aenter__()
    await app(system)
    return system


async def teller(client: ClusterClient, name: str) -> None:
    """Book what is acknowledged, as nobody else does: each statement has all of it, and nothing twice."""
    for number in range(1, BOOKINGS + 1):
        statement = await book(client, name, f"{name}-{number}", 7)
        assert (statement.balance, statement.bookings) == (7 * number, number)
        await asyncio.sleep(0.5)


@simulate(seeds=range(9_916_000, 9_916_006), faults=Faults.swarm())
async def test_each_booking_is_there_once(world: World) -> None:
    for name in NODES:
        world.add_node(name, hosting)
    world.node_names.extend(NODES)
    await asyncio.gather(*[world.start(name) for name in NODES])
    clients = [await world.client() for _ in ACCOUNTS]
    await asyncio.gather(*[teller(client, name) for client, name in zip(clients, ACCOUNTS, strict=True)])
    for client, name in zip(clients, ACCOUNTS, strict=True):
        accounts = client.entity_ref("accounts", num_shards=20)
        while True:
            try:
                found: Statement = await client.ask(
                    accounts,
                    lambda reply, name=name: ShardEnvelope(name, Look(reply)),
                    timeout=5.0,  # type: ignore[misc]
                )
                break
            except TimeoutError:
                await asyncio.sleep(0.1)
        assert (found.balance, found.bookings) == (7 * BOOKINGS, BOOKINGS)
