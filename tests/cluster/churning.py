"""Rounds of churn: clients that come and go, names used once, actors, services, entities, a member that restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from casty import EventStreamSubscribe, EventStreamUnsubscribe, MemberUp, SnapshotEvery
from casty.actor.behavior import Behavior, Behaviors
from casty.actor.ref import ActorRef
from casty.actor.services import Deregister, Find, Register, ServiceKey, Subscribe
from casty.actor.sharding import ShardEnvelope

if TYPE_CHECKING:
    from casty.actor.context import ActorContext
    from sim import World

__all__ = ["Churn"]

REGION = "churned"
LOGGED = "logged"
NUM_SHARDS = 4
SERVICE: ServiceKey[Any] = ServiceKey("everybody")
CLIENTS = 3


async def answering(ctx: ActorContext[Any], message: Any) -> Behavior[Any]:
    """None ends it, a ref is answered, a ref in a list is watched; all else is only heard."""
    if message is None:
        return Behaviors.stopped()
    if isinstance(message, list):
        ctx.watch(message[0])
    elif isinstance(message, ActorRef):
        message.tell(ctx.self.id)
    return Behaviors.same()


def entity(entity_id: str) -> Behavior[Any]:
    del entity_id
    return Behaviors.receive(answering)


def logged(entity_id: str) -> Behavior[Any]:
    def on_command(ctx: Any, count: int, reply_to: Any) -> Any:
        del ctx, count
        return Behaviors.persisted([1], then=reply_to.tell)

    return Behaviors.event_sourced(
        entity_id=entity_id,
        initial_state=0,
        on_event=int.__add__,
        on_command=on_command,
        snapshot_policy=SnapshotEvery(5),
    )


class Churn:
    """The rounds on one cluster, with a client and two members that stay.

    Parameters
    ----------
    world
        A world whose three nodes serve.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._done = 0

    async def begin(self) -> None:
        """Host what clients ask."""
        for name in self._world.node_names:
            self._host(name)
        await self._world.client("loyal")

    def _host(self, name: str) -> None:
        system: Any = self._world.processes[name].value
        system.spawn(Behaviors.sharded(entity, num_shards=NUM_SHARDS), REGION)
        system.spawn(Behaviors.sharded(logged, num_shards=NUM_SHARDS, idle_timeout=1.0), LOGGED)
        system.receptionist.tell(Register(SERVICE, system.spawn(Behaviors.receive(answering), "known")))

    async def _within(self, name: str, context: Coroutine[Any, Any, Any]) -> None:
        await self._world.processes[name].run(context)

    async def round(self) -> None:
        """Come, do everything once, and go: some in order, some by a crash; then restart a member."""
        self._done += 1
        world, names = self._world, [f"c{self._done}-{number}" for number in range(CLIENTS)]
        for name in names:
            await world.client(name)
        for name in [*names, "loyal"]:
            unique = f"{name} {self._done}"
            await self._within(name, use_structures(world.processes[name].value, unique))
            await self._within(name, give_up(world.processes[name].value, unique))
            await self._within(name, use_what_waits(world.processes[name].value, unique))
            await self._within(name, use_logs(world.processes[name].value, unique))
            await self._within(name, use_actors(world.processes[name].value, unique))
        for number, name in enumerate(world.node_names):
            await self._within(
                name, serve_for_a_while(world.processes[name].value, f"s{self._done} {number}")
            )
        for name in names:
            await self._within(name, stay(world.processes[name].value))
        await self._within(names[0], hold(world.processes[names[0]].value, names[0]))
        former: Any = world.processes["loyal"].value.distributed().queue(f"c{self._done - 1}-0 kept")
        await self._within("loyal", former.destroy())  # what was reserved of it came back, and would stay
        world.crash(names[0])
        for name in names[1:]:
            await world.stop(name)
        if self._done % 2:
            await world.stop(world.node_names[2])
        await world.restart(world.node_names[2])
        self._host(world.node_names[2])
        await asyncio.sleep(5)


async def use_structures(gateway: Any, name: str) -> None:
    """Use one of each kind, under a name that nobody uses again."""
    d = gateway.distributed()
    lock = d.lock(name)
    await lock.acquire()
    await lock.release()
    async with d.semaphore(name, 2):
        pass
    await d.barrier(name, node_id="one").arrive(1)
    counter, table, members = d.counter(name), d.map[str, int](name), d.set[int](name)
    queue, fence = d.queue[int](name), d.fence(name)
    await asyncio.gather(
        counter.increment(), table.put("k", 1), members.add(1), queue.enqueue(1), fence.write(1, "v")
    )
    assert await queue.dequeue() == 1
    await asyncio.gather(*(made.destroy() for made in (counter, table, members, queue, fence)))


