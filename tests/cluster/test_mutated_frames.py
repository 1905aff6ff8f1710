"""Mutants of every kind of frame, over a living cluster: their link may go, and nothing else happens."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import pytest

from casty import Behaviors, ClusterClient, ClusteredActorSystem, Settings
from casty.cluster.slots.operations import OP_KEEPALIVE, OP_READ, OP_WRITE, RELAY
from casty.cluster.slots.schema import ENTRIES, KEEPALIVES, READ
from casty.events import Event, LinkDown
from casty.runtime import current
from casty.wire import frames
from casty.wire.codec import Codec
from casty.wire.pack import pack
from chaos.mutants import JUNK, Mutants

from .hand_made import HOST, HandMade

FRAMES = 3_000
PATHS = ("/plain", "/nobody", "/$receptionist", "/$registrar", "/$regions", "", "/$region/c/e\n\x1b[2J")
SETTINGS = Settings(founding_listen_s=0.05, slots=4)
OPERATIONS = {OP_WRITE: ENTRIES, OP_READ: READ, OP_KEEPALIVE: KEEPALIVES[8]}


class Hostile:
    """Draws the frames of one client: real ones of some kind, most of them with one thing wrong."""

    def __init__(self, seed: int, epochs: list[int], nodes: list[str], home: str) -> None:
        self.mutants = Mutants(seed)
        self.random: random.Random = self.mutants.random
        self._epochs = epochs
        self._nodes = nodes
        self._home = home

    def frame(self) -> tuple[int, bytes]:
        kind, plain = self.random.choice(
            (self._request, self._keepalive, self._message, self._entity, self._other)
        )()
        if self.random.random() < 0.6:
            plain = self._mutant(plain)
        data = pack(plain)
        return kind, self.mutants.flipped(data) if self.random.random() < 0.2 else data

    def _mutant(self, plain: Any) -> Any:
        if isinstance(plain, list) and plain and self.random.random() < 0.9:
            at = self.random.randrange(len(plain))
            return [*plain[:at], self._mutant(plain[at]), *plain[at + self.random.choice((1, 1, 1, 0)) :]]
        return self.random.choice(JUNK)

    def _request(self) -> tuple[int, Any]:
        operation = self.random.choice(list(OPERATIONS))
        _, payload = self.mutants.packed(OPERATIONS[operation])
        slot = self.random.randrange(len(self._epochs))
        relay = self.random.choice((0, RELAY, RELAY))
        return frames.REQUEST, [[1, slot, self._epochs[slot], operation | relay, payload, b"p" * 16]]

    def _keepalive(self) -> tuple[int, Any]:
        return frames.KEEPALIVE, [1, [self.mutants.fitting(KEEPALIVES[8])]]

    def _row(self) -> list[Any]:
        path = self.random.choice(
            ("/plain", "/nobody", "/$receptionist", "/$registrar", "/$regions", "", "/$region/c/e")
        )
        message = Codec().encode(self.random.choice([1, "a\n\x1b[2J", (1, 2), {3: 4}]))
        sender = self.random.choice([None, ["/a", HOST, 1, "by-hand"]])
        return [
            self.random.choice(self._nodes),
            path,
            "by-hand#1",
            self.random.randrange(10**6),
            sender,
            message,
        ]

    def _message(self) -> tuple[int, Any]:
        return self.random.choice((frames.ACTOR, frames.RELAY, frames.RELAY)), self._row()

    def _entity(self) -> tuple[int, Any]:
        _, _, source, number, sender, message = self._row()
        return frames.ENTITY, ["c", 4, "e\n\x1b[2J", source, number, 0, sender, message, self._home]

    def _other(self) -> tuple[int, Any]:
        kinds = (
            frames.SUBSCRIBE,
            frames.STATUS,
            frames.ENTITY_REFUSED,
            frames.JOIN,
            frames.CONSENSUS,
            frames.REPLY,
        )
        return self.random.choice(kinds), self.random.choice(JUNK)


async def attack(hostile: Hostile, port: int) -> int:
    """Send everything, over a new link whenever the last one was closed; returns how many there were."""
    links, sent = 0, 0
    while sent < FRAMES:
        links += 1
        link = await HandMade.to(port, "shop", f"by-hand-{links}")
        drained = asyncio.ensure_future(link.drain())
        while not drained.done() and sent < FRAMES:
            kind, body = hostile.frame()
            link.send(kind, None, body)
            sent += 1
            await asyncio.sleep(0)
        link.close()
        await drained
    return links


@pytest.mark.slow
async def test_mutated_frames_end_no_other_link(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    ended: list[str] = []

    def noted(event: Event) -> None:
        if isinstance(event, LinkDown) and not event.peer.startswith("by-hand"):
            ended.append(f"{event.peer}: {event.reason}")

    async with (
        asyncio.timeout(60),
        ClusteredActorSystem(name="shop", host=HOST, port=0, node_id="n0", config=SETTINGS) as first,
    ):
        port = first._node.address.port
        async with ClusteredActorSystem(
            name="shop", host=HOST, port=0, node_id="n1", seed_nodes=[(HOST, port)], config=SETTINGS
        ) as second:
            for system in (first, second):
                system.spawn(Behaviors.ignore(), "plain")
                system.spawn(Behaviors.sharded(lambda _: Behaviors.ignore(), num_shards=4), "c")
            async with ClusterClient(contact_points=[(HOST, port)], system_name="shop") as client:
                await client.ready()
                counter = client.distributed().counter("honest")
                assert await counter.increment() == 1
                current().observe.subscribe(noted)
                probe = await HandMade.to(port, "shop")
                topology = await probe.topology()
                probe.close()
                hostile = Hostile(
                    1, [row[0] for row in topology[6]], ["n0", "n1"], f"{topology[0]}:{topology[1]}"
                )
                began = asyncio.get_running_loop().time()
                assert await attack(hostile, port) > 10, "most of them are no frames that a client may send"
                assert await counter.increment() == 2
                assert not ended, "only links by hand may end"
                current().observe.unsubscribe(noted)
                took_s = asyncio.get_running_loop().time() - began
    assert not raised
    records = [record for record in caplog.records if record.name.startswith("casty")]
    assert not [record for record in records if record.exc_info]
    assert all(record.getMessage().isprintable() for record in records)
    kinds = len(records) / (took_s + 2)
    assert kinds < 10, f"{len(records)} lines in {took_s} s"
