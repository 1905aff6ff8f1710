"""`casty.Distributed`, clause by clause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from casty import (
    Barrier,
    Counter,
    Dict,
    Distributed,
    EntityGateway,
    InMemoryJournal,
    Lock,
    Queue,
    Semaphore,
    Set,
)
from casty.errors import Mismatch
from tests.spec.conftest import Run
from tests.spec.places import Place


@dataclass(frozen=True)
class User:
    name: str
    age: int


@dataclass(frozen=True)
class Task:
    number: int
    owner: User


def test_the_first_example(run: Run) -> None:
    async def body(place: Place) -> None:
        d = Distributed(place.nodes[0])
        counter = d.counter("facade-hits", shards=50)
        users = d.map[str, User]("facade-users", shards=10)
        tags = d.set[str]("facade-tags")
        jobs = d.queue[Task]("facade-jobs")
        alice = User("alice", 30)
        assert await counter.increment() == 1
        assert await users.put("alice", alice) is None
        assert await users.get("alice") == alice
        assert await tags.add("python") is True
        await jobs.enqueue(Task(1, alice))
        assert await jobs.dequeue() == Task(1, alice)

    run(body)


def test_members_and_clients_are_gateways(run: Run) -> None:
    """Both satisfy `EntityGateway` structurally; see that a type checker agrees."""

    async def body(place: Place) -> None:
        gateways: list[EntityGateway] = [place.nodes[0], await place.client()]
        totals = [await Distributed(gateway).counter("gateways").increment() for gateway in gateways]
        assert totals == [1, 2]
        assert isinstance((await place.client()).distributed(), Distributed)

    run(body)


def test_every_factory_makes_its_structure(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        made = [
            d.counter("kinds", shards=100, timeout=5.0),
            d.lock("kinds", shards=100, timeout=5.0),
            d.semaphore("kinds", 3, shards=100, timeout=5.0),
            d.barrier("kinds", node_id="me", shards=10, timeout=60.0),
            d.map[str, int]("kinds", shards=10),
            d.set[str]("kinds"),
            d.queue[str]("kinds"),
        ]
        expected: list[type] = [Counter, Lock, Semaphore, Barrier, Dict, Set, Queue]
        assert [type(one) for one in made] == expected

    run(body)


def test_one_name_in_two_kinds_is_two_structures(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        await d.counter("same").increment()
        await d.set[str]("same").add("a")
        await d.queue[str]("same").enqueue("b")
        assert (await d.counter("same").get(), await d.set[str]("same").size()) == (1, 1)
        assert await d.queue[str]("same").size() == 1

    run(body)


def test_the_number_of_permits_belongs_to_the_semaphore(run: Run) -> None:
    async def body(place: Place) -> None:
        d = (await place.client()).distributed()
        await d.semaphore("permits", permits=2).acquire()
        with pytest.raises(Mismatch, match="2"):
            await d.semaphore("permits", permits=3).acquire()

    run(body)


def test_with_a_journal_changes_are_on_record_before_calls_return(run: Run) -> None:
    """Members and clients alike; the same name without the journal is the same structure."""

    async def body(place: Place) -> None:
        journal = InMemoryJournal()
        client = await place.client()
        for number, gateway in enumerate((place.nodes[0], client)):
            d = Distributed(gateway, journal=journal)
            name = f"journaled-{number}"
            assert await d.counter(name).increment(5) == 5
            assert [row.event for row in await journal.load(f"counter:{name}", 2)] == [[1, 5]]
            assert await gateway.distributed().counter(name).get() == 5
            users = d.map[str, int](name)
            assert await users.put("alice", 30) is None
            assert await users.get("alice") == 30
            async with d.lock(name) as lock:
                assert lock.token is not None
            assert len(await journal.entity_ids(f"map:{name}:")) == 1
            await d.barrier(name, node_id="only").arrive(expected=1)
            async with d.semaphore(name, permits=1):
                assert await d.semaphore(name, permits=1).available() == 0

    run(body)


def test_what_is_no_journal_is_refused_with_a_reason(run: Run) -> None:
    async def body(place: Place) -> None:
        wrong: Any = object()
        with pytest.raises(TypeError, match="journal: expected an EventJournal, found <object"):
            Distributed(place.nodes[0], journal=wrong)

    run(body)


def test_the_structures_can_be_built_by_hand(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client()
        counter = Counter(gateway=client, region_ref=None, name="by-hand", timeout=5.0)
        assert await counter.increment() == 1
        assert await client.distributed().counter("by-hand").get() == 1

    run(body)
