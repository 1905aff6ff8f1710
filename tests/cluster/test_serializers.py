"""A serializer of the user's own, for messages and for the values of structures."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from casty import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    PickleSerializer,
    RemoteActorRef,
    ShardEnvelope,
    Terminated,
)
from casty.address import ActorAddress
from casty.errors import EncodingError
from casty.wire.codec import Codec
from casty.wire.serializer_codec import SerializerCodec, check_serializer, codec_of
from sim import World
from tests.cluster.json_serializer import JsonSerializer, Question

ADDRESS = ActorAddress("sim", "/a", "h", 1, "n")


def make_ref(address: ActorAddress) -> ActorRef[Any]:
    return RemoteActorRef(address, lambda address, message: None)


def answering(ctx: ActorContext[Question], question: Question) -> None:
    question.reply_to.tell({"answer": question.text.upper()})


def test_both_kinds_of_bytes_are_told_apart() -> None:
    codec = SerializerCodec(JsonSerializer(), make_ref)
    assert codec.decode(codec.encode([1, "two"])) == [1, "two"]
    assert codec.decode(Codec().encode((1, {2}))) == (1, {2})
    for value in ([], 1, "", None):
        with pytest.raises(EncodingError):
            Codec().decode(codec.encode(value))


def test_keys_are_the_codecs_whatever_the_serializer() -> None:
    codec = SerializerCodec(JsonSerializer(), make_ref)
    assert codec.canonical((1, "a")) == Codec().canonical((1, "a"))
    assert len({codec.canonical(key) for key in (1, 1.0, True, "1")}) == 4


def test_the_librarys_own_messages_need_no_serializer() -> None:
    serializer = JsonSerializer()
    codec = SerializerCodec(serializer, make_ref, own=(int,))
    assert codec.decode(codec.encode(7)) == 7
    assert codec.decode(codec.encode(True)) is True
    assert serializer.written == [True]


class Broken:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def serialize(self, obj: object) -> Any:
        if self.error is not None:
            raise self.error
        return "text"

    def deserialize(self, data: bytes, *, ref_factory: object = None) -> object:
        assert self.error is not None
        raise self.error


@pytest.mark.parametrize(
    "error",
    [ValueError("v"), KeyError("k"), EOFError(), EncodingError("e"), zlib.error("z"), struct.error("s")],
)
def test_what_a_serializer_raises_is_an_encoding_error(error: Exception) -> None:
    codec = SerializerCodec(Broken(error), make_ref)
    with pytest.raises(EncodingError):
        codec.encode(1)
    with pytest.raises(EncodingError):
        codec.decode(b"\xc1...")


def test_no_bytes_are_refused() -> None:
    with pytest.raises(EncodingError, match="expected bytes of the serializer, found str"):
        SerializerCodec(Broken(), make_ref).encode(1)


def test_without_a_serializer_it_is_the_codec_with_refs() -> None:
    codec = codec_of(None, make_ref)
    ref = make_ref(ADDRESS)
    assert codec.decode(codec.encode([ref])) == [ref]


@pytest.mark.parametrize("wrong", ["pickle", object(), JsonSerializer])
def test_something_else_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="serialize and deserialize"):
        check_serializer(wrong)
    with pytest.raises(TypeError, match="serializer"):
        ClusteredActorSystem(name="a", host="h", port=1, serializer=wrong)
    with pytest.raises(TypeError, match="serializer"):
        ClusterClient(contact_points=[("h", 1)], system_name="a", serializer=wrong)


def run(body: Callable[[World], Any]) -> None:
    with World(1) as world:
        world.run(body(world), limit_s=200.0)
        assert world.errors == []


class Watcher:
    """Watches an actor and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def behavior(self, ref: ActorRef[Any]) -> Behavior[Any]:
        async def start(ctx: ActorContext[Any]) -> Behavior[Any]:
            ctx.watch(ref)
            return Behaviors.receive(lambda ctx, message: self.heard.append(message))

        return Behaviors.setup(start)


@pytest.mark.slow
def test_messages_entities_watches_and_values_on_nodes_and_clients() -> None:
    async def main(world: World) -> None:
        serializer = JsonSerializer()
        nodes = await world.cluster(3, serializer=serializer)
        client = await world.client(serializer=serializer)
        nodes[0].spawn(Behaviors.receive(answering), "oracle")
        away = nodes[1].lookup("/oracle", node=nodes[0].self_node)
        assert away is not None
        assert await nodes[1].ask(away, lambda reply: Question("hi", reply)) == {"answer": "HI"}
        for node in nodes:
            node.spawn(
                Behaviors.sharded(lambda entity_id: Behaviors.receive(answering), num_shards=8), "region"
            )
        region = client.entity_ref("region", num_shards=8)
        reply = await client.ask(region, lambda reply: ShardEnvelope("e", Question("du", reply)))
        assert reply == {"answer": "DU"}
        await hear_of_the_end(nodes, away)
        await use_structures(nodes[2], client)
        assert {type(value) for value in serializer.written} == {Question, dict, list}

    run(main)


async def hear_of_the_end(nodes: list[ClusteredActorSystem], away: ActorRef[Any]) -> None:
    watcher = Watcher()
    nodes[1].spawn(watcher.behavior(away), "watcher")
    await asyncio.sleep(1)
    nodes[0].core.cells["oracle"].stop()
    await asyncio.sleep(1)
    assert watcher.heard == [Terminated(away)]


async def use_structures(node: ClusteredActorSystem, client: ClusterClient) -> None:
    writer, reader = node.distributed(), client.distributed()
    assert await writer.map[int, Any]("m").put(1, {"a": [1]}) is None
    assert await reader.map[int, Any]("m").get(1) == {"a": [1]}
    assert await reader.map[Any, Any]("m").get("1") is None
    await writer.queue[Any]("q").enqueue([1])
    assert await reader.queue[Any]("q").dequeue() == [1]
    assert await writer.set[Any]("s").add((1, 2))
    assert await reader.set[Any]("s").contains((1, 2))


@pytest.mark.slow
def test_refs_in_values_work_where_they_are_read() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        client = await world.client()
        oracle = node.spawn(Behaviors.receive(answering), "oracle")
        await node.distributed().map[str, Any]("refs").put("oracle", oracle)
        found = await client.distributed().map[str, Any]("refs").get("oracle")
        assert found == oracle
        assert await client.ask(found, lambda reply: Question("x", reply)) == {"answer": "X"}

    run(main)


@pytest.mark.slow
def test_pickle_by_choice_only_and_with_a_warning() -> None:
    async def main(world: World) -> None:
        with pytest.warns(UserWarning, match="run code"):
            serializer = PickleSerializer()
        (node,) = await world.cluster(1, serializer=serializer)
        client = await world.client()
        await node.distributed().map[str, Any]("m").put("k", range(3))
        assert await node.distributed().map[str, Any]("m").get("k") == range(3)
        with pytest.raises(EncodingError):
            await client.distributed().map[str, Any]("m").get("k")
        assert await client.distributed().map[str, Any]("m").contains("k")
        await client.distributed().map[str, Any]("m").put("plain", (1, {2}))
        assert await node.distributed().map[str, Any]("m").get("plain") == (1, {2})

    run(main)
