"""One actor in the whole cluster, and one on each node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ActorSystem, Behavior, Behaviors, ClusteredActorSystem, Settings, ShardEnvelope
from casty.errors import AskFailed, Mismatch
from sim import World

SETTINGS = Settings(slots=4)


class Place:
    """Where singletons live: who is told when one begins and ends."""

    def __init__(self) -> None:
        self.living: list[str] = []
        self.most = 0
        self.starts = 0

    def behavior(self, where: str) -> Behavior[Any]:
        """Say where it lives to whoever asks."""

        async def start(ctx: Any) -> Behavior[Any]:
            self.living.append(where)
            self.starts += 1
            self.most = max(self.most, len(self.living))
            ctx.on_stop(lambda: self.living.remove(where))
            return Behaviors.receive(handle)

        def handle(ctx: Any, message: Any) -> Behavior[Any] | None:
            if message == "stop":
                return Behaviors.stopped()
            message.tell(where)
            return None

        return Behaviors.setup(start)


def spawned(nodes: list[ClusteredActorSystem], place: Place) -> list[Any]:
    """Spawn the singleton on each node."""
    return [
        node.spawn(Behaviors.singleton(lambda node=node: place.behavior(node.node_id)), "one")  # type: ignore[misc]
        for node in nodes
    ]


async def moved(world: World) -> None:
    """Let it live without a message, end itself, and outlive its node."""
    nodes = await world.cluster(3, config=SETTINGS)
    place = Place()
    refs = spawned(nodes, place)
    await asyncio.sleep(2)
    assert (len(place.living), place.starts) == (1, 1), "nobody has sent anything yet"
    (home,) = place.living
    for node, ref in zip(nodes, refs, strict=True):
        assert await node.ask(ref, lambda reply: reply) == home
    client = await world.client("client")
    region: Any = client.entity_ref("one", num_shards=1)
    assert await client.ask(region, lambda reply: ShardEnvelope("singleton", reply)) == home
    refs[0].tell("stop")
    await asyncio.sleep(2)
    assert (len(place.living), place.starts) == (1, 2), "one that ends itself begins anew"
    world.crash(home)
    place.living.clear()
    await asyncio.sleep(20)
    assert len(place.living) == 1
    assert place.living != [home]
    assert place.most == 1
    survivor = next(node for node in nodes if node.node_id != home)
    ref = refs[nodes.index(survivor)]
    assert await survivor.ask(ref, lambda reply: reply) == place.living[0]


def test_it_lives_once_without_being_asked_and_moves_when_its_node_is_gone() -> None:
    with World(3) as world:
        world.run(moved(world), limit_s=200)


async def broadcast(world: World) -> None:
    """Tell and ask all of them."""
    nodes = await world.cluster(3, config=SETTINGS)
    told: list[tuple[str, object]] = []

    def everywhere(node_id: str) -> Behavior[Any]:
        def handle(ctx: Any, message: Any) -> None:
            told.append((node_id, message))
            if not isinstance(message, str):
                message.tell(node_id)

        return Behaviors.receive(handle)

    refs = [node.spawn(Behaviors.broadcasted(everywhere(node.node_id)), "all") for node in nodes]
    ids = sorted(node.node_id for node in nodes)
    refs[0].tell("hello")
    await asyncio.sleep(1)
    assert sorted(told) == [(node_id, "hello") for node_id in ids]
    replies = await nodes[1].ask(refs[1], lambda reply: reply)
    assert replies == tuple(ids)
    nodes[2].core.cells["all"].stop()
    await asyncio.sleep(0.5)
    with pytest.raises(AskFailed):
        await nodes[0].ask(refs[0], lambda reply: reply)
    world.crash(nodes[2].node_id)
    await asyncio.sleep(20)
    assert await nodes[0].ask(refs[0], lambda reply: reply) == tuple(
        node_id for node_id in ids if node_id != nodes[2].node_id
    )
    assert "all" in repr(refs[0])


def test_a_broadcast_reaches_every_member_that_is_up() -> None:
    with World(1) as world:
        world.run(broadcast(world), limit_s=200)


async def test_they_are_spawned_on_nodes_only() -> None:
    plain: Any = ActorSystem()
    async with plain:
        for marked in (Behaviors.singleton(Behaviors.ignore), Behaviors.broadcasted(Behaviors.ignore())):
            with pytest.raises(TypeError, match="on a node of a cluster"):
                plain.spawn(marked, "x")
    with pytest.raises(TypeError, match="factory"):
        Behaviors.singleton(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="behavior"):
        Behaviors.broadcasted(5)  # type: ignore[arg-type]


async def on_a_client(world: World) -> None:
    """A client hosts nothing of the cluster."""
    await world.cluster(1, config=SETTINGS)
    client: Any = await world.client()
    for marked in (Behaviors.singleton(Behaviors.ignore), Behaviors.broadcasted(Behaviors.ignore())):
        with pytest.raises(TypeError, match="on a node of a cluster"):
            client.spawn(marked, "x")
    client.spawn(Behaviors.ignore(), "x")


def test_they_are_not_spawned_on_clients() -> None:
    with World(1) as world:
        world.run(on_a_client(world), limit_s=200)


async def clashing(world: World) -> None:
    """A singleton's name is that of its region."""
    (node,) = await world.cluster(1, config=SETTINGS)
    node.spawn(Behaviors.singleton(Behaviors.ignore), "one")
    with pytest.raises(Mismatch):
        node.spawn(Behaviors.singleton(lambda: Behaviors.stopped()), "one")
    with pytest.raises(Mismatch):
        node.spawn(Behaviors.sharded(lambda entity_id: Behaviors.ignore(), num_shards=4), "one")


def test_another_singleton_of_the_name_is_refused() -> None:
    with World(1) as world:
        world.run(clashing(world), limit_s=200)
