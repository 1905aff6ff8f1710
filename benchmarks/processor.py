"""What one operation costs in processor time: three nodes and a client in one process, so that all of it is counted.

On a busy machine times by the clock say little. Here each row is measured in many short slices of processor time, and
``--against PATH`` runs the same slices on another checkout, one after the other in turn, so that whatever disturbs
one disturbs both: the medians of the ratios are good to a few percent. What an entity
answers, as a share of what it is compared with (`SHARES`), is told in the same way.

Rows of structures are called by the client. ``tell`` and ``ask`` go from one node to an actor of another, and
``entity ask`` from the client to a region of the nodes; ``sourced ask`` to one whose entities put an event on record
for each. ``50,000 starts and stops`` are those of the children of one actor; its cost is that of one start with its
stop.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.event_sourced import Persisted
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope
from casty.client import ClusterClient
from casty.distributed.facade import Distributed
from casty.distributed.lock import Lock
from casty.system import ClusteredActorSystem

# Imports nothing of this folder: it is run by its path, for another checkout's `casty` to be found first.

__all__ = ["main"]

TIMEOUT_S = 30.0
TELLS = 20  # before the ask that says they have arrived: far below any bound of a mailbox or a link
STARTS = 50_000
A_TURN = 500  # of them in one turn of the loop: a node that is away for seconds loses what it leads
SHARDS = 12
Call = Callable[[], Awaitable[object]]


class Rig(NamedTuple):
    """Where the rows run."""

    members: list[ClusteredActorSystem]
    client: ClusterClient
    callers: int
    rounds: int

    @property
    def distributed(self) -> Distributed:
        """The structures, as the client has them."""
        return self.client.distributed()


class Row(NamedTuple):
    """What a slice does: each call `rounds` times, where one call is `size` operations."""

    calls: list[Call]
    rounds: int
    size: int = 1


@dataclass(frozen=True)
class Note:
    """What is told."""

    number: int
    text: str


@dataclass(frozen=True)
class Question:
    """What is asked."""

    number: int
    reply_to: ActorRef[int]


def _cycle(lock: Lock) -> Call:
    async def cycle() -> None:
        await lock.acquire()
        await lock.release()

    return cycle


def _own(d: Distributed, callers: int) -> list[Call]:
    return [d.counter(f"own-{number}", timeout=TIMEOUT_S).increment for number in range(callers)]


def _shared(d: Distributed, callers: int) -> list[Call]:
    return [d.counter("shared", timeout=TIMEOUT_S).increment] * callers


def _own_locks(d: Distributed, callers: int) -> list[Call]:
    return [_cycle(d.lock(f"own-{number}", timeout=TIMEOUT_S)) for number in range(callers)]


def _contended(d: Distributed, callers: int) -> list[Call]:
    return [_cycle(d.lock("contended", timeout=TIMEOUT_S)) for _ in range(callers)]


def _puts(d: Distributed, callers: int) -> list[Call]:
    values, turns = d.map[str, int]("values", timeout=TIMEOUT_S), itertools.count()

    def put(key: str) -> Call:
        return lambda: values.put(key, next(turns))

    return [put(f"key-{number}") for number in range(callers)]


def _gets(d: Distributed, callers: int) -> list[Call]:
    values = d.map[str, int]("values", timeout=TIMEOUT_S)

    def get(key: str) -> Call:
        return lambda: values.get(key)

    return [get(f"key-{number}") for number in range(callers)]


def _queues(d: Distributed, callers: int) -> list[Call]:
    def cycle(number: int) -> Call:
        queue = d.queue[int](f"queue-{number}", timeout=TIMEOUT_S)

        async def put_and_take() -> None:
            await queue.enqueue(number)
            await queue.dequeue()

        return put_and_take

    return [cycle(number) for number in range(callers)]


def _answer(ctx: ActorContext[Note | Question], received: Note | Question) -> None:
    del ctx
    if isinstance(received, Question):
        received.reply_to.tell(received.number)


def _question(reply_to: ActorRef[int]) -> Question:
    return Question(7, reply_to)


def _pairs(rig: Rig, name: str) -> list[tuple[ClusteredActorSystem, ActorRef[Note | Question]]]:
    """Return for each caller a node that asks and an actor of another node."""
    members, pairs = rig.members, []
    for number in range(rig.callers):
        home, other = members[number % len(members)], members[(number + 1) % len(members)]
        home.spawn(Behaviors.receive(_answer), f"{name}-{number}")
        ref = other.lookup(f"/{name}-{number}", node=home.self_node)
        assert ref is not None
        pairs.append((other, ref))
    return pairs


def _asks(rig: Rig) -> Row:
    def ask(system: ClusteredActorSystem, ref: ActorRef[Note | Question]) -> Call:
        return lambda: system.ask(ref, _question, timeout=TIMEOUT_S)

    return Row([ask(*pair) for pair in _pairs(rig, "asked")], rig.rounds)


def _tells(rig: Rig) -> Row:
    def tell(system: ClusteredActorSystem, ref: ActorRef[Note | Question]) -> Call:
        async def tell_and_ask() -> None:
            for number in range(TELLS):
                ref.tell(Note(number, "some words of a usual length"))
            await system.ask(ref, _question, timeout=TIMEOUT_S)

        return tell_and_ask

    return Row([tell(*pair) for pair in _pairs(rig, "told")], rig.rounds, TELLS + 1)


def _reads(d: Distributed, callers: int) -> list[Call]:
    return [d.counter(f"own-{number}", timeout=TIMEOUT_S).get for number in range(callers)]


def _region_asks(rig: Rig, region_name: str, entity: Callable[[str], Behavior[Any]], entities: int) -> Row:
    """Ask entities of a region, one a caller or all callers one of a few."""
    for member in rig.members:
        member.spawn(Behaviors.sharded(entity, num_shards=SHARDS), region_name)
    region = rig.client.entity_ref(region_name, num_shards=SHARDS)

    def ask(number: int) -> Call:
        def question(reply_to: ActorRef[int]) -> ShardEnvelope[Question]:
            return ShardEnvelope(f"entity-{number % entities}", Question(number, reply_to))

        return lambda: rig.client.ask(region, question, timeout=TIMEOUT_S)

    return Row([ask(number) for number in range(rig.callers)], rig.rounds)


def _entity_asks(rig: Rig) -> Row:
    return _region_asks(rig, "processor-entities", lambda _: Behaviors.receive(_answer), rig.callers)


def _sourced(entity_id: str) -> Behavior[Question]:
    def decide(ctx: ActorContext[Question], total: int, received: Question) -> Persisted[int]:
        del ctx
        received.reply_to.tell(total + 1)
        return Behaviors.persisted((1,))

    return Behaviors.event_sourced(
        entity_id=entity_id, initial_state=0, on_event=int.__add__, on_command=decide
    )


def _sourced_asks(rig: Rig) -> Row:
    return _region_asks(rig, "processor-sourced", _sourced, rig.callers)


def _shared_sourced_asks(rig: Rig) -> Row:
    return _region_asks(rig, "processor-shared", _sourced, 1)


class _Wave:
    """A parent whose `STARTS` children all live at once, and then stop on a message each."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._left = STARTS

    def parent(self) -> Behavior[str]:
        """Return what starts the children, and stops them."""
        return Behaviors.setup(self._start)

    async def _start(self, ctx: ActorContext[str]) -> Behavior[str]:
        children: list[ActorRef[str]] = []
        for number in range(STARTS):
            children.append(ctx.spawn(Behaviors.setup(self._child), f"child-{number}"))
            if number % A_TURN == 0:
                await asyncio.sleep(0)
        for number, child in enumerate(children):
            child.tell("stop")
            if number % A_TURN == 0:
                await asyncio.sleep(0)
        return Behaviors.ignore()

    async def _child(self, ctx: ActorContext[str]) -> Behavior[str]:
        ctx.on_stop(self._gone)
        return Behaviors.receive(_stop)

    def _gone(self) -> None:
        self._left -= 1
        if not self._left:
            self.ended.set()


