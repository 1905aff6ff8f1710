"""The topology is longer than a frame: clients get it in parts, and are served."""

from __future__ import annotations

import asyncio

import pytest

from casty import Settings
from casty.actor.behavior import Behaviors
from casty.actor.services import Deregister, Register, ServiceKey
from casty.cluster.client import ClientCore
from casty.transport.connection import Connection
from casty.wire import frames
from sim import World

SMALL = Settings(slots=4, max_frame_bytes=65_536, max_value_bytes=16_384, snapshot_chunk_bytes=16_384)
"""The smallest frames; 100 services of 1,000 bytes are more than one."""


def test_clients_of_a_cluster_with_more_services_than_a_frame_are_served() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1, config=SMALL)
        client = await world.client("client")
        keys = [ServiceKey[str](f"{number}-" + "x" * 1000) for number in range(100)]
        for number, key in enumerate(keys):
            node.receptionist.tell(Register(key, node.spawn(Behaviors.ignore(), f"a{number}")))
        await asyncio.sleep(5)
        late = await world.client("late")
        await late.ready()
        for one in (client, late):
            assert all(one.lookup(key).instances for key in keys)
            await one.distributed().counter("c", timeout=3).increment()

    with World(1) as world:
        world.run(main(world), limit_s=100)


def test_a_name_beyond_the_bound_is_not_registered_and_harms_nobody() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1, config=SMALL)
        client = await world.client("client")
        ref = node.spawn(Behaviors.ignore(), "a")
        long, short = ServiceKey[str]("x" * 4000), ServiceKey[str]("y")
        for key in (long, short):
            node.receptionist.tell(Register(key, ref))
        await asyncio.sleep(5)
        assert not client.lookup(long).instances
        assert client.lookup(short).instances

    with World(1) as world:
        world.run(main(world), limit_s=100)


def test_one_more_registration_costs_a_client_what_it_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    take = ClientCore.on_frame

    def on_frame(client_core: ClientCore, connection: Connection, kind: int, body: bytes) -> None:
        if kind == frames.TOPOLOGY:
            sizes.append(len(body))
        take(client_core, connection, kind, body)

    monkeypatch.setattr(ClientCore, "on_frame", on_frame)

    async def main(world: World) -> None:
        first, second = await world.cluster(2, config=SMALL)
        client = await world.client("client")
        ref = first.spawn(Behaviors.ignore(), "a")
        keys = [ServiceKey[str](f"{number}-" + "x" * 1000) for number in range(100)]
        for key in keys:
            first.receptionist.tell(Register(key, ref))
        await asyncio.sleep(5)
        sizes.clear()
        first.receptionist.tell(Deregister(keys[0], ref))
        second.receptionist.tell(Register(keys[1], second.spawn(Behaviors.ignore(), "b")))
        await asyncio.sleep(5)
        assert 0 < sum(sizes) < 10_000, "two links, two changes of some 1,100 bytes, and what each says twice"
        assert not client.lookup(keys[0]).instances
        assert len(client.lookup(keys[1]).instances) == 2
        late = await world.client("late")
        await late.ready()
        assert all(late.lookup(key).instances == client.lookup(key).instances for key in keys)

    with World(1) as world:
        world.run(main(world), limit_s=100)
