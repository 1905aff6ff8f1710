"""The surface of a node: what it is made of, what its actors see, and its use outside ``async with``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from casty import (
    ActorContext,
    ActorSystem,
    Behavior,
    Behaviors,
    CastyConfig,
    ClusterClient,
    ClusteredActorSystem,
    Mailbox,
    MemberStatus,
    NodeAddress,
    ServiceKey,
    Settings,
    ShardEnvelope,
    load_config,
)
from casty.actor.ref import RemoteActorRef
from casty.cluster.node.options import checked_data_dir
from casty.errors import ConfigError, Mismatch, NotStarted
from sim import World

PLACE: dict[str, Any] = {"name": "shop", "host": "node-9", "port": 25520}

FILE = """
[system]
name = "shop"
[cluster]
host = "10.0.0.1"
port = 7000
node_id = "a"
seed_nodes = ["10.0.0.1:7000", "10.0.0.2:7000"]
required_quorum = 2
[settings]
slots = 16
"""


def run(body: Callable[[World], Any]) -> None:
    with World(1) as world:
        world.run(body(world), limit_s=300.0)
        assert world.errors == []


# -- from a configuration


def test_a_configuration_says_everything(tmp_path: Path) -> None:
    path = tmp_path / "casty.toml"
    path.write_text(FILE)
    system = ClusteredActorSystem.from_config(load_config(path, environ={}))
    assert (system.name, system.node_id, system.self_node) == ("shop", "a", NodeAddress("10.0.0.1", 7000))


def test_overrides_win_and_unknown_ones_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "casty.toml"
    path.write_text(FILE)
    config = load_config(path, environ={})
    system = ClusteredActorSystem.from_config(config, host="10.0.0.2", node_id=None)
    assert system.node_id == "10.0.0.2:7000"
    with pytest.raises(TypeError, match="hots"):
        ClusteredActorSystem.from_config(config, hots="x")
    with pytest.raises(ValueError, match="required_quorum"):
        ClusteredActorSystem.from_config(config, required_quorum=1)


def test_without_a_cluster_section_the_error_names_it() -> None:
    with pytest.raises(ValueError, match=r"\[cluster\]"):
        ClusteredActorSystem.from_config(CastyConfig())


def test_tls_files_are_read_unless_contexts_are_given() -> None:
    environ = {"CASTY_CLUSTER_PORT": "1", "CASTY_TLS_CERTFILE": "/none/c", "CASTY_TLS_CAFILE": "/none/a"}
    config = load_config("/dev/null", environ=environ)
    with pytest.raises(OSError, match="No such file"):
        ClusteredActorSystem.from_config(config)
    ClusteredActorSystem.from_config(config, tls=None)


def test_settings_of_the_configuration_found_the_cluster() -> None:
    config = load_config("/dev/null", environ={"CASTY_CLUSTER_PORT": "1", "CASTY_SETTINGS_SLOTS": "4"})

    async def main(world: World) -> None:
        async def setup(process: Any) -> ClusteredActorSystem:
            return await ClusteredActorSystem.from_config(config, host=process.name).__aenter__()

        world.add_node("solo", setup)
        system: Any = await world.start("solo")
        slots = system.status()["slots"]
        assert len(slots) == 4

    run(main)


# -- what is not there, and what cannot be


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"roles": frozenset({""})}, "roles: expected a text that can be printed"),
        ({"weight": 0}, "weight: expected 1 to 10000, where 100 is usual, found 0"),
        ({"data_dir": " "}, "data_dir: expected the path of a directory, found ' '"),
        ({"data_dir": "a\0b"}, "data_dir: expected the path of a directory"),
    ],
)
def test_what_is_not_there_is_refused_by_name(option: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ClusteredActorSystem(**PLACE, **option)


def test_a_data_directory_is_a_text_or_a_path() -> None:
    for wrong in (7, b"data", ["data"]):
        with pytest.raises(TypeError, match="data_dir: expected the path of a directory as a text"):
            ClusteredActorSystem(**PLACE, data_dir=cast("Any", wrong))
    assert checked_data_dir(Path("some") / "where") == checked_data_dir("some/where") == "some/where"
    ClusteredActorSystem(**PLACE, data_dir=Path("some") / "where")


def test_roles_and_no_folder_are_fine() -> None:
    ClusteredActorSystem(**PLACE, roles=frozenset({"worker"}), data_dir=None)


@pytest.mark.parametrize(
    ("seeds", "quorum"),
    [((), 0), ((("a", 1), ("b", 1), ("node-9", 25520)), 1), ((("a", 1), ("b", 1)), 1)],
)
def test_a_quorum_below_a_majority_is_refused_before_anything_is_opened(seeds: Any, quorum: int) -> None:
    with pytest.raises(ValueError, match="required_quorum: expected at least a majority"):
        ClusteredActorSystem(**PLACE, seed_nodes=seeds, required_quorum=quorum)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"name": 5}, TypeError, "name: expected a text, found 5"),
        ({"name": ""}, ConfigError, "name: expected a text, found an empty one"),
        ({"host": ""}, ConfigError, "host: expected a text"),
        ({"port": "80"}, TypeError, "port: expected a port as an int, found '80'"),
        ({"port": 65536}, ConfigError, "port: expected 0 to 65535, found 65536"),
        ({"node_id": ""}, ConfigError, "node_id: expected a text"),
        ({"bind_host": 5}, TypeError, "bind_host: expected a text"),
        ({"seed_nodes": ["h:1"]}, TypeError, r"seed_nodes\[0\]: expected a list of \(host, port\).* 'h:1'"),
        ({"seed_nodes": [("h", "1")]}, TypeError, r"seed_nodes\[0\], port: expected a port as an int"),
        ({"required_quorum": "2"}, TypeError, "required_quorum: expected an int or None"),
        ({"config": CastyConfig()}, TypeError, r"config: .*`\.settings`.*from_config"),
        ({"config": 5}, TypeError, r"config: expected casty\.Settings or None, found 5"),
        ({"tls": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}, TypeError, r"tls: expected a casty\.tls\.Config"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ClusteredActorSystem(**(PLACE | wrong))


@pytest.mark.parametrize("config", [None, Settings(), "casty.toml"])
def test_a_node_is_made_from_what_was_loaded(config: Any) -> None:
    with pytest.raises(TypeError, match=r"config: expected what casty\.config\.load_config\(\) returns"):
        ClusteredActorSystem.from_config(config)


# -- outside `async with`


USES: list[Callable[[ClusteredActorSystem], object]] = [
    lambda system: system.spawn(Behaviors.ignore(), "a"),
    lambda system: system.lookup("a"),
    lambda system: system.lookup(ServiceKey("a")),
    lambda system: system.region_ref("a", lambda entity_id: Behaviors.ignore(), num_shards=1),
    lambda system: system.distributed(),
    lambda system: system.structures,
    lambda system: system.event_stream,
    lambda system: system.receptionist,
    lambda system: system.core,
    lambda system: system.status(),
    lambda system: system.topology,
]
AWAITED: list[Callable[[ClusteredActorSystem], Awaitable[object]]] = [
    lambda system: system.get_cluster_state(),
    lambda system: system.wait_for(1),
    lambda system: system.barrier("b", 1),
]


async def refuses_all(system: ClusteredActorSystem) -> None:
    for use in USES:
        with pytest.raises(NotStarted, match="async with"):
            use(system)
    for call in AWAITED:
        with pytest.raises(NotStarted, match="async with"):
            await call(system)


def test_before_and_after_its_life_every_use_says_so() -> None:
    async def main(world: World) -> None:
        early = ClusteredActorSystem(**PLACE)
        await refuses_all(early)
        await early.abort()
        await early.shutdown()
        (node,) = await world.cluster(1)
        ref = node.spawn(Behaviors.ignore(), "a")
        counter = node.distributed().counter("c")
        await counter.increment()
        await node.shutdown()
        await refuses_all(node)
        with pytest.raises(NotStarted):
            await node.ask(ref, lambda reply: reply)
        with pytest.raises(NotStarted):
            await node.ask_or_none(ref, lambda reply: reply)
        with pytest.raises(NotStarted):
            await counter.increment()
        with pytest.raises(NotStarted, match="make one"):
            await node.__aenter__()
        await node.shutdown()
        await node.abort()

    run(main)


# -- what actors see


def test_actors_entities_and_children_see_the_node_itself() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        seen: list[ActorSystem] = []

        async def start(ctx: ActorContext[Any]) -> Behavior[Any]:
            seen.append(ctx.system)
            if ctx.self.id == "/parent":
                ctx.spawn(Behaviors.setup(start), "child")
            return Behaviors.ignore()

        node.spawn(Behaviors.setup(start), "parent")
        region = node.spawn(
            Behaviors.sharded(lambda entity_id: Behaviors.setup(start), num_shards=2), "region"
        )
        region.tell(envelope("e", 1))
        await asyncio.sleep(1)
        assert len(seen) == 3
        assert all(system is node for system in seen)

    run(main)


def envelope(entity_id: str, message: Any) -> ShardEnvelope[Any]:
    return ShardEnvelope(entity_id, message)


def test_an_actor_uses_structures_and_may_stop_its_system() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(3)

        async def work(ctx: ActorContext[str], message: str) -> None:
            system = ctx.system
            assert isinstance(system, ClusteredActorSystem)
            await system.distributed().counter("c").increment()
            if message == "end":
                await system.shutdown()

        worker = nodes[0].spawn(Behaviors.receive(work), "worker")
        worker.tell("count")
        worker.tell("end")
        await asyncio.sleep(10)
        with pytest.raises(NotStarted):
            nodes[0].distributed()
        await nodes[0].shutdown()
        assert await nodes[1].distributed().counter("c").get() == 2

    run(main)


def test_hooks_may_use_the_system_while_it_stops() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        freed: list[bool] = []

        async def start(ctx: ActorContext[Any]) -> Behavior[Any]:
            lock = node.distributed().lock("l")
            await lock.acquire()

            async def release() -> None:
                freed.append(await lock.release())

            ctx.on_stop(release)
            return Behaviors.ignore()

        node.spawn(Behaviors.setup(start), "holder")
        await asyncio.sleep(1)
        await node.shutdown()
        assert freed == [True]

    run(main)


# -- regions, lookups, state


def test_a_region_is_one_whoever_asks_and_however_often() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        client = await world.client()

        def factory(entity_id: str) -> Behavior[Any]:
            return Behaviors.ignore()

        assert node.lookup("r") is None
        ref = node.region_ref("r", factory, num_shards=4)
        assert node.lookup("r") is ref is node.lookup("/r")
        assert node.region_ref("r", factory, num_shards=4) is ref
        assert node.spawn(Behaviors.sharded(factory, num_shards=4), "r") is ref
        with pytest.raises(Mismatch, match="num_shards is 4"):
            node.region_ref("r", factory, num_shards=5)
        with pytest.raises(Mismatch, match="num_shards is 4"):
            node.spawn(Behaviors.sharded(factory, num_shards=5), "r")
        wrong: Any = Behaviors.sharded(factory, num_shards=4)
        with pytest.raises(TypeError, match="mailbox"):
            node.spawn(wrong, "r", mailbox=Mailbox())
        for name, count in (("", 4), ("new", 0)):
            with pytest.raises(ValueError, match="expected"):
                node.region_ref(name, factory, num_shards=count)
        assert node.region_ref("new", factory, num_shards=1).id == "/$region/new"
        mine = client.entity_ref("r", num_shards=4)
        assert client.region_ref("r", factory, num_shards=4) is mine
        assert client.spawn(Behaviors.sharded(factory, num_shards=4), "r") is mine
        with pytest.raises(Mismatch, match="num_shards is 4"):
            client.entity_ref("r", num_shards=5)

    run(main)


def test_a_shard_count_that_lost_the_race_can_be_put_right() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(3)
        client = await world.client()
        await client.ready()
        wrong = nodes[1].spawn(Behaviors.sharded(answer, num_shards=5), "r")
        early = client.entity_ref("r", num_shards=6)
        nodes[0].spawn(Behaviors.sharded(answer, num_shards=4), "r")
        await asyncio.sleep(2)
        (recorded,) = [count for count in (4, 5) if not refuses(nodes[2], count)]
        for node in nodes:
            node.region_ref("r", answer, num_shards=recorded)
        assert nodes[1].region_ref("r", answer, num_shards=recorded) is wrong
        assert client.entity_ref("r", num_shards=recorded) is early
        for system, ref in ((nodes[1], wrong), (client, early)):
            assert await system.ask(ref, lambda reply: envelope("e", reply)) == "e"

    run(main)


def answer(entity_id: str) -> Behavior[Any]:
    return Behaviors.receive(lambda ctx, reply_to: reply_to.tell(entity_id))


def refuses(node: ClusteredActorSystem, count: int) -> bool:
    try:
        node.region_ref("r", answer, num_shards=count)
    except Mismatch:
        return True
    return False


def test_a_wrong_shard_count_that_was_refused_leaves_nothing_behind() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(3)
        nodes[0].spawn(Behaviors.sharded(answer, num_shards=4), "r")
        await asyncio.sleep(1)
        with pytest.raises(Mismatch, match="num_shards is 4, given 5"):
            nodes[1].spawn(Behaviors.sharded(answer, num_shards=5), "r")
        for node in nodes[1:]:
            node.spawn(Behaviors.sharded(answer, num_shards=4), "r")
        ref = nodes[1].region_ref("r", answer, num_shards=4)
        assert await nodes[1].ask(ref, lambda reply: envelope("e", reply)) == "e"

    run(main)


def test_lookup_here_there_and_of_services() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(3)
        ref = nodes[0].spawn(Behaviors.ignore(), "a")
        assert nodes[0].lookup("a") is ref
        assert nodes[0].lookup("/a/") is ref
        assert nodes[0].lookup("b") is None
        assert nodes[0].lookup("a", node=nodes[0].self_node) is ref
        there = nodes[1].lookup("a", node=nodes[0].self_node)
        assert isinstance(there, RemoteActorRef) and isinstance(ref, RemoteActorRef)
        assert there.address == replace(ref.address, incarnation=None, number=None), "whoever is there"
        listing = await nodes[1].lookup(ServiceKey[str]("s"), timeout=1.0)
        assert listing.instances == frozenset()

    run(main)


def test_lookup_of_neither_a_path_nor_a_key_says_so_and_harms_nothing() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        client = await world.client()
        await client.ready()
        wrong: Any = 5
        for lookup in (node.lookup, client.lookup):
            with pytest.raises(TypeError, match="ServiceKey, found 5"):
                lookup(wrong)
        listing = await node.lookup(ServiceKey[str]("s"), timeout=1.0)
        assert listing.instances == frozenset()

    run(main)


@pytest.mark.parametrize("timeout", ["1", -1, float("nan"), float("inf"), 1e308, True, [1]])
def test_a_timeout_is_a_number_of_seconds_and_nothing_is_left_of_one_that_is_not(timeout: Any) -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        client = await world.client()
        await client.ready()
        ref = node.spawn(Behaviors.receive(lambda ctx, reply_to: reply_to.tell("yes")), "a")
        region = node.spawn(Behaviors.sharded(answer, num_shards=2), "r")
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: node.ask(ref, lambda reply: reply, timeout=timeout),
            lambda: client.ask(ref, lambda reply: reply, timeout=timeout),
            lambda: node.ask_or_none(ref, lambda reply: reply, timeout=timeout),
            lambda: node.entity_ask(region, lambda reply: envelope("e", reply), timeout=timeout),
            lambda: client.entity_ask(region, lambda reply: envelope("e", reply), timeout=timeout),
            lambda: node.lookup(ServiceKey[str]("s"), timeout=timeout),
            lambda: node.wait_for(9, timeout=timeout),
            lambda: node.get_cluster_state(timeout=timeout),
            lambda: node.barrier("b", 1, timeout=timeout),
            lambda: client.ready(timeout=timeout),
        ]
        before = list(node.core.endpoints)
        for call in calls:
            with pytest.raises((TypeError, ValueError), match="timeout: expected"):
                await call()
        for count, kind in (("2", TypeError), (None, TypeError), (-1, ValueError)):
            with pytest.raises(kind, match="n: expected"):
                await node.wait_for(count)  # type: ignore[arg-type]
        assert list(node.core.endpoints) == before
        assert await node.ask(ref, lambda reply: reply, timeout=5) == "yes"

    run(main)


def test_state_and_waiting_for_members() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(3)
        state = await nodes[0].wait_for(3, timeout=20.0)
        snapshot = nodes[0].topology
        assert snapshot is not None
        assert (snapshot.members, snapshot.leader, snapshot.unreachable) == (state.members, state.leader, ())
        assert snapshot.generation > 0
        assert [member.status for member in state.members] == [MemberStatus.up] * 3
        assert state.leader in [node.self_node for node in nodes]
        with pytest.raises(TimeoutError, match=r"expected 4 members up within 1\.0 s, found 3"):
            await nodes[0].wait_for(4, timeout=1.0)
        await asyncio.gather(*(node.barrier("b", 3, timeout=5.0) for node in nodes))
        wrong: Any = object()
        with pytest.raises(TypeError, match="journal: expected an EventJournal"):
            nodes[0].distributed(journal=wrong)

    run(main)


def test_only_a_founder_waits_for_the_required_members() -> None:
    async def main(world: World) -> None:
        await world.cluster(3)
        world.crash("node-3")
        await asyncio.sleep(15)
        seeds = [(name, 25520) for name in ("node-1", "node-2", "node-3", "node-4")]

        async def setup(process: Any) -> ClusteredActorSystem:
            node = ClusteredActorSystem(
                name="sim", host=process.name, port=25520, seed_nodes=seeds, required_quorum=4
            )
            return await node.__aenter__()

        world.add_node("node-4", setup)
        joined: Any = await world.start("node-4")
        state = await joined.wait_for(3, timeout=5.0)
        assert [member.status.value for member in state.members] == ["up", "up", "down", "up"]

    run(main)


def test_a_start_that_takes_too_long_closes_everything() -> None:
    async def main(world: World) -> None:
        async def setup(process: Any) -> None:
            for _ in range(2):
                node = ClusteredActorSystem(
                    name="sim", host=process.name, port=25520, seed_nodes=[("nobody", 1)],
                    config=Settings(start_timeout_s=2.0),
                )  # fmt: skip
                with pytest.raises(
                    TimeoutError,
                    match=r"lonely:25520 does not serve.*not in a cluster yet.*nobody:1: ",
                ):
                    await node.__aenter__()
                with pytest.raises(NotStarted):
                    node.distributed()

        world.add_node("lonely", setup)
        await world.start("lonely")

    run(main)


def test_a_client_made_by_hand_is_no_system() -> None:
    assert not isinstance(ClusterClient(contact_points=[("h", 1)], system_name="a"), ActorSystem)
