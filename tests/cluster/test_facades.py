"""All facades of one system know what each of them was told."""

from __future__ import annotations

from typing import Any

from casty import runtime
from casty.distributed.facade import Distributed
from casty.events import Event, SettingDiffered
from sim import World


def test_another_number_of_shards_is_an_event_whichever_facade_is_used() -> None:
    events: list[Event] = []

    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        runtime.current().observe.subscribe(events.append)
        client = await world.client()
        gateways: list[Any] = [node, client]
        for gateway in gateways:
            gateway.distributed().counter("a", shards=10)
            Distributed(gateway).counter("a", shards=11)
            gateway.distributed().map[str, int]("a", shards=12)
        assert await node.distributed().counter("a", shards=7).increment() == 1
        assert await client.distributed().counter("a", shards=8).get() == 1

    with World(1) as world:
        world.run(main(world), limit_s=100.0)
    differed = [event for event in events if isinstance(event, SettingDiffered)]
    assert [(event.name, event.recorded, event.given) for event in differed] == [
        ("a", 10, 11), ("a", 10, 11), ("a", 10, 7), ("a", 10, 8),
    ]  # fmt: skip
