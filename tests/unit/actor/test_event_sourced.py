"""Event-sourced actors on a plain system: what is held back, what is recovered, and what a refusal leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from casty import (
    ActorContext,
    ActorRef,
    ActorSystem,
    Behavior,
    Behaviors,
    DeadLetter,
    EventStreamSubscribe,
    InMemoryJournal,
    OneForOneStrategy,
    Persisted,
    Publish,
    ReplicationConfig,
    Snapshot,
    SnapshotEvery,
    UnhandledMessage,
    message,
)
from casty.errors import AskFailed, JournalConflict, JournalError, MessageTooLarge
from casty.testing import BehaviorTestKit
from casty.testing.kit import Refused, Spawned, Told
from tests.kit.clock import settle

Message = tuple[Any, ...]


@message(name="test.event_sourced.added")
@dataclass(frozen=True)
class Added:
    cents: int
    by: str = "nobody"


@message(name="test.event_sourced.balance")
@dataclass(frozen=True)
class Balance:
    cents: int = 0
    names: tuple[str, ...] = field(default=())


def folded(state: Balance, event: Added) -> Balance:
    return Balance(state.cents + event.cents, (*state.names, event.by)[-3:])


class GatedJournal:
    """A journal whose writes wait for the test, and fail as it says."""

    def __init__(self) -> None:
        self.inner = InMemoryJournal()
        self.kind = self.inner.kind
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []
        self.fails_after = False
        """Whether it fails after it has written: the answer is lost."""
        self.load, self.load_snapshot = self.inner.load, self.inner.load_snapshot
        self.save_snapshot, self.entity_ids = self.inner.save_snapshot, self.inner.entity_ids

    async def persist(self, entity_id: str, events: Sequence[object], expected_sequence_nr: int) -> None:
        await self.gate.wait()
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None and not self.fails_after:
            raise failure
        await self.inner.persist(entity_id, events, expected_sequence_nr)
        if failure is not None:
            raise failure


class Party:
    """An account, what it does by the first field of a message, and what was heard of it."""

    def __init__(self, system: ActorSystem, journal: Any = None) -> None:
        self.system = system
        self.journal = GatedJournal() if journal is None else journal
        self.heard: list[object] = []
        self.letters: list[object] = []
        self.ran: list[object] = []
        self.other: ActorRef[object] = system.spawn(Behaviors.receive(self._hear), "other")
        system.event_stream.tell(
            EventStreamSubscribe(DeadLetter, lambda letter: self.letters.append(letter.message))
        )

    def _hear(self, ctx: Any, message: object) -> None:
        self.heard.append(message)

    def behavior(self, **more: Any) -> Behavior[Message]:
        given: dict[str, Any] = {
            "entity_id": "a-1", "journal": self.journal, "initial_state": Balance(), "on_event": folded,
            "on_command": self.on_command, **more,
        }  # fmt: skip
        return Behaviors.event_sourced(**given)

    def spawn(self, name: str = "account", **more: Any) -> ActorRef[Message]:
        return self.system.spawn(self.behavior(**more), name)

    async def on_command(self, ctx: ActorContext[Message], state: Balance, message: Message) -> Any:
        what, *rest = message
        self.ran.append(what)
        match what:
            case "add":
                cents, reply_to = rest
                reply_to.tell(state.cents + cents)
                return Behaviors.persisted([Added(cents)])
            case "effects":
                self.other.tell("said")
                ctx.spawn(Behaviors.setup(self._child), "child")
                ctx.pipe_to_self(self._pipe(), mapper=lambda _: ("nothing",))
                ctx.schedule(("tick",), delay=0.01)
                ctx.system.event_stream.tell(EventStreamSubscribe(str, self.heard.append))
                return Behaviors.persisted([Added(1)])
            case "then":
                return Behaviors.persisted([Added(1)], then=rest[0])
            case "get":
                rest[0].tell(state)
                return None
            case "raise":
                self.other.tell("too early")
                raise RuntimeError("as planned")
            case "many":
                return Behaviors.persisted([Added(1)] * rest[0])
            case "plain":
                return rest[0]
            case _:
                return Behaviors.same()

    async def _child(self, ctx: ActorContext[Any]) -> Behavior[Any]:
        self.heard.append("child began")
        return Behaviors.ignore()

    async def _pipe(self) -> None:
        self.heard.append("pipe began")

    async def get(self, ref: ActorRef[Message]) -> Balance:
        state: Balance = await self.system.ask(ref, lambda reply_to: ("get", reply_to))
        return state

    async def add(self, ref: ActorRef[Message], cents: int) -> int:
        total: int = await self.system.ask(ref, lambda reply_to: ("add", cents, reply_to))
        return total


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_the_state_is_what_its_events_make_of_it_in_each_life() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        first = party.spawn("one")
        assert [await party.add(first, cents) for cents in (5, 7)] == [5, 12]
        first.tell(("plain", Behaviors.stopped()))
        await until(lambda: system.lookup("one") is None)
        assert await party.get(party.spawn("two")) == Balance(12, ("nobody", "nobody"))


async def test_nothing_leaves_before_the_events_are_committed() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        account = party.spawn()
        await party.get(account)
        party.journal.gate.clear()
        account.tell(("effects",))
        account.tell(("get", party.other))
        await settle()
        assert party.heard == []
        assert party.ran == ["get", "effects"], "the next message waits"
        party.journal.gate.set()
        await until(lambda: "tick" in party.ran)
        said = [heard for heard in party.heard if isinstance(heard, str)]
        assert sorted(said) == ["child began", "pipe began", "said"]
        assert Balance(1, ("nobody",)) in party.heard
        system.event_stream.tell(Publish("to whom it may concern"))
        assert "to whom it may concern" in party.heard


async def test_nothing_leaves_of_a_command_that_fails() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        account = system.spawn(Behaviors.supervise(party.behavior(), OneForOneStrategy()), "account")
        await party.get(account)
        party.journal.failures = [JournalConflict("as planned", 1)]
        account.tell(("effects",))
        account.tell(("raise",))
        assert (await party.get(account)).cents == 0
        assert party.heard == []
        assert [letter for letter in party.letters if isinstance(letter, str)] == ["said", "too early"]
        assert system.lookup("account/child") is None


async def test_a_child_that_was_to_begin_with_a_refused_command_never_runs() -> None:
    async with ActorSystem() as system:
        party = Party(system)

        def spawning(ctx: Any, state: Balance, message: Any) -> Any:
            child = ctx.spawn(Behaviors.setup(party._child), "child")
            child.tell("hello")
            return Behaviors.persisted([Added(1)] * message)

        account = party.spawn(on_command=spawning)
        account.tell(2_000)
        account.tell(1)
        await until(lambda: party.heard == ["child began"])
        assert party.letters == ["hello", 2_000], "the name was free again at once"
        assert system.lookup("account/child") is not None


async def test_a_refused_command_is_a_typed_error_and_the_actor_goes_on() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        account = party.spawn()
        await party.add(account, 3)
        with pytest.raises(MessageTooLarge, match="expected at most 1000 events at once, found 1001"):
            await system.ask(account, lambda reply_to: ("many", 1_001))
        assert await party.add(account, 4) == 7


async def test_a_state_that_was_changed_in_place_by_a_refused_command_is_read_anew() -> None:
    def in_place(state: list[int], event: int) -> list[int]:
        state.append(event)
        return state

    async def command(ctx: Any, state: list[int], message: Any) -> Any:
        if callable(getattr(message, "tell", None)):
            message.tell(tuple(state))
            return None
        return Behaviors.persisted([message] if isinstance(message, int) else [1, object()])

    async with ActorSystem() as system:
        party = Party(system)
        account = party.spawn(on_event=in_place, on_command=command, initial_state=[])
        for one in (5, "refused", 6):
            account.tell(one)  # type: ignore[arg-type]
        assert await system.ask(account, lambda reply_to: reply_to) == (5, 6)  # type: ignore[arg-type, return-value]


async def test_a_write_whose_answer_was_lost_is_repeated_and_counts_once() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        party.journal.fails_after = True
        party.journal.failures = [JournalError("lost"), JournalError("lost")]
        account = party.spawn()
        assert await party.add(account, 5) == 5
        assert [row.sequence_nr for row in await party.journal.load("a-1")] == [1]
        assert (await party.get(account)).cents == 5


async def test_a_journal_that_goes_on_failing_ends_the_actor() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        party.journal.failures = [JournalError("down")] * 4
        account = party.spawn()
        with pytest.raises(AskFailed, match=r"failed"):
            await party.add(account, 5)
        assert party.heard == []
        assert await party.add(party.spawn("again"), 5) == 5


async def test_whatever_a_journal_raises_is_a_journal_that_fails() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        party.journal.failures = [OSError("away"), TimeoutError(), ValueError("odd")]

        async def no_room(entity_id: str, snapshot: object) -> None:
            raise OSError("no room")

        party.journal.save_snapshot = no_room
        account = party.spawn(snapshot_policy=SnapshotEvery(1))
        assert await party.add(account, 5) == 5, "what fails is tried again"
        assert await party.add(account, 5) == 10, "without a snapshot nothing is lost"
        party.journal.failures = [OSError("away")] * 4
        with pytest.raises(AskFailed, match="failed"):
            await party.add(account, 5)


async def test_a_stale_writer_is_refused_and_says_nothing() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        old, new = party.spawn("old"), party.spawn("new")
        await party.get(old)
        assert await party.add(new, 1) == 1
        with pytest.raises(AskFailed):
            await party.add(old, 2)
        assert [row.event for row in await party.journal.load("a-1")] == [Added(1)]


async def test_each_kind_of_then_is_honoured() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        unhandled: list[object] = []
        system.event_stream.tell(EventStreamSubscribe(UnhandledMessage, unhandled.append))
        account = party.spawn()

        async def later(state: Balance) -> Persisted[Added]:
            party.other.tell(("later", state.cents))
            return Behaviors.persisted([Added(10)], then=lambda state: party.other.tell(state.cents))

        account.tell(("then", later))
        account.tell(("then", Behaviors.unhandled()))
        account.tell(("then", Behaviors.persisted([Added(100)])))
        account.tell(("then", lambda state: Behaviors.restart()))
        assert (await party.get(account)).cents == 114
        assert party.heard == [("later", 1), 11]
        assert len(unhandled) == 1
        account.tell(("then", Behaviors.receive(lambda ctx, message: party.other.tell("plain"))))
        account.tell(("anything",))
        await until(lambda: party.heard[-1] == "plain")
        last = party.spawn("last")
        last.tell(("then", lambda state: Behaviors.stopped()))
        await until(lambda: system.lookup("last") is None)
        assert len(await party.journal.load("a-1")) == 8


async def test_what_then_says_waits_for_what_it_persists() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        account = party.spawn()
        await party.get(account)

        def later(state: Balance) -> Persisted[Added]:
            party.journal.gate.clear()
            party.other.tell("said")
            return Behaviors.persisted([Added(10)])

        account.tell(("then", later))
        await settle()
        assert party.heard == []
        party.journal.gate.set()
        await until(lambda: party.heard == ["said"])


async def test_a_snapshot_shortens_recovery_and_is_never_ahead_of_the_events() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        account = party.spawn(snapshot_policy=SnapshotEvery(3))
        for _ in range(7):
            await party.add(account, 1)
        assert (await party.get(account)).cents == 7
        snapshot = await party.journal.load_snapshot("a-1")
        assert snapshot is not None
        assert (snapshot.sequence_nr, snapshot.state) == (6, Balance(6, ("nobody",) * 3))
        folds: list[Added] = []

        def counted(state: Balance, event: Added) -> Balance:
            folds.append(event)
            return folded(state, event)

        assert (await party.get(party.spawn("again", on_event=counted))).cents == 7
        assert len(folds) == 1


async def test_events_and_states_of_an_older_program_are_turned_into_new_ones() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        await party.journal.inner.persist("a-1", [5, 6, 7], 0)
        await party.journal.inner.save_snapshot("a-1", Snapshot(2, 11))

        def upcast(value: Any) -> Any:
            match value:
                case 11:
                    return Balance(11)
                case int():
                    return Added(value, "of old")
                case _:
                    return value

        assert await party.get(party.spawn(upcast=upcast)) == Balance(18, ("of old",))


async def test_an_actor_whose_log_cannot_be_read_does_not_begin() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        account = party.spawn(journal=None)
        with pytest.raises(AskFailed):
            await party.get(account)
        await until(lambda: system.lookup("account") is None)


async def test_an_ask_of_a_command_goes_out_at_once() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        rate = system.spawn(Behaviors.receive(lambda ctx, reply_to: reply_to.tell(3)), "rate")

        async def converting(ctx: Any, state: Balance, reply_to: Any) -> Any:
            factor = await ctx.system.ask(rate, lambda ref: ref)
            reply_to.tell(factor)
            return Behaviors.persisted([Added(factor)])

        account = party.spawn(on_command=converting)
        assert await system.ask(account, lambda reply_to: reply_to) == 3  # type: ignore[arg-type, return-value]


async def test_a_task_of_a_refused_command_says_nothing_later_either() -> None:
    async with ActorSystem() as system:
        party = Party(system)
        tasks: list[asyncio.Task[None]] = []
        go = asyncio.Event()

        async def later() -> None:
            await go.wait()
            party.other.tell("later")

        def command(ctx: Any, state: Balance, message: Any) -> Any:
            tasks.append(asyncio.ensure_future(later()))
            return Behaviors.persisted([Added(1)] * message)

        account = party.spawn(on_command=command)
        account.tell(2_000)
        await until(lambda: 2_000 in party.letters)
        account.tell(1)
        await settle()
        go.set()
        await asyncio.gather(*tasks)
        await settle()
        assert party.heard == ["later"]
        assert party.letters.count("later") == 1


def test_the_kit_runs_an_event_sourced_behaviour() -> None:
    def command(ctx: Any, state: Balance, message: Any) -> Any:
        ctx.spawn(Behaviors.ignore(), f"child-{state.cents}")
        message.tell(state.cents)
        return Behaviors.persisted([Added(1)] if state.cents < 1 else [Added(1, by=object())])  # type: ignore[arg-type]

    kit: BehaviorTestKit[Any] = BehaviorTestKit(
        Behaviors.event_sourced(
            entity_id="a-1",
            journal=InMemoryJournal(),
            initial_state=Balance(),
            on_event=folded,
            on_command=command,
        )
    )
    asked = kit.ref()
    kit.run(asked)
    assert [type(effect) for effect in kit.effects] == [Spawned, Told]
    kit.effects.clear()
    kit.run(asked)
    assert [type(effect) for effect in kit.effects] == [Refused]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"entity_id": 5}, TypeError),
        ({"journal": "sqlite"}, TypeError),
        ({"on_event": None}, TypeError),
        ({"on_command": 1}, TypeError),
        ({"upcast": 1}, TypeError),
        ({"snapshot_policy": 5}, TypeError),
        ({"replication": 3}, TypeError),
        ({"replica_refs": [1]}, ValueError),
    ],
)
def test_what_is_no_such_behaviour_is_refused_at_once(given: dict[str, Any], error: type[Exception]) -> None:
    usual: dict[str, Any] = {
        "entity_id": "a", "initial_state": 0, "on_event": folded, "on_command": lambda ctx, state, message: None,
    }  # fmt: skip
    Behaviors.event_sourced(**usual, replication=ReplicationConfig(2, 1), replica_refs=())
    with pytest.raises(error, match=next(iter(given))):
        Behaviors.event_sourced(**{**usual, **given})


@pytest.mark.parametrize(
    "make", [partial(SnapshotEvery, 0), partial(ReplicationConfig, 1, 2), partial(ReplicationConfig, -1)]
)
def test_settings_are_checked(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="expected at"):
        make()


@pytest.mark.parametrize("events", ["text", 5, None, b"data"])
def test_events_are_a_sequence(events: Any) -> None:
    with pytest.raises(TypeError, match="expected a list or tuple of events"):
        Behaviors.persisted(events)
    with pytest.raises(TypeError, match="then: expected a function"):
        Behaviors.persisted([], then=5)  # type: ignore[arg-type]
