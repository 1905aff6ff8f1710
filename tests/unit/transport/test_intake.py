"""What one link may cost a turn: shares go round, members go first, and a link with work left is not read."""

from __future__ import annotations

import asyncio

import pytest

from casty.address import NodeAddress
from casty.config import SECOND_NS, Settings
from casty.errors import MessageTooLarge
from casty.ports import LinkHandler
from casty.transport.acceptor import Acceptor
from casty.transport.connection import Connection
from casty.transport.intake import CLIENT, FLOOD_NS, FULL_BYTES, TURN_NS, WINDOW_NS, Intake, Share
from casty.transport.link_watch import MISSED_PINGS
from casty.transport.output_batch import OutputBatch
from casty.wire import frames
from casty.wire.framing import APART_BYTES, frame
from casty.wire.hello import Hello
from tests.kit.clock import ManualClock, settle
from tests.kit.ports import PipeLink, Ports

SETTINGS = Settings()


class Worker:
    """Has so many shares of work; each takes so long."""

    def __init__(self, name: str, shares: int, clock: ManualClock, takes_ns: int, order: list[str]) -> None:
        self.name = name
        self.shares = shares
        self.clock = clock
        self.takes_ns = takes_ns
        self.order = order
        self.intake: Intake[Worker]

    def work(self) -> None:
        self.order.append(self.name)
        self.clock.skip_to(self.clock.now() + self.takes_ns)
        self.intake.spent(self.takes_ns, self)
        self.shares -= 1
        if self.shares:
            self.intake.wait(self)


class Row:
    """An intake and its workers."""

    def __init__(self) -> None:
        self.clock = ManualClock(0)
        self.order: list[str] = []
        self.intake: Intake[Worker] = Intake(self.clock, lambda link: link.name == "member")

    def worker(self, name: str, shares: int, takes_ns: int = 0) -> Worker:
        worker = Worker(name, shares, self.clock, takes_ns, self.order)
        worker.intake = self.intake
        self.intake.wait(worker)
        return worker


async def test_links_take_turns_and_members_go_first() -> None:
    row = Row()
    for name, shares in (("a", 3), ("b", 1), ("member", 2)):
        row.worker(name, shares)
    for expected in (["member", "a", "b"], ["member", "a"], ["a"]):
        row.order.clear()
        await asyncio.sleep(0)
        assert row.order == expected
    assert (row.intake.waiting, row.intake.shares) == (0, 6)


