"""Very many calls at once: no frame has more than a turn's fill of them, and none is lost."""

from __future__ import annotations

import asyncio
from typing import Any

from casty.cluster.node.replies import LinkReplySink
from casty.cluster.sessions.core.effects import Item
from casty.cluster.sessions.gateway import SCANNED_AT_ONCE
from casty.cluster.sessions.outbox import Outgoing
from casty.cluster.slots.operations import AT_ONCE
from casty.wire import frames
from casty.wire.pack import unpack
from tests.unit.cluster.replica_calls import opened
from tests.unit.cluster.replica_world import ReplicaWorld


class Way:
    """Routes and link: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[Any]]] = []

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        assert kind == frames.REQUEST
        items: Any = unpack(body)
        self.sent.append((node_id, items))
        return True


class Answered:
    """A link that takes replies."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []

    def send(self, kind: int, body: bytes, tail: bytes = b"") -> bool:
        assert kind == frames.REPLY
        items: Any = unpack(body + tail)
        self.sent.append(items)
        return True

    def has_room(self, more_bytes: int = 0) -> bool:
        return True

    def close(self, reason: str) -> None:
        raise AssertionError(reason)


async def test_requests_leave_in_order_a_turn_s_fill_at_a_time() -> None:
    way: Any = Way()
    outgoing = Outgoing(way, lambda node_id, call_id: None, lambda call_id, error: None, None)
    for number in range(3 * AT_ONCE):
        item: Item = (number, 0, 1, 1, b"", b"")
        outgoing.add(("a", item))
    outgoing.add(("b", (-1, 0, 1, 1, b"", b"")))
    await asyncio.sleep(0)
    assert [(node_id, len(items)) for node_id, items in way.sent] == [("a", AT_ONCE), ("b", 1)]
    while len(way.sent) < 4:
        before = len(way.sent)
        await asyncio.sleep(0)
        assert len(way.sent) <= before + 1
    assert [row[0] for node_id, items in way.sent for row in items if node_id == "a"] == list(
        range(3 * AT_ONCE)
    )


def test_replies_of_one_turn_leave_in_frames_of_a_turn_s_fill() -> None:
    link = Answered()
    dirty: list[Any] = []
    answers = LinkReplySink(link, dirty)
    for number in range(2 * AT_ONCE + 1):
        answers.add(number, [0])
    assert dirty == [answers]
    answers.flush()
    assert [len(items) for items in link.sent] == [AT_ONCE, AT_ONCE, 1]
    assert [row[0] for items in link.sent for row in items] == list(range(2 * AT_ONCE + 1))


async def test_a_scan_asks_a_few_slots_at_a_time(monkeypatch: Any) -> None:
    world = ReplicaWorld()
    client = await opened(world)
    asked, most = [0], [0]

    async def slow(slot: int, *rest: Any) -> None:
        asked[0] += 1
        most[0] = max(most[0], asked[0])
        await asyncio.sleep(0)
        asked[0] -= 1
        slots.append(slot)

    slots: list[int] = []
    topology: Any = client.topology()
    many = type("Many", (), {"slots": topology.slots * 11, "shared_slots": 11 * len(topology.slots)})()
    monkeypatch.setattr(client, "topology", lambda: many)
    monkeypatch.setattr(client.gateway, "_scan_slot", slow)
    await client.gateway.scan(1, b"", timeout_s=1.0)
    assert slots == list(range(11 * len(topology.slots))) and most == [SCANNED_AT_ONCE]
