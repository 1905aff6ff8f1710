"""Over real sockets: one client's flood is answered within its budget, and others are served meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from casty import ClusterClient, ClusteredActorSystem, Settings
from casty.cluster.multiraft.proposals import BAD, BUSY, OK
from casty.cluster.node import openings
from casty.cluster.node.request_handler import MAX_ROWS
from casty.cluster.slots.operations import AT_ONCE, OP_READ, OP_WRITE
from casty.cluster.slots.schema import COMMAND, OPEN
from casty.distributed.machines.base import COUNTER, QUEUE
from casty.distributed.machines.counter import ADD, GET
from casty.distributed.machines.queue_shapes import PEEK
from casty.transport.intake import CLIENT, FULL_BYTES, Share
from casty.wire import frames
from casty.wire.framing import frame
from casty.wire.pack import pack, unpack
from tests.cluster.hand_made import HOST, HandMade

SETTINGS = Settings(founding_listen_s=0.05, slots=1)
LARGE = b"v" * 200_000


@asynccontextmanager
async def one_node() -> AsyncGenerator[tuple[ClusteredActorSystem, ClusterClient, HandMade, int]]:
    """Yield a node, an honest client, a link made by hand, and the epoch of the only slot."""
    async with (
        asyncio.timeout(60),
        ClusteredActorSystem(name="shop", host=HOST, port=0, config=SETTINGS) as system,
    ):
        port = system._node.address.port
        async with ClusterClient(contact_points=[(HOST, port)], system_name="shop") as client:
            await client.ready()
            link = await HandMade.to(port, "shop")
            try:
                yield system, client, link, (await link.topology())[6][0][0]
            finally:
                link.close()
                await asyncio.sleep(0)


async def answers_until_pong(link: HandMade, wanted: int) -> int:
    """Count the frames of a kind before the answer to a ping that was sent behind all questions."""
    link.send(frames.PING, None, b"")
    count = 0
    while (kind := (await link.any())[0]) != frames.PONG:
        count += kind == wanted
    return count


@pytest.mark.parametrize(
    ("asked", "answered"), [(frames.STATUS, frames.STATUS_REPLY), (frames.SUBSCRIBE, frames.TOPOLOGY)]
)
async def test_status_and_topology_are_said_once_a_turn(asked: int, answered: int) -> None:
    async with one_node() as (_, _, link, _):
        link.write(frame(asked, b"") * 10 * CLIENT.units)
        # One share more than that, where the first bytes were read alone; the handshake and topology came before.
        assert 1 <= await answers_until_pong(link, answered) <= 12


async def test_who_asks_for_more_than_it_reads_is_answered_when_it_reads() -> None:
    async with one_node() as (system, client, link, epoch):
        await client.distributed().queue[bytes]("large").enqueue(LARGE)
        read = pack([QUEUE, b"large", [PEEK]])
        link.send(frames.REQUEST, [[number, 0, epoch, OP_READ, read] for number in range(500)])
        counter = client.distributed().counter("others")
        most = put_off = 0
        for number in range(200):
            assert await counter.increment() == number + 1
            put_off = max(put_off, *(len(one._put_off) for one in system._node.requests._answers.values()))
            most = max(most, system._node.acceptor.buffered_bytes)
        assert put_off > 0, "reads are not done before their answers can leave"
        # What the sockets hold is not counted, nor does it matter: 100 MB were asked for.
        assert FULL_BYTES < most < FULL_BYTES + CLIENT.answer_bytes + 3 * len(LARGE)
        replies: dict[int, Any] = {}
        while len(replies) < 500:
            rows: Any = unpack(await link.next(frames.REPLY))
            assert len(rows) == 1 or sum(len(row[1][1]) for row in rows) < 2 * len(LARGE)
            replies.update((row[0], row[1][0]) for row in rows)
        assert set(replies.values()) == {OK} and list(replies) == list(range(500))


async def test_a_link_that_opens_sessions_without_end_is_put_off_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openings, "AT_ONCE", 20)
    monkeypatch.setattr(openings, "EACH_NS", 1_000_000_000_000)
    async with one_node() as (system, client, link, epoch):
        rows = [
            [number, 0, epoch, OP_WRITE, pack([OPEN, b"try-%d" % number, b"gate"]), b"p" * 16]
            for number in range(30)
        ]
        replies = await link.ask(rows)
        assert [replies[number][0] for number in range(30)] == [OK] * 20 + [BUSY] * 10
        machine = system._node.requests.slots[0].machine
        assert len(machine.sessions) == 20
        assert await client.distributed().counter("others").increment() == 1
        assert len(machine.sessions) == 21


async def test_a_client_that_is_put_off_opens_its_sessions_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openings, "AT_ONCE", 2)
    monkeypatch.setattr(openings, "EACH_NS", 20_000_000)
    settings = Settings(founding_listen_s=0.05, slots=8)
    async with (
        asyncio.timeout(60),
        ClusteredActorSystem(name="shop", host=HOST, port=0, config=settings) as system,
    ):
        port = system._node.address.port
        async with ClusterClient(contact_points=[(HOST, port)], system_name="shop") as client:
            counters = [client.distributed().counter(f"c-{number}", timeout=30) for number in range(40)]
            assert await asyncio.gather(*(counter.increment() for counter in counters)) == [1] * 40
            assert sum(len(slot.machine.sessions) for slot in system._node.requests.slots.values()) == 8


async def test_a_long_frame_of_requests_is_taken_in_parts() -> None:
    async with one_node() as (system, client, link, epoch):
        opened = await link.ask([[0, 0, epoch, OP_WRITE, pack([OPEN, b"try", b"gate"]), b"p" * 16]])
        session = opened[0][1]
        count = 5 * AT_ONCE
        rows = [
            [number, 0, epoch, OP_WRITE, pack([COMMAND, session, number, 1, 0, COUNTER, b"c", [ADD, 1]]), b""]
            for number in range(1, count + 1)
        ]
        shares = system._node.acceptor.intake.shares
        replies = await link.ask(rows)
        assert len(replies) == count
        assert system._node.acceptor.intake.shares >= shares + count // AT_ONCE - 1, "the first part at once"
        read = await link.ask([[0, 0, epoch, OP_READ, pack([COUNTER, b"c", [GET]])]])
        assert read[0][0] == OK
        assert await client.distributed().counter("d").increment() == 1


async def test_rows_of_a_link_that_floods_are_taken_as_its_share_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with one_node() as (system, _, link, epoch):
        requests, taken = system._node.requests, list[int]()
        rows = [[number, 0, epoch, OP_READ, pack([COUNTER, b"c", [GET]])] for number in range(12)]
        await link.ask(rows[:1])
        take = requests._take
        monkeypatch.setattr(requests, "_take", lambda *given: (taken.append(len(given[1])), take(*given))[1])
        monkeypatch.setattr(Share, "served", lambda *_: None)
        (one,) = [found for found in requests._answers if found.remote.node_id == "by-hand"]
        one.share.units = 5
        assert len(await link.ask(rows)) == 12
        assert taken == [5, 5, 2]


@pytest.mark.parametrize(
    "body",
    [
        pack([[0, 0, 1, OP_READ, b""]] * (MAX_ROWS + 1)),
        pack([[2**61 - 1 << 70, 0, 1, OP_READ, b""]]),
        pack([[True, 0, 1, OP_READ, b""]]),
    ],
    ids=["rows", "long-id", "truth"],
)
async def test_requests_that_nobody_sends_end_the_link(body: bytes) -> None:
    async with one_node() as (_, client, link, _):
        link.send(frames.REQUEST, None, body)
        with pytest.raises(asyncio.IncompleteReadError):
            await link.next(frames.REPLY)
        assert await client.distributed().counter("c").increment() == 1


@pytest.mark.parametrize("place", [1, 5, 7])
async def test_a_number_too_long_for_a_text_is_refused_and_the_slot_lives(place: int) -> None:
    async with one_node() as (system, client, link, epoch):
        entry: list[Any] = [COMMAND, 1, 1, 1, 0, COUNTER, b"c", [ADD, 1]]
        entry[place] = 10**5000 if place != 7 else [10**5000]
        reads = [
            [0, 0, epoch, OP_WRITE, pack(entry), b""],
            [1, 0, epoch, OP_READ, pack([10**5000, b"c", [1]])],
        ]
        replies = await link.ask(reads)
        assert (replies[0][0], replies[1][0]) == (BAD, BAD)
        assert len(replies[0][1]) < 500
        assert 1 in system._node.host.groups
        assert await client.distributed().counter("c").increment() == 1
