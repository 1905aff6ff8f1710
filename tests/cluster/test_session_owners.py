"""Over real sockets: a client that counts up session numbers gets at nothing of another client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ClusterClient, ClusteredActorSystem, Settings
from casty.cluster.slots.operations import OP_KEEPALIVE, OP_READ, OP_WRITE
from casty.cluster.slots.schema import (
    ABANDON,
    CANCEL,
    CLOSE,
    COMMAND,
)
from casty.distributed.machines.base import COUNTER, EXPIRED, LOCK, QUEUE
from casty.distributed.machines.counter import ADD
from casty.distributed.machines.lock import HOLDER, RELEASE
from casty.distributed.machines.queue import DEQUEUE
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.cluster.hand_made import HOST, HandMade

SETTINGS = Settings(founding_listen_s=0.05, slots=1)
NUMBERS = range(1, 40)
PROOFS = (b"", b"x" * 16, b"\x00" * 16)


def guesses(token: int) -> list[list[Any]]:
    """Return what a stranger may try under every number."""
    return [
        entry
        for number in NUMBERS
        for entry in (
            [COMMAND, number, 900, 0, 0, LOCK, b"lock", [RELEASE, token]],
            [COMMAND, number, 901, 2**62, 2**62, COUNTER, b"counter", [ADD, 1000]],
            [COMMAND, number, 2, 0, 0, QUEUE, b"queue", [DEQUEUE]],
            [CANCEL, number, 1, LOCK, b"lock"],
            [ABANDON, number, 1, [[1, LOCK, b"lock"]]],
            [CLOSE, number],
        )
    ]


@pytest.mark.parametrize("proof", PROOFS)
async def test_a_stranger_gets_at_no_session(proof: bytes) -> None:
    async with (
        asyncio.timeout(30),
        ClusteredActorSystem(name="shop", host=HOST, port=0, config=SETTINGS) as system,
    ):
        port = system._node.address.port
        async with ClusterClient(contact_points=[(HOST, port)], system_name="shop") as client:
            await client.ready()
            d = client.distributed()
            lock, queue, counter = d.lock("lock"), d.queue[str]("queue"), d.counter("counter")
            await lock.acquire()
            await queue.enqueue("secret")
            assert await queue.dequeue() == "secret"
            assert await counter.increment() == 1
            link = await HandMade.to(port, "shop")
            epoch = (await link.topology())[6][0][0]
            read = pack([LOCK, b"lock", [HOLDER]])
            token = (await link.ask([[1, 0, epoch, OP_READ, read, b""]]))[1][1]
            assert token == lock.token
            entries = guesses(token)
            rows = [[at, 0, epoch, OP_WRITE, pack(entry), proof] for at, entry in enumerate(entries)]
            assert set(map(tuple, (await link.ask(rows)).values())) == {(EXPIRED,)}
            heartbeats = [[0, epoch, number, [], [], [[1, LOCK, b"lock"]], 1, proof] for number in NUMBERS]
            rows = [[at, 0, epoch, OP_KEEPALIVE, pack(row), b""] for at, row in enumerate(heartbeats)]
            assert {reply[1][1] for reply in (await link.ask(rows)).values()} == {EXPIRED}
            link.send(frames.KEEPALIVE, [7, heartbeats])
            answered: Any = unpack(await link.next(frames.KEEPALIVE_ACK))
            assert {row[1] for row in answered[1]} == {EXPIRED}
            assert lock.held
            assert not await d.lock("lock").try_acquire()
            assert await counter.increment() == 2
            assert await lock.release()
            link.close()
