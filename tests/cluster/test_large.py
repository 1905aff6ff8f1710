"""What is too long for a frame: it is cut into several, or refused where it was asked for, and nothing else suffers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ClusteredActorSystem, Settings
from casty.cluster.control.machine import REGION, STATUS
from casty.cluster.slots.operations import CONTROL_SLOT, OP_CONTROL
from casty.errors import CastyError, MessageTooLarge
from casty.wire import frames
from casty.wire.pack import pack
from sim import World
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process

NARROW = Settings(slots=2, max_frame_bytes=65_536, max_value_bytes=16_384, snapshot_chunk_bytes=16_384)
LONG = 10_000


def long_key(number: int) -> str:
    return f"{number}-".ljust(LONG, "x")


def test_a_read_that_is_too_long_takes_no_other_call_with_it() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=NARROW)
        d = (await world.client()).distributed()
        counters = [d.counter(f"c{number}", timeout=None) for number in range(20)]
        reading = asyncio.ensure_future(d.map[str, int]("m").get("x" * 100_000))
        counting = [asyncio.ensure_future(counter.increment()) for counter in counters]
        with pytest.raises(MessageTooLarge, match="max_frame_bytes"):
            await reading
        assert await asyncio.gather(*counting) == [1] * 20

    with World(1) as world:
        world.run(main(world), limit_s=60)
        assert world.errors == []


def test_a_command_that_is_too_long_for_the_cluster_was_not_applied() -> None:
    """The client takes values up to its own default; this cluster takes less."""

    async def main(world: World) -> None:
        await world.cluster(3, config=NARROW)
        entries = (await world.client()).distributed().map[str, bytes]("m")
        for size in (20_000, 100_000):
            with pytest.raises(MessageTooLarge):
                await entries.put("k", b"x" * size)
            assert await entries.get("k") is None
        assert await entries.put("k", b"x" * 10_000) is None

    with World(1) as world:
        world.run(main(world), limit_s=60)
        assert world.errors == []


def test_values_of_a_cluster_that_takes_longer_ones_reach_its_clients() -> None:
    async def main(world: World) -> None:
        wide = Settings(slots=1, max_frame_bytes=2**24, max_value_bytes=2**23)
        (member, *_) = await world.cluster(3, config=wide)
        value = b"x" * 6_000_000
        await world.processes["node-1"].run(member.distributed().map[str, bytes]("m").put("k", value))
        assert await (await world.client()).distributed().map[str, bytes]("m").get("k") == value

    with World(1) as world:
        world.run(main(world), limit_s=60)
        assert world.errors == []


def test_a_map_with_more_keys_than_a_frame_holds_is_destroyed() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=NARROW)
        d = (await world.client()).distributed()
        entries, others = d.map[str, int]("m"), d.map[str, int]("n")
        for number in range(40):
            await entries.put(long_key(number), number)
        await others.put(long_key(0), 0)
        assert await entries.destroy() is True
        assert [await entries.contains(long_key(number)) for number in range(40)] == [False] * 40
        assert await others.contains(long_key(0))
        assert await entries.destroy() is False

    with World(1) as world:
        world.run(main(world), limit_s=60)
        assert world.errors == []


def test_a_keep_alive_that_has_to_name_very_much_keeps_alive() -> None:
    """Of the calls in doubt each number is named with its key until it is withdrawn."""

    async def main(world: World) -> None:
        await world.cluster(3, config=NARROW)
        client = await world.client("client")
        d = client.distributed()
        lock, entries = d.lock("mine"), d.map[str, int]("m", timeout=1.0)
        await lock.acquire()
        for number in range(10):
            await entries.put(f"warm-{number}", number)
        cut = world.partition(["client"], world.node_names)
        doubted = await asyncio.gather(
            *(entries.put(long_key(number), number) for number in range(300)), return_exceptions=True
        )
        assert all(isinstance(error, CastyError) for error in doubted)
        cut.heal()
        for _ in range(60):
            await asyncio.sleep(1)
            assert lock.held
        assert await entries.put("later", 1) is None
        # Withdrawn for good, or applied: none of them happens any more.
        found = [await entries.get(long_key(number)) for number in range(300)]
        await asyncio.sleep(5)
        assert [await entries.get(long_key(number)) for number in range(300)] == found
        assert await lock.release() is True

    with World(1) as world:
        world.run(main(world), limit_s=200)
        assert world.errors == []


def test_a_node_that_takes_shorter_frames_does_not_join() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=NARROW)
        seeds = [(name, NODE_PORT) for name in world.node_names]

        async def join(process: Process) -> ClusteredActorSystem:
            other = Settings(slots=2, max_frame_bytes=70_000, max_value_bytes=16_384, snapshot_chunk_bytes=16_384,
                             start_timeout_s=5.0)  # fmt: skip
            system = ClusteredActorSystem(
                name=CLUSTER_NAME, host=process.name, port=NODE_PORT, seed_nodes=seeds, config=other
            )
            return await system.__aenter__()

        world.add_node("node-4", join)
        with pytest.raises(TimeoutError, match="max_frame_bytes"):
            await world.start("node-4")
        assert await (await world.client()).distributed().counter("c").increment() == 1

    with World(1) as world:
        world.run(main(world), limit_s=60)
        assert world.errors == []


def test_a_client_writes_nothing_into_the_control_group() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=NARROW)
        client: Any = await world.client("client")
        await client.distributed().counter("c").increment()
        members = client._client_core.topology().members.values()
        entries: list[list[object]] = [[STATUS, row.node_id, row.incarnation, "removed"] for row in members]
        entries.append([REGION, "orders", 7, None])

        async def send() -> None:
            for link in client._client_core._by_node.values():
                for number, entry in enumerate(entries):
                    body = [[1_000_000 + number, CONTROL_SLOT, 0, OP_CONTROL, pack(entry), b""]]
                    link.send(frames.REQUEST, pack(body))

        await world.processes["client"].run(send())
        await asyncio.sleep(20)
        assert [row["status"] for row in world.node(0).status()["members"]] == ["up"] * 3
        assert client._client_core.topology().regions == {}
        assert await client.distributed().counter("c").increment() == 2

    with World(1) as world:
        world.run(main(world), limit_s=60)
        assert world.errors == []
