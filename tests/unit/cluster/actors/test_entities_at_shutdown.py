"""A node that stops in order: its entities read what they have, within the grace of all actors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.actor.behavior import Behaviors
from casty.actor.context import ActorContext
from casty.actor.ending import STOP_GRACE_NS
from casty.actor.sharding import ShardEnvelope
from tests.kit.clock import settle
from tests.unit.cluster.actors.test_draining import SHARDS, Party, party
from tests.unit.cluster.region_world import RegionWorld

__all__ = ["party"]

GRACE_S = STOP_GRACE_NS / 1e9


def letters(party: Party) -> list[object]:
    return [letter.message for letter in party.world.processes["a"].letters]


async def shut_down(party: Party) -> asyncio.Future[None]:
    closing = asyncio.ensure_future(party.world.processes["a"].local.shutdown())
    await settle()
    return closing


async def test_what_was_sent_before_is_read(party: Party) -> None:
    first, second = party.ids[:2]
    for entity_id, message in ((second, "wait"), (first, "wait"), (first, ("ask", second)), (first, "note")):
        party.tell(entity_id, message)
    await settle()
    closing = await shut_down(party)
    assert party.seen == []
    party.go.set()
    await closing
    did = [what for entity_id, what in party.seen if entity_id == first]
    assert did == ["done", f"heard {second}", "note", "hook"]
    assert letters(party) == []
    assert party.host.entities == 0


async def test_what_is_not_read_within_the_grace_is_counted(party: Party) -> None:
    entity = party.ids[0]
    for message in ("wait", "note", "note"):
        party.tell(entity, message)
    await settle()
    closing = await shut_down(party)
    party.world.clock.advance(GRACE_S + 0.01)
    await closing
    assert [what for _, what in party.seen] == ["cancelled", "hook"]
    assert letters(party) == ["note", "note"], "and nothing of the library's own"


async def test_what_comes_later_waits_for_the_next_node(party: Party) -> None:
    entity, other = party.ids[:2]
    party.tell(entity, "wait")
    await settle()
    closing = await shut_down(party)
    later = [party.ask("c", entity), party.ask("c", other)]
    await settle()
    assert not any(ask.done() for ask in later)
    party.go.set()
    await closing
    party.world.lead("b")
    party.world.clock.advance(0.1)
    assert [await ask for ask in later] == [entity, other]


@pytest.mark.parametrize("is_forced", [False, True])
async def test_who_reads_may_do_what_its_messages_ask_for(*, is_forced: bool) -> None:
    world = RegionWorld(("a",), ("c",))
    host, local = world.processes["a"].host, world.processes["a"].local
    assert host is not None
    go, children = asyncio.Event(), list[str]()

    async def handle(ctx: ActorContext[Any], message: Any) -> None:
        await go.wait()
        ctx.spawn(Behaviors.ignore(), message)
        children.append(message)

    host.register("r", lambda entity_id: Behaviors.receive(handle), SHARDS)
    world.lead("a")
    for name in ("x", "y"):
        world.processes["c"].router.ref("r", SHARDS).tell(ShardEnvelope("e", name))
    await settle()
    closing = asyncio.ensure_future(local.shutdown(is_forced=is_forced))
    await settle()
    go.set()
    await closing
    assert children == ([] if is_forced else ["x", "y"])
    assert len(world.processes["a"].letters) == (1 if is_forced else 0)
    assert local.cells == {}
    await world.close()
