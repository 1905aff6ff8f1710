"""Structures over a gateway that is neither a system nor a client: actors in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from casty.actor.behavior import Behavior
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope
from casty.actor.system import ActorSystem
from casty.distributed.counter import Counter
from casty.distributed.facade import Distributed
from casty.distributed.machines.base import SEMAPHORE
from casty.distributed.plain_port import plain_entities
from casty.distributed.semaphore import Semaphore
from casty.errors import Mismatch, OutcomeUnknown, Unavailable
from tests.kit.clock import settle


class Region:
    """Routes envelopes to one actor per entity."""

    def __init__(self, system: ActorSystem, key: str, factory: Callable[[str], Behavior[Any]]) -> None:
        self.id = key
        self._system = system
        self._factory = factory
        self._entities: dict[str, ActorRef[Any]] = {}

    def tell(self, envelope: ShardEnvelope[Any]) -> None:
        entity_id = envelope.entity_id
        if entity_id not in self._entities:
            name = f"{self.id}-{len(self._entities)}"
            self._entities[entity_id] = self._system.spawn(self._factory(entity_id), name)
        self._entities[entity_id].tell(envelope.message)


class Local:
    """An `EntityGateway` over a plain actor system."""

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self.regions: dict[str, Region] = {}
        self.num_shards: dict[str, int] = {}
        self.is_deaf = False

    def region_ref(self, key: str, factory: Callable[[str], Behavior[Any]], *, num_shards: int) -> Region:
        self.num_shards[key] = num_shards
        return self.regions.setdefault(key, Region(self.system, key, factory))

    async def entity_ask(self, ref: Any, msg_factory: Any, *, timeout: float) -> Any:
        reply = await self.system.ask(ref, msg_factory, timeout=timeout)
        if self.is_deaf:
            raise TimeoutError("the reply was lost")
        return reply


@pytest.fixture
async def gateway() -> Any:
    async with ActorSystem() as system:
        yield Local(system)


async def test_values_and_collections(gateway: Local) -> None:
    d = Distributed(gateway)
    assert await d.counter("a", shards=7).increment(3) == 3
    assert await d.counter("a", shards=7).get() == 3
    assert gateway.num_shards == {"casty.counter.a": 7}
    users = d.map[str, int]("users")
    assert await users.put("x", 1) is None
    assert await users.put("y", 2) is None
    assert await users.get("x") == 1
    assert await users.delete("y") is True
    assert await d.set[str]("tags").add("t") is True
    await d.queue[int]("jobs").enqueue(5)
    assert await d.queue[int]("jobs").dequeue() == 5
    assert await d.fence("f").write(1, "v") is True
    with pytest.raises(NotImplementedError, match="can neither list nor watch them"):
        await users.destroy()


async def test_lock(gateway: Local) -> None:
    d = Distributed(gateway)
    one, other = d.lock("door"), d.lock("door")
    await one.acquire()
    assert one.token == 1
    assert one.held is False, "nobody here can say whether it still is"
    assert await one.try_acquire() is False
    assert await other.try_acquire() is False
    waiting = asyncio.create_task(other.acquire())
    await settle(30)
    assert not waiting.done()
    assert await one.release() is True
    await waiting
    async with d.lock("another") as lock:
        assert lock.token == 1
    assert await other.release() is True


async def test_a_cancelled_wait_is_given_back(gateway: Local) -> None:
    d = Distributed(gateway)
    one, other = d.lock("door"), d.lock("door")
    await one.acquire()
    waiting = asyncio.create_task(other.acquire())
    await settle(30)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await one.release()
    assert await one.try_acquire() is True


async def test_a_lost_reply_is_an_unknown_outcome(gateway: Local) -> None:
    d = Distributed(gateway)
    gateway.is_deaf = True
    with pytest.raises(OutcomeUnknown, match="'a'"):
        await d.counter("a").increment()
    with pytest.raises(Unavailable):
        await d.counter("a").get()
    with pytest.raises(OutcomeUnknown):
        await d.lock("door").acquire()
    gateway.is_deaf = False
    assert await d.counter("a").get() == 1
    assert await d.lock("door").try_acquire() is True, "what came of the lost call was given back"


async def test_a_barrier_needs_a_party(gateway: Local) -> None:
    d = Distributed(gateway)
    with pytest.raises(TypeError, match="node_id"):
        d.barrier("start")
    parties = [d.barrier("start", node_id=party).arrive(2) for party in "ab"]
    await asyncio.gather(*parties)


async def test_permits_come_from_the_region(gateway: Local) -> None:
    region = gateway.region_ref("pool", plain_entities(SEMAPHORE, 2), num_shards=1)
    pool = Semaphore(gateway=gateway, region_ref=region, name="pool")
    await pool.acquire()
    assert await pool.available() == 1
    await pool.acquire()
    assert await pool.try_acquire() is False
    assert await pool.release() is True
    assert await pool.destroy() is True
    silent = gateway.region_ref("other", plain_entities(SEMAPHORE), num_shards=1)
    with pytest.raises(Mismatch, match="semaphore 'pool': nobody recorded"):
        await Semaphore(gateway=gateway, region_ref=silent, name="pool").acquire()


async def test_a_semaphore_by_name(gateway: Local) -> None:
    pool = Distributed(gateway).semaphore("pool", 3)
    await pool.acquire(3)
    assert await pool.available() == 0
    with pytest.raises(ValueError, match="at most the 3 permits"):
        await pool.acquire(4)


async def test_a_region_is_needed(gateway: Local) -> None:
    with pytest.raises(TypeError, match="region_ref: required"):
        Counter(gateway=gateway, region_ref=None, name="a")