async def test_a_turn_of_the_loop_ends_when_its_time_is_up_and_the_others_come_first_in_the_next() -> None:
    row = Row()
    for name in "abc":
        row.worker(name, 2, TURN_NS // 2)
    await asyncio.sleep(0)
    assert row.order == ["a", "b"]
    await asyncio.sleep(0)
    assert row.order == ["a", "b", "c", "a"]


async def test_a_member_does_not_wait_for_time_that_clients_took() -> None:
    row = Row()
    client, member = row.worker("a", 1), row.worker("member", 1)
    assert row.intake.has_time(client)
    row.intake.spent(TURN_NS, client)
    assert not row.intake.has_time(client) and row.intake.has_time(member)
    await asyncio.sleep(0)
    assert row.intake.has_time(client), "that turn of the loop is over"


async def test_who_is_gone_gets_no_share() -> None:
    row = Row()
    row.intake.forget(row.worker("a", 1))
    await asyncio.sleep(0)
    assert row.order == []


def windows(share: Share, now_ns: int, unit_ns: int, busy: float, others: int = 1) -> int:
    """Let a link take a part of the time for some windows, with others served in between; return when that is."""
    until_ns = now_ns + 4 * WINDOW_NS
    while now_ns < until_ns:
        took_ns = share.units * unit_ns
        now_ns += int(took_ns / busy)
        share.served(share.units, took_ns, now_ns, others * now_ns // WINDOW_NS)
    return now_ns


def test_who_floods_among_others_has_shares_that_take_a_quarter_of_their_time() -> None:
    share, unit_ns = Share(), 50_000
    now_ns = windows(share, 0, unit_ns, 0.9)
    assert share.units == FLOOD_NS // unit_ns
    now_ns = windows(share, now_ns, 1_000, 0.9)
    assert share.units == CLIENT.units, "what costs little fits as it is"
    now_ns = windows(share, now_ns, 10 * FLOOD_NS, 0.9)
    assert share.units == 1
    now_ns = windows(share, now_ns, unit_ns, 0.4)
    assert share.is_small, "it takes less since it may take less"
    windows(share, now_ns, unit_ns, 0.1)
    assert not share.is_small, "it floods no more"


def test_who_is_alone_or_takes_less_than_half_keeps_its_share() -> None:
    alone, moderate = Share(), Share()
    windows(alone, 0, 50_000, 0.9, others=0)
    windows(moderate, 0, 50_000, 0.4)
    assert not alone.is_small and not moderate.is_small


async def test_changes_count_how_often_another_link_is_served() -> None:
    row = Row()
    first, second = row.worker("a", 1), row.worker("b", 1)
    for link in (first, first, second, second, first):
        row.intake.spent(1, link)
    assert row.intake.changes == 3
    row.intake.forget(first)
    row.intake.spent(1, first)
    assert row.intake.changes == 4, "nothing is kept of a link that is over"
    await asyncio.sleep(0)


class Side:
    """A node with one link that a client, or another node, made by hand."""

    def __init__(self, role: str = "client") -> None:
        self.ports = Ports(ManualClock(0))
        self.bodies: list[bytes] = []
        self.closed: list[str] = []
        self.answer = b""
        self.takes_ns = 0
        """How long each frame takes."""
        self.connection: Connection | None = None
        output = OutputBatch(self.ports.runtime)
        self.acceptor = Acceptor(self.ports.runtime, self.hello, SETTINGS, self, output)
        self.link = PipeLink()
        self.handler: LinkHandler = self.acceptor._on_link(self.link)
        hello = Hello.of_client(cluster="shop", client_id="c", incarnation="1", address=NodeAddress("x", 1))
        self.handler.data_received(frame(frames.HELLO, hello._replace(role=role).encode()))
        assert self.connection is not None

    def opened(self) -> Connection:
        """Return the connection."""
        assert self.connection is not None
        return self.connection

    def hello(self) -> Hello:
        return Hello.of_node(
            cluster="shop", node_id="a", incarnation="1", address=NodeAddress("y", 1), settings=SETTINGS
        )

    def on_open(self, connection: Connection) -> None:
        self.connection = connection

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        self.bodies.append(body)
        self.ports.clock.skip_to(self.ports.clock.now() + self.takes_ns)
        if self.answer:
            connection.send(kind, self.answer)

    def on_closed(self, connection: Connection, reason: str) -> None:
        self.closed.append(reason)


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def flood(count: int) -> bytes:
    return b"".join(frame(frames.REQUEST, body) for body in numbers(count))


async def test_a_turn_serves_so_many_frames_and_the_link_is_read_again_when_all_are() -> None:
    side, count = Side(), 3 * CLIENT.units
    side.handler.data_received(flood(count))
    assert side.bodies == numbers(CLIENT.units)
    assert side.link.is_paused
    side.handler.data_received(frame(frames.REQUEST, b"last"))  # what was on its way already
    await asyncio.sleep(0)
    assert len(side.bodies) == 2 * CLIENT.units
    while side.link.is_paused:
        await asyncio.sleep(0)
    assert side.bodies == [*numbers(count), b"last"]
    assert side.acceptor.intake.waiting == 0 and side.acceptor.inbound.total_bytes == 0
    side.handler.data_received(frame(frames.REQUEST, b"x"))
    assert side.bodies[-1] == b"x", "who sends little is served at once"


async def test_what_waits_counts_as_input_and_goes_with_the_link() -> None:
    side, data = Side(), flood(2 * CLIENT.units)
    side.handler.data_received(data)
    assert side.acceptor.inbound.total_bytes == len(data)
    assert side.connection is not None
    side.connection.abort("enough")
    assert side.acceptor.inbound.total_bytes == 0
    await asyncio.sleep(0)
    assert len(side.bodies) == CLIENT.units


async def test_answers_are_a_part_of_the_budget() -> None:
    side = Side()
    side.answer = b"x" * (CLIENT.answer_bytes // 4)
    side.handler.data_received(flood(20))
    assert len(side.bodies) == 4


async def test_what_is_long_is_handed_over_as_it_is_and_what_is_short_joined() -> None:
    side = Side()
    connection = side.opened()
    long, before = b"x" * APART_BYTES, len(side.link.writes)
    for body, tail in ((b"a", b""), (b"b", long), (b"c", b""), (b"d", b"")):
        assert connection.send(frames.REPLY, body, tail)
    connection.flush()
    first, second, third = side.link.writes[before:]
    assert second is long
    assert b"".join((first, second, third)) == b"".join(
        frame(frames.REPLY, body) for body in (b"a", b"b" + long, b"c", b"d")
    )
    assert connection.buffered_bytes == side.link.buffered_bytes
    assert connection.send(frames.REPLY, b"e")
    connection.flush()
    assert side.link.writes[-1] == frame(frames.REPLY, b"e")
    with pytest.raises(MessageTooLarge, match="expected a frame below"):
        connection.send(frames.REPLY, b"", b"x" * connection.max_frame_bytes)


async def test_what_a_turn_has_staged_counts_as_answers_that_wait() -> None:
    side = Side()
    connection = side.opened()
    connection.send(frames.REPLY, b"x" * CLIENT.answer_bytes)
    assert not connection.has_room()
    connection.flush()
    assert connection.has_room()
    member = Side("node").opened()
    assert member.send(frames.REPLY, b"x" * CLIENT.answer_bytes)


async def test_a_link_that_floods_is_served_less_at_once_while_others_are_there() -> None:
    side, unit_ns = Side(), FLOOD_NS // 8
    side.takes_ns = unit_ns
    intake, connection = side.acceptor.intake, side.opened()
    side.handler.data_received(flood(40 * CLIENT.units))
    took = list[int]()
    while intake.waiting:
        before = len(side.bodies)
        await asyncio.sleep(0)
        took.append(len(side.bodies) - before)
        intake.changes += 1  # somebody else was served
    assert took[0] > 8 and connection.share.is_small
    assert max(took[-10:-1]) <= 8
    assert side.bodies == numbers(40 * CLIENT.units), "all of it is served, in order"


async def test_who_does_not_read_its_answers_is_not_read_and_goes_on_when_it_does() -> None:
    side = Side()
    side.link.buffered_bytes = FULL_BYTES + 1
    side.answer = b"x"
    side.handler.data_received(flood(2))
    assert side.link.is_paused
    served = len(side.bodies)
    side.handler.data_received(flood(2))
    await settle(5)
    assert len(side.bodies) == served
    side.link.drain()
    await asyncio.sleep(0)
    assert len(side.bodies) == 4 and not side.link.is_paused


@pytest.mark.parametrize("is_slow", [True, False])
async def test_a_link_that_is_not_read_is_half_open_when_it_takes_nothing_either(is_slow: bool) -> None:
    side = Side()
    side.link.buffered_bytes = FULL_BYTES + 1
    side.answer = b"x" * 100_000
    side.handler.data_received(flood(1))
    assert side.link.is_paused
    tick_ns = int(SETTINGS.unreachable_after_s * SECOND_NS) // MISSED_PINGS + 1
    for tick in range(1, 3 * MISSED_PINGS):
        side.link.buffered_bytes -= 10_000 if is_slow else 0
        side.ports.clock.advance_to(tick * tick_ns)
    await asyncio.sleep(0)
    assert (side.closed == []) is is_slow


async def test_what_is_passed_on_leaves_room_for_what_nodes_say_to_each_other() -> None:
    side = Side("node")
    connection = side.connection
    assert connection is not None
    side.link.buffered_bytes = SETTINGS.max_outbound_bytes * 7 // 8
    assert connection.send(frames.CONSENSUS, b"x")
    connection.flush()
    assert not connection.send(frames.RELAY, b"x")
    assert connection.send(frames.CONSENSUS, b"x")
    side.link.buffered_bytes = SETTINGS.max_outbound_bytes // 2
    assert connection.send(frames.RELAY, b"x")
