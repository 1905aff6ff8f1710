"""The other client classes and the facade, over a slot in miniature."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, assert_type

import pytest

from casty import ActorSystem, InMemoryJournal, runtime
from casty.distributed.counter import Counter
from casty.distributed.facade import Distributed
from casty.distributed.handle import failure
from casty.distributed.machines.base import MAP, OVERLOADED
from casty.distributed.map import Dict
from casty.distributed.queue import Queue
from casty.distributed.set import Set
from casty.errors import (
    BrokenBarrier,
    CastyError,
    Destroyed,
    EncodingError,
    InternalError,
    JournalError,
    Mismatch,
    NotStarted,
    Overloaded,
    Unavailable,
)
from casty.events import Event, SettingDiffered
from tests.kit.clock import settle
from tests.unit.distributed.machine import FakeGateway, Slot


class Member(FakeGateway):
    """A gateway with an address, as a member of the cluster has."""

    self_node = SimpleNamespace(host="10.0.0.1", port=7000)


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway(Slot(), 1)


@pytest.fixture
def d(gateway: FakeGateway) -> Distributed:
    return Distributed(gateway)


async def test_counter(d: Distributed) -> None:
    counter = d.counter("hits", shards=50)
    assert await counter.get() == 0
    assert await counter.increment(5) == 5
    assert await counter.decrement() == 4
    assert await counter.increment(2**80) == 2**80 + 4
    assert await counter.compare_and_set(1, 2) is False
    assert await counter.reset() == 2**80 + 4
    assert await counter.compare_and_set(0, 7) is True
    assert await counter.destroy() is True
    assert await counter.destroy() is False
    with pytest.raises(TypeError, match=r"amount: expected an int, found 1\.5"):
        await counter.increment(1.5)  # type: ignore[arg-type]


async def test_map(d: Distributed) -> None:
    users = d.map[str, dict[str, int]]("users", shards=10)
    assert await users.put("alice", {"age": 30}) is None
    assert await users.put("alice", {"age": 31}) == {"age": 30}
    assert await users.get("alice", local=True) == {"age": 31}
    assert await users.contains("alice") is True
    assert await users.delete("alice") is True
    assert await users.delete("alice") is False
    assert await users.get("alice") is None
    assert await users.get("alice", default={}) == {}


async def test_none_is_a_value(d: Distributed) -> None:
    values = d.map[str, object]("values")
    await values.put("key", None)
    assert await values.contains("key") is True
    assert await values.get("key", default=5) is None


async def test_keys_that_python_finds_equal_are_four(d: Distributed) -> None:
    keys = d.map[object, str]("keys")
    for key in (1, 1.0, True, "1"):
        assert await keys.put(key, repr(key)) is None
    for key in (1, 1.0, True, "1"):
        assert await keys.get(key) == repr(key)
    await keys.put(-0.0, "zero")
    assert await keys.get(0.0) == "zero"
    with pytest.raises(EncodingError):
        await keys.put(float("nan"), "never")


async def test_map_conditions(d: Distributed) -> None:
    values = d.map[str, int]("values")
    assert await values.compare_and_set("a", 0, 1) is False
    assert await values.put_if_absent("a", 1) is True
    assert await values.put_if_absent("a", 2) is False
    assert await values.compare_and_set("a", 1, 3) is True
    assert await values.get("a") == 3


async def test_destroying_a_map_leaves_its_neighbours(d: Distributed, gateway: FakeGateway) -> None:
    one, other = d.map[int, int]("a"), d.map[int, int]("ab")
    for key in range(150):
        await one.put(key, key)
    await other.put(1, 1)
    assert await one.destroy() is True
    assert await one.destroy() is False
    assert await other.get(1) == 1
    assert [kind for kind, _ in gateway.structures.slot.entities] == [MAP]


async def test_a_sweep_that_fails_says_so(d: Distributed, gateway: FakeGateway) -> None:
    users = d.map[int, int]("a")
    await users.put(1, 1)
    gateway.structures.cut_off()
    with pytest.raises(Unavailable):
        await users.destroy()


async def test_set(d: Distributed) -> None:
    tags = d.set[str]("tags")
    assert await tags.add("python") is True
    assert await tags.add("python") is False
    assert await tags.contains("python") is True
    assert await tags.size() == 1
    assert await tags.remove("python") is True
    assert await tags.remove("python") is False
    assert await tags.destroy() is True


async def test_queue(d: Distributed) -> None:
    jobs = d.queue[str]("jobs")
    assert await jobs.dequeue() is None
    await jobs.enqueue("a")
    await jobs.enqueue("b")
    assert (await jobs.peek(), await jobs.size()) == ("a", 2)
    assert [await jobs.dequeue(), await jobs.dequeue(), await jobs.dequeue()] == ["a", "b", None]
    assert await jobs.destroy() is True


async def test_fence(d: Distributed) -> None:
    fence = d.fence("settings")
    assert await fence.read() == (None, 0)
    assert await fence.write(2, "a") is True
    assert await fence.write(1, "b") is False
    assert await fence.check(3) is True
    assert await fence.check(2) is False
    assert await fence.read() == ("a", 3)
    with pytest.raises(ValueError, match="token"):
        await fence.write(-1, "c")


async def test_barrier() -> None:
    slot = Slot()
    parties = [Distributed(FakeGateway(slot, session)) for session in (1, 2)]
    barriers = [d.barrier("start", node_id=f"n{number}") for number, d in enumerate(parties)]
    first = asyncio.create_task(barriers[0].arrive(2))
    await settle()
    assert not first.done()
    with pytest.raises(Mismatch, match="expected=2"):
        await barriers[1].arrive(3)
    await barriers[1].arrive(expected=2)
    await first
    second = asyncio.create_task(barriers[0].arrive(2))
    await settle()
    assert await barriers[1].destroy() is True
    with pytest.raises(Destroyed):
        await second
    with pytest.raises(ValueError, match="at least 1"):
        await barriers[0].arrive(0)
    with pytest.raises(ValueError, match=r"expected: expected at least 1, found <int of 16610 bits>"):
        await barriers[0].arrive(-(10**5000))


async def test_the_party_of_a_barrier_defaults_to_the_members_address() -> None:
    slot = Slot()
    await Distributed(Member(slot, 1)).barrier("start").arrive(1)
    with pytest.raises(TypeError, match="node_id: required"):
        Distributed(FakeGateway(slot, 2)).barrier("start")
    first = asyncio.create_task(Distributed(Member(slot, 3)).barrier("start").arrive(2))
    again = asyncio.create_task(Distributed(FakeGateway(slot, 4, "10.0.0.1:7000")).barrier("start").arrive(2))
    await settle()
    assert not first.done() and not again.done(), "the same party twice"
    await Distributed(FakeGateway(slot, 5)).barrier("start", node_id="other").arrive(2)
    await asyncio.gather(first, again)


async def test_one_name_in_two_kinds_is_two_structures(d: Distributed) -> None:
    await d.counter("x").increment()
    assert await d.queue[int]("x").size() == 0
    assert await d.set[int]("x").destroy() is False


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda d: d.counter(""), ValueError),
        (lambda d: d.counter(5), TypeError),
        (lambda d: d.counter("\ud800"), ValueError),
        (lambda d: d.lock("x", shards=0), ValueError),
        (lambda d: d.lock("x", shards=1.5), TypeError),
        (lambda d: d.map[str, str]("x", shards=-1), ValueError),
        (lambda d: d.queue("x", timeout=-1), ValueError),
        (lambda d: d.queue("x", timeout=float("nan")), ValueError),
        (lambda d: d.queue("x", timeout="5"), TypeError),
        (lambda d: d.set("x", timeout=True), TypeError),
        (lambda d: d.barrier("x", node_id=""), ValueError),
        (lambda d: d.barrier("x", node_id=5), TypeError),
        (lambda d: d.barrier("x", node_id="\ud800"), ValueError),
        (lambda d: d.semaphore("x", "3"), TypeError),
    ],
)
def test_programming_errors_are_raised_at_once(d: Distributed, make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(d)


async def test_timeouts_reach_the_port(gateway: FakeGateway, d: Distributed) -> None:
    await d.counter("a", timeout=None).increment()
    await d.counter("a", timeout=2).get()
    await d.counter("a").get()
    assert gateway.structures.timeouts == [None, 2, 5.0]


async def test_a_gateway_is_asked_for_its_port_at_each_call() -> None:
    class NotYet:
        started: FakeGateway | None = None

        @property
        def structures(self) -> Any:
            if self.started is None:
                raise NotStarted("use it inside `async with`")
            return self.started.structures

        def region_ref(self, key: str, factory: Any, *, num_shards: int) -> Any:
            raise AssertionError

        async def entity_ask(self, ref: Any, msg_factory: Any, *, timeout: float) -> Any:
            raise AssertionError

    gateway = NotYet()
    counter = Distributed(gateway).counter("early")
    with pytest.raises(NotStarted):
        await counter.increment()
    gateway.started = FakeGateway(Slot(), 1)
    assert await counter.increment() == 1


def test_a_journal_needs_a_gateway_with_sessions() -> None:
    class Plain:
        async def entity_ask(self, ref: Any, msg_factory: Any, *, timeout: float) -> Any:
            raise NotImplementedError

    plain: Any = Plain()
    with pytest.raises(JournalError, match="journal: expected a ClusteredActorSystem or a ClusterClient"):
        Distributed(plain, journal=InMemoryJournal())


async def test_another_number_of_shards_is_an_event(d: Distributed) -> None:
    events: list[Event] = []
    event_sink = runtime.current().observe
    event_sink.subscribe(events.append)
    try:
        d.counter("a", shards=10)
        d.counter("a", shards=10)
        d.counter("a", shards=11)
    finally:
        event_sink.unsubscribe(events.append)
    assert [event for event in events if isinstance(event, SettingDiffered)] == [SettingDiffered("a", 10, 11)]


async def test_types_follow_the_subscript(d: Distributed) -> None:
    assert_type(d.map[str, int]("a"), Dict[str, int])
    assert_type(d.set[str]("a"), Set[str])
    assert_type(d.queue[bytes]("a"), Queue[bytes])
    assert_type(d.map("a"), Dict[Any, Any])
    assert_type(d.queue[int | None]("a"), Queue[Any])


@pytest.mark.parametrize("other", ["x", None, ActorSystem(), object()])
def test_what_is_no_gateway_is_refused_by_name(other: Any) -> None:
    with pytest.raises(
        TypeError, match="gateway: expected a ClusteredActorSystem, a ClusterClient or another"
    ):
        Distributed(other)
    with pytest.raises(
        TypeError, match="gateway: expected a ClusteredActorSystem, a ClusterClient or another"
    ):
        Counter(gateway=other, region_ref=None, name="hits")


async def test_structures_built_by_hand(gateway: FakeGateway) -> None:
    counter = Counter(gateway=gateway, region_ref=None, name="hits", timeout=5.0)
    assert await counter.increment() == 1
    assert repr(counter) == "<Counter 'hits'>"


def test_replies_become_errors() -> None:
    assert isinstance(failure([OVERLOADED, "max_waiters", 5], "lock 'x'"), Overloaded)
    assert isinstance(failure([4], "barrier 'x'"), BrokenBarrier)
    assert isinstance(failure([99], "lock 'x'"), InternalError)


LONG = "n" * 60_000


async def test_a_long_name_is_cut_in_errors(gateway: FakeGateway, d: Distributed) -> None:
    lock, other = d.lock(LONG), d.lock(LONG)
    full = d.queue[int](LONG, maxsize=1)
    await lock.acquire()
    await full.enqueue(1)
    await d.map(LONG).put("k", 1)
    semaphore = d.semaphore(LONG, 2)
    await semaphore.acquire()
    calls: list[Callable[[], Awaitable[object]]] = [
        lock.acquire,
        lambda: full.enqueue(2),
        lambda: full.enqueue(None),  # type: ignore[arg-type]
        lambda: d.queue[int](LONG, maxsize=2).enqueue(2),
        lambda: semaphore.acquire(n=3),
        lambda: d.semaphore(LONG, 3).acquire(),
    ]
    for call in calls:
        with pytest.raises((CastyError, ValueError)) as failed:
            await call()
        assert LONG[:90] in str(failed.value) and len(str(failed.value)) < 500
    with pytest.raises(TypeError) as refused:
        copy.copy(other)
    assert len(str(refused.value)) < 500 and len(repr(other)) < 200
