"""What an actor's own code may do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar, cast

from casty.actor.base import BaseBehavior, BaseContext, Hooks, Host, named
from casty.actor.event_store import EventStore, JournalStore
from casty.actor.holding import Done, hold
from casty.actor.mailbox import Mailbox
from casty.actor.pipes import discard
from casty.actor.ref import ActorRef
from casty.actor.scheduling import Scheduled, check_interval
from casty.actor.supervision import SupervisionStrategy
from casty.actor.system import ActorSystem
from casty.checks import check_seconds, shown
from casty.errors import CastyError, Overloaded
from casty.journal.base import EventJournal
from casty.ports import EventSink

__all__ = ["ActorContext", "ActorLog"]

M = TypeVar("M")
C = TypeVar("C")
R = TypeVar("R")


class ActorLog(logging.LoggerAdapter[logging.Logger]):
    """The logger ``casty.actor`` with the path before each text; a logger per actor would never be freed."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log with the path before the text; a path may have signs that mean something where arguments are put in."""
        if self.isEnabledFor(level):
            path = "" if self.extra is None else named(str(self.extra["path"]))
            text = f"{path.replace('%', '%%') if args else path}: {msg}"
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the line that is named is the user's
            self.logger.log(level, text, *args, **kwargs)


class ActorContext(BaseContext, Generic[M]):
    """Given to every handler and setup of one actor; use it only from there."""

    __slots__ = ("_cell", "_log")

    def __init__(self, cell: Host) -> None:
        self._cell = cell
        self._log: ActorLog | None = None

    @property
    def self(self) -> ActorRef[M]:
        """The actor's own reference."""
        return self._cell.ref

    @property
    def system(self) -> ActorSystem:
        """The system the actor lives in: on a node its `ClusteredActorSystem`.

        For an actor of a `ClusterClient` it is a plain `ActorSystem` of the client's actors; its `shutdown`
        stops those, not the client.
        """
        return cast(ActorSystem, self._cell.core.system)

    @property
    def log(self) -> ActorLog:
        """A logger that names the actor."""
        if self._log is None:
            self._log = ActorLog(self._cell.core.log, {"path": self._cell.path})
        return self._log

    def spawn(
        self, behavior: BaseBehavior[C], name: str, *, mailbox: Mailbox[C] | None = None
    ) -> ActorRef[C]:
        """Start a child, which stops when this actor stops.

        Parameters
        ----------
        behavior
            What it starts with.
        name
            Unique among this actor's children; not empty, no slash.
        mailbox
            Its mailbox, used by no other actor; None takes one of the configured bound.

        Raises
        ------
        ValueError
            A child of that name lives; see `ActorSystem.spawn` for what else is refused.
        """
        wrap = self._cell.wrap_child
        chosen = behavior if wrap is None else wrap(behavior)
        return self._cell.core.spawn(chosen, name, parent=self._cell, mailbox=mailbox)

    def stop(self, ref: ActorRef[Any]) -> None:
        """Stop a child or this actor, each after the message in hand; `ValueError` for any other."""
        cell = self._cell
        cell.core.check_loop("ctx.stop")
        target = cell.core.living(ref)
        if target is not None and (target is cell or target.parent is cell):
            hold(Done(target.stop))
        elif target is not None:
            raise ValueError(
                f"{cell.path}: expected itself or one of its children to stop, found {shown(ref)}"
            )

    def watch(self, ref: ActorRef[Any]) -> None:
        """Get `Terminated` once when that actor stops or its node is lost; at once when it is gone."""
        self._cell.core.check_loop("ctx.watch")
        hold(Done(partial(self._cell.core.watch, self._cell, ref)))

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Get no `Terminated` for that actor any more."""
        self._cell.core.check_loop("ctx.unwatch")
        hold(Done(partial(self._cell.core.unwatch, self._cell, ref)))

    def on_stop(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call ``callback()`` when this incarnation of the actor ends, by stop or restart."""
        hold(Done(partial(self._cell.add_callback, callback)))

    def register_interceptor(self, interceptor: Callable[[M], bool]) -> None:
        """Show every message to `interceptor` before the handler; True consumes it."""
        self._cell.interceptors.append(interceptor)

    def pipe_to_self(
        self,
        awaitable: Awaitable[R],
        mapper: Callable[[R], M] | None = None,
        on_failure: Callable[[Exception], M] | None = None,
    ) -> None:
        """Await something beside the actor and send the result to it as a message.

        Parameters
        ----------
        awaitable
            What to wait for; cancelled when the actor stops.
        mapper
            Makes the message from the result; None sends the result itself. What it raises is a failure as well.
        on_failure
            Makes the message from the exception; None logs "pipe_to_self failed". It is a `RuntimeError` when
            what was waited for was cancelled by others. What it raises itself is logged: there is no message, and the
            actor goes on.
        """
        self._cell.core.check_loop("ctx.pipe_to_self")
        work = _pipe(self._cell, awaitable, mapper, on_failure)
        hold(Done(partial(self._cell.pipe, work, awaitable), partial(_unpiped, work, awaitable)))

    def schedule(
        self,
        message: M,
        *,
        delay: float | None = None,
        interval: float | None = None,
        key: Hashable | None = None,
    ) -> Scheduled:
        """Send a message to this actor later. It ends with this incarnation of the actor.

        Parameters
        ----------
        message
            Takes its place in the mailbox when it is due, as any other.
        delay
            Once, in so many seconds.
        interval
            Every so many seconds, at least 0.001; the first time after one of them. What a pause of the process made
            late is left out.
        key
            Scheduling the same key again replaces what it stands for; None is a key of its own.

        Returns
        -------
        Scheduled
            Its `cancel` sends nothing more.

        Raises
        ------
        TypeError, ValueError
            Not exactly one of `delay` and `interval` is given, or it is no such number.
        """
        self._cell.core.check_loop("ctx.schedule")
        if (delay is None) == (interval is None):
            raise ValueError(
                "schedule: expected either delay or interval, "
                f"found delay={shown(delay)} and interval={shown(interval)}"
            )
        if delay is not None:
            check_seconds(delay, "delay")
        elif interval is not None:
            check_interval(interval)
        return self._cell.schedule(message, delay, interval, object() if key is None else key)

    @property
    def is_stopping(self) -> bool:
        """Whether the actor ends; False in what runs at the end of an incarnation that another one follows."""
        return self._cell.is_stopping

    def wrap_children(self, wrap: Callable[[BaseBehavior[Any]], BaseBehavior[Any]]) -> None:
        """Let this incarnation's children start with what `wrap` makes of their behaviours. Used by `Behaviors`."""
        self._cell.wrap_child = wrap

    def add_strategy(self, strategy: SupervisionStrategy) -> None:
        """Register a strategy of this incarnation, inside those of before. Used by `Behaviors`."""
        self._cell.add_strategy(strategy)

    def event_store(self, log_id: str, journal: EventJournal | None) -> EventStore:
        """Return the log of this actor: the journal, or in a region its own. Used by `Behaviors`."""
        self._cell.has_log = True
        if journal is not None:
            return JournalStore(journal, log_id)
        log_of = self._cell.log_of
        if log_of is None:
            raise ValueError(
                f"event_sourced({log_id!r}): expected a journal outside of a region, found None; give it one, or "
                "spawn it by Behaviors.sharded"
            )
        return log_of(log_id)

    def reads_on(self, handler: Callable[[ActorContext[M], M], Any]) -> bool:
        """Whether a message waits that this handler is given next, at once. Used by `Behaviors`."""
        return self._cell.reads_on(handler)

    def on_incarnation_over(self, callback: Callable[[], None]) -> None:
        """Call at the end of this incarnation, whether the actor may act then or not. Used by `Behaviors`."""
        self._cell.incarnation_over = callback

    def asker_of(self, message: M) -> Any:
        """Return who asked a message in hand, in another process; None for nobody. Used by `Behaviors`."""
        return self._cell.core.replies.asked.get(id(message))

    def lose(self, message: M, asker: Any) -> None:
        """Tell whoever asked a message that the actor failed at it. Used by `Behaviors`."""
        replies = self._cell.core.replies
        if asker is not None:
            replies.asked[id(message)] = asker
        replies.lost(message, self._cell.ref, "the actor failed while it handled the question")

    def refuse(self, message: M, error: CastyError, asker: Any = None) -> None:
        """Make a dead letter of a message whose events were refused. Used by `Behaviors`."""
        core = self._cell.core
        if asker is not None:
            core.replies.asked[id(message)] = asker
        reason = f"its events were not persisted: {error}"
        core.dead_letter(message, self._cell.ref, reason, kind=type(error))

    @property
    def observer(self) -> EventSink | None:
        """Who observes this process. Used by `Behaviors`."""
        observe: EventSink | None = self._cell.core.runtime.observe
        return observe

    def add_hooks(self, hooks: Hooks) -> bool:
        """Register hooks of this incarnation; says whether it follows another one. Used by `Behaviors`."""
        return self._cell.add_hooks(hooks)