async def give_up(gateway: Any, name: str) -> None:
    """Let calls end by their deadline and by cancellation while they wait."""
    d = gateway.distributed()
    async with d.lock(f"{name} taken"):
        late = asyncio.create_task(d.lock(f"{name} taken").acquire())
        try:
            await d.lock(f"{name} taken", timeout=0.2).acquire()
        except TimeoutError:
            late.cancel()
    await asyncio.gather(late, return_exceptions=True)


async def use_what_waits(gateway: Any, name: str) -> None:
    """Watch, lead, reserve, stream and let keys end, under names that nobody uses again."""
    d = gateway.distributed()
    table, queue, election = d.map[str, int](name), d.queue[str](name), d.election(name, candidate="me")
    async with table.watch() as changes, table.watch("k") as of_one:
        await asyncio.gather(table.put("k", 1), table.put("short", 2, ttl_s=0.5))
        await asyncio.gather(anext(changes), anext(of_one))
    assert dict([entry async for entry in table.items()])["k"] == 1
    terms = election.watch()
    assert await anext(terms) is None
    async with election:
        assert await anext(terms) is not None
    rw = d.rw_lock(name)
    async with rw.read:
        pass
    async with rw.write:
        pass
    await asyncio.gather(*(queue.enqueue(str(number)) for number in range(3)))
    first, second = await queue.reserve(), await queue.reserve()
    assert await first.ack() and await second.nack()
    await asyncio.gather(*(made.destroy() for made in (table, queue, election, rw)))


async def use_logs(client: Any, name: str) -> None:
    """Ask entities that write events; there are as many of them in each round, for a log is kept for good."""
    del name
    region: ActorRef[Any] = client.entity_ref(LOGGED, num_shards=NUM_SHARDS)
    for number in range(3):
        await client.ask(region, partial(ShardEnvelope, f"logged {number}"), timeout=5)


async def hold(client: Any, name: str) -> None:
    """Hold what only the end of the session gives back."""
    d = client.distributed()
    await d.lock(f"{name} kept").acquire()
    await d.semaphore(f"{name} kept", 3).acquire(2)
    await d.rw_lock(f"{name} kept").write.acquire()
    await d.election(f"{name} kept", candidate="me").campaign()
    queue = d.queue[str](f"{name} kept")
    await queue.enqueue("item")
    assert await queue.reserve(visibility_s=600)


async def use_actors(client: Any, name: str) -> None:
    """Ask entities that stay and that go, watch and be watched."""
    region: ActorRef[Any] = client.entity_ref(REGION, num_shards=NUM_SHARDS)
    for number in range(3):
        await client.ask(region, partial(ShardEnvelope, f"{name} {number}"), timeout=5)
        await client.ask(region, partial(ShardEnvelope, f"stays {number}"), timeout=5)
        region.tell(ShardEnvelope(f"{name} {number}", None))
    own = client.spawn(Behaviors.receive(answering), "own")
    instances = client.lookup(SERVICE).instances
    assert instances
    for instance in instances:
        await client.ask(instance.ref, _itself, timeout=5)
        own.tell([instance.ref])
        instance.ref.tell([own])
    await asyncio.sleep(0.1)
    own.tell(None)


async def stay(client: Any) -> None:
    """An actor that watches, and is watched, until its client is gone."""
    own = client.spawn(Behaviors.receive(answering), "stays")
    for instance in client.lookup(SERVICE).instances:
        own.tell([instance.ref])
        instance.ref.tell([own])


async def serve_for_a_while(system: Any, name: str) -> None:
    """An actor that serves under two keys of its own, takes one back, hears of things, and ends."""
    ref = system.spawn(Behaviors.receive(answering), name)
    for key in (ServiceKey[Any](f"{name} a"), ServiceKey[Any](f"{name} b")):
        system.receptionist.tell(Register(key, ref))
    system.receptionist.tell(Subscribe(SERVICE, ref))
    await system.ask(system.receptionist, partial(Find, SERVICE), timeout=5)
    system.event_stream.tell(EventStreamSubscribe(MemberUp, str))
    await asyncio.sleep(0.5)
    system.event_stream.tell(EventStreamUnsubscribe(MemberUp, str))
    system.receptionist.tell(Deregister(ServiceKey[Any](f"{name} a"), ref))
    ref.tell(None)


def _itself(reply_to: ActorRef[Any]) -> ActorRef[Any]:
    return reply_to
