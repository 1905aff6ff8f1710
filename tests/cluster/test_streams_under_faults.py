"""Streams while links break and processes die: what comes is in order and complete, and both sides learn of the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from casty import ClusteredActorSystem, Settings
from casty.errors import AskFailed, NotStarted, StreamError
from casty.streams import GetSink, GetSource, SinkRef, SourceRef, stream_consumer, stream_producer
from sim import Faults, World, simulate
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process

NODES = ("node-1", "node-2", "node-3")
COUNT = 60
STREAMS = 14
BUFFER = 3
WINDOW = 5
PATIENCE_S = 5.0
SETTLED_WITHIN_S = 60.0
"""A lost process is noticed after 10 s; who is silent, after `PATIENCE_S`."""
COMPLETED = "completed"
ENDS: Counter[str] = Counter()
"""How the streams of all seeds of this process ended: a sweep in which none was broken shows nothing."""


async def hosting(process: Process) -> ClusteredActorSystem:
    """Start a node, also when it is started again."""
    system = ClusteredActorSystem(
        name=CLUSTER_NAME, host=process.name, port=NODE_PORT, node_id=process.node_id,
        seed_nodes=[(name, NODE_PORT) for name in NODES], config=Settings(slots=4, session_ttl_s=6.0),
    )  # fmt: skip
    return await system.__aenter__()


@dataclass
class Row:
    """One stream, as its two users saw it."""

    name: str
    there: Process
    here: Process
    leaves_at: int | None
    tried: int = 0
    taken: list[int] = field(default_factory=list)
    ref: asyncio.Future[Any] = field(default_factory=asyncio.Future)
    put_end: str = ""
    read_end: str = ""
    sink: Any = None

    def __post_init__(self) -> None:
        self.lives = (self.there.incarnation.ordinal, self.here.incarnation.ordinal)

    def is_alive(self, process: Process, ordinal: int) -> bool:
        """Whether one of its ends is still the process that began it."""
        return process.is_up and process.incarnation.ordinal == ordinal

    @property
    def is_settled(self) -> bool:
        """Whether each user that lives has seen the end."""
        can_put = self.is_alive(self.there, self.lives[0])
        can_read = self.is_alive(self.here, self.lives[1])
        if can_put and self.sink is not None and self.sink._feed.stream.stream is None:
            can_put = False  # nobody has subscribed yet: it waits for somebody who will
        return bool((self.put_end or not can_put) and (self.read_end or not can_read or not self.ref.done()))

    def __str__(self) -> str:
        ways = f"{self.there.name} to {self.here.name}"
        return f"{self.name} {ways}: put {self.put_end!r}, read {self.read_end!r}, {len(self.taken)} of {self.tried}"

    async def put(self) -> None:
        """Be the producing side."""
        system: Any = self.there.value
        try:
            producer = system.spawn(
                stream_producer(buffer_size=BUFFER, timeout=PATIENCE_S), f"put-{self.name}"
            )
            sink: SinkRef[int] = await system.ask(producer, lambda reply_to: GetSink(reply_to))
            self.sink = sink
            self.ref.set_result(producer)
            for number in range(COUNT):
                self.tried += 1
                assert self.tried - len(self.taken) <= BUFFER + WINDOW + 2, (
                    "whoever puts waits for the reader"
                )
                await sink.put(number)
                if number % 7 == 0:
                    await asyncio.sleep(0.15)
            await sink.complete()
            await sink.closed()
            self.put_end = COMPLETED
        except (StreamError, AskFailed, NotStarted) as error:
            self.put_end = type(error).__name__

    async def read(self) -> None:
        """Be the consuming side."""
        system: Any = self.here.value
        producer = await self.ref
        try:
            ref = system._actors.local.make_ref(producer.__casty_ref__())
            consumer = system.spawn(
                stream_consumer(ref, timeout=PATIENCE_S, initial_demand=WINDOW), f"read-{self.name}"
            )
            source: SourceRef[int] = await system.ask(consumer, lambda reply_to: GetSource(reply_to))
            async with source:
                async for number in source:
                    assert number == len(self.taken), f"{self.name}: {number} behind {self.taken[-3:]}"
                    self.taken.append(number)
                    if number == self.leaves_at:
                        self.read_end = "left"
                        return
                    if number % 5 == 0:
                        await asyncio.sleep(0.1)
            self.read_end = COMPLETED
        except (StreamError, AskFailed, NotStarted) as error:
            self.read_end = type(error).__name__

    def check(self) -> None:
        """What both saw fits together."""
        what = str(self)
        if self.read_end == COMPLETED:
            assert len(self.taken) == COUNT, f"completed, and not whole: {what}"
        if self.put_end == COMPLETED and self.is_alive(self.here, self.lives[1]):
            assert (self.read_end, len(self.taken)) == (COMPLETED, COUNT), f"confirmed, and not read: {what}"
        if self.leaves_at is not None:
            assert self.put_end != COMPLETED, f"confirmed by a reader that left: {what}"
        ENDS[self.read_end or "reader died"] += 1


def begin(world: World, number: int, processes: list[Process], *, may_leave: bool = True) -> Row | None:
    """Begin a stream between two processes that run; None when one of them does not."""
    there = processes[number % len(processes)]
    here = processes[(number + 1 + number // len(processes)) % len(processes)]
    if there.value is None or here.value is None:
        return None
    row = Row(f"s{number}", there, here, COUNT // 3 if may_leave and number % 6 == 5 else None)
    there.spawn(row.put())
    here.spawn(row.read())
    return row


@simulate(seeds=range(9_965_000, 9_965_008), faults=Faults.swarm())
async def test_streams_are_whole_or_say_that_they_are_not(world: World) -> None:
    for name in NODES:
        world.add_node(name, hosting)
    world.node_names.extend(NODES)
    await asyncio.gather(*[world.start(name) for name in NODES])
    for _ in range(2):
        await world.client()
    processes = list(world.processes.values())
    rows: list[Row] = []
    for number in range(STREAMS):
        row = begin(world, number, processes)
        rows += [] if row is None else [row]
        await asyncio.sleep(2.0)
    await world.quiesce()
    try:
        await world.until(lambda: all(row.is_settled for row in rows), timeout_s=SETTLED_WITHIN_S)
    except TimeoutError:
        waiting = [str(row) for row in rows if not row.is_settled]
        raise AssertionError(f"somebody waits for ever: {waiting}") from None
    for row in rows:
        row.check()


@simulate(seeds=range(9_965_100, 9_965_103), faults=Faults.none())
async def test_without_faults_every_stream_is_whole(world: World) -> None:
    nodes = await world.cluster(3)
    await world.client()
    processes = list(world.processes.values())
    assert len(nodes) == 3
    rows = [begin(world, number, processes, may_leave=False) for number in range(8)]
    await world.until(lambda: all(row is not None and row.is_settled for row in rows), timeout_s=20.0)
    for row in rows:
        assert row is not None
        row.check()
        assert (row.put_end, row.read_end) == (COMPLETED, COMPLETED)


def test_some_streams_of_the_sweep_were_broken_and_some_were_whole() -> None:
    ENDS.clear()
    for seed in range(9_965_000, 9_965_004):
        test_streams_are_whole_or_say_that_they_are_not(casty_seed=seed)
    assert ENDS[COMPLETED] and ENDS["StreamGap"] + ENDS["StreamLost"] and ENDS["left"]
