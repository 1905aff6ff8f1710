"""Structures on record: what was acknowledged is there after the cluster lost all its memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from casty import ClusterClient, Counter, Dict, Distributed, Queue, Settings
from casty.distributed.machines.base import RECORD
from casty.distributed.machines.counter import ADD
from casty.distributed.recording.waits import LEFT_S
from casty.errors import JournalError, NotOnRecord, OutcomeUnknown, Unavailable
from casty.journal.base import PersistedEvent, Snapshot
from casty.structures import MapState
from sim import World
from sim.world.journal import SimJournal

NODES = 3
SETTINGS = Settings(slots=4, heartbeat_s=0.1, election_min_s=0.5, election_max_s=0.75, session_ttl_s=4.0)


class RunRecorder:
    """A cluster that may lose its memory, and a journal that stays."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.journal = SimJournal()

    async def begin(self) -> None:
        await self.world.cluster(NODES, config=SETTINGS)

    async def lose_memory(self) -> None:
        """All nodes end at once, and begin again without what they knew."""
        for name in self.world.node_names:
            self.world.crash(name)
        await asyncio.gather(*[self.world.restart(name) for name in self.world.node_names])

    async def client(self, name: str) -> ClusterClient:
        return await self.world.client(name)

    async def user(self, name: str) -> Distributed:
        return Distributed(await self.client(name), journal=self.journal)

    def events(self, entity_id: str) -> list[Any]:
        return [data for _, data, _ in self.journal.inner._events.get(entity_id, [])]


def run(body: Callable[[RunRecorder], Any], seed: int = 9_870_001, limit_s: float = 120.0) -> None:
    async def main(world: World) -> None:
        recorder = RunRecorder(world)
        await recorder.begin()
        await body(recorder)

    with World(seed) as world:
        world.run(main(world), limit_s=limit_s)
        assert world.errors == []


def test_everything_acknowledged_is_there_after_all_memory_was_lost() -> None:
    async def body(recorder: RunRecorder) -> None:
        d = await recorder.user("first")
        assert [await d.counter("hits").increment() for _ in range(3)] == [1, 2, 3]
        users = d.map[str, int]("users")
        await users.put("alice", 30)
        await users.put("bob", 40)
        assert await users.delete("bob")
        tags = d.set[str]("tags")
        assert await tags.add("a")
        assert not await tags.add("a")
        assert await tags.add("b")
        assert await tags.remove("a")
        jobs = d.queue[str]("jobs")
        for job in "wxyz":
            await jobs.enqueue(job)
        assert await jobs.dequeue() == "w"
        lock = d.lock("alone")
        await lock.acquire()
        token = lock.token
        assert token is not None
        fence = d.fence("settings")
        assert await fence.write(token, "value")
        await recorder.lose_memory()
        again = await recorder.user("second")
        assert await again.counter("hits").get() == 3
        assert await again.counter("hits").increment() == 4
        users = again.map[str, int]("users")
        assert await users.get("alice") == 30
        assert await users.get("bob") is None
        assert await again.set[str]("tags").size() == 1
        assert await again.set[str]("tags").contains("b")
        jobs = again.queue[str]("jobs")
        assert [await jobs.dequeue() for _ in range(4)] == ["x", "y", "z", None]
        assert await again.fence("settings").read() == ("value", token)
        other = again.lock("alone")
        await other.acquire()  # holds are not revived
        assert other.token is not None and other.token > token
        assert await again.fence("settings").write(other.token, "later")

    run(body)


def test_the_same_client_goes_on_after_all_memory_was_lost() -> None:
    async def body(recorder: RunRecorder) -> None:
        counter = (await recorder.user("only")).counter("hits", timeout=30.0)
        for expected in range(1, 6):
            assert await counter.increment() == expected
        await recorder.lose_memory()
        while True:
            try:
                found = await counter.increment()
                break
            except (OutcomeUnknown, Unavailable):
                continue
        assert found >= 6
        assert await counter.get() == found

    run(body)