def _stop(ctx: ActorContext[str], received: str) -> Behavior[str]:
    del ctx, received
    return Behaviors.stopped()


def _starts(rig: Rig) -> Row:
    turns = itertools.count()

    async def wave() -> None:
        children = _Wave()
        rig.members[0].spawn(children.parent(), f"parent-{next(turns)}")
        await children.ended.wait()

    return Row([wave], 1, STARTS)


def _called(row: Callable[[Distributed, int], list[Call]]) -> Callable[[Rig], Row]:
    return lambda rig: Row(row(rig.distributed, rig.callers), rig.rounds)


ROWS: dict[str, Callable[[Rig], Row]] = {
    "increment, one counter a caller": _called(_own),
    "increment, one shared counter": _called(_shared),
    "lock cycle, one lock a caller": _called(_own_locks),
    "lock cycle, one contended lock": _called(_contended),
    "map put": _called(_puts),
    "map get": _called(_gets),
    "queue put and take": _called(_queues),
    "tell": _tells,
    "ask": _asks,
    "counter get": _called(_reads),
    "entity ask": _entity_asks,
    "sourced ask": _sourced_asks,
    "sourced ask, one shared entity": _shared_sourced_asks,
    "50,000 starts and stops": _starts,
}


SHARES = {"entity ask": "counter get", "sourced ask": "increment, one counter a caller"}
"""What is compared with what: the share is of the calls that one gets done in the time of a call of the other."""


