"""What one process may fill and make work: each safeguard of the parts of a node, without a network."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from casty.actor.ref import RemoteActorRef
from casty.actor.services import Subscribe
from casty.actor.shares import ROW_BYTES
from casty.actor.watch_protocol import WATCH
from casty.address import ActorAddress
from casty.cluster.actors import receptionist as services
from casty.cluster.actors import region_router, remote
from casty.cluster.actors.remote import WATCHES
from casty.cluster.authority import CLIENT, Speaker
from casty.cluster.multiraft.proposals import OK
from casty.cluster.node.replies import FRAME_BYTES, LinkReplySink
from casty.cluster.node.status import KEPT_NS, StatusReplies
from casty.errors import RemoteProtocolError
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.clock import ManualClock, settle
from tests.unit.cluster.actors.test_services import PRINTER, Registry
from tests.unit.cluster.region_world import Process, RegionWorld, counter


def speaker(role: int, name: str = "c") -> Speaker:
    return Speaker(role, f"{name}#1", lambda node_id: node_id in ("a", "b"))


def actor(path: str, payload: bytes, number: int = 1, sender: Any = None) -> bytes:
    return pack(["a", path, "c#1", number, sender, payload])


async def test_a_long_message_for_nobody_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = RegionWorld(("a",), ("c",))
    node = world.processes["a"]
    node.local.spawn(counter("x"), "x")
    long = pack([0, *["y" * 50] * 10])
    decoded: list[bytes] = []
    right = node.remote.decode
    monkeypatch.setattr(node.remote, "decode", lambda data: (decoded.append(data), right(data))[1])
    monkeypatch.setattr(remote, "UNREAD_BYTES", 100)
    for number, path in enumerate(("/nobody", "/$registrar", "/$ask/7"), 1):
        node.remote.on_actor("a", actor(path, long, number), speaker(CLIENT))
    assert decoded == [] and len(node.letters) == 3
    node.remote.on_actor("a", actor("/nobody", b"\x01", 4), speaker(CLIENT))
    node.remote.on_actor("a", actor("/x", long, 5), speaker(CLIENT))
    assert decoded == [b"\x01", long]
    node.remote.on_actor("a", actor("/x", b"\xc4" + b"x" * 2000, 6), speaker(CLIENT))
    assert len(decoded) == 2, "longer than anybody may send"
    await world.close()


@pytest.mark.parametrize(
    ("number", "port"),
    [(10**5000, 1), (2**63, 1), (-1, 1), (1, 65_536), (1, 10**5000)],
    ids=["digits", "long", "low", "port", "port-digits"],
)
async def test_numbers_that_are_kept_or_shown_are_short(number: int, port: int) -> None:
    world = RegionWorld(("a",), ("c",))
    node = world.processes["a"]
    body = actor("/x", b"\x01", number, ["/y", "h", port, "c"])
    with pytest.raises(RemoteProtocolError, match="up to"):
        node.remote.on_actor("a", body, speaker(CLIENT))
    row = ["counter", 8, "e", "c#1", 10**5000, 0, None, b"\x01", "1:c"]
    with pytest.raises(RemoteProtocolError, match="from 0 to"):
        node.router.on_entity(pack(row), speaker(CLIENT))
    await world.close()


async def test_a_stranger_and_a_liar_leave_no_rows() -> None:
    world = RegionWorld(("a",), ("c",))
    node = world.processes["a"]
    node.local.spawn(counter("x"), "x")
    encode = node.remote.encode

    def ref(node_id: str | None) -> RemoteActorRef[Any]:
        made = node.local.make_ref(ActorAddress("test", "/w", "h", 1, node_id))
        assert isinstance(made, RemoteActorRef)
        return made

    def watch(source: str) -> bytes:
        return pack(["a", WATCHES, source, 0, None, pack(["", [[WATCH, 1, "/x", None, None]]])])

    table, number = node.local.watching.table, node.local.cells["x"].number
    for source in ("d#1", "c", "a#1"):
        node.remote.on_watch("a", watch(source), speaker(CLIENT))
    node.remote.on_actor(
        "a", actor("/$receptionist", encode(Subscribe(PRINTER, ref("d"))), 4), speaker(CLIENT)
    )
    assert table.watchers_of(number) == 0 and len(node.letters) == 4
    node.remote.on_watch("a", watch("c#1"), speaker(CLIENT))
    assert table.watchers_of(number) == 1
    await world.close()


async def test_subscriptions_of_one_process_are_bounded_and_go_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "MAX_SUBSCRIPTION_BYTES", 10 * ROW_BYTES)
    world = RegionWorld(("a",), ("c",))
    node = world.processes["a"]
    receptionist = Registry(world).receptionist(node)
    for number in range(50):
        away = node.local.make_ref(ActorAddress("test", f"/w{number % 2}", "z", 1, "z"))
        receptionist.ref.tell(Subscribe(type(PRINTER)(f"s{number}"), away))
        await asyncio.sleep(0)
    await settle()
    assert "MAX_SUBSCRIPTION_BYTES" in caplog.text
    assert 5 < len(receptionist._subscribers) < 10
    await world.advance(14)
    assert len(receptionist._subscribers) > 5
    await world.advance(2)
    assert receptionist._subscribers == {}
    assert receptionist._subscribed == {} and receptionist._shares.size_bytes("z") == 0
    await world.close()


def entity(process: Process, entity_id: str, source: str, number: int) -> None:
    body = pack(["counter", 8, entity_id, source, number, 0, None, b"\x01", "1:c"])
    process.router.on_entity(body, speaker(CLIENT, source.split("#")[0]))


async def test_one_process_fills_half_of_the_waiting_room() -> None:
    world = RegionWorld(("a",), ("c", "d"))
    node = world.processes["a"]
    for number in range(1, 10):
        entity(node, "e", "c#1", number)
    assert (node.router.waiting, len(node.letters)) == (2, 7)
    entity(node, "e", "d#1", 1)
    assert node.router.waiting == 3, "another one finds room"
    world.clock.advance(11)
    assert node.router.waiting == 0 and node.router._by_source == {}
    entity(node, "e", "c#1", 20)
    assert node.router.waiting == 1
    await world.close()
    assert node.router._by_source == {}


async def test_waiting_shards_are_looked_at_a_few_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_router, "RETRIED_AT_ONCE", 2)
    world = RegionWorld(("a",), ("c",))
    client = world.processes["c"]
    tried: list[tuple[str, int]] = []
    for number in range(5):
        entity(client, f"{number}", f"s{number}#1", 1)
    shards = list(client.router.waiting_by_shard)
    assert len(shards) > 2
    monkeypatch.setattr(
        client.router, "_retry_shard", lambda items: tried.append((items[0].shard_type, items[0].shard))
    )
    client.router.retry()
    assert tried == shards[:2]
    client.router.retry()  # news amid the round: all of them are looked at once more
    assert tried == shards[:2]
    world.clock.advance(0.001)
    assert tried == shards * 2
    await world.close()


class Link:
    """Has room for so many bytes until it is drained."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.sent: list[Any] = []
        self.largest = 0
        self.rest: list[Any] = []

    def send(self, kind: int, body: bytes, tail: bytes = b"") -> bool:
        assert kind in (frames.REPLY, frames.STATUS_REPLY)
        body += tail
        self.room_bytes -= len(body)
        self.largest = max(self.largest, len(body))
        self.sent.append(unpack(body) if kind == frames.REPLY else body)
        return True

    def close(self, reason: str) -> None:
        raise AssertionError(reason)

    def has_room(self, more_bytes: int = 0) -> bool:
        return self.room_bytes > 0

    def charge(self, units: int) -> None:
        assert units >= 0

    def defer(self, rest: Any) -> None:
        self.rest.append(rest)

    def drain(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        while self.rest and self.has_room():
            if self.rest[0]():
                self.rest.pop(0)


def test_answers_are_packed_as_far_as_there_is_room_and_reads_wait_behind_them() -> None:
    link, dirty, served = Link(3 * FRAME_BYTES), list[Any](), list[int]()
    answers = LinkReplySink(link, dirty)
    value = b"v" * (FRAME_BYTES // 2)

    def serve(number: int) -> None:
        served.append(number)
        answers.add(number, [OK, value])

    for number in range(20):
        if answers.is_full:
            answers.put_off(partial(serve, number))
        else:
            serve(number)
    answers.flush()
    assert len(served) < 10 and len(link.sent) <= 4 and len(link.rest) == 1
    done = len(served)
    link.drain(2 * FRAME_BYTES)
    assert done < len(served) < 20
    while link.rest:
        link.drain(2 * FRAME_BYTES)
    assert [row[0] for rows in link.sent for row in rows] == list(range(20))
    assert link.largest < 2 * FRAME_BYTES and not answers.is_full
    answers.add(99, [OK])
    answers.flush()
    assert link.sent[-1] == [[99, [OK]]]


def test_a_large_value_goes_out_as_it_lies_there() -> None:
    link, dirty = Tails(1 << 30), list[Any]()
    answers = LinkReplySink(link, dirty)
    large, small = b"v" * 1_000_000, b"w" * 100
    for number, reply in enumerate(
        ([OK, large], [OK, small], [OK, False, large], [OK, [large]], [OK, [large], None])
    ):
        answers.add(number, list(reply))
    answers.flush()
    assert [row for rows in link.sent for row in rows] == [
        [0, [OK, large]], [1, [OK, small]], [2, [OK, False, large]], [3, [OK, [large]]], [4, [OK, [large], None]],
    ]  # fmt: skip
    assert [tail is large for tail in link.tails] == [True, False, False, False]


class Tails(Link):
    """Notes what came in a piece of its own."""

    def __init__(self, room_bytes: int) -> None:
        super().__init__(room_bytes)
        self.tails: list[bytes] = []

    def send(self, kind: int, body: bytes, tail: bytes = b"") -> bool:
        self.tails.append(tail)
        return super().send(kind, body, tail)


def test_a_status_is_made_once_for_all_who_ask_and_kept_for_a_while() -> None:
    clock, made = ManualClock(), list[int]()

    def make() -> bytes:
        made.append(clock.now())
        return b"%d" % len(made)

    answers = StatusReplies(clock, make)
    first, second = Link(1), Link(1)
    for link in (first, second, first, first):
        answers.ask(link)
    answers.flush()
    answers.flush()
    assert (first.sent, second.sent, len(made)) == ([b"1"], [b"1"], 1)
    clock.skip_to(clock.now() + KEPT_NS - 1)
    answers.ask(first)
    answers.flush()
    clock.skip_to(clock.now() + 1)
    answers.ask(first)
    answers.flush()
    assert first.sent == [b"1", b"1", b"2"]