def test_two_gateways_and_one_without_the_journal_share_one_structure() -> None:
    async def body(recorder: RunRecorder) -> None:
        first, second = await recorder.user("first"), await recorder.user("second")
        plain = Distributed(await recorder.client("plain"))

        async def add(counter: Counter) -> None:
            for _ in range(20):
                await counter.increment()

        await first.counter("hits").get()
        assert await first.counter("hits").increment(0) == 0
        await asyncio.gather(*[add(d.counter("hits")) for d in (first, second, plain, first)])
        assert await plain.counter("hits").get() == 80
        assert await second.counter("hits").get() == 80
        await recorder.lose_memory()
        assert await (await recorder.user("third")).counter("hits").get() == 80

    run(body)


def test_a_reader_sees_nothing_that_is_not_on_record() -> None:
    """What a gateway without the journal did is put on record by the first that has it, before it answers."""

    async def body(recorder: RunRecorder) -> None:
        recorded, plain = await recorder.user("recorded"), Distributed(await recorder.client("plain"))
        counter = recorded.counter("hits")
        await counter.increment()
        assert await plain.counter("hits").increment() == 2
        recorder.journal.is_failing = True
        with pytest.raises(JournalError, match="change 3 is not on record") as caught:
            await counter.get()
        assert not isinstance(caught.value, NotOnRecord)
        assert await plain.counter("hits").get() == 2
        recorder.journal.is_failing = False
        assert await counter.get() == 2
        await recorder.lose_memory()
        assert await (await recorder.user("later")).counter("hits").get() == 2

    run(body)


@pytest.mark.parametrize("fault", ["is_failing", "is_full", "loses_answers"])
def test_a_failing_journal_is_a_typed_error_and_others_go_on(fault: str) -> None:
    async def body(recorder: RunRecorder) -> None:
        d, plain = await recorder.user("recorded"), Distributed(await recorder.client("plain"))
        counter = d.counter("hits")
        assert await counter.increment() == 1
        setattr(recorder.journal, fault, True)
        errors = []
        for _ in range(10):
            try:
                await counter.increment()
            except NotOnRecord as error:
                errors.append(error)
        assert 0 < len(errors) < 10 if fault == "loses_answers" else len(errors) == 10
        assert all(
            isinstance(error, OutcomeUnknown) and "once or not at all" in str(error) for error in errors
        )
        assert await plain.counter("other").increment() == 1
        setattr(recorder.journal, fault, False)
        assert await counter.get() == 11, "what was applied is put on record by whoever is next"
        await recorder.lose_memory()
        assert await (await recorder.user("later")).counter("hits").get() == 11

    run(body)


def test_a_slow_journal_is_late_and_not_wrong() -> None:
    async def body(recorder: RunRecorder) -> None:
        counter = (await recorder.user("slow")).counter("hits", timeout=1.0)
        await counter.increment()
        recorder.journal.slow_ms = 10_000
        with pytest.raises(NotOnRecord, match="in time"):
            await counter.increment()
        recorder.journal.slow_ms = 2
        patient = (await recorder.user("patient")).counter("hits", timeout=20.0)
        assert await patient.get() == 2

    run(body)


def test_a_gateway_that_ends_between_commit_and_journal() -> None:
    """Its change is in the slot's tail: the next gateway puts it on record before it answers anybody."""

    async def body(recorder: RunRecorder) -> None:
        d = await recorder.user("first")
        await d.counter("hits").increment()
        recorder.journal.slow_ms = 3_000
        lost: list[Any] = []
        plain = Distributed(await recorder.client("plain")).counter("hits")
        recorder.world.after(0, lost.append, asyncio.ensure_future(d.counter("hits").increment()))
        while await plain.get() != 2:
            await asyncio.sleep(0.01)
        assert len(recorder.events("counter:hits")) == 2
        recorder.world.crash("first")
        recorder.journal.slow_ms = 2
        other = (await recorder.user("second")).counter("hits")
        assert await other.get() == 2
        await recorder.lose_memory()
        assert await (await recorder.user("third")).counter("hits").get() == 2

    run(body)


