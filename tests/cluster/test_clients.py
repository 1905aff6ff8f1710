"""The surface of a client: its own actors, questions, refusals, and its use outside ``async with``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from casty import (
    ActorContext,
    ActorRef,
    ActorSystem,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    DeadLetter,
    EventStreamSubscribe,
    Mailbox,
    MailboxOverflowStrategy,
    RemoteActorRef,
    ServiceKey,
    Settings,
    ShardEnvelope,
)
from casty.address import NodeAddress
from casty.errors import (
    AskFailed,
    ConfigError,
    EncodingError,
    MessageTooLarge,
    NotStarted,
    Refused,
    Unavailable,
    UnknownRegion,
)
from sim import World

POINTS = [("node-1", 25520)]


@dataclass(frozen=True)
class Get:
    reply_to: ActorRef[Any]


def run(body: Callable[[World], Any]) -> None:
    with World(1) as world:
        world.run(body(world), limit_s=300.0)
        assert world.errors == []


def echo(entity_id: str) -> Behavior[Get]:
    return Behaviors.receive(lambda ctx, message: message.reply_to.tell(entity_id))


def client_of(name: str = "sim", **options: Any) -> ClusterClient:
    return ClusterClient(contact_points=POINTS, system_name=name, **options)


# -- outside `async with`


def factory(entity_id: str) -> Behavior[Any]:
    return Behaviors.ignore()


USES: list[Callable[[ClusterClient], object]] = [
    lambda client: client.spawn(Behaviors.ignore(), "a"),
    lambda client: client.lookup(ServiceKey("a")),
    lambda client: client.entity_ref("a", num_shards=1),
    lambda client: client.region_ref("a", factory, num_shards=1),
    lambda client: client.distributed(),
    lambda client: client.structures,
    lambda client: client.topology,
]
REF: ActorRef[Any] = ActorSystem().event_stream
AWAITED: list[Callable[[ClusterClient], Awaitable[object]]] = [
    lambda client: client.ready(),
    lambda client: client.ask(REF, lambda reply: reply),
    lambda client: client.entity_ask(REF, lambda reply: ShardEnvelope("a", reply), timeout=1.0),
]


async def refuses_all(client: ClusterClient) -> None:
    for use in USES:
        with pytest.raises(NotStarted, match="async with"):
            use(client)
    for call in AWAITED:
        with pytest.raises(NotStarted, match="async with"):
            await call(client)


def test_before_and_after_its_life_every_use_says_so() -> None:
    async def main(world: World) -> None:
        client = client_of()
        await refuses_all(client)
        await world.cluster(1)
        async with client:
            counter = client.distributed().counter("c")
            assert await counter.increment() == 1
        await refuses_all(client)
        with pytest.raises(NotStarted, match="async with"):
            await counter.increment()
        with pytest.raises(NotStarted, match="make a new one"):
            await client.__aenter__()

    run(main)


PAIRS = r"contact_points(\[0\])?: expected a list of \(host, port\) like \[\('10.0.0.1', 25520\)\], found "


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"contact_points": []}, ConfigError, "contact_points: expected at least one"),
        ({"contact_points": "h:1"}, TypeError, PAIRS + "'h:1'"),
        ({"contact_points": 5}, TypeError, PAIRS + "5"),
        ({"contact_points": ("h", 1)}, TypeError, PAIRS + "the item 'h'"),
        ({"contact_points": NodeAddress("h", 1)}, TypeError, PAIRS),
        ({"contact_points": ["h:1"]}, TypeError, PAIRS + "the item 'h:1'"),
        ({"contact_points": [("h", 1, 2)]}, TypeError, PAIRS),
        (
            {"contact_points": [("h", "1")]},
            TypeError,
            r"contact_points\[0\], port: expected a port as an int, found '1'",
        ),
        ({"contact_points": [(5, 1)]}, TypeError, r"contact_points\[0\], host: expected a text, found 5"),
        ({"contact_points": [("h", 1), ("", 1)]}, ConfigError, r"contact_points\[1\], host: expected a text"),
        ({"contact_points": [("h", 0)]}, ConfigError, "port: expected 1 to 65535, found 0"),
        ({"contact_points": [("h", 65536)]}, ConfigError, "port: expected 1 to 65535, found 65536"),
        ({"contact_points": [("h", True)]}, TypeError, "port: expected a port as an int"),
        ({"system_name": ""}, ConfigError, "system_name: expected a text"),
        ({"system_name": 5}, TypeError, "system_name: expected a text, found 5"),
        ({"client_host": ""}, ConfigError, "client_host: expected"),
        ({"client_port": -1}, ConfigError, "client_port: expected 0 to 65535"),
        ({"advertised_host": 5}, TypeError, "advertised_host: expected"),
        ({"advertised_port": "80"}, TypeError, "advertised_port: expected"),
        ({"address_map": {}}, TypeError, "address_map: expected a function"),
        ({"tls": 5}, TypeError, r"tls: expected a casty\.tls\.Config or None, found 5; make one with"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ClusterClient(**({"contact_points": POINTS, "system_name": "sim"} | wrong))


def test_an_address_map_that_raises_leaves_nothing_behind() -> None:
    def nowhere(address: tuple[str, int]) -> tuple[str, int]:
        if address[0] == "node-2":
            raise KeyError(address)
        return address

    async def main(world: World) -> None:
        before = asyncio.all_tasks()
        points = [("node-1", 25520), ("node-2", 25520)]
        client = ClusterClient(contact_points=points, system_name="sim", address_map=nowhere)
        with pytest.raises(KeyError):
            await client.__aenter__()
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == before
        await refuses_all(client)

    run(main)


def test_an_address_map_that_raises_later_is_asked_again() -> None:
    calls = 0

    def at_times(address: tuple[str, int]) -> tuple[str, int]:
        nonlocal calls
        calls += 1
        if calls in (2, 3):
            raise KeyError(address)
        return ("nowhere", 1) if calls == 1 else address

    async def main(world: World) -> None:
        await world.cluster(1)
        async with client_of(address_map=at_times) as client:
            await client.ready(60)
            assert await client.distributed().counter("c", timeout=60).increment() == 1
        assert calls > 3

    run(main)


class Rude:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise OSError("no repr for you")


@pytest.mark.parametrize("name", ["contact_points", "client_host", "client_port", "address_map", "tls"])
def test_what_cannot_be_shown_is_refused_as_well(name: str) -> None:
    with pytest.raises(TypeError, match=r"Rude, whose repr raised OSError"):
        ClusterClient(**({"contact_points": POINTS, "system_name": "sim"} | {name: Rude()}))


# -- its own actors


def test_its_actors_are_bounded_as_asked_and_reached_from_nodes() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        client = await world.client()
        await client.ready()
        mailbox = Mailbox[Any](1, MailboxOverflowStrategy.reject)
        slow = client.spawn(Behaviors.receive(pause), "slow", mailbox=mailbox)
        slow.tell(1)
        await asyncio.sleep(0.1)
        slow.tell(2)
        with pytest.raises(asyncio.QueueFull):
            slow.tell(3)
        mine = client.spawn(echo("mine"), "mine")
        assert isinstance(mine, RemoteActorRef)
        assert await client.ask(mine, Get) == "mine"
        assert await node.ask(node.core.make_ref(mine.address), Get) == "mine"
        with pytest.raises(ValueError, match="mine"):
            client.spawn(echo("mine"), "mine")

    run(main)


async def pause(ctx: ActorContext[Any], message: object) -> None:
    await asyncio.sleep(5)


def test_its_actors_see_a_plain_system_from_which_the_cluster_is_reached() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        node.spawn(Behaviors.sharded(echo, num_shards=4), "echo")
        client = await world.client()
        region = client.entity_ref("echo", num_shards=4)
        heard: list[object] = []

        async def work(ctx: ActorContext[str], message: str) -> None:
            assert type(ctx.system) is ActorSystem
            assert ctx.system.lookup("worker") is ctx.self
            heard.append(await ctx.system.ask(region, lambda reply: ShardEnvelope(message, Get(reply))))

        client.spawn(Behaviors.receive(work), "worker").tell("e")
        await asyncio.sleep(2)
        assert heard == ["e"]

    run(main)


def test_what_its_actors_cannot_answer_is_told_to_the_node_that_asks() -> None:
    def handle(ctx: ActorContext[Get], message: Get) -> None:
        message.reply_to.tell(object())

    def fail(ctx: ActorContext[Get], message: Get) -> None:
        raise OSError("not today")

    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        async with client_of() as client:
            await client.ready()
            for name, behavior in (("mute", handle), ("failing", fail)):
                ref: Any = client.spawn(Behaviors.receive(behavior), name)
                away = node.core.make_ref(ref.address)
                error = EncodingError if name == "mute" else AskFailed
                for _ in range(2):
                    with pytest.raises(error):
                        await node.ask(away, Get, timeout=60)

    run(main)


def test_questions_to_its_own_actors_need_no_cluster() -> None:
    async def main(world: World) -> None:
        world.add_node("lonely", lonely)
        client: Any = await world.start("lonely")
        mine = client.spawn(echo("mine"), "mine")
        assert await client.ask(mine, Get, timeout=1.0) == "mine"

    run(main)


async def lonely(process: Any) -> ClusterClient:
    return await client_of().__aenter__()


# -- questions


def test_questions_wait_for_the_topology_within_their_deadline() -> None:
    async def main(world: World) -> None:
        client = client_of()
        async with client:
            region = client.entity_ref("echo", num_shards=4)
            with pytest.raises(TimeoutError, match="no topology yet"):
                await client.ask(region, lambda reply: ShardEnvelope("e", Get(reply)), timeout=0.5)
            with pytest.raises(Unavailable, match="node-1:25520: "):
                await client.ready(timeout=0.5)
            asked = asyncio.create_task(
                client.entity_ask(region, lambda reply: ShardEnvelope("e", Get(reply)), timeout=20.0)
            )
            (node,) = await world.cluster(1)
            node.spawn(Behaviors.sharded(echo, num_shards=4), "echo")
            assert await asked == "e"

    run(main)


def test_an_unknown_region_and_another_shard_count_are_errors_of_the_question() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        node.spawn(Behaviors.sharded(echo, num_shards=4), "echo")
        client = await world.client()
        with pytest.raises(UnknownRegion, match="not hosted"):
            await client.ask(client.entity_ref("none", num_shards=1), question)
        with pytest.raises(UnknownRegion, match="num_shards = 4, the caller says 5"):
            await client.ask(client.entity_ref("echo", num_shards=5), question)

    run(main)


def question(reply: ActorRef[Any]) -> ShardEnvelope[Get]:
    return ShardEnvelope("e", Get(reply))


def test_a_refusal_is_the_error_of_every_call_and_names_both_sides() -> None:
    async def main(world: World) -> None:
        await world.cluster(1)
        letters: list[DeadLetter] = []
        async with client_of("another") as client:
            region = client.entity_ref("echo", num_shards=4)
            client.spawn(Behaviors.receive(listening(letters)), "listener").tell(1)
            waiting = asyncio.create_task(client.ask(region, question, timeout=60.0))
            await asyncio.sleep(2)
            with pytest.raises(Refused, match=r"^node-1:25520: .*(sim.*another|another.*sim)"):
                await waiting
            with pytest.raises(Refused, match=r"sim.*another|another.*sim"):
                await client.ask(region, question, timeout=60.0)
            with pytest.raises(Refused, match=r"sim.*another|another.*sim"):
                await client.distributed().counter("c").increment()
            with pytest.raises(Unavailable, match=r"sim.*another|another.*sim"):
                await client.ready(timeout=1.0)
            region.tell(ShardEnvelope("e", "lost"))
        assert len(letters) == 3

    run(main)


def listening(letters: list[DeadLetter]) -> Callable[[ActorContext[Any], object], None]:
    def listen(ctx: ActorContext[Any], message: object) -> None:
        ctx.system.event_stream.tell(EventStreamSubscribe(DeadLetter, letters.append))

    return listen


def test_services_are_listed_without_a_round_trip() -> None:
    async def main(world: World) -> None:
        from casty import Register

        nodes: list[ClusteredActorSystem] = await world.cluster(1)
        client = client_of()
        async with client:
            key = ServiceKey[Get]("echo")
            assert client.lookup(key).instances == frozenset()
            nodes[0].receptionist.tell(Register(key, nodes[0].spawn(echo("there"), "there")))
            await asyncio.sleep(2)
            (instance,) = client.lookup(key).instances
            assert instance.node == nodes[0].self_node
            assert await client.ask(instance.ref, Get) == "there"

    run(main)


# -- late is not refused; limits are the cluster's


def test_a_node_that_is_paused_has_refused_nobody() -> None:
    async def main(world: World) -> None:
        await world.cluster(1)
        world.pause("node-1", 6.5)
        async with client_of() as client:
            counter = client.distributed().counter("c", timeout=30.0)
            first = asyncio.create_task(counter.increment())
            await asyncio.sleep(6.0)
            second = asyncio.create_task(counter.increment())
            assert await asyncio.gather(first, second) == [1, 2]

    run(main)


def test_a_node_that_is_stopping_refuses_for_now_only() -> None:
    async def main(world: World) -> None:
        [node] = await world.cluster(1)
        node._node.is_stopping = True
        async with client_of() as client:
            call = asyncio.create_task(client.distributed().counter("c", timeout=30.0).increment())
            await asyncio.sleep(2.0)
            later = asyncio.create_task(client.distributed().counter("c", timeout=30.0).increment())
            await asyncio.sleep(1.0)
            node._node.is_stopping = False
            assert await asyncio.gather(call, later) == [1, 2]

    run(main)


def test_a_client_keeps_to_the_limits_of_its_cluster() -> None:
    async def main(world: World) -> None:
        await world.cluster(1, config=Settings(max_frame_bytes=32 << 20, max_value_bytes=4 << 20))
        async with client_of() as client:
            values = client.distributed().map("m")
            await values.put("k", b"y" * 2_000_000)
            assert await values.get("k") == b"y" * 2_000_000
            with pytest.raises(MessageTooLarge, match=str(4 << 20)):
                await values.put("k", b"y" * (5 << 20))

    run(main)


def test_messages_sent_before_the_cluster_is_heard_of_have_its_limits() -> None:
    def echo(ctx: ActorContext[Any], message: Any) -> None:
        message[0].tell(len(message[1]))

    async def main(world: World) -> None:
        [node] = await world.cluster(1, config=Settings(max_frame_bytes=32 << 20, max_value_bytes=4 << 20))
        node.spawn(Behaviors.sharded(lambda _: Behaviors.receive(echo), num_shards=1), "r")
        async with client_of() as client:
            ref = client.entity_ref("r", num_shards=1)

            def asked(size: int, entity_id: str = "e") -> Awaitable[object]:
                return client.ask(ref, lambda reply: ShardEnvelope(entity_id, (reply, b"y" * size)))

            fits, large, named = await asyncio.gather(
                asked(2_000_000), asked(5 << 20), asked(1, "x" * (5 << 20)), return_exceptions=True
            )
            assert fits == 2_000_000
            assert isinstance(large, MessageTooLarge)
            assert isinstance(named, MessageTooLarge)
            assert await asked(3) == 3

    run(main)
