"""Streams between nodes and clients: each has one who puts and one who reads, in two processes or in one.

What arrives is looked at where it is taken: the elements that were put, from the first on, none twice and none left
out (7), and no more under way than both sides have room for (9). In peace everybody who lives has heard of the end
(46), and a stream that either side took for completed was whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from casty.actor.ref import ActorRef
from casty.errors import NotStarted, StreamError
from casty.streams import GetSink, GetSource, SinkRef, SourceRef, stream_consumer, stream_producer

from ..checks.step.introspection import actors_of
from ..checks.step.protected import OfSink
from ..checks.violation import Violation
from .population import Population
from .recorder import OperationContext

if TYPE_CHECKING:
    from ..world.process import Process

__all__ = ["ENDED_WITHIN_S", "FLOW_PERFORMERS", "Flow", "unended"]

BUFFER, WINDOW = 3, 5
"""Of every stream: how many elements may wait to be sent, and how many may be on the way or unread."""
PATIENCE_S = 5.0
ENDED_WITHIN_S = 30.0
"""In peace: who is silent is given up after `PATIENCE_S`, and slow ones come to their end."""

_ORDER, _BOUND = 7, 9
_PARTS = 10
_PUTTER_RESTS_EVERY, _READER_RESTS_EVERY = 7, 5
_LONGEST_REST_MS = 300
_LEAVES_EVERY = 6
_COMPLETED, _LEFT = "completed", "left"


class Flow:
    """One stream, as its two users see it.

    Parameters
    ----------
    population
        Of the run; takes what is wrong.
    there, here
        Who puts, and who reads.
    name
        Of its actors.
    count
        How many elements there are.
    rest_s
        How long both rest now and then.
    leaves_at
        Behind which element the reader wants no more; None for one that reads to the end.
    """

    def __init__(
        self,
        population: Population,
        there: Process,
        here: Process,
        name: str,
        count: int,
        rest_s: float,
        leaves_at: int | None,
    ) -> None:
        self._population = population
        self._there = there
        self._here = here
        self._lives = (there.incarnation.ordinal, here.incarnation.ordinal)
        self._name = name
        self._count = count
        self._rest_s = rest_s
        self._leaves_at = leaves_at
        self._tried = 0
        self._taken = 0
        self._producer: asyncio.Future[ActorRef[Any]] = asyncio.Future()
        self._sink: SinkRef[int] | None = None
        self._put_end = ""
        self._read_end = ""
        self.users: tuple[asyncio.Task[None], ...] = ()
        """Those of its processes."""

    def __str__(self) -> str:
        ends = f"put {self._put_end or 'on'}, read {self._read_end or 'on'}"
        return f"{self._name} to {self._here.name}: {ends}, {self._taken} of {self._tried} taken"

    def _broken(self, number: int, text: str) -> None:
        self._population.checks.report(Violation(number, f"stream {self._name}", text))

    # -- its users

    async def put(self) -> None:
        """Put all elements, and wait until the other side has them."""
        try:
            self._put_end = await self._put_all()
        except (StreamError, NotStarted, TimeoutError) as error:
            self._put_end = type(error).__name__
        self._population.recorder.goal(f"streams put: {self._put_end}")

    async def _put_all(self) -> str:
        system: Any = self._there.value
        producer = system.spawn(stream_producer(buffer_size=BUFFER, timeout=PATIENCE_S), f"put-{self._name}")
        self._sink = sink = await system.ask(producer, GetSink)
        self._producer.set_result(producer)
        for number in range(self._count):
            self._tried += 1
            if self._tried - self._taken > BUFFER + WINDOW + 2:
                self._broken(_BOUND, f"element {number} may be put, and {self._taken} were taken")
            await sink.put(number)
            if number % _PUTTER_RESTS_EVERY == 0:
                await asyncio.sleep(self._rest_s)
        await sink.complete()
        await sink.closed()
        return _COMPLETED

    async def read(self) -> None:
        """Take what comes."""
        producer = await self._producer
        try:
            self._read_end = await self._read_all(producer)
        except (StreamError, NotStarted, TimeoutError) as error:
            self._read_end = type(error).__name__
        self._population.recorder.goal(f"streams read: {self._read_end}")

    async def _read_all(self, producer: ActorRef[Any]) -> str:
        system: Any = self._here.value
        ref = self._population.ref_at(self._here, producer)
        if ref is None:
            raise NotStarted("the reader's process is leaving")
        behavior = stream_consumer(ref, timeout=PATIENCE_S, initial_demand=WINDOW)
        source: SourceRef[int] = await system.ask(system.spawn(behavior, f"read-{self._name}"), GetSource)
        async with source:
            async for number in source:
                if number != self._taken:
                    self._broken(_ORDER, f"element {number} is taken behind {self._taken} others")
                self._taken += 1
                if number == self._leaves_at:
                    return _LEFT
                if number % _READER_RESTS_EVERY == 0:
                    await asyncio.sleep(self._rest_s)
        return _COMPLETED

    # -- its end

    def is_over(self) -> bool:
        """Whether each user that lives has heard of the end."""
        can_put, can_read = (
            process.is_up and process.incarnation.ordinal == ordinal
            for process, ordinal in zip((self._there, self._here), self._lives, strict=True)
        )
        # Who has no subscriber waits for one, and a reader for a producer that never came.
        sink = self._sink
        can_put = can_put and sink is not None and OfSink.feed_of(sink).stream.stream is not None
        can_read = can_read and self._producer.done()
        return bool((self._put_end or not can_put) and (self._read_end or not can_read))

    def check(self) -> None:
        """What both saw fits together."""
        if self._read_end == _COMPLETED and self._taken != self._count:
            self._broken(_ORDER, f"completed, and not whole: {self}")
        if self._put_end == _COMPLETED and self._read_end not in ("", _COMPLETED):
            self._broken(_ORDER, f"confirmed, and not read: {self}")


def unended(population: Population) -> list[str]:
    """Return the streams of which somebody who lives has not heard the end."""
    return [str(flow) for flow in population.flows if not flow.is_over()]


async def _begin(context: OperationContext) -> None:
    """Begin a stream of this process with any other one, or with itself."""
    population, processes = context.recorder.population, context.recorder.world.processes
    assert population is not None, "the executor makes one for these operations"
    there, others = context.process, [process for process in processes.values() if actors_of(process.value)]
    here = others[context.number("target") % len(others)] if others else there
    if _is_leaving(there) or _is_leaving(here):
        return
    count = _PARTS * context.number("count", 1)
    leaves_at = count // 3 if context.number("which") % _LEAVES_EVERY == 0 else None
    rest_s = min(context.number("ms"), _LONGEST_REST_MS) / 1000
    flow = Flow(population, there, here, context.next_name("flow"), count, rest_s, leaves_at)
    population.flows.append(flow)
    # Of the processes and not of this operation, which a client may cancel: half a stream has no end.
    flow.users = (there.spawn(flow.put()), here.spawn(flow.read()))


def _is_leaving(process: Process) -> bool:
    actors = actors_of(process.value)
    return not process.is_up or actors is None or actors.local.is_stopping


FLOW_PERFORMERS: dict[str, Callable[[OperationContext], Awaitable[None]]] = {"flow.begin": _begin}
"""Kind of operation -> what it does."""