def test_first_uses_at_the_same_time() -> None:
    """Many gateways restore one structure together; it is restored once."""

    async def body(recorder: RunRecorder) -> None:
        d = await recorder.user("before")
        jobs = d.queue[int]("jobs", timeout=30.0)
        await asyncio.gather(*[jobs.enqueue(number) for number in range(1_200)])
        await recorder.lose_memory()
        users = [await recorder.user(f"user-{number}") for number in range(5)]

        async def take(jobs: Queue[int]) -> list[int | None]:
            return [await jobs.dequeue() for _ in range(10)]

        taken = await asyncio.gather(*[take(user.queue[int]("jobs", timeout=30.0)) for user in users])
        found = [item for items in taken for item in items if item is not None]
        assert len(found) == 50
        assert sorted(found) == sorted(dict.fromkeys(found))
        assert await users[0].queue[int]("jobs").size() == 1_150

    run(body)


class HeldJournal(SimJournal):
    """A way to the same journal on which one method waits at an entity, until it is let go."""

    def __init__(self, journal: SimJournal, method: str) -> None:
        super().__init__(journal.inner)
        self._method = method
        self.is_reached, self.may_go = asyncio.Event(), asyncio.Event()

    async def _hold(self, method: str, entity_id: str) -> None:
        if method == self._method and entity_id == "counter:hits":
            self.is_reached.set()
            await self.may_go.wait()

    async def load_snapshot(self, entity_id: str) -> Snapshot | None:
        await self._hold("load_snapshot", entity_id)
        return await super().load_snapshot(entity_id)

    async def load(
        self, entity_id: str, from_sequence_nr: int = 0, *, limit: int | None = None
    ) -> list[PersistedEvent]:
        found = await super().load(entity_id, from_sequence_nr, limit=limit)
        await self._hold("load", entity_id)
        return found

    async def persist(self, entity_id: str, events: Sequence[object], expected_sequence_nr: int) -> None:
        await self._hold("persist", entity_id)
        await super().persist(entity_id, events, expected_sequence_nr)


@pytest.mark.parametrize("method", ["load_snapshot", "load", "persist"])
@pytest.mark.parametrize("has_snapshot", [False, True])
def test_a_life_that_went_on_while_another_gateway_restored_it_begins_once(
    method: str, has_snapshot: bool
) -> None:
    """Who comes late finds changes of that life, or a snapshot of it, behind its beginning."""

    async def body(recorder: RunRecorder) -> None:
        await (await recorder.user("before")).counter("hits").increment(5)
        await recorder.lose_memory()
        held = HeldJournal(recorder.journal, method)
        late = Distributed(await recorder.client("late"), journal=held).counter("hits", timeout=30.0)
        task = asyncio.ensure_future(late.increment())
        await held.is_reached.wait()
        quick = (await recorder.user("quick")).counter("hits")
        assert [await quick.increment() for _ in range(3)] == [6, 7, 8]
        if has_snapshot:
            number = len(recorder.events("counter:hits"))
            await recorder.journal.save_snapshot("counter:hits", Snapshot(number, [[ADD, 8]], 0.0))
        held.may_go.set()
        assert await task == 9
        assert [await quick.increment(), await late.increment()] == [10, 11]
        rows = [row.event for row in await recorder.journal.inner.load("counter:hits")]
        lives = [row[1] for row in rows if isinstance(row, list) and row[0] == "life"]
        assert len(lives) == len(set(lives)) == 2
        await recorder.lose_memory()
        assert await (await recorder.user("again")).counter("hits").get() == 11

    run(body)


@pytest.mark.parametrize("method", ["load_snapshot", "persist"])
@pytest.mark.parametrize("recovers", [False, True])
def test_who_waits_for_ever_for_a_journal_is_let_go_when_its_client_is_left(
    method: str, recovers: bool
) -> None:
    """A journal that answers soon is waited for all the same: what was applied is told with its value."""

    async def body(recorder: RunRecorder) -> None:
        await (await recorder.user("before")).counter("hits").increment(5)
        is_restored = method == "persist"
        if not is_restored:
            await recorder.lose_memory()
        held = HeldJournal(recorder.journal, method)
        client = await recorder.client("left")
        counter = Distributed(client, journal=held).counter("hits", timeout=None)
        call = asyncio.ensure_future(counter.increment())
        await held.is_reached.wait()
        await asyncio.sleep(100)
        assert not call.done()
        asked: Any = client._client_core.gateway._driver._when_left
        assert len(asked) == 1
        given_up = [asyncio.ensure_future(counter.increment()) for _ in range(3)]
        await asyncio.sleep(1)
        for one in given_up:
            one.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        assert len(asked) == 1, "one is still waiting"
        left_ns = recorder.world.now_ns
        await client.__aexit__(None, None, None)
        if recovers and is_restored:
            held.may_go.set()
            assert await call == 6
            return
        with pytest.raises(NotOnRecord if is_restored else JournalError, match="in time"):
            await call
        assert recorder.world.now_ns - left_ns < (LEFT_S + 1) * 1_000_000_000

    run(body, limit_s=400.0)


