"""Seeds that are found: names of many addresses, functions, and the address that others see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from casty import ClusterClient, ClusteredActorSystem, Settings
from casty.discovery import Discovery, checked_contacts
from casty.errors import ConfigError, Unavailable
from sim import World
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process

SEEDS = [("dns://casty", NODE_PORT)]
SETTINGS = Settings(slots=4, unreachable_after_s=1.5, down_after_s=3.0)


def run(body: Callable[[World], Any], seed: int = 1) -> None:
    with World(seed) as world:
        world.run(body(world), limit_s=300.0)
        assert world.errors == []


def node(**options: Any) -> Callable[[Process], Any]:
    async def setup(process: Process) -> ClusteredActorSystem:
        given: dict[str, Any] = {"seed_nodes": SEEDS, "required_quorum": 2, "config": SETTINGS} | options
        system = ClusteredActorSystem(name=CLUSTER_NAME, host="auto", port=NODE_PORT, **given)
        return await system.__aenter__()

    return setup


def client(**options: Any) -> Callable[[Process], Any]:
    async def setup(process: Process) -> ClusterClient:
        given = {"contact_points": SEEDS} | options
        return await ClusterClient(system_name=CLUSTER_NAME, client_host=process.name, **given).__aenter__()

    return setup


async def begin(world: World, *names: str, **options: Any) -> list[asyncio.Task[Any]]:
    """Start nodes, and return without waiting until they serve."""
    for name in names:
        world.add_node(name, node(**options))
        world.node_names.append(name)
    return [asyncio.create_task(world.start(name)) for name in names]


def up(world: World, at: str) -> list[str]:
    system: Any = world.processes[at].value
    rows = system.status()["members"]
    return sorted(row["id"].partition(":")[0] for row in rows if row["status"] == "up")


async def until(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
    for _ in range(round(within_s / 0.1)):
        if is_so():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not so within {within_s} s")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nodes_found_by_a_name_that_fills_up(seed: int) -> None:
    async def main(world: World) -> None:
        world.network.records["casty"] = ["n1"]
        tasks = await begin(world, "n1", "n2", "n3")
        await asyncio.sleep(4.0)
        assert not any(task.done() for task in tasks), "one that sees itself only founds nothing"
        world.network.records["casty"] = ["n1", "n2", "n3"]
        await asyncio.gather(*tasks)
        await until(lambda: up(world, "n1") == ["n1", "n2", "n3"])
        ids = [world.processes[name].value.status()["cluster_id"] for name in ("n1", "n2", "n3")]  # type: ignore[attr-defined]
        assert len(dict.fromkeys(ids)) == 1

    run(main, seed)


def test_all_nodes_are_replaced_and_a_client_finds_the_others() -> None:
    async def main(world: World) -> None:
        records = world.network.records["casty"] = ["n1", "n2", "n3"]
        await asyncio.gather(*await begin(world, *records))
        world.add_node("client", client())
        found: Any = await world.start("client")
        counter = found.distributed().counter("hits", timeout=10.0)
        assert await counter.increment() == 1
        world.pause("client")
        for old, new in (("n1", "n4"), ("n2", "n5"), ("n3", "n6")):
            records[records.index(old)] = new
            await asyncio.gather(*await begin(world, new))
            system: Any = world.processes[old].value
            await system.leave(timeout=60.0)
            world.processes[old].value = None
            world.crash(old)
        world.resume("client")
        assert await counter.increment() == 2, "of those that it knew nobody is left"

    run(main)


def test_a_function_is_asked_until_it_knows() -> None:
    async def main(world: World) -> None:
        asked: list[float] = []

        async def seeds() -> list[tuple[str, int]]:
            asked.append(world.now_ns / 1e9)
            if len(asked) == 1:
                raise KeyError("no such service yet")
            if len(asked) == 2:
                await asyncio.sleep(100.0)
            return [("n1", NODE_PORT), ("n2", NODE_PORT)] if len(asked) > 3 else []

        await asyncio.gather(
            *await begin(world, "n1", "n2", seed_nodes=[("n1", NODE_PORT), ("n2", NODE_PORT)])
        )
        await asyncio.gather(*await begin(world, "n3", seed_nodes=seeds))
        await until(lambda: up(world, "n1") == ["n1", "n2", "n3"])
        assert len(asked) >= 4
        world.add_node("client", client(contact_points=lambda: [("n2", NODE_PORT)]))
        found: Any = await world.start("client")
        assert await found.distributed().counter("hits", timeout=20.0).increment() == 1

    run(main)


def test_what_is_wrong_with_the_seeds_is_said() -> None:
    async def main(world: World) -> None:
        settings = Settings(slots=4, start_timeout_s=3.0)
        world.add_node("n1", node(config=settings))
        with pytest.raises(TimeoutError, match=r"dns://casty:25520: .*name or service not known: 'casty'"):
            await world.start("n1")

        def broken() -> list[tuple[str, int]]:
            raise RuntimeError("no token")

        world.add_node("n2", node(config=settings, seed_nodes=broken))
        with pytest.raises(TimeoutError, match=r"the function: raised RuntimeError\('no token'\)"):
            await world.start("n2")
        world.add_node("n3", node(config=settings, seed_nodes=lambda: ["n1"]))
        with pytest.raises(TimeoutError, match=r"expected a list of \(host, port\) like"):
            await world.start("n3")
        world.add_node("client", client())
        found: Any = await world.start("client")
        with pytest.raises(Unavailable, match="name or service not known"):
            await found.ready(timeout=2.0)

    run(main)


def test_who_needs_a_number_is_told() -> None:
    place: dict[str, Any] = {"name": "shop", "host": "h", "port": 1}
    with pytest.raises(
        ConfigError, match="required_quorum: expected a number, as the seeds are no fixed list"
    ):
        ClusteredActorSystem(**place, seed_nodes=SEEDS)
    with pytest.raises(ConfigError, match="required_quorum: expected 1 or more, found 0"):
        ClusteredActorSystem(**place, seed_nodes=list, required_quorum=0)
    with pytest.raises(TypeError, match="required_quorum: expected an int or None, found '2'"):
        ClusteredActorSystem(**place, seed_nodes=SEEDS, required_quorum="2")  # type: ignore[arg-type]


def test_a_majority_is_looked_for_when_the_own_address_is_known() -> None:
    async def main(world: World) -> None:
        seeds = [("n1", NODE_PORT), ("n2", NODE_PORT), ("n3", NODE_PORT)]
        world.add_node("n4", node(seed_nodes=seeds, required_quorum=2))
        with pytest.raises(ConfigError, match="3 of 4, found 2"):
            await world.start("n4")

    run(main)


def test_while_a_name_is_not_answered_the_last_answer_counts() -> None:
    async def main(world: World) -> None:
        seen: list[list[str]] = []

        async def setup(process: Process) -> Discovery:
            contacts = checked_contacts("seeds", SEEDS)
            found = Discovery(process.runtime, contacts)
            found.begin(lambda: seen.append([one.host for one in found.addresses]), lambda: True)
            return found

        world.network.records["casty"] = ["a", "b"]
        world.add_node("n1", setup)
        found: Any = await world.start("n1")
        await until(lambda: seen == [["a", "b"]])
        del world.network.records["casty"]
        await until(lambda: bool(found.troubles), within_s=6.0)
        await asyncio.sleep(20.0)
        assert seen == [["a", "b"]]
        assert [one.host for one in found.addresses] == ["a", "b"]
        world.network.records["casty"] = ["c"]
        await until(lambda: seen == [["a", "b"], ["c"]], within_s=2.0)
        assert not found.troubles

    run(main)