def _failure(error: Exception | asyncio.CancelledError) -> Exception:
    """Return why a pipe has no result; raises the cancellation of the pipe itself, whose actor stops."""
    if isinstance(error, Exception):
        return error
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    failure = RuntimeError("what pipe_to_self waited for was cancelled")
    failure.__cause__ = error
    return failure


def _unpiped(work: Coroutine[Any, Any, None], awaitable: Awaitable[object]) -> None:
    """What was to be waited for is not."""
    work.close()
    discard(awaitable)


async def _pipe(
    cell: Host,
    awaitable: Awaitable[R],
    mapper: Callable[[R], M] | None,
    on_failure: Callable[[Exception], M] | None,
) -> None:
    message: object
    try:
        result = await awaitable
        message = result if mapper is None else mapper(result)
    except (
        Exception,
        asyncio.CancelledError,
    ) as cancelled_or_error:  # of the user's awaitable, for `on_failure`
        error = _failure(cancelled_or_error)
        if on_failure is None:
            cell.core.log.error("%s: pipe_to_self failed", named(cell.path), exc_info=error)
            return
        try:
            message = on_failure(error)
        except Exception as failure:  # the function is the user's
            cell.core.log.error("%s: on_failure of pipe_to_self failed", named(cell.path), exc_info=failure)
            return
    try:
        cell.tell(message)
    except asyncio.QueueFull:
        cell.core.dead_letter(message, cell.ref, "the mailbox is full", kind=Overloaded)