def test_the_state_of_a_cluster_goes_on_record_when_a_journal_comes() -> None:
    async def body(recorder: RunRecorder) -> None:
        plain = Distributed(await recorder.client("plain"))
        await plain.counter("hits").increment(7)
        for item in "abc":
            await plain.queue[str]("jobs").enqueue(item)
        d = await recorder.user("recorded")
        assert await d.counter("hits").increment() == 8
        assert await d.queue[str]("jobs").dequeue() == "a"
        await recorder.lose_memory()
        again = await recorder.user("again")
        assert await again.counter("hits").get() == 8
        assert [await again.queue[str]("jobs").dequeue() for _ in range(3)] == ["b", "c", None]

    run(body)


def test_both_in_the_cluster_and_on_record_is_for_people_to_decide() -> None:
    async def body(recorder: RunRecorder) -> None:
        await (await recorder.user("recorded")).counter("hits").increment(5)
        await recorder.lose_memory()
        plain = Distributed(await recorder.client("plain"))
        await plain.counter("hits").increment()
        counter = (await recorder.user("again")).counter("hits")
        with pytest.raises(JournalError, match="found it in both"):
            await counter.increment()
        assert await plain.counter("hits").increment() == 2
        await plain.counter("hits").destroy()
        assert await counter.increment() == 6

    run(body)


def test_what_is_gone_on_record_may_be_used_without_the_journal() -> None:
    """Nothing stands beside a history that ends with nothing: what is in the cluster goes on record."""

    async def body(recorder: RunRecorder) -> None:
        counter = (await recorder.user("recorded")).counter("hits")
        await counter.increment(5)
        assert await counter.destroy()
        plain = Distributed(await recorder.client("plain"))
        await plain.counter("hits").increment(7)
        assert await counter.increment() == 8
        await recorder.lose_memory()
        assert await (await recorder.user("again")).counter("hits").get() == 8

    run(body)


def test_another_journal_is_refused() -> None:
    async def body(recorder: RunRecorder) -> None:
        await (await recorder.user("recorded")).counter("hits").increment(5)
        other = SimJournal()
        counter = Distributed(await recorder.client("other"), journal=other).counter("hits")
        with pytest.raises(JournalError, match="expected the journal"):
            await counter.increment()
        with pytest.raises(JournalError, match="expected the journal"):
            await counter.get()

    run(body)


def test_asking_for_what_is_not_there_leaves_no_trace() -> None:
    async def body(recorder: RunRecorder) -> None:
        d = await recorder.user("reader")
        users = d.map[str, int]("users")
        for name in ("alice", "bob"):
            assert await users.get(name) is None
            assert not await users.contains(name)
        assert await d.counter("hits").get() == 0
        assert await recorder.journal.inner.entity_ids("map:") == []
        assert await recorder.journal.inner.entity_ids("counter:") == []

    run(body)


def test_a_map_is_destroyed_on_record_too() -> None:
    async def body(recorder: RunRecorder) -> None:
        users = (await recorder.user("first")).map[str, int]("users")
        for number in range(5):
            await users.put(f"user-{number}", number)
        longer = (await recorder.user("other")).map[str, int]("users:x")
        await longer.put("stays", 1)
        await recorder.lose_memory()
        users = (await recorder.user("second")).map[str, int]("users")
        assert await users.destroy()
        assert not await users.destroy()
        await recorder.lose_memory()
        third = await recorder.user("third")
        assert [await third.map[str, int]("users").get(f"user-{number}") for number in range(5)] == [None] * 5
        assert await third.map[str, int]("users:x").get("stays") == 1

    run(body)


