"""Event-sourced actors: state is what their events make of it, and nothing leaves before its events are committed.

A life: the log is opened, which fences every other writer; the snapshot and the events behind it give the state; only
then comes the first message. A command is decided under a `Held`. What it persists is folded into a state of which
nobody knows until the log has the events; then that is the state, what was held back leaves, and `then` is honoured.
Commands that are unread while another one is decided are decided upon its state, and the events of all go to the log at
once; each is held back until then, those that only read as well. `docs/adr/0039` has the protocol, with what may be
lost at each step.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from casty.actor.base import Signal
from casty.actor.context import ActorContext
from casty.actor.event_store import EventStore, PersistRefused
from casty.actor.handling import Behavior
from casty.actor.holding import HELD, Held
from casty.checks import check_count, check_seconds, shown
from casty.errors import CastyError, EncodingError, JournalConflict, MessageTooLarge
from casty.events import EventsRecovered
from casty.journal.base import EventJournal

__all__ = ["EventSourced", "Life", "Persisted", "ReplicationConfig", "SnapshotEvery"]

MAX_GROUP = 64
MAX_GROUP_EVENTS = 256
"""Commands whose events go to the log together, and their events; a command with more goes alone."""

M = TypeVar("M")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True)
class SnapshotEvery:
    """Keep a snapshot after so many events, so that a recovery reads no more than those.

    Parameters
    ----------
    n_events
        At least 1.
    """

    n_events: int

    def __post_init__(self) -> None:
        check_count("n_events", self.n_events, 1)


@dataclass(frozen=True)
class ReplicationConfig:
    """How many passive copies of an entity's events there should be; kept for programs that say so.

    Events of a region's entities are committed when a majority of their slot's replicas has them, whatever is said
    here: that is `Settings.replication` of the cluster.

    Parameters
    ----------
    replicas, min_acks
        At least 0, and `min_acks` at most `replicas`.
    ack_timeout
        Seconds.
    """

    replicas: int = 0
    min_acks: int = 0
    ack_timeout: float = 5.0

    def __post_init__(self) -> None:
        check_count("replicas", self.replicas, 0)
        check_count("min_acks", self.min_acks, 0)
        check_seconds(self.ack_timeout, "ack_timeout")
        if self.min_acks > self.replicas:
            raise ValueError(
                f"min_acks: expected at most replicas={self.replicas}, found {self.min_acks}: nobody else acknowledges"
            )


@dataclass(frozen=True)
class Persisted(Generic[E]):
    """What a command decided; see `Behaviors.persisted`."""

    events: tuple[E, ...]
    then: Any = None


@dataclass(frozen=True)
class EventSourced(Generic[M, S, E]):
    """A setup that recovers the actor; see `Behaviors.event_sourced`."""

    entity_id: str
    journal: EventJournal | None
    initial_state: S
    on_event: Callable[[S, E], S]
    on_command: Callable[[ActorContext[M], S, M], Any]
    snapshot_policy: SnapshotEvery | None
    upcast: Callable[[Any], Any] | None

    async def __call__(self, ctx: ActorContext[M]) -> Behavior[M]:
        """Recover, and return what handles the messages."""
        store = ctx.event_store(self.entity_id, self.journal)
        life = Life(self, ctx, store)
        await life.recover()
        ctx.on_incarnation_over(life.drop_group)
        return Behavior(on_receive=life.receive)


class _Decided(NamedTuple):
    """A command that was decided, and what it persists: nothing of it has left."""

    message: Any
    asker: Any
    """Who asked it, in another process."""
    held: Held
    events: tuple[Any, ...]
    state: Any
    """After its events."""


class _GroupRefusedError(Exception):
    """What a command was decided upon is not on record, and will not be."""

    def __init__(self, error: CastyError) -> None:
        super().__init__(str(error))
        self.error = error


class Life(Generic[M, S, E]):
    """One activation: the state after the events up to `_number`, all of which are committed, and those of `_group`."""

    __slots__ = (
        "_base", "_ctx", "_group", "_group_events", "_initial", "_is_behind", "_number", "_source", "_state", "_store",
    )  # fmt: skip

    def __init__(self, source: EventSourced[M, S, E], ctx: ActorContext[M], store: EventStore) -> None:
        self._source = source
        self._ctx = ctx
        self._store = store
        self._initial = store.copy(source.initial_state)
        """As it was: an `on_event` that changes states in place is wrong, and would change this one for ever."""
        self._state: S = source.initial_state
        self._number = 0
        self._group: list[_Decided] = []
        """Commands that wait for the one that is read next, at once: nobody else runs in between."""
        self._group_events = 0
        self._base = 0
        """The number of the last event that is in a snapshot."""
        self._is_behind = False
        """Whether the state may have more in it than its events: the log has to be read anew first."""

    async def recover(self) -> None:
        """Become the writer, and fold what is on record."""
        source, upcast = self._source, self._source.upcast or _same
        number, snapshot = await self._store.open()
        state: Any = upcast(snapshot) if number else self._store.copy(self._initial)
        self._base = number
        while events := await self._store.events_after(number):
            for event in events:
                state = source.on_event(state, upcast(event))
            number += len(events)
        self._state, self._number, self._is_behind = state, number, False
        if observe := self._ctx.observer:
            observe(EventsRecovered(self._ctx.self.id, self._base, number))

    async def receive(self, ctx: ActorContext[M], message: M) -> Behavior[M] | None:
        """Handle a command."""
        if self._is_behind:
            await self.recover()
        held = Held()
        try:
            result: Any = self._decide(held, self._source.on_command, ctx, self._state, message)
            was_awaited = False
            if type(result) is not Persisted and inspect.isawaitable(result):
                was_awaited = True
                result = await self._waited_for(held, result)
            has_joined = not was_awaited and self._joins(ctx, message, held, result)
            if not has_joined:
                if self._group:
                    await self._commit_group(held)
            elif not self._takes_more(ctx):
                with contextlib.suppress(_GroupRefusedError):  # whoever is in it was told
                    await self._commit_group()
        except _GroupRefusedError as refused:
            ctx.refuse(message, refused.error)
            return None
        except Exception:
            with contextlib.suppress(_GroupRefusedError):
                await self._commit_group()  # what was decided before it has not failed
            raise
        if has_joined:
            return None
        while isinstance(result, Persisted):
            if not await self._commit(result.events, held, message):
                return None
            held.release()
            if self._is_snapshot_due():
                await self._keep_snapshot(self._state)
            result = result.then
            if callable(result):
                held = Held()
                result = self._decide(held, result, self._state)
                if inspect.isawaitable(result):
                    result = await self._waited_for(held, result)
        held.release()
        behavior: Behavior[M] | None = result
        return behavior

    def _decide(self, held: Held, decide: Callable[..., Any], *arguments: object) -> Any:
        """Run the user's code and hold back what it does; what it raises comes to nothing."""
        HELD.set(held)
        try:
            return decide(*arguments)
        except BaseException:
            held.drop()
            raise
        finally:
            HELD.set(None)  # not reset: where a closed coroutine runs its last lines is nobody's choice

    async def _waited_for(self, held: Held, work: Awaitable[Any]) -> Any:
        """Run what a decision waits for, as `_decide` does.

        It may be seen by others, so nothing that it rests on may be uncommitted then.
        """
        try:
            if self._group:
                await self._commit_before(work)  # what others said leaves now
            HELD.set(held)
            return await work
        except BaseException:
            held.drop()
            raise
        finally:
            HELD.set(None)

    # -- commands together

    def _joins(self, ctx: ActorContext[M], message: M, held: Held, result: Any) -> bool:
        """Whether a command goes to the log with those before it, or with the next one, which is there.

        Its events are in the state then.
        """
        events = result.events if isinstance(result, Persisted) else ()
        if not _is_plain(result) or self._group_events + len(events) > MAX_GROUP_EVENTS:
            return False
        if not self._group and not (events and ctx.reads_on(self.receive)):
            return False
        state = self._state
        try:
            for event in events:
                state = self._source.on_event(state, event)
        except Exception:  # the user's: it is asked again where the command goes alone, and raises there
            return False
        self._group.append(_Decided(message, ctx.asker_of(message), held, tuple(events), state))
        self._group_events += len(events)
        self._state = state
        return True

    def _takes_more(self, ctx: ActorContext[M]) -> bool:
        is_full = len(self._group) >= MAX_GROUP or self._group_events >= MAX_GROUP_EVENTS
        return not is_full and ctx.reads_on(self.receive)

    async def _commit_before(self, work: Awaitable[Any]) -> None:
        """Put the group on record before its state is seen by others; where that fails the work is not begun."""
        try:
            await self._commit_group()
        except BaseException:
            if inspect.iscoroutine(work):
                work.close()
            raise

    async def _commit_group(self, held: Held | None = None) -> None:
        """Put the events of the group on record, and let go what was held back.

        Raises
        ------
        _GroupRefusedError
            Not all of it is, so what was decided upon it comes to nothing, and what `held` has.
        """
        group, self._group, self._group_events = self._group, [], 0
        if not group:
            return
        left = list(group)
        try:
            await self._persist_group(left)
        except BaseException as error:
            self._is_behind = True
            refusal = error.error if isinstance(error, _GroupRefusedError) else None
            for one in left:
                one.held.drop()
                if refusal is None:
                    self._ctx.lose(one.message, one.asker)
                else:
                    self._ctx.refuse(one.message, refusal, one.asker)
            if held is not None:
                held.drop()
            raise

    async def _persist_group(self, left: list[_Decided]) -> None:
        """Put all on record at once, or one by one where one of them is what the log does not take."""
        try:
            await self._persist_together(left)
        except PersistRefused as refusal:
            if not isinstance(refusal.error, (MessageTooLarge, EncodingError)):
                raise _GroupRefusedError(refusal.error) from refusal
        while left:
            part = left[:1]
            try:
                await self._persist_together(part)
            except PersistRefused as refusal:
                raise _GroupRefusedError(refusal.error) from refusal
            left.pop(0)

    async def _persist_together(self, some: list[_Decided]) -> None:
        """Put the events of some commands on record, which are then not in the list any more, and let them go."""
        events = [event for one in some for event in one.events]
        if events:
            await self._store.persist(self._number, events)
        self._number += len(events)
        done = some[:]
        some.clear()
        first: Exception | None = None
        for one in done:
            try:
                one.held.release()
            except Exception as error:  # raised below, when the others are done
                first = first or error
        if first is not None:
            raise first
        if self._is_snapshot_due():
            await self._keep_snapshot(done[-1].state)

    def drop_group(self) -> None:
        """The activation ends in the midst of it: nothing of that leaves."""
        group, self._group = self._group, []
        for one in group:
            one.held.drop()
            self._ctx.lose(one.message, one.asker)

    # -- one command

    async def _commit(self, events: Sequence[E], held: Held, message: M) -> bool:
        """Put events on record, and make what follows from them the state; False where they were refused."""
        if not events:
            return True
        state = self._state
        try:
            for event in events:
                state = self._source.on_event(state, event)
            await self._store.persist(self._number, events)
        except PersistRefused as refusal:
            held.drop()
            self._is_behind = True
            self._ctx.refuse(message, refusal.error)
            return False
        except BaseException:
            self._is_behind = True
            held.drop()
            raise
        self._state, self._number = state, self._number + len(events)
        return True

    def _is_snapshot_due(self) -> bool:
        policy = self._source.snapshot_policy
        is_due = policy is not None and self._number - self._base >= policy.n_events
        return (is_due or self._store.wants_snapshot) and self._number != self._base

    async def _keep_snapshot(self, state: S) -> None:
        """Keep a snapshot. Without it nothing is lost but time, as long as there is room."""
        try:
            await self._store.save_snapshot(self._number, state)
        except JournalConflict:
            raise
        except (PersistRefused, CastyError) as error:
            text = (
                f"{self._ctx.self.id}: no snapshot of event {self._number} was kept: {shown(str(error), 300)}"
            )
            self._ctx.system.core.failures.say(text)
        self._base = self._number


def _same(value: Any) -> Any:
    return value


def _is_plain(result: Any) -> bool:
    """Whether a decision changes nothing of what is done with the next message, but for the state."""
    behavior = result.then if isinstance(result, Persisted) else result
    return behavior is None or getattr(behavior, "signal", None) is Signal.same
