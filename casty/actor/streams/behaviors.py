"""The two actors of a stream: they turn what the two states say into messages."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar

from casty import runtime as runtimes
from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import Terminated
from casty.actor.ref import ActorRef
from casty.actor.streams.consuming import Asked, Consuming
from casty.actor.streams.messages import (
    StreamCheck,
    StreamClose,
    StreamDemand,
    StreamElements,
    StreamEnding,
    StreamProgress,
    StreamSubscribe,
)
from casty.actor.streams.producing import MAX_BATCH, Producing, Said
from casty.actor.streams.sink import Feed, SinkRef
from casty.actor.streams.source import Flow, SourceRef
from casty.checks import check_count, check_seconds, shown
from casty.errors import CastyError

__all__ = [
    "CHECK_S", "CompleteStream", "ConsumerMessage", "GetSink", "GetSource", "ProducerMessage", "stream_consumer",
    "stream_producer",
]  # fmt: skip

E = TypeVar("E")

CHECK_S = 1.0
"""How often the two ends hear of each other, at least."""

LEAST_TIMEOUT_S = 3.0
"""Two of three checks may be lost or late."""

MAX_ELEMENTS = 1_000_000
"""The most that a buffer or a window may be."""


@dataclass(frozen=True)
class GetSink(Generic[E]):
    """Asks a producer for its sink; asked in the producer's process."""

    reply_to: ActorRef[SinkRef[E]]


@dataclass(frozen=True)
class GetSource(Generic[E]):
    """Asks a consumer for its source; asked in the consumer's process."""

    reply_to: ActorRef[SourceRef[E]]


@dataclass(frozen=True)
class CompleteStream:
    """Tells a producer that there are no more elements; the same as `SinkRef.complete`, from anywhere."""


class _Own(Enum):
    """What the actors tell themselves."""

    tick = "tick"
    look = "look"


ProducerMessage = (
    GetSink[Any]
    | CompleteStream
    | StreamSubscribe
    | StreamDemand
    | StreamCheck
    | StreamClose
    | Terminated
    | _Own
)
"""What a producer takes; all but the first two is the protocol of streams."""

ConsumerMessage = GetSource[Any] | StreamElements | StreamProgress | StreamEnding | Terminated | _Own
"""What a consumer takes; all but the first is the protocol of streams."""


def stream_producer(*, buffer_size: int = 64, timeout: float = 30.0) -> Behavior[ProducerMessage]:
    """The producing end of a stream, as a behaviour to spawn on a system, a node or a client.

    Elements are put into its sink (`GetSink`) and sent to the consumer that subscribes, as many as that one asks for.
    It serves one subscription, and stops when that is over. See docs/streams.md.

    Parameters
    ----------
    buffer_size
        How many elements may wait to be sent, 1 to 1,000,000; whoever puts one more waits.
    timeout
        Seconds, at least 3: a consumer that is not heard for so long is given up. It is heard once a second, also when
        nothing flows.

    Raises
    ------
    TypeError, ValueError
        `buffer_size` or `timeout` is no such number.
    """
    size = check_count("buffer_size", buffer_size, 1, MAX_ELEMENTS)
    patience = _patience(timeout)

    async def start(ctx: ActorContext[ProducerMessage]) -> Behavior[ProducerMessage]:
        producer = _Producer(ctx, Producing(size, patience))
        return Behaviors.receive(producer.receive)

    return Behaviors.setup(start)


def stream_consumer(
    producer: ActorRef[ProducerMessage], *, timeout: float = 30.0, initial_demand: int = 16
) -> Behavior[ConsumerMessage]:
    """The consuming end of a stream, as a behaviour to spawn on a system, a node or a client.

    It subscribes to the producer, wherever that lives. Elements are taken from its source (`GetSource`); before
    somebody reads, none is asked for. It stops when the stream is over and the reader has had the end.

    Parameters
    ----------
    producer
        The ref of a `stream_producer`.
    timeout
        Seconds, at least 3: a producer that is not heard for so long is given up. It is heard once a second, also when
        nothing flows.
    initial_demand
        How many elements may be on the way or wait for the reader, 1 to 1,000,000. As the reader takes them, more are
        asked for.

    Raises
    ------
    TypeError, ValueError
        `producer` is no ref, or `timeout` or `initial_demand` is no such number.
    """
    if not callable(getattr(producer, "tell", None)):
        raise TypeError(f"producer: expected the ref of a stream_producer, found {shown(producer)}")
    window = check_count("initial_demand", initial_demand, 1, MAX_ELEMENTS)
    patience = _patience(timeout)

    async def start(ctx: ActorContext[ConsumerMessage]) -> Behavior[ConsumerMessage]:
        token = runtimes.current().entropy.token("stream", 8).hex()
        consumer = Consumer(ctx, producer, Consuming(token, ctx.self, window, patience))
        return Behaviors.receive(consumer.receive)

    return Behaviors.setup(start)


def _patience(timeout_s: float) -> int:
    """Return after how many checks without a word the other side is given up."""
    check_seconds(timeout_s)
    if timeout_s < LEAST_TIMEOUT_S:
        raise ValueError(f"timeout: expected at least {LEAST_TIMEOUT_S} seconds, found {shown(timeout_s)}")
    return math.ceil(timeout_s / CHECK_S)


