"""Event-sourced actors: state is what their events make of it, and nothing leaves before its events are committed.

A life: the log is opened, which fences every other writer; the snapshot and the events behind it give the state; only
then comes the first message. A command is decided under a `Held`. What it persists is folded into a state of which
nobody knows until the log has the events; then that is the state, what was held back leaves, and `then` is honoured.
`docs/adr/0039` has the protocol, with what may be lost at each step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from casty.actor.event_store import EventStore, PersistRefused
from casty.actor.holding import HELD, Held
from casty.checks import check_count, check_seconds, shown
from casty.errors import CastyError, JournalConflict
from casty.events import EventsRecovered

if TYPE_CHECKING:
    from casty.actor.behavior import Behavior
    from casty.actor.context import ActorContext
    from casty.journal.base import EventJournal

__all__ = ["EventSourced", "Life", "Persisted", "ReplicationConfig", "SnapshotEvery"]

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
    handling: Callable[[Callable[[ActorContext[M], M], Any]], Behavior[M]] = field(repr=False)
    """Makes a behaviour of a handler."""

    async def __call__(self, ctx: ActorContext[M]) -> Behavior[M]:
        """Recover, and return what handles the messages."""
        store = ctx.event_store(self.entity_id, self.journal)
        life = Life(self, ctx, store)
        await life.recover()
        return self.handling(life.receive)


class Life(Generic[M, S, E]):
    """One activation: the state after the events up to `_number`, all of which are committed."""

    __slots__ = ("_base", "_ctx", "_initial", "_is_behind", "_number", "_source", "_state", "_store")

    def __init__(self, source: EventSourced[M, S, E], ctx: ActorContext[M], store: EventStore) -> None:
        self._source = source
        self._ctx = ctx
        self._store = store
        self._initial = store.copy(source.initial_state)
        """As it was: an `on_event` that changes states in place is wrong, and would change this one for ever."""
        self._state: S = source.initial_state
        self._number = 0
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
        held, result = await self._decide(partial(self._source.on_command, ctx, self._state, message))
        while isinstance(result, Persisted):
            if not await self._commit(result.events, held, message):
                return None
            held.release()
            await self._keep_snapshot()
            result = result.then
            if callable(result):
                held, result = await self._decide(partial(result, self._state))
        held.release()
        behavior: Behavior[M] | None = result
        return behavior

    async def _decide(self, decide: Callable[[], Any]) -> tuple[Held, Any]:
        """Run the user's code and hold back what it does; what it raises comes to nothing."""
        held = Held()
        HELD.set(held)
        try:
            result = decide()
            if inspect.isawaitable(result):
                result = await result
        except BaseException:
            held.drop()
            raise
        finally:
            HELD.set(None)  # not reset: where a closed coroutine runs its last lines is nobody's choice
        return held, result

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

    async def _keep_snapshot(self) -> None:
        """Keep a snapshot where one is due. Without it nothing is lost but time, as long as there is room."""
        policy = self._source.snapshot_policy
        is_due = policy is not None and self._number - self._base >= policy.n_events
        if not (is_due or self._store.wants_snapshot) or self._number == self._base:
            return
        try:
            await self._store.save_snapshot(self._number, self._state)
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
