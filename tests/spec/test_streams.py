"""Streams between actors of nodes and of clients: in order, at the reader's pace, with an end for both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from casty import ActorRef, Behaviors, ClusterClient, ClusteredActorSystem, ServiceKey
from casty.errors import (
    CastyError,
    EncodingError,
    StreamClosed,
    StreamError,
    StreamFailed,
    StreamLost,
    StreamTaken,
)
from casty.streams import GetSink, GetSource, SinkRef, SourceRef, stream_consumer, stream_producer
from tests.spec.conftest import Run
from tests.spec.places import Place

System = ClusterClient | ClusteredActorSystem
COUNT = 500
BUFFER = 4
WINDOW = 6
SILENCE_S = 5.0


async def sink_of(system: System, name: str, **options: Any) -> tuple[ActorRef[Any], SinkRef[Any]]:
    """Spawn a producer; return its ref and its sink."""
    ref = system.spawn(stream_producer(timeout=SILENCE_S, **options), name)
    return ref, await system.ask(ref, lambda reply_to: GetSink(reply_to))


async def source_of(system: System, producer: ActorRef[Any], name: str, **options: Any) -> SourceRef[Any]:
    """Spawn a consumer and return its source."""
    ref = system.spawn(stream_consumer(producer, timeout=SILENCE_S, **options), name)
    source: SourceRef[Any] = await system.ask(ref, lambda reply_to: GetSource(reply_to))
    return source


def ref_at(system: System, ref: ActorRef[Any]) -> ActorRef[Any]:
    """Return what a process makes of another's ref that comes in a message."""
    held: Any = system
    made: ActorRef[Any] = held._actors.local.make_ref(ref.__casty_ref__())
    return made


async def read(
    source: SourceRef[Any], into: list[Any], each: Callable[[Any], Awaitable[None]] | None = None
) -> None:
    """Take all elements, as far as they come."""
    async for element in source:
        into.append(element)
        if each is not None:
            await each(element)


async def feed(sink: SinkRef[int], count: int) -> None:
    """Put numbers, say that this is all, and wait until the other side has it."""
    for number in range(count):
        await sink.put(number)
    await sink.complete()
    await sink.closed()


WAYS = ["node to client", "client to node", "node to node", "client to client"]


async def both(place: Place, way: str) -> tuple[System, System]:
    """Return where the producer lives, and where the consumer does."""
    ends: list[System] = []
    for number, word in enumerate(way.split(" to ")):
        ends.append(place.nodes[number] if word == "node" else await place.client())
    return ends[0], ends[1]


@pytest.mark.parametrize("way", WAYS)
def test_all_elements_come_in_order_and_both_sides_hear_of_the_end(run: Run, way: str) -> None:
    async def body(place: Place) -> None:
        there, here = await both(place, way)
        name = way.replace(" ", "-")
        producer, sink = await sink_of(there, name, buffer_size=BUFFER)
        at_here = ref_at(here, producer)
        source = await source_of(here, at_here, f"{name}-reader", initial_demand=WINDOW)
        feeding = asyncio.create_task(feed(sink, COUNT))
        assert [number async for number in source] == list(range(COUNT))
        await feeding
        with pytest.raises(StreamClosed, match="complete"):
            await sink.put(0)

        async def are_gone() -> bool:
            return await is_free(there, name) and await is_free(here, f"{name}-reader")

        await place.until(are_gone, within_s=10.0)

    run(body)


async def is_free(system: System, name: str) -> bool:
    """Whether no actor has the name."""
    with suppress(ValueError):
        system.spawn(Behaviors.stopped(), name)
        return True
    return False