class _Producer:
    """The actor of the producing end."""

    def __init__(self, ctx: ActorContext[ProducerMessage], stream: Producing) -> None:
        self._core = ctx.system.core
        self._stream = stream
        self._consumer: ActorRef[Any] | None = None
        self._batch = MAX_BATCH
        """Elements in one message; less where so many were too large."""
        look = partial(self._core.tell, ctx.self, _Own.look)
        self._feed = Feed(stream, self._core.check_loop, look)
        self._sink: SinkRef[Any] = SinkRef(self._feed)
        ctx.schedule(_Own.tick, interval=CHECK_S)
        ctx.on_stop(self._stopped)

    def receive(
        self, ctx: ActorContext[ProducerMessage], message: ProducerMessage
    ) -> Behavior[ProducerMessage]:
        """Take a message, and send what is due after it."""
        if not self._take(ctx, message):
            return Behaviors.unhandled()
        self._send_due()
        self._feed.resolve_ended()
        return Behaviors.stopped() if self._stream.is_closed else Behaviors.same()

    def _take(self, ctx: ActorContext[ProducerMessage], message: ProducerMessage) -> bool:
        """Take a message; False for what is none of a producer's."""
        stream = self._stream
        match message:
            case _Own.look:
                self._feed.looked()
            case _Own.tick:
                self._ticked()
            case StreamDemand() | StreamCheck():
                self._say(stream.demanded(message))
            case StreamSubscribe():
                self._subscribed(ctx, message)
            case StreamClose():
                stream.closed(message)
            case Terminated():
                stream.lost("the consumer stopped, or its process is gone")
            case GetSink(reply_to):
                self._core.tell(reply_to, self._sink)
            case CompleteStream():
                stream.finish()
            case _:
                return False
        return True

    def _ticked(self) -> None:
        """A second passed. Whoever called in that time may not have been heard: a full mailbox drops that, too."""
        self._feed.looked()
        self._stream.tick()

    def _subscribed(self, ctx: ActorContext[ProducerMessage], message: StreamSubscribe) -> None:
        said = self._stream.subscribed(message)
        if message.stream != self._stream.stream:
            self._core.tell(message.consumer, said)
            return
        if self._consumer is None:
            self._consumer = message.consumer
            ctx.watch(message.consumer)
        self._say(said)

    def _send_due(self) -> None:
        self._feed.admit()
        while (said := self._stream.due(self._batch)) is not None:
            self._say(said)
            self._feed.admit()

    def _say(self, said: Said | None) -> None:
        """Send a message; elements that cannot be sent end the stream."""
        if isinstance(said, StreamElements):
            self._send(said)
        elif said is not None and self._consumer is not None:
            self._core.tell(self._consumer, said)

    def _send(self, said: StreamElements) -> bool:
        """Send elements, in several messages where one is too large; False when one of them cannot be sent at all."""
        assert self._consumer is not None, "nothing is due before there is one"
        try:
            self._consumer.tell(said)
        except (CastyError, asyncio.QueueFull) as error:
            count = len(said.elements)
            if count == 1:
                self._stream.fail(f"element {said.first} cannot be sent: {shown(str(error), 300)}")
                return False
            self._batch = half = count // 2
            first = StreamElements(said.stream, said.first, said.elements[:half])
            second = StreamElements(said.stream, said.first + half, said.elements[half:])
            return self._send(first) and self._send(second)
        return True

    def _stopped(self) -> None:
        """The actor ends; what was not closed before ends with it."""
        self._say(self._stream.stop("the producer stopped"))
        self._feed.resolve_ended()
        self._feed.detach()


class Consumer:
    """The actor of the consuming end."""

    def __init__(
        self, ctx: ActorContext[ConsumerMessage], producer: ActorRef[ProducerMessage], stream: Consuming
    ) -> None:
        self._core = ctx.system.core
        self._producer = producer
        self._stream = stream
        look = partial(self._core.tell, ctx.self, _Own.look)
        self._flow = Flow(stream, self._core.check_loop, look)
        self._source: SourceRef[Any] = SourceRef(self._flow)
        ctx.on_stop(self._stopped)
        ctx.watch(producer)
        ctx.schedule(_Own.tick, interval=CHECK_S)
        self._say(stream.subscribe())

    def receive(
        self, ctx: ActorContext[ConsumerMessage], message: ConsumerMessage
    ) -> Behavior[ConsumerMessage]:
        """Take a message, and say what follows from it."""
        del ctx
        stream = self._stream
        match message:
            case StreamElements():
                self._say(stream.came(message))
            case StreamProgress():
                self._say(stream.progressed(message))
            case StreamEnding():
                self._say(stream.ending(message))
            case _Own.look:
                self._look()
            case _Own.tick:
                self._ticked()
            case Terminated():
                self._say(stream.lost("the producer stopped, or its process is gone"))
            case GetSource(reply_to):
                self._core.tell(reply_to, self._source)
                self._say(stream.wanted())
            case _:
                return Behaviors.unhandled()
        self._flow.wake()
        return Behaviors.stopped() if stream.is_settled and self._flow.is_drained else Behaviors.same()

    def _look(self) -> None:
        """Say what the reader wants to be said, and ask for more where that is due."""
        for said in self._flow.looked():
            self._say(said)
        self._say(self._stream.more())

    def _ticked(self) -> None:
        """A second passed. What the reader called in that time may not have been heard; see `_Producer._ticked`."""
        self._look()
        self._say(self._stream.tick())

    def _say(self, asked: Asked | None) -> None:
        if asked is not None:
            self._core.tell(self._producer, asked)

    def _stopped(self) -> None:
        """The actor ends; a reader that did not have the end learns that, behind what came before.

        The producer may have said that the stream is complete, and knows that this side has it all.
        """
        self._flow.detach()
        if not self._flow.is_drained:
            self._say(self._stream.lost("the consumer stopped"))
            self._flow.wake()
