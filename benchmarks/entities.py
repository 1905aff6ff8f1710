"""Asks of volatile and event-sourced entities beside reads and increments of counters: three node processes, a client.

Each caller has an entity, or a counter, of its own: what is compared is the way to one, not the line before it. The raw
echo is measured in the same run. A question that is lost, as where a node that got no processor time lost its lease, is
asked again and counts as one that took longer; how many were is said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
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
    ShardEnvelope,
    message,
)
from casty.cli.processes import Cluster

__all__ = ["app", "main"]

TIMEOUT_S = 30.0
SHARDS = 64
VOLATILE, SOURCED = "volatile", "sourced"
READ, INCREMENT = "counter read, one a caller", "counter increment, one a caller"
ASK, ADD = "volatile ask, one entity a caller", "event-sourced ask, one entity a caller"
ADD_SHARED = "event-sourced ask, one shared entity"
GOALS = ((ASK, READ, 0.5), (ADD, INCREMENT, 0.7))
"""What is compared, with what, and the least share that is aimed at with 64 callers."""

Call = Callable[[], Awaitable[object]]


@message(name="bench.add")
@dataclass(frozen=True)
class Add:
    amount: int
    reply_to: ActorRef[int]


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


async def _run(callers: list[int], seconds: float) -> list[Result]:
    results = await run_echo(callers, seconds)
    with tempfile.TemporaryDirectory(prefix="casty-bench-") as folder:
        extra = ("--log-level", "warning", "--app", "benchmarks.entities:app")
        cluster = Cluster(3, Path(folder), system="bench", extra=extra)
        await cluster.start()
        try:
            async with ClusterClient(contact_points=cluster.contacts, system_name="bench") as client:
                await client.ready()
                for name in (READ, ASK, INCREMENT, ADD, ADD_SHARED):
                    for count in callers:
                        results.append(await measure(name, _calls(client, name, count), seconds))
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