def test_whoever_puts_is_as_fast_as_the_reader(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        producer, sink = await sink_of(place.nodes[0], "paced", buffer_size=BUFFER)
        source = await source_of(client, ref_at(client, producer), "paced", initial_demand=WINDOW)
        put = 0

        async def put_all() -> None:
            nonlocal put
            for number in range(100):
                await sink.put(number)
                put += 1
            await sink.complete()

        async def stands_still() -> bool:
            before = put
            await place.sleep(0.3)
            return before == put > 0

        feeding = asyncio.create_task(put_all())
        await place.until(stands_still, within_s=10.0)
        assert put <= BUFFER + WINDOW
        taken = 0
        async for number in source:
            assert number == taken
            taken += 1
            assert put <= taken + BUFFER + WINDOW
        assert taken == 100
        await feeding

    run(body)


def test_a_reader_that_leaves_tells_whoever_puts(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        producer, sink = await sink_of(place.nodes[0], "left", buffer_size=BUFFER)
        source = await source_of(client, ref_at(client, producer), "left")
        feeding = asyncio.create_task(feed(sink, 10_000))
        async with source:
            async for number in source:
                if number == 20:
                    break
        with pytest.raises(StreamClosed, match="wants no more"):
            await feeding
        with pytest.raises(RuntimeError, match="one reader"):
            aiter(source)

    run(body)


def test_failures_are_told_to_the_other_side_with_their_reason(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        producer, sink = await sink_of(place.nodes[0], "failing")
        source = await source_of(client, ref_at(client, producer), "failing")
        await sink.put("first")
        got: list[str] = []

        async def break_it(word: str) -> None:
            await sink.fail("the sensor is broken")

        with pytest.raises(StreamFailed, match="the sensor is broken"):
            await read(source, got, break_it)
        assert got == ["first"]
        with pytest.raises(StreamFailed, match="broken"):
            await sink.closed()

        producer, sink = await sink_of(place.nodes[0], "refusing")
        source = await source_of(client, ref_at(client, producer), "refusing")
        source.fail("no room on the disk")
        with pytest.raises(StreamFailed, match="no room on the disk"):
            await sink.closed()
        with pytest.raises(StreamFailed, match="no room on the disk"):
            await sink.put("late")

    run(body)


def test_an_element_that_cannot_be_sent_fails_the_stream_behind_those_before_it(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        producer, sink = await sink_of(place.nodes[0], "odd")
        at_client = ref_at(client, producer)
        for element in (1, 2, object(), 4):
            await sink.put(element)
        source = await source_of(client, at_client, "odd")
        got: list[Any] = []
        with pytest.raises(StreamFailed, match=r"element 3 cannot be sent.*object"):
            await read(source, got)
        assert got == [1, 2]
        with pytest.raises(StreamFailed, match="element 3"):
            await sink.closed()

    run(body)


def test_elements_that_are_too_large_for_one_message_are_sent_in_several(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        producer, sink = await sink_of(place.nodes[0], "large")
        at_client = ref_at(client, producer)
        piece = bytes(300_000)
        for _ in range(10):
            await sink.put(piece)
        await sink.complete()
        source = await source_of(client, at_client, "large")
        assert [len(element) async for element in source] == [300_000] * 10

    run(body)


def test_a_producer_serves_one_consumer(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        producer, sink = await sink_of(place.nodes[0], "single")
        first = await source_of(place.nodes[1], ref_at(place.nodes[1], producer), "one")
        await sink.put(1)
        elements = aiter(first)
        assert await anext(elements) == 1
        second = await source_of(client, ref_at(client, producer), "two")
        with pytest.raises(StreamTaken, match="another consumer"):
            await read(second, [])
        await sink.put(2)
        assert await anext(elements) == 2
        await sink.complete()
        with pytest.raises(StopAsyncIteration):
            await anext(elements)

    run(body)


def test_handles_do_not_travel(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        producer, _ = await sink_of(place.nodes[0], "at-home")
        at_client = ref_at(client, producer)
        with pytest.raises(EncodingError, match="the reply cannot be sent"):
            await client.ask(at_client, lambda reply_to: GetSink(reply_to))

    run(body)


def test_a_producer_that_is_found_as_a_service_is_read_by_a_client(run: Run) -> None:
    key: ServiceKey[Any] = ServiceKey("prices")

    async def body(place: Place) -> None:
        client = await place.client()
        node = place.nodes[2]
        ref = node.spawn(Behaviors.discoverable(stream_producer(), key=key), "prices")
        sink: SinkRef[int] = await node.ask(ref, lambda reply_to: GetSink(reply_to))

        async def is_known() -> bool:
            return bool(client.lookup(key).instances)

        await place.until(is_known, within_s=10.0)
        (found,) = client.lookup(key).instances
        source = await source_of(client, found.ref, "prices")
        feeding = asyncio.create_task(feed(sink, 50))
        assert [number async for number in source] == list(range(50))
        await feeding

    run(body)


def test_an_idle_stream_lasts(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        producer, sink = await sink_of(place.nodes[0], "idle")
        source = await source_of(client, ref_at(client, producer), "idle")
        elements = aiter(source)
        await sink.put(1)
        assert await anext(elements) == 1
        await place.sleep(SILENCE_S + 3.0)
        await sink.put(2)
        assert await anext(elements) == 2
        source.cancel()

    run(body)


def test_the_loss_of_a_side_ends_the_stream_for_the_other(run_alone: Run) -> None:
    async def body(place: Place) -> None:
        dying, living = place.nodes[1], place.nodes[0]
        producer, _ = await sink_of(dying, "dying")
        source = await source_of(living, ref_at(living, producer), "widow")
        producer, sink = await sink_of(living, "orphan")
        lost = await source_of(dying, ref_at(dying, producer), "dying-reader")
        del lost
        await sink.put(1)
        reading = asyncio.create_task(anext(aiter(source)))
        await place.sleep(1.0)
        await place.kill_node(1)
        with pytest.raises(StreamLost):
            await reading
        with pytest.raises(StreamLost):
            await sink.closed()
        with pytest.raises(StreamLost):
            await sink.put(2)

    run_alone(body)


def test_an_actor_that_is_stopped_ends_its_stream(run: Run) -> None:
    async def body(place: Place) -> None:
        there, here = place.nodes[0], place.nodes[1]
        spawned: list[ActorRef[Any]] = []

        async def start(ctx: Any) -> Any:
            spawned.append(ctx.spawn(stream_producer(), "inner"))
            return Behaviors.receive(lambda ctx, message: Behaviors.stopped())

        parent = there.spawn(Behaviors.setup(start), "parent")

        async def is_there() -> bool:
            return bool(spawned)

        await place.until(is_there, within_s=5.0)
        sink: SinkRef[int] = await there.ask(spawned[0], lambda reply_to: GetSink(reply_to))
        source = await source_of(here, ref_at(here, spawned[0]), "reader")
        reading = asyncio.create_task(anext(aiter(source)))
        await place.sleep(0.5)
        parent.tell("stop")
        with pytest.raises(StreamLost, match="the producer stopped"):
            await reading
        with pytest.raises(StreamError):
            await sink.closed()
        with pytest.raises(CastyError):
            await sink.put(1)

    run(body)


def test_a_reader_whose_consumer_is_stopped_has_all_that_came(run: Run) -> None:
    """The producer may know that the stream is complete: nobody else has the elements any more."""

    async def body(place: Place) -> None:
        there, here = place.nodes[0], place.nodes[1]
        producer, sink = await sink_of(there, "stopped-under-its-reader", buffer_size=BUFFER)
        spawned: list[ActorRef[Any]] = []

        async def start(ctx: Any) -> Any:
            spawned.append(ctx.spawn(stream_consumer(ref_at(here, producer), timeout=SILENCE_S), "inner"))
            return Behaviors.receive(lambda ctx, message: Behaviors.stopped())

        parent = here.spawn(Behaviors.setup(start), "reads")

        async def is_there() -> bool:
            return bool(spawned)

        await place.until(is_there, within_s=5.0)
        source: SourceRef[int] = await here.ask(spawned[0], lambda reply_to: GetSource(reply_to))
        elements = aiter(source)
        await feed(sink, BUFFER)
        assert await anext(elements) == 0
        parent.tell("stop")
        await place.sleep(0.5)
        assert [element async for element in elements] == list(range(1, BUFFER))

    run(body)