def test_snapshots_shorten_a_restoration() -> None:
    async def body(recorder: RunRecorder) -> None:
        counter = (await recorder.user("first")).counter("hits", timeout=60.0)
        for _ in range(26):
            await asyncio.gather(*[counter.increment() for _ in range(50)])
        snapshot = await recorder.journal.inner.load_snapshot("counter:hits")
        assert snapshot is not None and snapshot.sequence_nr >= 1_000
        await recorder.lose_memory()
        assert await (await recorder.user("second")).counter("hits").get() == 1_300

    run(body)


def test_tokens_grow_though_the_wall_clock_went_back() -> None:
    async def body(recorder: RunRecorder) -> None:
        lock = (await recorder.user("first")).lock("alone")
        await lock.acquire()
        first = lock.token
        recorder.world.crash("first")  # nobody is left who could tell the next cluster of the former one
        for name in recorder.world.node_names:
            recorder.world.clock(name).step_wall(-3_600)
        await recorder.lose_memory()
        again = (await recorder.user("second")).lock("alone")
        await again.acquire()
        assert first is not None and again.token is not None
        assert again.token > first

    run(body)


def test_bad_arguments() -> None:
    async def body(recorder: RunRecorder) -> None:
        client: Any = await recorder.client("client")
        wrong: Any = object()
        with pytest.raises(TypeError, match="journal: expected an EventJournal, found <object"):
            Distributed(client, journal=wrong)

    run(body)


def test_keys_that_were_deleted_or_ended_are_no_keys() -> None:
    async def body(recorder: RunRecorder) -> None:
        async def keys(table: Dict[str, int]) -> tuple[list[str], int, list[tuple[str, int]]]:
            names = table.keys()
            found = sorted([name async for name in names])
            return found, await table.size(), sorted([item async for item in table.items()])

        users = (await recorder.user("first")).map[str, int]("users")
        await users.put("alice", 30)
        await users.put("bob", 40)
        await users.put("carol", 50, ttl_s=0.5)
        assert await users.delete("bob")
        await asyncio.sleep(2.0)
        expected = (["alice"], 1, [("alice", 30)])
        assert await keys(users) == expected
        await recorder.lose_memory()
        users = (await recorder.user("second")).map[str, int]("users")
        assert await keys(users) == expected, "on record there are the names of all"
        await users.clear()
        assert await keys(users) == ([], 0, [])

    run(body)


@pytest.mark.parametrize("is_one", [True, False])
def test_a_watch_begins_with_what_is_on_record(is_one: bool) -> None:
    """Also with keys that nobody has used since the cluster lost its memory, in its midst too."""

    async def body(recorder: RunRecorder) -> None:
        users = (await recorder.user("first")).map[str, int]("users")
        for number in range(8):
            await users.put(f"user-{number}", number)
        await users.delete("user-7")
        expected = {"user-3": 3} if is_one else {f"user-{number}": number for number in range(7)}
        seen: dict[str, int] = {}
        await recorder.lose_memory()
        users = (await recorder.user("second")).map[str, int]("users")
        async with users.watch("user-3") if is_one else users.watch() as events:
            for _ in range(2):
                covered = 0
                while covered < (1 if is_one else SETTINGS.slots):
                    event = await asyncio.wait_for(anext(events), 30.0)
                    assert isinstance(event, MapState)
                    covered += 1
                    seen = {key: value for key, value in seen.items() if not event.covers(key)}
                    seen.update(event.entries)
                assert seen == expected
                await recorder.lose_memory()

    run(body)


def test_nothing_is_kept_of_a_key_that_was_seen_to_have_ended() -> None:
    async def body(recorder: RunRecorder) -> None:
        def records() -> int:
            system: Any = recorder.world.processes[recorder.world.node_names[0]].value
            slots = system._node.requests.slots.values()
            return sum(key[0] == RECORD for replica in slots for key in replica.machine.entities)

        users = (await recorder.user("only")).map[int, int]("users")
        for number in range(3):
            await users.put(number, number, ttl_s=0.3)
        await recorder.world.until(lambda: records() == 3, timeout_s=5.0)
        await asyncio.sleep(1.0)
        assert records() == 3, "nobody saw their ends yet"
        assert [await users.get(0), await users.contains(1), await users.delete(2)] == [None, False, False]
        await recorder.world.until(lambda: records() == 0, timeout_s=5.0)

    run(body)
