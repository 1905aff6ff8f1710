"""The event stream of a system: what user code may subscribe to."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from casty.actor.mailbox import DEFAULT_CAPACITY
from casty.actor.ref import ActorRef
from casty.checks import shown
from casty.config import SECOND_NS

if TYPE_CHECKING:
    from casty.members import Member
    from casty.ports import Clock

__all__ = [
    "ActorFailed",
    "ActorRestarted",
    "ActorStarted",
    "ActorStopped",
    "DeadLetter",
    "EventStream",
    "EventStreamMessage",
    "EventStreamSubscribe",
    "EventStreamUnsubscribe",
    "MemberLeft",
    "MemberUp",
    "MessagesLost",
    "Publish",
    "ReachableMember",
    "Terminated",
    "UnhandledMessage",
    "UnreachableMember",
]

E = TypeVar("E")

log = logging.getLogger("casty.actor")


@dataclass(frozen=True, slots=True)
class Terminated:
    """A watched actor stopped, or its node was lost."""

    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class ActorStarted:
    """An actor finished its setup."""

    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class ActorStopped:
    """An actor is gone and its name is free."""

    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class ActorRestarted:
    """An actor runs its spawned behaviour anew; `exception` None when it asked for that itself."""

    ref: ActorRef[Any]
    exception: Exception | None


@dataclass(frozen=True, slots=True)
class ActorFailed:
    """An exception left an actor's code and nothing supervised it: the actor stops."""

    ref: ActorRef[Any]
    exception: BaseException


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that nobody will handle."""

    message: object
    intended_ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class MessagesLost:
    """A link that broke took messages on their way here, `count` of those that a process sent.

    They are counted when the next link to that process is there, and are dead letters of which nothing else is known.
    """

    node_id: str
    """The node, or the client by its id, that had sent them."""
    count: int


@dataclass(frozen=True, slots=True)
class UnhandledMessage:
    """An actor said that it does not handle this message."""

    message: object
    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class MemberUp:
    """A node became a full member."""

    member: Member


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """A node left for good."""

    member: Member


@dataclass(frozen=True, slots=True)
class UnreachableMember:
    """A member stopped answering."""

    member: Member


@dataclass(frozen=True, slots=True)
class ReachableMember:
    """A member answers again."""

    member: Member


Handler = Callable[[E], Awaitable[None] | None]
Subscriber = Handler[E] | ActorRef[E]


@dataclass(frozen=True)
class EventStreamSubscribe(Generic[E]):
    """Call ``handler(event)``, or tell the ref, for events of this type and its subtypes.

    Parameters
    ----------
    event_type
        What to hear of.
    handler
        A function, plain or a coroutine function, or the ref of an actor. The subscription of an actor of this
        system ends with the actor.

    Raises
    ------
    TypeError
        `event_type` is no type that ``isinstance`` takes, or `handler` is neither a function nor a ref.
    """

    event_type: type[E]
    handler: Subscriber[E]

    def __post_init__(self) -> None:
        _check_event_type(self.event_type)
        if not callable(self.handler) and not callable(getattr(self.handler, "tell", None)):
            raise TypeError(
                f"handler: expected a function that takes an event, or a ref, found {shown(self.handler)}"
            )


def _check_event_type(event_type: Any) -> None:
    try:
        isinstance(None, event_type)
    except TypeError:
        raise TypeError(
            f"event_type: expected a type of events, such as MemberUp; found {shown(event_type)}"
        ) from None


@dataclass(frozen=True)
class EventStreamUnsubscribe(Generic[E]):
    """Undo a subscription with the same type and handler."""

    event_type: type[E]
    handler: Subscriber[E]


@dataclass(frozen=True, slots=True)
class Publish:
    """Give an event to everyone who subscribed to its type."""

    event: object


EventStreamMessage = EventStreamSubscribe[Any] | EventStreamUnsubscribe[Any] | Publish


class EventStream:
    """Subscriptions by type. Plain handlers run at once; coroutines run one after another in one task.

    Parameters
    ----------
    max_pending
        How many coroutines may wait for their turn, at least 1. An event that comes when so many wait is dropped for
        the handlers that are coroutines; the others hear it.

    Attributes
    ----------
    dropped
        How many calls of coroutine handlers found no room.
    """

    __slots__ = (
        "_is_dropping",
        "_is_telling",
        "_max_pending",
        "_pending",
        "_pump",
        "_subscriptions",
        "dropped",
    )

    def __init__(self, max_pending: int = DEFAULT_CAPACITY) -> None:
        self.dropped = 0
        self._max_pending = max_pending
        self._is_dropping = False
        self._subscriptions: list[tuple[type[object], Subscriber[Any]]] = []
        """In the order of subscribing; a row goes with its unsubscription, or with the actor whose ref it has."""
        self._is_telling = False
        self._pending: deque[Awaitable[None]] = deque()
        self._pump: asyncio.Task[None] | None = None

    def receive(self, message: object) -> None:
        """Take a message of the stream's protocol."""
        match message:
            case EventStreamSubscribe(event_type, handler):
                self._subscriptions.append((event_type, handler))
            case EventStreamUnsubscribe(event_type, handler):
                gone = (event_type, handler)
                self._subscriptions = [known for known in self._subscriptions if known != gone]
            case Publish(event):
                self.publish(event)
            case _:
                log.warning("event stream: unknown message %s", shown(message))

    def publish(self, event: object) -> None:
        """Call every handler whose type fits. Never raises: actors publish at every step of their lives.

        What a handler or a type's own ``isinstance`` raises is logged and hides nothing from the others.
        """
        if not self._subscriptions:
            return
        for event_type, handler in tuple(self._subscriptions):
            try:
                if isinstance(event, event_type):
                    self._call(handler, event)
            except (Exception, asyncio.CancelledError):  # the handler is the user's
                log.exception("event stream: a handler of %s failed", type(event).__name__)
        if isinstance(event, ActorStopped):
            self._subscriptions = [known for known in self._subscriptions if known[1] != event.ref]

    def _call(self, handler: Subscriber[Any], event: object) -> None:
        if not callable(handler):
            self._tell(handler, event)
            return
        result = handler(event)
        if inspect.isawaitable(result):
            if len(self._pending) >= self._max_pending:
                self._drop(handler, result)
                return
            self._pending.append(result)
            if self._pump is None:
                self._pump = asyncio.get_running_loop().create_task(self._run_pending(), name="event-stream")

    def _drop(self, handler: Subscriber[Any], work: Awaitable[None]) -> None:
        """Forget a call for which there is no room; the first one since all had room is logged."""
        if inspect.iscoroutine(work):
            work.close()
        self.dropped += 1
        if not self._is_dropping:
            self._is_dropping = True
            text = (
                "event stream: %s calls of coroutine handlers wait, a call of %s is dropped, more may follow"
            )
            log.warning(text, self._max_pending, shown(handler, 100))

    def _tell(self, ref: ActorRef[Any], event: object) -> None:
        if self._is_telling and isinstance(event, DeadLetter):
            return  # it may be the dead letter of such a subscription, and would beget another one for ever
        before, self._is_telling = self._is_telling, True
        try:
            ref.tell(event)
        finally:
            self._is_telling = before

    async def _run_pending(self) -> None:
        pump = asyncio.current_task()
        assert pump is not None, "it runs as a task"
        try:
            while self._pending:
                await self._run_one(self._pending.popleft(), pump)
        finally:
            if self._pump is pump:
                self._pump = None
        if self._is_dropping:
            self._is_dropping = False
            log.warning("event stream: nothing waits any more; %s calls were dropped so far", self.dropped)

    async def _run_one(self, work: Awaitable[None], pump: asyncio.Task[None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            if pump.cancelling():
                raise
            log.exception("event stream: a handler failed")  # something it waited for was cancelled
        except Exception:  # the handler is the user's
            log.exception("event stream: a handler failed")

    async def until_idle(self) -> None:
        """Wait until every coroutine handler that was called has ended."""
        while self._pump is not None:
            await _told_when_done(self._pump)

    def give_up(self) -> None:
        """Cancel the coroutine handler that runs, and forget those that wait for it."""
        for work in self._pending:
            if inspect.iscoroutine(work):
                work.close()
        self._pending.clear()
        if self._pump is not None:
            self._pump.cancel()

    async def drain(self, clock: Clock, grace_ns: int) -> None:
        """Wait for the coroutine handlers; what takes longer than the grace is cancelled, and then left alone.

        A handler may be who waits here, for the end of its own system; it is not waited for.
        """
        if await self._ends_within(clock, grace_ns):
            return
        log.warning("event stream: a handler did not end within %s s and is cancelled", grace_ns / SECOND_NS)
        self.give_up()
        if not await self._ends_within(clock, grace_ns):
            log.error("event stream: a handler ignores that it was cancelled and is left to itself")
            self._pump = None

    async def _ends_within(self, clock: Clock, grace_ns: int) -> bool:
        until_ns = clock.now() + grace_ns
        while self._pump is not None and self._pump is not asyncio.current_task():
            if clock.now() >= until_ns:
                return False
            ended = _told_when_done(self._pump)
            timer = clock.call_at(until_ns, _wake, ended)
            try:
                await ended
            finally:
                timer.cancel()
        return True


def _told_when_done(task: asyncio.Task[None]) -> asyncio.Future[None]:
    """Return what can be awaited, and cancelled, without harm to the task."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task.add_done_callback(partial(_wake, ended))
    return ended


def _wake(waiting: asyncio.Future[None], *ignored: object) -> None:
    del ignored
    if not waiting.done():
        waiting.set_result(None)
