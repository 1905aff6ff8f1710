"""Dialling: back-off, deadlines, address map, and what a peer remembers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.address import NodeAddress
from casty.config import SECOND_NS, Settings
from casty.transport.connection import Connection
from casty.transport.link_watch import MISSED_PINGS
from casty.transport.output_batch import OutputBatch
from casty.transport.peers import Peer, Peers
from casty.wire import frames
from casty.wire.framing import FrameBuffer, frame
from casty.wire.hello import Hello, Refusal, Welcome
from casty.wire.pack import pack
from tests.kit.clock import ManualClock, settle
from tests.kit.entropy import CountedEntropy, highest
from tests.kit.ports import Ports

SETTINGS = Settings()


def hello(node_id: str) -> Hello:
    return Hello.of_node(
        cluster="shop", node_id=node_id, incarnation="1", address=NodeAddress(node_id, 1), settings=SETTINGS
    )


class Handler:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.connections: list[Connection] = []

    def on_open(self, connection: Connection) -> None:
        self.log.append(f"open {connection.remote.node_id}")
        self.connections.append(connection)

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        self.log.append(f"frame {kind}")
        if kind == 99:
            raise KeyError("a bug of ours")

    def on_closed(self, connection: Connection, reason: str) -> None:
        self.log.append(f"closed {reason}")


class RunRecorder:
    """One process that dials, with every door in the test's hand."""

    def __init__(self) -> None:
        self.ports = Ports(ManualClock(0), CountedEntropy(highest))
        self.handler = Handler()
        self.output = OutputBatch(self.ports.runtime)
        self.mapped: list[tuple[str, int]] = []
        self.peers = Peers(
            self.ports.runtime, lambda: hello("me"), SETTINGS, self.handler, self.output, None, self.map
        )

    def map(self, address: tuple[str, int]) -> tuple[str, int]:
        self.mapped.append(address)
        return ("tunnel", address[1] + 1000)

    def want(self) -> Peer:
        return self.peers.want("a", NodeAddress("a", 1))


WELCOME = frame(frames.WELCOME, Welcome(1, hello("a"), {"ttl": 15}).encode())


async def test_failed_dials_back_off_with_jitter_up_to_half_a_second() -> None:
    recorder = RunRecorder()
    peer = recorder.want()
    delays = []
    for _ in range(6):
        await settle()
        recorder.ports.transport.dials[-1][2].set_exception(OSError("connection refused"))
        await settle()
        [when_ns] = recorder.ports.clock.due()
        delays.append(round((when_ns - recorder.ports.clock.now_ns) / 1e6))
        recorder.ports.clock.advance_to(when_ns)
    assert delays == [50, 100, 200, 400, 500, 500]
    assert peer.last_error == "connection refused"
    assert peer.last_refusal is None
    recorder.peers.close()
    await settle()
    assert recorder.ports.clock.due() == []


async def test_a_dial_that_hangs_is_given_up_after_a_second() -> None:
    recorder = RunRecorder()
    peer = recorder.want()
    await settle()
    assert recorder.ports.clock.due() == [SECOND_NS]
    recorder.ports.clock.advance_to(SECOND_NS)
    await settle()
    assert "no answer within 1.0 s" in str(peer.last_error)
    assert len(recorder.ports.clock.due()) == 1
    recorder.peers.close()


async def test_the_address_map_is_applied_at_every_dial() -> None:
    recorder = RunRecorder()
    peer = recorder.want()
    await settle()
    assert recorder.ports.transport.dials[-1][0] == ("tunnel", 1001)
    peer.address = ("b", 2)
    recorder.ports.clock.advance_to(SECOND_NS)
    await settle()
    recorder.ports.clock.advance_to(recorder.ports.clock.due()[0])
    await settle()
    assert recorder.ports.transport.dials[-1][0] == ("tunnel", 1002)
    assert recorder.mapped[0] == ("a", 1)
    assert recorder.mapped[-1] == ("b", 2)
    recorder.peers.close()


async def test_hello_welcome_and_the_life_of_a_link() -> None:
    recorder = RunRecorder()
    peer = recorder.want()
    await settle()
    link, connection = recorder.ports.transport.answer()
    await settle()
    [(kind, body)] = FrameBuffer(4096).feed(link.writes[0])
    assert (kind, Hello.decode(body)) == (frames.HELLO, hello("me"))
    connection.data_received(WELCOME[:7])
    connection.data_received(WELCOME[7:] + frame(40, b"x"))
    assert recorder.handler.log == ["open a", "frame 40"]
    assert peer.connection is connection
    connection.link_lost(ConnectionResetError("reset"))
    assert recorder.handler.log[-1] == "closed link lost: reset"
    assert (peer.connection, peer.last_error) == (None, "link lost: reset")
    assert len(recorder.ports.clock.due()) == 1
    recorder.peers.close()


