"""Over real sockets: what a client may ask of structures, written by hand as no client of ours would write it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from casty import ClusterClient, ClusteredActorSystem, Settings
from casty.cluster.slots.feed import ASKED_BYTES, MAX_ASKED_BYTES_OF_LINK, MAX_WATCHES_OF_LINK
from casty.cluster.slots.operations import OP_READ, OP_WRITE
from casty.cluster.slots.schema import COMMAND, EXPIRE, LAPSE, OPEN, OPEN_FOR, PAY
from casty.distributed.machines import election, lock, semaphore
from casty.distributed.machines.base import (
    BAD,
    ELECTION,
    EVENTS,
    LOCK,
    MAP,
    MISMATCH,
    OK,
    OVERLOADED,
    QUEUE,
    RESIZE,
    SEMAPHORE,
)
from casty.distributed.machines.queue_shapes import ACK, NACK, RESERVE
from casty.distributed.machines.watching import ALL, NOTHING, WATCH
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.cluster.hand_made import HOST, HandMade

SETTINGS = Settings(founding_listen_s=0.05, slots=1)
MINE = b"sixteen bytes it"
LARGE = b"n" * 1_000_000
FLOOD = 5_000


class Cluster(NamedTuple):
    """A node, an honest client, and a link by hand with a session of its own."""

    system: ClusteredActorSystem
    client: ClusterClient
    link: HandMade
    epoch: int
    session: int

    async def write(self, *entries: list[Any]) -> list[list[Any]]:
        rows = [[at, 0, self.epoch, OP_WRITE, pack(entry), MINE] for at, entry in enumerate(entries)]
        replies = await self.link.ask(rows)
        return [replies[at] for at in range(len(entries))]

    async def command(self, seq: int, kind: int, name: bytes, *command: Any) -> list[Any]:
        entry = [COMMAND, self.session, seq, 0, 0, kind, name, list(command)]
        return (await self.write(entry))[0]


@asynccontextmanager
async def attacked() -> AsyncGenerator[Cluster]:
    async with (
        asyncio.timeout(60),
        ClusteredActorSystem(name="shop", host=HOST, port=0, config=SETTINGS) as system,
        ClusterClient(contact_points=[(HOST, system._node.address.port)], system_name="shop") as client,
    ):
        await client.ready()
        link = await HandMade.to(system._node.address.port, "shop")
        epoch = (await link.topology())[6][0][0]
        opened = await link.ask([[0, 0, epoch, OP_WRITE, pack([OPEN, MINE, b"by-hand"]), MINE]])
        yield Cluster(system, client, link, epoch, opened[0][1])
        assert await client.distributed().counter("honest").increment() == 1, "the slot is still led"
        link.close()


async def test_a_session_lives_as_long_as_founders_allow() -> None:
    async with attacked() as cluster:
        asked = [0, -1, 2**63, 1.5, 1e308, math.nan, "15", None]
        replies = await cluster.write(*([OPEN_FOR, b"p%d" % at, b"g", ttl] for at, ttl in enumerate(asked)))
        assert [reply[0] for reply in replies] == [BAD] * len(asked)
        (long,) = await cluster.write([OPEN_FOR, b"long", b"g", 2**63 - 1])
        assert long[0] == MISMATCH


@pytest.mark.parametrize("ttl_s", [-1.0, 0.0, math.nan, math.inf, 1e308])
async def test_a_client_says_at_once_which_time_to_live_it_may_not_ask_for(ttl_s: float) -> None:
    with pytest.raises(ValueError, match="session_ttl_s"):
        ClusterClient(contact_points=[(HOST, 1)], system_name="shop", session_ttl_s=ttl_s)


async def test_a_reservation_is_its_owners() -> None:
    async with attacked() as cluster:
        queue = cluster.client.distributed().queue[str]("jobs")
        await queue.enqueue("job")
        reserved = await queue.reserve(visibility_s=30)
        assert reserved is not None and reserved.item == "job"
        for seq, operation in enumerate((ACK, NACK) * 20, 1):
            assert await cluster.command(seq, QUEUE, b"jobs", operation, seq // 2) == [OK, False]
        assert await reserved.ack()
        assert await queue.size() == 0


async def test_what_may_be_asked_of_structures_has_bounds() -> None:
    async with attacked() as cluster:
        wrong: list[tuple[int, list[Any]]] = [
            *((QUEUE, [RESERVE, visibility, False, None, None]) for visibility in (0, -5, 2**63, 1e9, None)),
            *((SEMAPHORE, [RESIZE, 3, permits]) for permits in (0, -3, 2**63, 1.0)),
            (ELECTION, [election.CAMPAIGN, LARGE[:256]]),
            (ELECTION, [election.CAMPAIGN, LARGE[:900_000]]),
            (EVENTS, [1, b"writer"]),
        ]
        for seq, (kind, command) in enumerate(wrong, 1):
            reply = await cluster.command(seq, kind, b"name", *command)
            assert reply[0] == BAD, command
            assert len(pack(reply)) < 1_000
        assert (await cluster.command(99, SEMAPHORE, b"name", semaphore.ACQUIRE, 3, 1))[0] == OK
        only_leaders = [[EXPIRE, 1], [LAPSE, 2**60, [b"k"]], [PAY, LOCK, b"name"]]
        assert [reply[0] for reply in await cluster.write(*only_leaders)] == [BAD] * 3


async def test_a_keep_alive_that_misnames_what_is_held_stops_no_replica() -> None:
    async with attacked() as cluster:
        assert (await cluster.command(1, LOCK, b"mine", lock.ACQUIRE))[0] == OK
        row = [0, cluster.epoch, cluster.session, [], [[1, QUEUE, b"mine"]], [], 0, MINE]
        cluster.link.send(frames.KEEPALIVE, [7, [row]])
        answer: Any = unpack(await cluster.link.next(frames.KEEPALIVE_ACK))
        assert answer[1][0][:4] == [0, OK, [], []]


@pytest.mark.parametrize("kind", [frames.COMMAND, frames.BACKUP, frames.SALVAGE])
async def test_an_operators_commands_are_no_clients(kind: int) -> None:
    async with attacked() as cluster:
        cluster.link.send(kind, 0)
        await cluster.link.drain()


@pytest.mark.slow
async def test_a_flood_of_watches_waits_within_bounds_and_goes_with_its_link() -> None:
    async with attacked() as cluster:
        maps = cluster.system._node.requests.slots[0].maps
        begun = await cluster.link.ask([_watch(cluster, 0, b"n", [b"", 0, NOTHING, b""])])
        cursor = begun[0][1][0]
        assert cursor[2] == ALL
        answered = refused = 0
        for first in range(0, FLOOD, 1_000):
            cluster.link.send(
                frames.REQUEST, [_watch(cluster, 1 + first + at, b"n", cursor) for at in range(1_000)]
            )
            while answered < first:  # all but those that may wait; after 20 s they hear that nothing happened
                answers: Any = unpack(await cluster.link.next(frames.REPLY))
                assert {reply[0] for _, reply in answers} <= {OK, OVERLOADED}
                answered += len(answers)
                refused += sum(reply[0] == OVERLOADED for _, reply in answers)
        assert refused > FLOOD // 2
        assert maps.size_bytes <= MAX_WATCHES_OF_LINK * (ASKED_BYTES + 100)
        other = await HandMade.to(cluster.system._node.address.port, "shop", "another")
        for at in range(9):
            other.send(frames.REQUEST, [_watch(cluster, at, LARGE[:900_000], cursor)])
        answers = unpack(await other.next(frames.REPLY))
        assert {reply[0] for _, reply in answers} == {OVERLOADED}
        assert maps.size_bytes < 3 * MAX_ASKED_BYTES_OF_LINK
        table = cluster.client.distributed().map[str, int]("honest")
        await table.put("k", 1)
        for link in (cluster.link, other):
            link.close()
        while maps.size_bytes > ASKED_BYTES:  # the change is remembered for a while, no question is
            await asyncio.sleep(0.01)


def _watch(cluster: Cluster, call: int, prefix: bytes, cursor: list[Any]) -> list[Any]:
    return [call, 0, cluster.epoch, OP_READ, pack([MAP, prefix, [WATCH, *cursor, 2**40]]), b""]
