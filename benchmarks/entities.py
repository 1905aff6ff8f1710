"""Asks of volatile and event-sourced entities beside reads and increments of counters: three node processes, a client.

Each caller has an entity, or a counter, of its own: what is compared is the way to one, not the line before it. The raw
echo is measured in the same run. A question that is lost, as where a node that got no processor time lost its lease, is
asked again and counts as one that took longer; how many were is said. A stream's calls are puts of one element: they
wait for room where the reader, an actor of a node, does not keep up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.echo import run_echo
from benchmarks.measure import Result, measure, table
from casty import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    Persisted,
    ServiceKey,
    ShardEnvelope,
    message,
)
from casty.cli.processes import Cluster
from casty.streams import (
    GetSink,
    GetSource,
    ProducerMessage,
    SinkRef,
    SourceRef,
    stream_consumer,
    stream_producer,
)

__all__ = ["app", "main"]

TIMEOUT_S = 30.0
SHARDS = 64
VOLATILE, SOURCED = "volatile", "sourced"
READ, INCREMENT = "counter read, one a caller", "counter increment, one a caller"
ASK, ADD = "volatile ask, one entity a caller", "event-sourced ask, one entity a caller"
ADD_SHARED = "event-sourced ask, one shared entity"
STREAM = "stream elements, one stream a caller"
IN_FLIGHT = 256
"""Elements of a stream that may be on the way, and that may wait to be sent."""
READERS: ServiceKey[Read | None] = ServiceKey("readers")
GOALS = ((ASK, READ, 0.5), (ADD, INCREMENT, 0.7))
"""What is compared, with what, and the least share that is aimed at with 64 callers."""

Call = Callable[[], Awaitable[object]]


@message(name="bench.add")
@dataclass(frozen=True)
class Add:
    amount: int
    reply_to: ActorRef[int]


@message(name="bench.read")
@dataclass(frozen=True)
class Read:
    producer: ActorRef[ProducerMessage]


async def _read_all(ctx: ActorContext[Read | None], name: str, producer: ActorRef[ProducerMessage]) -> None:
    consumer = ctx.system.spawn(stream_consumer(producer, initial_demand=IN_FLIGHT), name)
    source: SourceRef[int] = await ctx.system.ask(consumer, lambda reply_to: GetSource(reply_to))
    async for _ in source:
        pass


def readers() -> Behavior[Read | None]:
    """Read each stream that it is told of."""
    begun: list[str] = []

    def receive(ctx: ActorContext[Read | None], order: Read | None) -> None:
        if order is not None:
            begun.append(f"reader-{len(begun)}")
            work = _read_all(ctx, begun[-1], order.producer)
            ctx.pipe_to_self(work, mapper=_over, on_failure=_over)

    return Behaviors.receive(receive)


def _over(outcome: object) -> None:
    """The stream ended, or the client is gone: either way there is nothing to be done."""
    del outcome


def volatile(entity_id: str) -> Behavior[Add]:
    """Sum what it is told, in memory."""
    del entity_id
    total = [0]

    def receive(ctx: ActorContext[Add], order: Add) -> None:
        del ctx
        total[0] += order.amount
        order.reply_to.tell(total[0])

    return Behaviors.receive(receive)


def sourced(entity_id: str) -> Behavior[Add]:
    """Sum what it is told, as events."""

    def decide(ctx: ActorContext[Add], total: int, order: Add) -> Persisted[int]:
        del ctx
        order.reply_to.tell(total + order.amount)
        return Behaviors.persisted((order.amount,))

    return Behaviors.event_sourced(
        entity_id=entity_id, initial_state=0, on_event=int.__add__, on_command=decide
    )


async def app(system: ClusteredActorSystem) -> None:
    """What each node hosts."""
    system.spawn(Behaviors.sharded(volatile, num_shards=SHARDS), VOLATILE)
    system.spawn(Behaviors.sharded(sourced, num_shards=SHARDS), SOURCED)
    system.spawn(Behaviors.discoverable(readers(), key=READERS), "readers")


class _Asker:
    """Asks one entity, again where a question is lost."""

    lost = 0

    def __init__(self, client: ClusterClient, region: ActorRef[Any], entity_id: str) -> None:
        self._client = client
        self._region = region
        self._entity_id = entity_id

    async def __call__(self) -> None:
        while True:
            try:
                await self._client.ask(self._region, self._question, timeout=TIMEOUT_S)
                return
            except TimeoutError:
                _Asker.lost += 1

    def _question(self, reply_to: ActorRef[int]) -> ShardEnvelope[Add]:
        return ShardEnvelope(self._entity_id, Add(1, reply_to))


def _calls(client: ClusterClient, name: str, callers: int) -> list[Call]:
    if name in (READ, INCREMENT):
        d = client.distributed()
        counters = [d.counter(f"own-{number}", timeout=TIMEOUT_S) for number in range(callers)]
        return [counter.get if name == READ else counter.increment for counter in counters]
    region = client.entity_ref(VOLATILE if name == ASK else SOURCED, num_shards=SHARDS)
    ids = ["shared"] * callers if name == ADD_SHARED else [f"own-{number}" for number in range(callers)]
    return [_Asker(client, region, entity_id) for entity_id in ids]


async def _streams(client: ClusterClient, callers: int) -> list[Call]:
    """Begin streams of this client, each read by a node, and return what puts an element into each."""
    while not (found := list(client.lookup(READERS).instances)):
        await asyncio.sleep(0.05)
    calls: list[Call] = []
    for number in range(callers):
        producer = client.spawn(stream_producer(buffer_size=IN_FLIGHT), f"stream-{callers}-{number}")
        sink: SinkRef[int] = await client.ask(producer, lambda reply_to: GetSink(reply_to))
        found[number % len(found)].ref.tell(Read(producer))
        calls.append(partial(sink.put, number))
    return calls


async def _run(callers: list[int], seconds: float) -> list[Result]:
    results = await run_echo(callers, seconds)
    with tempfile.TemporaryDirectory(prefix="casty-bench-") as folder:
        extra = ("--log-level", "warning", "--app", "benchmarks.entities:app")
        cluster = Cluster(3, Path(folder), system="bench", extra=extra)
        try:
            await cluster.start()
            async with ClusterClient(contact_points=cluster.contacts, system_name="bench") as client:
                await client.ready()
                for name in (READ, ASK, INCREMENT, ADD, ADD_SHARED):
                    for count in callers:
                        results.append(await measure(name, _calls(client, name, count), seconds))
                for count in callers:
                    results.append(await measure(STREAM, await _streams(client, count), seconds))
        finally:
            await cluster.stop()
    return results


def _shares(results: list[Result]) -> list[str]:
    rates = {(result.name, result.callers): result.per_second for result in results}
    return [
        f"{name}: {rates[name, callers] / rates[other, callers]:.2f} of {other}, {callers} callers (goal at 64: {goal})"
        for name, other, goal in GOALS
        for callers in sorted({result.callers for result in results})
        if (name, callers) in rates
    ]


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.entities", description=__doc__)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = asyncio.run(_run(options.callers, options.seconds))
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        print(table(results))
        print("\n".join(_shares(results)))
        print(f"questions that were lost and asked again: {_Asker.lost}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