async def test_a_refusal_is_remembered_until_a_welcome() -> None:
    recorder = RunRecorder()
    peer = recorder.want()
    await settle()
    _, connection = recorder.ports.transport.answer()
    await settle()
    connection.data_received(frame(frames.REFUSED, Refusal("cluster", "wrong cluster name").encode()))
    await settle()
    connection.link_lost(None)
    assert peer.last_refusal == "wrong cluster name"
    assert recorder.handler.log == []
    recorder.ports.clock.advance_to(SECOND_NS)
    await settle()
    _, connection = recorder.ports.transport.answer()
    await settle()
    connection.data_received(WELCOME)
    assert peer.last_refusal is None
    recorder.peers.close()


async def test_a_link_lost_during_its_dial_is_dialled_again() -> None:
    recorder = RunRecorder()
    recorder.want()
    await settle()
    _, connection = recorder.ports.transport.answer()
    connection.link_lost(None)
    await settle()
    assert len(recorder.ports.clock.due()) == 1
    recorder.peers.close()


async def test_dropping_during_a_dial_closes_what_comes_of_it() -> None:
    recorder = RunRecorder()
    recorder.want()
    await settle()
    link, _ = recorder.ports.transport.answer()
    recorder.peers.drop("a")
    await settle()
    assert link.is_closed
    assert len(recorder.peers) == 0
    recorder.peers.drop("a")


async def test_a_closed_link_that_does_not_go_is_aborted() -> None:
    recorder = RunRecorder()
    recorder.want()
    await settle()
    link, connection = recorder.ports.transport.answer()
    await settle()
    connection.data_received(WELCOME)
    recorder.peers.close()
    await settle()
    assert (link.is_closed, link.is_aborted) == (True, False)
    assert recorder.handler.log[-1] == "closed no longer wanted"
    recorder.ports.clock.advance_to(5 * SECOND_NS)
    assert link.is_aborted


async def test_our_own_long_pause_is_no_silence() -> None:
    recorder = RunRecorder()
    recorder.want()
    await settle()
    link, connection = recorder.ports.transport.answer()
    await settle()
    connection.data_received(WELCOME)
    step_ns = int(SETTINGS.unreachable_after_s / MISSED_PINGS * SECOND_NS)
    # One tick a minute late counts as one, however long ago the last byte came.
    recorder.ports.clock.skip(60)
    recorder.ports.clock.advance_to(recorder.ports.clock.now_ns)
    assert recorder.handler.connections[0].is_open
    for _ in range(MISSED_PINGS - 1):
        recorder.ports.clock.advance_to(recorder.ports.clock.now_ns + step_ns)
    assert recorder.handler.connections[0].is_open
    recorder.ports.clock.advance_to(recorder.ports.clock.now_ns + step_ns)
    assert "half-open" in str(recorder.handler.connections[0].closed_reason)
    assert link.is_aborted
    recorder.peers.close()


async def test_a_bug_in_a_handler_is_reported_and_ends_that_link() -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    recorder = RunRecorder()
    recorder.want()
    await settle()
    link, connection = recorder.ports.transport.answer()
    await settle()
    connection.data_received(WELCOME + frame(99, b"") + frame(40, b""))
    await settle()
    assert isinstance(reported[0]["exception"], KeyError)
    assert link.is_closed
    assert recorder.handler.log == ["open a", "frame 99", "closed internal error: KeyError('a bug of ours')"]
    recorder.peers.close()


async def test_messages_are_counted_at_both_ends_and_confirmed_once_a_look() -> None:
    recorder = RunRecorder()
    recorder.want()
    await settle()
    link, linked = recorder.ports.transport.answer()
    await settle()
    linked.data_received(WELCOME)
    connection = recorder.handler.connections[0]
    for kind in (frames.ACTOR, frames.RELAY, frames.ENTITY, frames.ENTITY_REFUSED, frames.REQUEST):
        connection.send(kind, b"")
        linked.data_received(frame(kind, b""))
    assert (connection.messages_out, connection.messages_in, connection.confirmed) == (3, 3, 0)
    linked.data_received(frame(frames.TAKEN, pack(2)))
    assert connection.confirmed == 2
    tick_ns = int(SETTINGS.unreachable_after_s * SECOND_NS) // MISSED_PINGS + 1
    for _ in range(2):
        recorder.ports.clock.advance_to(recorder.ports.clock.now_ns + tick_ns)
        await settle()
    sent = b"".join(link.writes)
    assert sent.count(frame(frames.TAKEN, pack(3))) == 1
    recorder.peers.close()


@pytest.mark.parametrize("count", [4, -1, "x", True, 1])
async def test_who_confirms_what_was_not_sent_ends_its_link(count: Any) -> None:
    recorder = RunRecorder()
    recorder.want()
    await settle()
    _, linked = recorder.ports.transport.answer()
    await settle()
    linked.data_received(WELCOME)
    connection = recorder.handler.connections[0]
    for _ in range(3):
        connection.send(frames.ACTOR, b"")
    linked.data_received(frame(frames.TAKEN, pack(2)))
    linked.data_received(frame(frames.TAKEN, pack(count)))
    assert connection.confirmed == 2
    assert "taken: expected 2 to 3 messages" in str(connection.closed_reason)
    recorder.peers.close()