async def _slice(row: Row) -> float:
    """Return the microseconds of processor time of one operation."""

    async def caller(call: Call) -> None:
        for _ in range(row.rounds):
            await call()

    gc.collect()
    began_ns = time.process_time_ns()
    await asyncio.gather(*(caller(call) for call in row.calls))
    return (time.process_time_ns() - began_ns) / (row.rounds * len(row.calls) * row.size) / 1e3


@contextlib.asynccontextmanager
async def _cluster(options: argparse.Namespace) -> AsyncGenerator[Rig, None]:
    with contextlib.ExitStack() as sockets:
        bound = [sockets.enter_context(socket.socket()) for _ in range(options.nodes)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        seeds = [("127.0.0.1", one.getsockname()[1]) for one in bound]
    async with contextlib.AsyncExitStack() as stack:
        members = [
            ClusteredActorSystem(name="processor", host=host, port=port, seed_nodes=seeds)
            for host, port in seeds
        ]
        await asyncio.gather(*(stack.enter_async_context(member) for member in members))
        client = ClusterClient(contact_points=seeds, system_name="processor")
        async with client:
            await client.ready()
            yield Rig(members, client, options.callers, options.rounds)


async def _serve(options: argparse.Namespace) -> None:
    """Answer each line, the name of a row, with the cost of one slice of it, until there is none."""
    loop = asyncio.get_running_loop()
    async with _cluster(options) as rig:
        rows: dict[str, Row] = {}  # made when first asked for: what is not measured is not there either
        print("ready", flush=True)
        while name := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            if name not in rows:
                rows[name] = ROWS[name](rig)
            print(await _slice(rows[name]), flush=True)


class _Worker:
    """A process that measures one checkout."""

    def __init__(self, checkout: Path, options: argparse.Namespace) -> None:
        arguments = [f"--{name}={getattr(options, name)}" for name in ("callers", "rounds", "nodes")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--serve", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise SystemExit("the measuring process ended; see what it wrote above")
        return answer

    def measure(self, row: str) -> float:
        """Return the cost of one slice."""
        assert self._process.stdin is not None
        print(row, file=self._process.stdin, flush=True)
        return float(self._answer())

    def stop(self) -> None:
        """Let it end."""
        self._process.communicate("\n")


def _compare(options: argparse.Namespace) -> None:
    here = Path(__file__).resolve().parent.parent
    workers = [_Worker(checkout, options) for checkout in (options.against, here) if checkout is not None]
    costs: dict[str, list[list[float]]] = {row: [] for row in options.rows}
    try:
        for number in range(options.slices + 1):
            for row in options.rows:
                order = workers[:: 1 if number % 2 else -1]
                found = {worker: worker.measure(row) for worker in order}
                if number:  # the first slice opens sessions and fills caches
                    costs[row].append([found[worker] for worker in workers])
    finally:
        for worker in workers:
            worker.stop()
    print(_table(costs))
    for row, other in SHARES.items():
        if row in costs and other in costs:
            pairs = zip(costs[other], costs[row], strict=True)
            shares = statistics.quantiles((theirs[-1] / own[-1] for theirs, own in pairs), n=4)
            print(f"{row}: {shares[1]:.2f} of {other} (half of them {shares[0]:.2f} to {shares[2]:.2f})")


def _table(costs: dict[str, list[list[float]]]) -> str:
    lines = []
    for row, slices in costs.items():
        medians = [statistics.median(column) for column in zip(*slices, strict=True)]
        line = f"{row:<34}" + "".join(f" {median:>9.1f} us" for median in medians)
        if len(medians) > 1:
            quarters = statistics.quantiles((pair[1] / pair[0] for pair in slices), n=4)
            line += f"   ratio {quarters[1]:.3f} (half of them {quarters[0]:.3f} to {quarters[2]:.3f})"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--against", type=Path, help="another checkout: printed first, the ratio is this / that"
    )
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--slices", type=int, default=30, help="of each row")
    parser.add_argument("--rounds", type=int, default=30, help="calls of each caller in a slice")
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options))
    else:
        _compare(options)


if __name__ == "__main__":
    main()
