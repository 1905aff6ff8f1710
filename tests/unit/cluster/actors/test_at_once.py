"""The short ways of messages to entities: what stands in the way is found there as well as on the long one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from casty.actor.sharding import ShardEnvelope
from casty.cluster.actors.entity_message import EntityMessage
from casty.cluster.actors.region_host import RegionHost
from casty.cluster.actors.region_router import RegionRouter
from casty.errors import Mismatch
from casty.wire.codec import Codec
from casty.wire.pack import pack
from tests.kit.clock import settle
from tests.unit.cluster.region_world import MARGIN_NS, SLOTS, Add, Get, Process, RegionWorld, Stop, counter

SHARDS = 10
SECOND_NS = 1_000_000_000


class Served:
    """A node with one living entity, that counts what it is sent."""

    def __init__(self) -> None:
        self.world = RegionWorld(("a", "b"), ("c",))
        self.node: Process = self.world.processes["a"]
        assert self.node.host is not None
        self.host: RegionHost = self.node.host
        self.host.register("r", counter, SHARDS)
        self.world.lead("a")
        self.number = 0

    def send(self, *, num_shards: int = SHARDS, home: str = "1:c", payload: bytes | None = None) -> None:
        self.number += 1
        data = Codec().encode(Add(1)) if payload is None else payload
        self.node.router.on_entity(pack(["r", num_shards, "e", "x#1", self.number, 0, None, data, home]))

    async def count(self) -> int:
        ref = self.node.router.ref("r", SHARDS)
        asking = self.node.local.ask(ref, lambda reply_to: ShardEnvelope("e", Get(reply_to)), timeout=1)
        _, count = await asking
        return int(count)


async def test_a_message_for_a_living_entity_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served()
    served.send()
    with monkeypatch.context() as patched:
        patched.delattr(RegionRouter, "route")
        served.send()
    assert await served.count() == 2
    await served.world.close()


def _end_leases(served: Served) -> None:
    for slot in range(SLOTS):
        served.world.leases["a", slot] = served.world.clock.now() + MARGIN_NS


def _give_another_role(served: Served) -> None:
    assert served.world.topology is not None
    served.world.topology = replace(served.world.topology, region_roles={"r": "gpu"}, pools={"gpu": 0})


def _hand_over(served: Served) -> None:
    for slot in range(SLOTS):
        served.host.hand_over(slot)


def _refuse_region(served: Served) -> None:
    served.host.refused("r", Mismatch("it has another number of shards"))


def _close(served: Served) -> None:
    served.node.router.close()


@pytest.mark.parametrize("stands", [_end_leases, _give_another_role, _hand_over, _refuse_region, _close])
async def test_what_stands_in_the_way_is_found(
    stands: Callable[[Served], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served()
    served.send()
    await settle()
    routed: list[EntityMessage] = []
    monkeypatch.setattr(RegionRouter, "route", lambda router, item: routed.append(item))
    stands(served)
    served.send()
    assert [item.number for item in routed] == [2]
    await served.world.close()


@pytest.mark.parametrize("fields", [{"num_shards": SHARDS + 1}, {"home": "1:other"}])
async def test_what_is_wrong_with_a_message_is_found(fields: dict[str, Any]) -> None:
    served = Served()
    served.send()
    await settle()
    served.send(**fields)
    assert await served.count() == 1 and len(served.node.letters) == 1
    await served.world.close()


async def test_nothing_overtakes_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served()
    served.send()
    await settle()
    with monkeypatch.context() as patched:
        patched.setattr(RegionHost, "is_leased", lambda host, slot: False)
        served.send()
    assert served.node.router.waiting == 1
    served.send()
    assert served.node.router.waiting == 2
    served.node.router.retry()
    assert await served.count() == 3
    await served.world.close()


async def test_an_entity_that_ended_is_not_served_any_more() -> None:
    served = Served()
    served.send()
    served.send(payload=Codec().encode(Stop()))
    await settle()
    served.send()
    assert await served.count() == 1, "in its next life"
    await served.world.close()


async def test_a_client_sends_at_once_where_the_leader_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served()
    served.send()
    await settle()
    client = served.world.processes["c"]
    ref = client.router.ref("r", SHARDS)
    with monkeypatch.context() as patched:
        patched.delattr(RegionRouter, "route")
        ref.tell(ShardEnvelope("e", Add(1)))
    served.world.network.cut("c>a")
    ref.tell(ShardEnvelope("e", Add(1)))
    assert client.router.waiting == 1, "there is no link"
    served.world.network.mend("c>a")
    ref.tell(ShardEnvelope("e", Add(1)))
    assert client.router.waiting == 2, "behind the one before"
    client.router.retry()
    assert await served.count() == 4
    await served.world.close()
