"""Hand-overs of slots with entities: bounded, one entity holds up nobody else; and what acts after its lease."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import Any

import pytest

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.lease import ACTING, Leased, LeaseEnded
from casty.actor.sharding import ShardEnvelope, shard_of
from casty.cluster.actors.draining import DRAIN_NS, HAND_OVER_NS, HandOver
from casty.cluster.actors.region_host import RegionHost
from casty.cluster.actors.region_router import entity_path
from casty.cluster.control.placement import slot_of_region
from casty.errors import Unavailable
from tests.kit.clock import settle
from tests.unit.cluster.region_world import SLOTS, RegionWorld

SHARDS = 10


class Party:
    """Entities whose messages are what they do; what they did is in `seen`."""

    def __init__(self) -> None:
        self.world = RegionWorld(("a", "b"), ("c",))
        self.seen: list[tuple[str, str]] = []
        self.go = asyncio.Event()
        self.yields = True
        host = self.world.processes["a"].host
        assert host is not None
        self.host: RegionHost = host
        for process in self.world.processes.values():
            if process.host is not None:
                process.host.register("r", self._factory, SHARDS)
        self.world.lead("a")
        self.ids = [f"e{number}" for number in range(200) if self._slot_of(f"e{number}") == 0]

    def _slot_of(self, entity_id: str) -> int:
        return slot_of_region("r", shard_of(entity_id, SHARDS), SLOTS)

    def _factory(self, entity_id: str) -> Behavior[Any]:
        async def setup(ctx: ActorContext[Any]) -> Behavior[Any]:
            ctx.on_stop(lambda: self.seen.append((entity_id, "hook")))
            return Behaviors.receive(lambda ctx, message: self._handle(entity_id, message))

        return Behaviors.setup(setup)

    async def _handle(self, entity_id: str, message: Any) -> Behavior[Any] | None:
        if message == "end":
            return Behaviors.stopped()
        if message == "wait":
            await self._wait(entity_id)
        elif isinstance(message, tuple) and message[0] == "ask":
            answer = await self.ask("a", message[1])
            self.seen.append((entity_id, f"heard {answer}"))
        elif message == "note":
            self.seen.append((entity_id, "note"))
        else:
            message.tell(entity_id)
        return None

    async def _wait(self, entity_id: str) -> None:
        while not self.go.is_set():
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.seen.append((entity_id, "cancelled"))
                if self.yields:
                    raise
        self.seen.append((entity_id, "done"))

    def tell(self, entity_id: str, message: Any) -> None:
        self.world.processes["c"].router.ref("r", SHARDS).tell(ShardEnvelope(entity_id, message))

    def ask(self, process: str, entity_id: str) -> asyncio.Future[Any]:
        local, router = self.world.processes[process].local, self.world.processes[process].router
        ref = router.ref("r", SHARDS)
        return asyncio.ensure_future(
            local.ask(ref, lambda reply: ShardEnvelope(entity_id, reply), timeout=60)
        )

    async def hand_over(self, seconds: float) -> bool:
        """Ask for it every tenth of a second, as a node does; say whether the slot was free within so long."""
        for _ in range(round(seconds * 10)):
            if self.host.hand_over(0):
                return True
            await settle()
            if self.host.hand_over(0):
                return True
            await self.world.advance(0.1)
        return False


@pytest.fixture
async def party() -> Any:
    made = Party()
    yield made
    made.yields = True
    made.go.set()
    await made.world.close()


async def test_a_long_handler_holds_up_nobody_but_its_own_entity(party: Party) -> None:
    busy, other = party.ids[:2]
    party.tell(busy, "wait")
    await settle()
    assert not party.host.hand_over(0)
    assert await party.ask("c", other) == other, "others are served meanwhile"
    later = party.ask("c", busy)
    await settle()
    assert not later.done(), "its own messages wait for the next leader"
    party.go.set()
    await settle()
    assert await party.hand_over(0.2)
    party.world.lead("b")
    party.world.clock.advance(0.1)
    assert await later == busy


async def test_a_handler_that_does_not_end_is_cancelled_after_a_stated_time(
    party: Party, caplog: pytest.LogCaptureFixture
) -> None:
    busy = party.ids[0]
    party.tell(busy, "wait")
    await settle()
    assert not await party.hand_over(DRAIN_NS / 1e9 - 0.1)
    assert party.seen == []
    assert await party.hand_over(0.3)
    assert party.seen == [(busy, "cancelled"), (busy, "hook")]
    lines = [record.getMessage() for record in caplog.records if "is handed over" in record.getMessage()]
    assert lines == [
        f"slot 0 is handed over: 1 entities did not end within 1 s and are cancelled: '{entity_path('r', busy)}'"
    ]


async def test_whoever_is_unloaded_meanwhile_is_not_cancelled_for_those_that_were_busy(party: Party) -> None:
    """A region with few activations unloads entities all the time, and each has what it takes to read its mail."""
    busy, other = party.ids[:2]
    party.tell(busy, "wait")
    await settle()
    assert not await party.hand_over(DRAIN_NS / 1e9 - 0.1)
    party.tell(other, "wait")
    party.tell(other, "note")
    await settle()
    (unloaded,) = [one for one in party.host.slots[0].values() if one.entity[1] == other]
    unloaded.drain()
    assert not await party.hand_over(0.3)
    assert party.seen == [(busy, "cancelled"), (busy, "hook")]
    party.go.set()
    assert await party.hand_over(0.2)
    assert party.seen[2:] == [(other, "done"), (other, "note"), (other, "hook")]


async def test_a_handler_that_does_not_yield_may_not_act_any_more(party: Party) -> None:
    busy = party.ids[0]
    party.yields = False
    party.tell(busy, "wait")
    await settle()
    assert await party.hand_over(2 * DRAIN_NS / 1e9 + 0.3)
    assert party.seen == [(busy, "cancelled")], "cancelled once, then closed where it waits, hooks included"


async def test_entities_of_a_slot_may_ask_each_other_while_it_is_handed_over(party: Party) -> None:
    first, second, third = party.ids[:3]
    for entity_id in (first, second):
        party.tell(entity_id, "note")
    await settle()
    party.tell(first, ("ask", second))
    party.tell(second, ("ask", third))
    assert not party.host.hand_over(0)
    assert await party.hand_over(0.3)
    assert (first, f"heard {second}") in party.seen
    assert (second, f"heard {third}") in party.seen, "also one that did not live yet"
    assert party.host.entities == 0


async def test_another_slot_does_not_count_as_the_same(party: Party) -> None:
    elsewhere = next(f"x{number}" for number in range(200) if party._slot_of(f"x{number}") == 1)
    party.tell(elsewhere, "note")
    await settle()
    assert await party.hand_over(0.2), "nobody lives in the slot"
    party.tell(elsewhere, ("ask", party.ids[0]))
    await settle()
    assert party.host.entities == 1, "the message waits for the slot's next leader"
    await party.world.advance(HAND_OVER_NS / 1e9 + 0.1)
    assert (elsewhere, f"heard {party.ids[0]}") in party.seen


async def test_nothing_of_an_entity_acts_after_the_lease(party: Party) -> None:
    entity = party.ids[0]
    party.tell(entity, "wait")
    await settle()
    party.go.set()  # the handler is ready to run on
    party.world.leases.clear()
    party.host.role_changed(0, False)
    await settle()
    assert party.seen == [], "neither the rest of the handler nor the hook"
    assert party.host.entities == 0


async def test_what_an_entity_says_after_its_lease_is_a_dead_letter() -> None:
    world = RegionWorld(("a",), ("c",))
    host, local = world.processes["a"].host, world.processes["a"].local
    assert host is not None
    heard: list[Any] = []
    outside = local.spawn(Behaviors.receive(lambda ctx, message: heard.append(message)), "outside")
    errors: list[Exception] = []

    def handle(ctx: ActorContext[Any], message: Any) -> None:
        outside.tell("in time")
        world.leases.clear()  # in the middle of it, as after a pause of the process
        outside.tell("too late")
        try:
            ctx.spawn(Behaviors.ignore(), "child")
        except RuntimeError as error:
            errors.append(error)

    host.register("r", lambda entity_id: Behaviors.receive(handle), SHARDS)
    world.lead("a")
    world.processes["c"].router.ref("r", SHARDS).tell(ShardEnvelope("e", "go"))
    await settle()
    assert heard == ["in time"]
    assert [letter.message for letter in world.processes["a"].letters] == ["too late"]
    assert len(errors) == 1
    assert "lease" in str(errors[0])
    await world.close()


async def test_what_an_entity_began_serves_others_after_its_lease() -> None:
    """A timer that a step of an entity set up runs in its name; what waits for a leader is not that entity's."""
    world = RegionWorld(("a",), ("c",))
    host, local = world.processes["a"].host, world.processes["a"].local
    assert host is not None
    heard: list[Any] = []
    outside = local.spawn(Behaviors.receive(lambda ctx, message: heard.append(message)), "outside")
    host.register(
        "r", lambda entity_id: Behaviors.receive(lambda ctx, message: heard.append(message)), SHARDS
    )
    router = world.processes["a"].router
    router.ref("r", SHARDS).tell(ShardEnvelope("e", "waited for a leader"))

    def later() -> None:
        ended = Until()
        ended.is_over = True
        ACTING.set(ended)
        router.retry()
        local.tell(outside, "news of the library")

    world.lead("a")
    contextvars.copy_context().run(later)
    await settle()
    assert heard == ["news of the library", "waited for a leader"]
    assert router.waiting == 0
    await world.close()


