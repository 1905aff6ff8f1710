"""Sharded entities: routing, leases, hand-over, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.sharding import ShardEnvelope
from casty.errors import (
    AskFailed,
    EncodingError,
    MessageTooLarge,
    Mismatch,
    NotStarted,
    Overloaded,
    Unavailable,
    UnknownRegion,
)
from casty.limits import MAX_REGION_NAME_BYTES, MAX_REGIONS
from casty.wire.pack import pack, unpack
from tests.kit.clock import settle
from tests.unit.cluster.region_world import Add, Get, RegionWorld, Stop, counter


@asynccontextmanager
async def world_of(
    nodes: Sequence[str] = ("a", "b"), clients: Sequence[str] = ("c",), *, hosts: bool = True
) -> AsyncGenerator[RegionWorld]:
    world = RegionWorld(nodes, clients)
    if hosts:
        for name in nodes:
            host = world.processes[name].host
            assert host is not None
            host.register("counter", counter, 10)
    try:
        yield world
    finally:
        await world.close()


def ask(world: RegionWorld, name: str, entity_id: str = "e", timeout: float = 5.0) -> asyncio.Task[Any]:
    process = world.processes[name]
    ref = process.router.ref("counter", 10)
    return asyncio.ensure_future(
        process.local.ask(ref, lambda reply: ShardEnvelope(entity_id, Get(reply)), timeout=timeout)
    )


def tell(world: RegionWorld, name: str, message: object, entity_id: str = "e") -> None:
    world.processes[name].router.ref("counter", 10).tell(ShardEnvelope(entity_id, message))


async def test_messages_reach_one_activation_from_everywhere() -> None:
    async with world_of() as world:
        world.lead("a")
        for name in ("a", "b", "c"):
            tell(world, name, Add(1))
        for name in ("a", "b", "c"):
            assert await ask(world, name) == ("e", 3)
        assert [process.host and process.host.entities for process in world.processes.values()] == [
            1,
            0,
            None,
        ]


async def test_a_node_that_does_not_lead_passes_on() -> None:
    async with world_of() as world:
        world.lead("a")
        world.network.cut("c>a")
        world.network.cut("a>c")
        asking = ask(world, "c")
        await settle()
        assert not asking.done()
        world.clock.advance(1.1)
        assert await asking == ("e", 0)


async def test_messages_wait_for_a_leader_in_order_and_for_a_topology() -> None:
    async with world_of() as world:
        topology, world.topology = world.topology, None
        tell(world, "c", Add(1))
        asking = ask(world, "c")
        await settle()
        world.topology = topology
        world.clock.advance(0.1)
        tell(world, "c", Add(5))
        await settle()
        assert world.processes["c"].router.waiting == 3
        world.lead("b")
        world.clock.advance(0.1)
        assert await asking == ("e", 1)
        assert await ask(world, "c") == ("e", 6)


async def test_waiting_is_bounded_in_number_and_time(caplog: pytest.LogCaptureFixture) -> None:
    async with world_of() as world:
        client = world.processes["c"]
        for _ in range(6):
            tell(world, "c", Add(1))
        assert [len(client.letters), client.router.waiting] == [1, 5]
        assert "dead letter for /$region/counter/e: max_mailbox: 5 messages wait" in caplog.text
        with pytest.raises(Overloaded):
            await ask(world, "c")
        world.clock.advance(11)
        assert [len(client.letters), client.router.waiting] == [7, 0]


async def test_an_id_counts_as_the_message_does() -> None:
    async with world_of() as world:
        client = world.processes["c"]
        world.lead("a")
        with pytest.raises(
            MessageTooLarge, match=r"id of the entity 'xxx.*max_value_bytes = 1000, found 10\d\d"
        ):
            tell(world, "c", Add(1), "x" * 1_000)
        tell(world, "c", Add(1), "x" * 900)
        assert client.letters == []


async def test_what_turns_out_too_large_keeps_no_other_waiting() -> None:
    async with world_of() as world:
        client = world.processes["c"]
        topology, world.topology = world.topology, None
        client.remote.max_value_bytes = None
        asking = [ask(world, "c", "x" * 1_000), ask(world, "c")]
        await settle()
        client.remote.limited(1_000)
        world.topology = topology
        world.lead("a")
        world.clock.advance(0.1)
        with pytest.raises(MessageTooLarge, match="max_value_bytes = 1000"):
            await asking[0]
        assert await asking[1] == ("e", 0)
        assert client.router.waiting == 0


async def test_a_question_that_ended_leaves_the_queue() -> None:
    async with world_of() as world:
        asking = ask(world, "c", timeout=0.5)
        await settle()
        world.clock.advance(0.6)
        with pytest.raises(TimeoutError, match=r"counter.*entity e, waiting: its slot has no leader"):
            await asking
        world.clock.advance(0.1)
        assert world.processes["c"].router.waiting == 0
        assert len(world.processes["c"].letters) == 1


async def test_entities_stop_before_the_lease_ends_and_start_fresh_at_the_next_leader() -> None:
    async with world_of() as world:
        world.lead("a", lease_s=1.0)
        tell(world, "c", Add(1))
        assert await ask(world, "c") == ("e", 1)
        await world.advance(0.95)
        host = world.processes["a"].host
        assert host is not None
        assert host.entities == 0
        world.lead("b")
        assert await ask(world, "c") == ("e", 0)


async def test_mail_is_not_read_after_the_lease() -> None:
    async with world_of() as world:
        world.lead("a", lease_s=1.0)
        assert await ask(world, "c") == ("e", 0)
        tell(world, "c", Add(1))
        world.clock.skip(2)
        await settle()
        assert len(world.processes["a"].letters) == 1
        world.clock.advance(0.1)
        world.lead("a")
        assert await ask(world, "c") == ("e", 0)


async def test_a_handler_that_waits_is_cancelled_at_the_end_of_the_lease() -> None:
    ends: list[str] = []

    async def wait(ctx: ActorContext[Any], message: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ends.append("cancelled")

    async with world_of(hosts=False) as world:
        host = world.processes["a"].host
        assert host is not None
        host.register("counter", lambda entity_id: Behaviors.receive(wait), 10)
        world.lead("a", lease_s=1.0)
        tell(world, "c", Add(1))
        await settle()
        assert ends == []
        await world.advance(0.95)
        assert ends == ["cancelled"]


async def test_hand_over_lets_mail_be_read_and_sends_the_rest_to_the_next_leader() -> None:
    async with world_of() as world:
        world.lead("a")
        asking = ask(world, "c")
        host = world.processes["a"].host
        assert host is not None
        await asyncio.sleep(0)
        done = [host.hand_over(slot) for slot in range(4)]
        assert not all(done)
        later = ask(world, "c")
        assert await asking == ("e", 0)
        await settle()
        assert all(host.hand_over(slot) for slot in range(4))
        assert not later.done()
        world.lead("b")
        world.clock.advance(0.1)
        assert await later == ("e", 0)
        other = world.processes["b"].host
        assert other is not None
        assert (host.entities, other.entities) == (0, 1)


async def test_a_hand_over_that_never_comes_ends() -> None:
    async with world_of() as world:
        world.lead("a")
        host = world.processes["a"].host
        assert host is not None
        for slot in range(4):
            assert host.hand_over(slot)
        asking = ask(world, "c")
        await settle()
        assert not asking.done()
        world.clock.advance(2.1)
        assert await asking == ("e", 0)


async def test_an_entity_that_stops_comes_back_for_the_next_message() -> None:
    async with world_of() as world:
        world.lead("a")
        tell(world, "c", Add(1))
        tell(world, "c", Stop())
        await settle()
        assert await ask(world, "c") == ("e", 0)


async def test_messages_for_a_stopping_entity_wait_for_its_end() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def leave(ctx: ActorContext[Any]) -> None:
        await gate

    async with world_of(hosts=False) as world:
        host = world.processes["a"].host
        assert host is not None
        host.register(
            "counter", lambda entity_id: Behaviors.with_lifecycle(counter(entity_id), post_stop=leave), 10
        )
        world.lead("a")
        tell(world, "c", Stop())
        await settle()
        asking = ask(world, "c")
        await settle()
        assert not asking.done()
        gate.set_result(None)
        assert await asking == ("e", 0)


async def test_shard_counts_have_to_match() -> None:
    async with world_of() as world:
        world.lead("a")
        client, host = world.processes["c"], world.processes["a"].host
        assert host is not None
        with pytest.raises(Mismatch, match="10"):
            host.register("counter", counter, 11)
        wrong = client.router.ref("counter", 7)
        with pytest.raises(UnknownRegion, match="10"):
            await client.local.ask(wrong, lambda reply: ShardEnvelope("e", Get(reply)), timeout=5)
        with pytest.raises(Mismatch, match="7"):
            client.router.ref("counter", 8)
        assert client.router.ref("counter", 7) is wrong
        with pytest.raises(ValueError, match="num_shards"):
            client.router.ref("other", 0)


async def test_names_of_regions_are_bounded() -> None:
    async with world_of(hosts=False) as world:
        host, router = world.processes["a"].host, world.processes["c"].router
        assert host is not None
        assert world.topology is not None
        world.topology.regions.update({f"recorded {number}": 10 for number in range(MAX_REGIONS - 2)})
        host.register("recorded 1", counter, 10)
        host.register("new", counter, 10)
        host.register("refused", counter, 10)
        host.refused("refused", Mismatch("another count"))
        with pytest.raises(
            Overloaded, match=rf"'more'.* MAX_REGIONS = {MAX_REGIONS} .* found {MAX_REGIONS} others"
        ):
            host.register("more", counter, 10)
        assert not host.register("new", counter, 10)
        for number in range(MAX_REGIONS):
            router.ref(f"named {number}", 10)
        with pytest.raises(Overloaded, match="MAX_REGIONS"):
            router.ref("more", 10)
        assert router.ref("named 5", 10) is router.ref("named 5", 10)
        with pytest.raises(ValueError, match=f"at most {MAX_REGION_NAME_BYTES} bytes"):
            router.ref("n" * (MAX_REGION_NAME_BYTES + 1), 10)


async def test_an_unknown_region_is_refused_after_a_grace() -> None:
    async with world_of(hosts=False) as world:
        world.lead("a")
        asking = ask(world, "c")
        late = ask(world, "c", "late")
        await settle()
        world.clock.advance(1.1)
        with pytest.raises(UnknownRegion, match="spawn"):
            await asking
        with pytest.raises(UnknownRegion):
            await late
        waiting = ask(world, "c")
        await settle()
        host = world.processes["a"].host
        assert host is not None
        host.register("counter", counter, 10)
        world.clock.advance(0.1)
        assert await waiting == ("e", 0)


async def test_an_overtaken_message_is_a_dead_letter() -> None:
    async with world_of() as world:
        world.lead("a")
        world.network.hold()
        tell(world, "c", Add(1))
        (first,) = world.network.held
        world.network.let_pass()
        tell(world, "c", Add(10))
        for _ in range(2):
            world.processes["a"].take(first.sender, *first.message)
        assert await ask(world, "c") == ("e", 10)
        assert len(world.processes["a"].letters) == 2


async def test_a_message_for_another_cluster_of_the_name_is_refused() -> None:
    async with world_of() as world:
        world.lead("a")
        world.network.hold()
        asking = ask(world, "c")
        await settle()
        ((source, _, (kind, body)),) = world.network.held
        row = unpack(body)
        assert row[-1] == "1:c"
        world.network.let_pass()
        world.processes["a"].take(source, kind, pack([*row[:-1], "1:other"]))
        with pytest.raises(Unavailable, match=r"for the cluster 1:c, found one for '1:other'"):
            await asking
        assert len(world.processes["a"].letters) == 1
        host = world.processes["a"].host
        assert host is not None and host.entities == 0


async def test_entities_are_bounded() -> None:
    async with world_of() as world:
        world.lead("a")
        for number in range(3):
            await ask(world, "c", str(number))
        with pytest.raises(Overloaded, match="max_entities"):
            await ask(world, "c", "3")


async def test_failing_factories_and_wrong_messages() -> None:
    def broken(entity_id: str) -> Behavior[Any]:
        raise LookupError(entity_id)

    async with world_of(hosts=False) as world:
        host = world.processes["a"].host
        assert host is not None
        host.register("counter", broken, 10)
        world.lead("a")
        tell(world, "c", Add(1))
        await settle()
        assert host.entities == 0
        with pytest.raises(AskFailed, match=r"region/counter/e.*it failed with LookupError\('e'\)"):
            await ask(world, "c")
        wrong: Any = Add(1)
        with pytest.raises(TypeError, match="ShardEnvelope"):
            world.processes["c"].router.ref("counter", 10).tell(wrong)
        with pytest.raises(EncodingError):
            tell(world, "c", object())


async def test_what_waits_at_the_end_is_given_up() -> None:
    world = RegionWorld(("a",), ("c",))
    asking = ask(world, "c")
    await settle()
    world.processes["c"].router.close()
    with pytest.raises(Unavailable, match="stops"):
        await asking
    with pytest.raises(Unavailable, match="has stopped"):
        await ask(world, "c")
    await world.close()
    with pytest.raises(NotStarted):
        await ask(world, "c")
