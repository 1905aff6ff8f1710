"""`casty.ClusterClient`, clause by clause."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from casty import ActorContext, ActorRef, Behavior, Behaviors, Listing, Register, ServiceKey, ShardEnvelope
from casty.errors import NotStarted, Refused
from casty.ordered import FrozenOrderedSet
from tests.spec.conftest import Run
from tests.spec.counting import SHARDS, GetCount, Ignored, Increment, Message, counting, with_counters
from tests.spec.places import Place


def test_the_first_example(run: Run) -> None:
    """Envelopes go to the entity's node, and the reply comes back."""

    async def body(place: Place) -> None:
        client = await with_counters(place)
        counter = client.entity_ref("counter", num_shards=SHARDS)
        counter.tell(ShardEnvelope("user-42", Increment(1)))
        counter.tell(ShardEnvelope("user-42", Increment(2)))
        count = await client.ask(counter, lambda r: ShardEnvelope("user-42", GetCount(reply_to=r)))
        assert count == 3

    run(body)


def test_a_message_goes_straight_to_the_node_that_owns_the_shard(run: Run) -> None:
    """Zero hops: a client that hears nobody but the owner has its reply."""

    async def body(place: Place) -> None:
        owners: dict[str, int] = {}

        def hosted_by(index: int) -> Callable[[str], Behavior[Message]]:
            def factory(entity_id: str) -> Behavior[Message]:
                owners[entity_id] = index
                return counting(entity_id)

            return factory

        def asking(entity_id: str, reply_to: ActorRef[int]) -> ShardEnvelope[Message]:
            return ShardEnvelope(entity_id, GetCount(reply_to))

        async def is_settled() -> bool:
            """Whether no slot waits to be handed over: a plain entity that moves begins anew."""
            node = place.nodes[0]._node
            slots = node.control.machine.slots
            return all(row.preferred == node.leaders.leader_of(slot) for slot, row in enumerate(slots))

        await place.until(is_settled, within_s=30)
        for index, node in enumerate(place.nodes):
            node.region_ref("hosted", hosted_by(index), num_shards=SHARDS)
        names = ("ada", "bob", "eve", "joe", "sue", "tom")
        teller = await place.client()
        region = teller.entity_ref("hosted", num_shards=SHARDS)
        for entity_id in names:
            region.tell(ShardEnvelope(entity_id, Increment(1)))
            assert await teller.ask(region, partial(asking, entity_id)) == 1
        a_name_of_each = {owners[entity_id]: entity_id for entity_id in names}
        assert len(a_name_of_each) > 1
        for entity_id in a_name_of_each.values():
            muffled = await place.muffled()
            ways = muffled.client.entity_ref("hosted", num_shards=SHARDS)
            # Who lives in memory begins anew where its slot moved meanwhile, as it may on a machine that stalls.
            count = await muffled.client.ask(ways, partial(asking, entity_id))
            assert count in (0, 1)
            owner = owners[entity_id]
            muffled.mute([index for index in range(len(place.nodes)) if index != owner])
            assert await muffled.client.ask(ways, partial(asking, entity_id), timeout=0.5) == count

    run(body)


def test_entity_ref_gives_the_cached_proxy(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await with_counters(place)
        counter = client.entity_ref("counter", num_shards=SHARDS)
        assert client.entity_ref("counter", num_shards=SHARDS) is counter
        assert client.region_ref("counter", counting, num_shards=SHARDS) is counter

    run(body)


def test_region_ref_ignores_the_factory(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await with_counters(place)

        def never(entity_id: str) -> Behavior[Message]:
            raise AssertionError(entity_id)

        region = client.region_ref("counter", never, num_shards=SHARDS)
        count = await client.entity_ask(region, lambda r: ShardEnvelope("fresh", GetCount(r)), timeout=5.0)
        assert count == 0

    run(body)


def test_ask_raises_timeout_error_when_no_reply_comes(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await with_counters(place)
        counter = client.entity_ref("counter", num_shards=SHARDS)
        began_s = place.now_s()
        with pytest.raises(TimeoutError):
            await client.ask(counter, lambda r: ShardEnvelope("user-42", Ignored(r)), timeout=0.3)
        assert place.now_s() - began_s >= 0.29

    run(body)


def test_lookup_reads_the_cached_topology(run: Run) -> None:
    """Empty before any topology came; afterwards the instances, without a round trip."""

    async def body(place: Place) -> None:
        key = ServiceKey[int]("printer")
        async with place.make_client() as fresh:
            assert fresh.lookup(key) == Listing(key, FrozenOrderedSet())
        heard: list[int] = []

        def receive(ctx: ActorContext[int], page: int) -> Behavior[int]:
            del ctx
            heard.append(page)
            return Behaviors.same()

        node = place.nodes[1]
        printer = node.spawn(Behaviors.receive(receive), "printer")
        node.receptionist.tell(Register(key, printer))
        client = await place.client()

        async def is_known() -> bool:
            return bool(client.lookup(key).instances)

        await place.until(is_known, within_s=5.0)
        (instance,) = client.lookup(key).instances
        assert instance.node == node.self_node
        instance.ref.tell(7)

        async def has_printed() -> bool:
            return heard == [7]

        await place.until(has_printed, within_s=5.0)

    run(body)


def test_an_actor_of_a_client_is_reached_by_the_cluster(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await with_counters(place)
        heard: list[int] = []

        def receive(ctx: ActorContext[int], count: int) -> Behavior[int]:
            del ctx
            heard.append(count)
            return Behaviors.same()

        listener = client.spawn(Behaviors.receive(receive), "listener")
        counter = client.entity_ref("counter", num_shards=SHARDS)
        counter.tell(ShardEnvelope("listened", Increment(5)))
        counter.tell(ShardEnvelope("listened", GetCount(listener)))

        async def has_heard() -> bool:
            return heard == [5]

        await place.until(has_heard, within_s=5.0)

    run(body)


def test_distributed_gives_a_facade(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        assert await client.distributed().counter("of-a-client").increment() == 1

    run(body)


def test_the_system_name_must_match(run: Run) -> None:
    async def body(place: Place) -> None:
        async with place.make_client(system_name="another") as stranger:
            with pytest.raises(Refused, match="another"):
                await stranger.distributed().counter("refused").increment()
            with pytest.raises(Refused, match="another"):
                await stranger.distributed().counter("refused").get()

    run(body)


def test_outside_of_async_with_nothing_is_sent(run: Run) -> None:
    async def body(place: Place) -> None:
        client = place.make_client()
        with pytest.raises(NotStarted, match="async with"):
            client.entity_ref("counter", num_shards=SHARDS)
        async with client:
            counter = client.distributed().counter("left")
        with pytest.raises(NotStarted, match="async with"):
            await counter.increment()

    run(body)


def test_there_has_to_be_a_contact_point(run: Run) -> None:
    async def body(place: Place) -> None:
        with pytest.raises(ValueError, match="contact_points"):
            place.make_client(contact_points=[])

    run(body)
