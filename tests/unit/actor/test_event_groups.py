"""Commands that wait while one is decided go to the log together: in order, all held back, each with its own end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from casty import ActorContext, ActorRef, ActorSystem, Behaviors, InMemoryJournal, SnapshotEvery
from casty.errors import AskFailed, EncodingError, JournalConflict

Message = tuple[Any, ...]


class CountedJournal:
    """A journal that remembers what it was given at once, and fails as the test says."""

    def __init__(self) -> None:
        self.inner = InMemoryJournal()
        self.kind = self.inner.kind
        self.batches: list[list[Any]] = []
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.load, self.load_snapshot = self.inner.load, self.inner.load_snapshot
        self.save_snapshot, self.entity_ids = self.inner.save_snapshot, self.inner.entity_ids

    async def persist(self, entity_id: str, events: Sequence[object], expected_sequence_nr: int) -> None:
        self.batches.append(list(events))
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        await self.inner.persist(entity_id, events, expected_sequence_nr)


class Account:
    """A sum; what it does with a message says its first field."""

    def __init__(self, system: ActorSystem, **more: Any) -> None:
        self.system = system
        self.journal = CountedJournal()
        self.given: dict[str, Any] = {
            "entity_id": "a", "journal": self.journal, "initial_state": 0, "on_event": _added,
            "on_command": self._decide, **more,
        }  # fmt: skip
        self.ref: ActorRef[Message] = system.spawn(Behaviors.event_sourced(**self.given), "account")

    def _decide(self, ctx: ActorContext[Message], total: int, message: Message) -> Any:
        what, event, reply_to = message
        match what:
            case "add":
                reply_to.tell(total + event)
                return Behaviors.persisted([event])
            case "get":
                reply_to.tell(total)
                return None
            case "wait":
                return self._later(total, reply_to)
            case "last":
                reply_to.tell(total + event)
                return Behaviors.persisted([event], then=Behaviors.stopped())
            case "bad":
                reply_to.tell(total)
                return Behaviors.persisted([object()])
            case _:
                raise RuntimeError("as planned")

    async def _later(self, total: int, reply_to: ActorRef[int]) -> None:
        assert len(await self.journal.inner.load("a")) == total, "what is seen by others is on record"
        reply_to.tell(total)

    def ask(self, what: str, event: int = 1) -> asyncio.Task[int]:
        return asyncio.ensure_future(
            self.system.ask(self.ref, lambda reply_to: (what, event, reply_to), timeout=5.0)
        )

    async def asked(self, *whats: str) -> list[int | BaseException]:
        """Ask all that at once, and return what came of it."""
        return await asyncio.gather(*[self.ask(what) for what in whats], return_exceptions=True)


def _added(total: int, event: Any) -> int:
    return total + event if isinstance(event, int) else total


async def test_commands_that_wait_go_to_the_log_together() -> None:
    async with ActorSystem() as system:
        account = Account(system)
        assert await account.asked(*["add"] * 10) == list(range(1, 11))
        assert [len(batch) for batch in account.journal.batches] == [10]
        assert await account.asked("add") == [11]
        assert [row.sequence_nr for row in await account.journal.load("a")] == list(range(1, 12))


async def test_nothing_of_a_group_is_heard_before_it_is_on_record_nor_what_rests_on_it() -> None:
    async with ActorSystem() as system:
        account = Account(system)
        account.journal.gate.clear()
        asks = [account.ask(what) for what in ("add", "add", "get", "add")]
        while not account.journal.batches:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert not any(ask.done() for ask in asks)
        account.journal.gate.set()
        assert await asyncio.gather(*asks) == [1, 2, 2, 3]
        assert account.journal.batches == [[1, 1, 1]]


async def test_a_command_that_waits_sees_only_what_is_on_record() -> None:
    async with ActorSystem() as system:
        account = Account(system)
        assert await account.asked("add", "add", "wait", "add") == [1, 2, 2, 3]


async def test_a_group_that_is_refused_comes_to_nothing_and_the_actor_goes_on() -> None:
    async with ActorSystem() as system:
        account = Account(system)
        await account.asked("add")
        account.journal.failures = [EncodingError("as planned")] * 2
        found = await account.asked("add", "get", "add")
        assert all(isinstance(one, EncodingError) for one in found)
        assert await account.asked("get", "add") == [1, 2]


async def test_one_that_the_log_does_not_take_takes_along_only_what_was_decided_upon_it() -> None:
    async with ActorSystem() as system:
        account = Account(system)
        found = await account.asked("add", "add", "bad", "add")
        assert found[:2] == [1, 2]
        assert all(isinstance(one, EncodingError) for one in found[2:])
        assert await account.asked("get") == [2]


async def test_one_that_raises_does_not_take_along_those_before_it() -> None:
    async with ActorSystem() as system:
        account = Account(system)
        found = await account.asked("add", "add", "raise", "add")
        assert found[:2] == [1, 2]
        assert all(isinstance(one, AskFailed) for one in found[2:])
        assert len(await account.journal.load("a")) == 2


async def test_what_then_says_is_done_before_the_next_command() -> None:
    async with ActorSystem() as system:
        account = Account(system)
        found = await account.asked("add", "add", "last", "add")
        assert found[:3] == [1, 2, 3]
        assert isinstance(found[3], AskFailed)
        assert len(await account.journal.load("a")) == 3


async def test_whoever_is_stale_fails_and_everybody_in_the_group_hears_so() -> None:
    async with ActorSystem() as system:
        account = Account(system)
        await account.asked("add")
        account.journal.failures = [JournalConflict("as planned", 2)]
        found = await account.asked("add", "get", "add")
        assert all(isinstance(one, AskFailed) for one in found)


async def test_a_group_whose_actor_ends_before_the_next_command_is_told() -> None:
    """As where the lease ended just then: nothing of it leaves, and whoever asked does not wait in vain."""
    async with ActorSystem() as system:
        account = Account(system)
        await account.asked("add")
        cell = system.core.cells["account"]
        handled = [0]

        def guard(message: object) -> bool:
            handled[0] += 1
            if handled[0] == 3:
                cell.stop()
            return handled[0] < 3

        cell.guard = guard
        found = await account.asked("add", "add", "add")
        assert all(isinstance(one, AskFailed) for one in found[:2])
        assert len(await account.journal.load("a")) == 1


async def test_snapshots_of_groups_are_of_what_is_on_record() -> None:
    async with ActorSystem() as system:
        account = Account(system, snapshot_policy=SnapshotEvery(3))
        await account.asked(*["add"] * 5)
        snapshot = await account.journal.load_snapshot("a")
        assert snapshot is not None
        assert (snapshot.sequence_nr, snapshot.state) == (5, 5)


@pytest.mark.parametrize("count", [65, 300])
async def test_a_group_is_bounded(count: int) -> None:
    async with ActorSystem() as system:
        account = Account(system)
        assert await account.asked(*["add"] * count) == list(range(1, count + 1))
        assert max(map(len, account.journal.batches)) <= 64
