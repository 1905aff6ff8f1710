"""Regions and singletons that are limited to nodes with a role."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from casty import ActorRef, Behavior, Behaviors, ClusterClient, ClusteredActorSystem, Settings, ShardEnvelope
from casty.errors import Mismatch
from sim import World
from sim.kernel.errors import CrashedError
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process

SETTINGS = Settings(slots=6, unreachable_after_s=1.0, down_after_s=2.0, session_ttl_s=6.0)
IDS = [f"e{number}" for number in range(40)]


@dataclass(frozen=True)
class Where:
    reply_to: ActorRef[Any]


def run(body: Callable[[World], Any], seed: int = 1) -> None:
    with World(seed) as world:
        world.run(body(world), limit_s=400.0)
        assert world.errors == []


class Cluster:
    """Nodes of which some have the role ``web``; each hosts a region and a singleton that are limited to it."""

    def __init__(self, world: World, founders: list[str]) -> None:
        self.world = world
        self.seeds = [(name, NODE_PORT) for name in founders]
        self.living: dict[str, list[str]] = {}
        self.asks_at_once = False
        self.asked: list[asyncio.Task[str]] = []

    def add(self, name: str, *roles: str) -> None:
        async def setup(process: Process) -> ClusteredActorSystem:
            system = ClusteredActorSystem(
                name=CLUSTER_NAME, host=name, port=NODE_PORT, node_id=name, seed_nodes=self.seeds,
                roles=frozenset(roles), config=SETTINGS,
            )  # fmt: skip
            self.living[name] = []

            def entity(entity_id: str) -> Behavior[Where]:
                self.living[name].append(entity_id)
                return Behaviors.receive(lambda ctx, message: message.reply_to.tell(name))

            await system.__aenter__()
            system.spawn(Behaviors.sharded(entity, num_shards=20, role="web"), "cart")
            system.spawn(Behaviors.singleton(lambda: entity("only"), role="web"), "one")
            if self.asks_at_once:
                region: Any = system.lookup("cart")
                self.asked += [asyncio.create_task(self._ask(system, region, entity_id)) for entity_id in IDS]
            return system

        self.world.add_node(name, setup)
        self.world.node_names.append(name)

    def system(self, name: str) -> Any:
        return self.world.processes[name].value

    @staticmethod
    def _where(entity_id: str, reply: ActorRef[Any]) -> ShardEnvelope[Where]:
        return ShardEnvelope(entity_id, Where(reply))

    async def ask_all(self, name: str) -> dict[str, str]:
        """Return where each entity lives, as it says to a node."""
        system = self.system(name)
        region = system.entity_ref("cart", num_shards=20) if name == "client" else system.lookup("cart")
        return {entity_id: await self._ask(system, region, entity_id) for entity_id in IDS}

    async def _ask(self, system: Any, region: Any, entity_id: str) -> str:
        answer = await system.ask(region, partial(self._where, entity_id), timeout=20.0)
        assert isinstance(answer, str)
        return answer

    def role_slots(self, name: str) -> list[Any]:
        return [slot for slot in self.system(name).status()["slots"] if slot["role"] == "web"]


async def until(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
    for _ in range(round(within_s / 0.1)):
        if is_so():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not so within {within_s} s")


@pytest.mark.parametrize("seed", [1, 2])
def test_entities_live_on_nodes_with_the_role_and_move_among_these(seed: int) -> None:
    async def main(world: World) -> None:
        names = ["a", "b", "c", "d", "e"]
        cluster = Cluster(world, names[:3])
        for name in names:
            cluster.add(name, *(["web"] if name in "bcde"[:3] else []))
        await asyncio.gather(*[world.start(name) for name in names[:3]])
        await asyncio.gather(*[world.start(name) for name in names[3:]])
        await until(lambda: all(len(slot["replicas"]) == 3 for slot in cluster.role_slots("a")))
        await until(lambda: {slot["leader"] for slot in cluster.role_slots("a")} == {"b", "c", "d"})
        where = await cluster.ask_all("a")
        assert sorted(dict.fromkeys(where.values())) == ["b", "c", "d"]
        assert cluster.living["a"] == cluster.living["e"] == []
        assert sum("only" in cluster.living[name] for name in names) == 1, "the singleton lives unasked"
        assert await cluster.ask_all("e") == where, "whoever asks"
        world.add_node("client", _client(names))
        await world.start("client")
        assert await cluster.ask_all("client") == where
        world.crash("c")
        await asyncio.sleep(6.0)
        where = await cluster.ask_all("a")
        assert sorted(dict.fromkeys(where.values())) == ["b", "d"], "no other node has the role"
        cluster.add("f", "web", "batch")
        await world.start("f")
        await until(lambda: all("f" in slot["replicas"] for slot in cluster.role_slots("a")))
        await until(lambda: "f" in [slot["leader"] for slot in cluster.role_slots("a")])
        assert sorted(dict.fromkeys((await cluster.ask_all("a")).values())) == ["b", "d", "f"]
        assert all(slot["target"] == ["b", "d", "f"] for slot in cluster.role_slots("a"))
        assert cluster.living["a"] == cluster.living["e"] == []

    run(main, seed)


def _client(names: list[str]) -> Callable[[Process], Any]:
    async def setup(process: Process) -> object:
        points = [(name, NODE_PORT) for name in names]
        return await ClusterClient(
            contact_points=points, system_name=CLUSTER_NAME, client_host=process.name
        ).__aenter__()

    return setup


def test_slots_whose_first_node_died_before_it_had_them_begin_with_its_successor() -> None:
    async def main(world: World) -> None:
        cluster = Cluster(world, ["a", "b", "c"])
        for name in "abcd":
            cluster.add(name, *(["web"] if name == "d" else []))
        await asyncio.gather(*[world.start(name) for name in "abc"])
        world.add_node("client", _client(["a", "b", "c"]))
        await world.start("client")
        starting = asyncio.create_task(world.start("d"))

        def rows() -> list[Any]:
            return [row for row in cluster.system("a")._node.control.machine.slots if row.role == "web"]

        while not any(row.first for row in rows()):
            await asyncio.sleep(0.0005)
        world.crash("d")
        with pytest.raises(CrashedError):
            await starting
        assert all(row.is_beginning for row in rows())
        await world.start("d")
        assert sorted(dict.fromkeys((await cluster.ask_all("client")).values())) == ["d"]
        assert not any(row.is_beginning for row in rows())

    run(main)


@pytest.mark.parametrize("seed", [1, 2])
def test_who_was_named_first_and_is_back_has_replicas_of_the_group_that_began_elsewhere(seed: int) -> None:
    async def main(world: World) -> None:
        cluster = Cluster(world, ["a", "b", "c"])
        for name in "abcdef":
            cluster.add(name, *(["web"] if name in "def" else []))
        await asyncio.gather(*[world.start(name) for name in "abc"])
        world.add_node("client", _client(["a", "b", "c"]))
        await world.start("client")
        starting = asyncio.create_task(world.start("d"))

        def rows() -> list[Any]:
            return [row for row in cluster.system("a")._node.control.machine.slots if row.role == "web"]

        while not any(row.first for row in rows()):
            await asyncio.sleep(0.0005)
        cut_off = world.partition(["d"], ["a", "b", "c", "e", "f"])
        assert all(row.is_beginning for row in rows())
        epoch = rows()[0].epoch
        await asyncio.gather(world.start("e"), world.start("f"))
        where = await cluster.ask_all("client")
        assert sorted(dict.fromkeys(where.values())) == ["e", "f"]
        assert {row.epoch for row in rows()} == {epoch + 1}
        cut_off.heal()
        await starting
        await until(lambda: all(len(slot["replicas"]) == 3 for slot in cluster.role_slots("a")))
        world.crash("e")
        await asyncio.sleep(6.0)
        assert set((await cluster.ask_all("client")).values()) <= {"d", "f"}

    run(main, seed)


def test_while_nobody_has_the_role_entities_live_nowhere() -> None:
    async def main(world: World) -> None:
        cluster = Cluster(world, ["a", "b", "c"])
        for name in "abc":
            cluster.add(name)
        await asyncio.gather(*[world.start(name) for name in "abc"])
        await until(lambda: len(cluster.role_slots("a")) == 6)
        assert all(slot["replicas"] == [] and slot["leader"] is None for slot in cluster.role_slots("a"))
        asked = asyncio.create_task(cluster.ask_all("a"))
        await asyncio.sleep(3.0)
        assert not asked.done()
        cluster.add("d", "web")
        await world.start("d")
        assert sorted(dict.fromkeys((await asked).values())) == ["d"]
        assert not any(cluster.living[name] for name in "abc")
        counter = cluster.system("a").distributed().counter("hits")
        assert await counter.increment() == 1
        assert all(slot["replicas"] == ["d"] for slot in cluster.role_slots("a"))

    run(main)


def test_all_have_to_say_the_same_role() -> None:
    async def main(world: World) -> None:
        cluster = Cluster(world, ["a", "b", "c"])
        for name in "abc":
            cluster.add(name, "web")
        await asyncio.gather(*[world.start(name) for name in "abc"])
        await until(lambda: len(cluster.role_slots("a")) == 6)
        system = cluster.system("a")
        factory: Any = Behaviors.sharded(lambda _: Behaviors.ignore(), num_shards=20)
        with pytest.raises(Mismatch, match="role is 'web', given None"):
            system.spawn(factory, "cart")
        system.spawn(factory, "plain")
        await until(lambda: "plain" in cluster.system("b")._node.control.machine.regions)
        with pytest.raises(Mismatch, match="role is None, given 'web'"):
            cluster.system("b").spawn(
                Behaviors.sharded(factory.entity_factory, num_shards=20, role="web"), "plain"
            )

    run(main)


def test_a_region_is_not_served_in_slots_of_all_nodes_before_its_role_is_known() -> None:
    async def main(world: World) -> None:
        cluster = Cluster(world, ["a", "b", "c"])
        for name in "abc":
            cluster.add(name, *(["web"] if name == "c" else []))
        cluster.asks_at_once = True
        await asyncio.gather(*[world.start(name) for name in "abc"])
        assert await asyncio.gather(*cluster.asked) == ["c"] * (3 * len(IDS))
        assert cluster.living["a"] == cluster.living["b"] == [], "not even for a moment"

    run(main)
