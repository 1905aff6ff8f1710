"""Streams whose actors have full mailboxes: what their users say is heard, if late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ActorRef, ActorSystem, Settings
from casty.streams import GetSink, GetSource, SinkRef, SourceRef, stream_consumer, stream_producer
from tests.kit.clock import settle

ROOM = 12
COUNT = 60
WINDOW = 4
WITHIN_S = 10.0
"""What is lost is made good within a second; once that it is, all is as before."""


def fill(actor: ActorRef[Any]) -> None:
    """Leave no room for anything in a mailbox, until its actor runs."""
    for _ in range(ROOM):
        actor.tell("nothing that it handles")


@pytest.mark.parametrize("whose", ["producer", "consumer"])
async def test_a_stream_goes_on_though_what_its_user_said_once_found_no_room(whose: str) -> None:
    async with ActorSystem(config=Settings(max_mailbox=ROOM)) as system:
        producer = system.spawn(stream_producer(buffer_size=1), "producer")
        sink: SinkRef[int] = await system.ask(producer, GetSink)
        consumer = system.spawn(stream_consumer(producer, initial_demand=WINDOW), "consumer")
        source: SourceRef[int] = await system.ask(consumer, GetSource)

        async def put() -> None:
            for number in range(COUNT):
                if whose == "producer" and number == 1:
                    fill(producer)
                await sink.put(number)
            await sink.complete()

        async with asyncio.timeout(WITHIN_S):
            putting = asyncio.create_task(put())
            await settle()  # as many elements are here as there is room for
            if whose == "consumer":
                fill(consumer)
            # In one step up to where the window is half free, and the reader says so.
            taken = [number async for number in source]
            await putting
            await sink.closed()
        assert taken == list(range(COUNT))