class Until:
    """A lease that ends when it is told."""

    slot = 0

    def __init__(self) -> None:
        self.is_over = False

    def lasts(self) -> bool:
        return not self.is_over


async def run(lease: Until, work: Any) -> asyncio.Task[None]:
    async def driven() -> None:
        await Leased(work, lease)

    task = asyncio.ensure_future(driven())
    await asyncio.sleep(0)
    return task


async def test_work_under_a_lease_gets_results_errors_and_cancellations_as_any_work() -> None:
    steps: list[str] = []

    async def work(wait: Callable[[], asyncio.Future[str]]) -> None:
        steps.append(await wait())
        try:
            await wait()
        except ValueError:
            steps.append("error")
        try:
            await wait()
        except asyncio.CancelledError:
            steps.append("cancelled")

    made: list[asyncio.Future[str]] = []

    def wait() -> asyncio.Future[str]:
        made.append(asyncio.get_running_loop().create_future())
        return made[-1]

    task = await run(Until(), work(wait))
    made[0].set_result("result")
    await asyncio.sleep(0)
    made[1].set_exception(ValueError())
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert steps == ["result", "error", "cancelled"]


@pytest.mark.parametrize("way", ["result", "cancel"])
async def test_work_whose_lease_ended_is_closed_where_it_waits(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[str] = []
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await ready
            steps.append("went on")
        finally:
            steps.append("closed")
            await asyncio.sleep(0)
            steps.append("cleaned up")

    lease = Until()
    task = await run(lease, work())
    lease.is_over = True
    with caplog.at_level(logging.INFO, "casty.actor"):
        if way == "result":
            ready.set_result(None)
        else:
            task.cancel()
        with pytest.raises(LeaseEnded):
            await task
    assert steps == ["closed"], "a finally block runs on to its first await"
    assert "did not end cleanly" in caplog.text


async def test_work_does_not_begin_after_its_lease() -> None:
    async def work() -> None:
        raise AssertionError("it began")

    lease = Until()
    lease.is_over = True
    with pytest.raises(LeaseEnded):
        await (await run(lease, work()))


def test_a_hand_over_forces_at_stated_times_in_each_of_its_states() -> None:
    hand_over = HandOver(0)
    assert not hand_over.is_due(DRAIN_NS - 1)
    assert hand_over.is_due(DRAIN_NS)
    assert not hand_over.is_due(2 * DRAIN_NS - 1)
    hand_over.asked(2 * DRAIN_NS)
    hand_over.close(2 * DRAIN_NS)
    assert hand_over.forces == 0
    assert not hand_over.is_due(3 * DRAIN_NS - 1)
    assert hand_over.is_due(3 * DRAIN_NS)
    assert hand_over.is_on(2 * DRAIN_NS + HAND_OVER_NS - 1)
    assert not hand_over.is_on(2 * DRAIN_NS + HAND_OVER_NS)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("p", "a/b"), ("p/a", "b")), (("p", "a%2Fb"), ("p", "a/b")), (("p", "a/b"), ("p%2Fa", "b"))],
)
def test_no_two_entities_have_one_path(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert entity_path(*one) != entity_path(*other)
    assert "/" not in entity_path(*one).removeprefix("$region/p/")


async def test_an_entity_is_no_child_of_another_one() -> None:
    world = RegionWorld(("a",), ("c",))
    host = world.processes["a"].host
    assert host is not None

    def factory(entity_id: str) -> Behavior[Any]:
        async def setup(ctx: ActorContext[Any]) -> Behavior[Any]:
            ctx.spawn(Behaviors.ignore(), "b")
            return Behaviors.receive(lambda ctx, message: message.tell(entity_id))

        return Behaviors.setup(setup)

    host.register("p", factory, SHARDS)
    world.lead("a")
    local, ref = world.processes["c"].local, world.processes["c"].router.ref("p", SHARDS)
    for entity_id in ("a", "a/b", "a%2Fb"):
        assert await local.ask(ref, lambda r, e=entity_id: ShardEnvelope(e, r), timeout=5) == entity_id
    await world.close()


async def test_a_region_after_the_end_says_so() -> None:
    world = RegionWorld(("a",), ("c",))
    world.processes["c"].router.close()
    with pytest.raises(Unavailable, match="has stopped"):
        await world.processes["c"].local.ask(
            world.processes["c"].router.ref("r", SHARDS), lambda reply: ShardEnvelope("e", reply), timeout=5
        )
    await world.close()


async def test_the_mail_of_an_entity_that_ends_itself_is_read_before_the_slot_is_free(party: Party) -> None:
    (busy,) = party.ids[:1]
    for message in ("wait", "note", "end", "note", "end", "note"):
        party.tell(busy, message)
    await settle()
    assert not await party.hand_over(0.2)
    party.go.set()
    assert await party.hand_over(1.0)
    did = [what for _, what in party.seen]
    assert did == ["done", "note", "hook", "note", "hook", "note", "hook"]
    assert party.host.entities == 0


async def test_the_mail_of_an_entity_that_ends_itself_is_lost_with_its_lease(party: Party) -> None:
    (entity,) = party.ids[:1]
    party.tell(entity, "wait")
    await settle()
    party.tell(entity, "end")
    party.tell(entity, "note")
    party.world.leases.clear()
    party.go.set()
    await settle()
    assert "note" not in [what for _, what in party.seen]
    assert party.host.entities == 0
