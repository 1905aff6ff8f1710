"""Messages that nobody has read yet count, and find no room where there is no memory for them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import Terminated
from casty.actor.mailbox import Mailbox
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope
from casty.actor.unread import MESSAGE_BYTES
from casty.cluster.multiraft.memory_budget import MemoryBudget
from casty.cluster.slots.node_memory import NodeMemory
from casty.errors import Overloaded
from tests.kit.clock import settle
from tests.unit.cluster.region_world import Add, Get, RegionWorld, counter

FULL = Overloaded("no memory for it")


class Busy:
    """An entity or actor that waits in its first message until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.seen: list[Any] = []

    def behavior(self, entity_id: str = "") -> Behavior[Any]:
        del entity_id
        return Behaviors.receive(self._handle)

    async def _handle(self, ctx: ActorContext[Any], message: Any) -> None:
        await self.go.wait()
        self.seen.append(message)


def hosting(busy: Busy) -> RegionWorld:
    world = RegionWorld(("a", "b"), ("c",))
    host = world.processes["a"].host
    assert host is not None
    host.register("busy", busy.behavior, 10)
    world.lead("a")
    return world


def region(world: RegionWorld, name: str) -> ActorRef[Any]:
    return world.processes[name].router.ref("busy", 10)


def unread(world: RegionWorld, name: str = "a") -> int:
    return world.processes[name].local.unread.size_bytes


async def test_messages_of_entities_count_with_their_encoded_bytes_until_they_are_read() -> None:
    busy = Busy()
    world = hosting(busy)
    for source in ("a", "b", "c"):
        region(world, source).tell(ShardEnvelope("e", "x" * 500))
    await settle()
    assert 2 * (MESSAGE_BYTES + 500) < unread(world) < 2 * (MESSAGE_BYTES + 510), "the first one is in hand"
    busy.go.set()
    await settle()
    assert len(busy.seen) == 3
    assert unread(world) == 0
    await world.close()


async def test_messages_that_wait_for_a_leader_count_until_they_leave_or_are_given_up() -> None:
    busy = Busy()
    world = hosting(busy)
    world.network.cut("b>a", "b>c")
    for _ in range(3):
        region(world, "b").tell(ShardEnvelope("e", "x" * 500))
    assert unread(world, "b") > 3 * 500
    world.clock.advance(11)
    assert unread(world, "b") == 0
    assert len(world.processes["b"].letters) == 3
    region(world, "b").tell(ShardEnvelope("e", "x"))
    world.network.mend("b>a")
    world.processes["b"].router.retry()
    assert unread(world, "b") == 0
    world.network.cut("b>a")
    region(world, "b").tell(ShardEnvelope("e", "x"))
    assert unread(world, "b") > 0
    busy.go.set()
    await world.close()
    assert unread(world) == unread(world, "b") == 0


@pytest.mark.parametrize("source", ["a", "b", "c"])
async def test_where_there_is_no_memory_questions_to_entities_fail_and_messages_are_dead_letters(
    source: str,
) -> None:
    busy = Busy()
    busy.go.set()
    world = hosting(busy)
    sizes: list[int] = []

    def refuse(size_bytes: int) -> Overloaded:
        sizes.append(size_bytes)
        return FULL

    local = world.processes["a"].local
    local.mail_refusal = refuse
    asker = world.processes[source].local
    with pytest.raises(Overloaded, match="no memory"):
        await asker.ask(region(world, source), lambda reply: ShardEnvelope("e", Get(reply)), timeout=5)
    region(world, source).tell(ShardEnvelope("e", "x" * 500))
    await settle()
    assert len(world.processes["a"].letters) == local.dead_letters == 2
    assert sizes[1] > MESSAGE_BYTES + 500
    assert busy.seen == [] and unread(world) == 0
    host = world.processes["a"].host
    assert host is not None and host.entities == 0, "nothing begins to live for it"
    local.mail_refusal = lambda size_bytes: None
    region(world, source).tell(ShardEnvelope("e", 2))
    await settle()
    assert busy.seen == [2]
    await world.close()


async def test_what_waits_for_a_leader_finds_no_room_either() -> None:
    world = hosting(Busy())
    local = world.processes["b"].local
    local.mail_refusal = lambda size_bytes: FULL
    world.network.cut("b>a")
    with pytest.raises(Overloaded, match="no memory"):
        await local.ask(region(world, "b"), lambda reply: ShardEnvelope("e", Get(reply)), timeout=5)
    assert world.processes["b"].router.waiting == 0
    await world.close()


async def test_an_actor_is_told_nothing_from_elsewhere_but_what_is_said_here_and_replies_pass() -> None:
    world = RegionWorld(("a", "b"))
    a, b = world.processes["a"].local, world.processes["b"].local
    here = b.spawn(counter("x"), "x")
    away: ActorRef[Any] = a.make_ref(here.address)  # type: ignore[attr-defined]
    b.mail_refusal = lambda size_bytes: FULL
    away.tell(Add(1))
    with pytest.raises(Overloaded, match="no memory"):
        await a.ask(away, Get, timeout=5)
    here.tell(Add(10))
    assert await b.ask(here, Get, timeout=5) == ("x", 10)
    assert b.dead_letters == 2
    other: ActorRef[Any] = b.make_ref(a.spawn(counter("y"), "y").address)  # type: ignore[attr-defined]
    assert await b.ask(other, Get, timeout=5) == ("y", 0), "a reply is read at once"
    await world.close()


async def test_watching_goes_on_without_memory() -> None:
    world = RegionWorld(("a", "b"))
    a, b = world.processes["a"].local, world.processes["b"].local
    here = b.spawn(counter("x"), "x")
    b.mail_refusal = a.mail_refusal = lambda size_bytes: FULL
    seen: list[Any] = []

    async def watch(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.watch(a.make_ref(here.address))  # type: ignore[attr-defined]
        return Behaviors.receive(lambda ctx, message: seen.append(message))

    a.spawn(Behaviors.setup(watch), "watcher")
    await settle()
    b.cells["x"].stop()
    await settle()
    assert [type(message) for message in seen] == [Terminated]
    await world.close()


async def test_a_local_message_counts_for_a_flat_size() -> None:
    world, busy = RegionWorld(("a",)), Busy()
    ref = world.processes["a"].local.spawn(busy.behavior(), "busy", mailbox=Mailbox[Any](2))
    for _ in range(2):
        ref.tell(bytes(10_000))
        await settle()
    ref.tell(bytes(10_000))
    ref.tell("one too many")
    assert unread(world) == 2 * MESSAGE_BYTES
    busy.go.set()
    await world.close()
    assert unread(world) == 0


async def test_a_message_is_not_refused_by_a_measurement_that_is_too_old() -> None:
    host: Any = SimpleNamespace(groups={}, transfer_bytes=0)
    memory = NodeMemory(MemoryBudget(1_000_000), "a", host, {}, lambda: 0)
    memory.measure()
    assert memory.budget.accepted(1_100_000), "more than all of it, and nobody knows what was removed"
    assert not memory.budget.takes_message(300)
    assert memory.mail_refusal(300) is None
    assert memory.refused_messages == 0
    memory.budget.unread.size_bytes = 1_100_000
    assert memory.mail_refusal(300) is not None
