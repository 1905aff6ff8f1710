"""The cell: one actor's life. One task runs it, one message at a time.

Life: spawned -> setup -> started -> messages (restarts in between) -> stopping -> children stopped -> hooks
-> unread messages become dead letters -> watchers are told -> stopped. Exceptions of user code end here and
nowhere else; what is meant for the process, `SystemExit` and `KeyboardInterrupt`, ends the actor and then the process.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from functools import partial
from types import CoroutineType
from typing import Any

from casty.actor.base import BaseBehavior, BaseContext, Hooks, Signal, check_behavior, named
from casty.actor.callbacks import call, raise_out
from casty.actor.event_store import EventStore
from casty.actor.events import (
    ActorFailed,
    ActorRestarted,
    ActorStarted,
    ActorStopped,
    Terminated,
    UnhandledMessage,
)
from casty.actor.holding import Done, hold
from casty.actor.home import Home
from casty.actor.lease import ACTING, Lease, Leased, LeaseEnded
from casty.actor.mailbox import Mailbox, MailboxClosed
from casty.actor.pipes import Pipes
from casty.actor.ref import ActorRef
from casty.actor.scheduling import Scheduled, Schedules
from casty.actor.supervision import ChildFailed, Directive, SupervisionStrategy, directive_of
from casty.actor.unread import MESSAGE_BYTES
from casty.checks import shown
from casty.errors import Overloaded

__all__ = ["READ_OUT", "Cell"]


class _ReadOut:
    """Nobody's message."""


_FAILED = object()
READ_OUT = _ReadOut()
"""Behind the mail of an actor that is to stop once it has read it; its guard sees to that."""


class Cell:
    """One actor.

    Parameters
    ----------
    core
        The system it lives in.
    path
        Its key among the living actors.
    parent
        Who spawned it; None for a root actor.
    behavior
        What it starts with, and what a restart returns to.
    mailbox
        Its own mailbox.
    lease
        How long it and its children may act; None without end.

    Bounds: `children` has a row per living child; `watching` and `watchers` one per watch, which goes with the end of
    either actor, in `watching` when it was read; `_callbacks`, `_hooks` and `interceptors` what this incarnation
    registered. The user's actor decides how many of each there are.
    """

    __slots__ = (
        "_awaits_children", "_behavior", "_callbacks", "_ends_itself", "_failure", "_hooks", "_is_busy", "_is_forced",
        "_left", "_pipes", "_raised", "_schedules", "_spawned", "_strategies", "_task", "_told",
        "children", "core", "ctx", "finished", "guard", "has_log", "incarnation", "incarnation_over", "inherit",
        "interceptors", "is_ready", "is_stopping", "lease", "log_of", "mailbox", "number", "parent", "path",
        "read_out", "ref", "stopped", "watchers", "watching", "wrap_child",
    )  # fmt: skip

    def __init__(
        self,
        core: Home[Cell],
        path: str,
        parent: Cell | None,
        behavior: BaseBehavior[Any],
        mailbox: Mailbox[Any],
        lease: Lease | None = None,
    ) -> None:
        self.core = core
        self.number = core.next_number()
        """Which life this is: no other actor of this process has it, before or after."""
        self.lease = lease
        self.path = path
        self.parent = parent
        self.mailbox = mailbox
        self.ref: ActorRef[Any] = core.own_ref(path, self.number)
        self.ctx: BaseContext = behavior.make_context(self)
        self.children: dict[str, Cell] = {}
        self.interceptors: list[Callable[[Any], bool]] = []
        self.watchers: dict[str, tuple[Cell, ActorRef[Any]]] = {}
        """Actors of this process that watch it, by path, each with the ref that it watches."""
        self.watching: dict[str, ActorRef[Any] | Terminated] = {}
        """What it watches, and each end that it was told and has not read: until then it is the same watch."""
        self._told: dict[int, str] | None = None
        """By the identity of each end that waits in the mailbox, its key in `watching`; None for none."""
        self.is_stopping = False
        self.incarnation = 0
        self.stopped = asyncio.Event()
        self.guard: Callable[[object], bool] | None = None
        """Asked before each message whether the actor may handle it; if not, the guard has disposed of it."""
        self.finished: Callable[[Cell], None] | None = None
        """Told when the actor is gone and its path is free."""
        self.incarnation_over: Callable[[], None] | None = None  # told at its end, lease or none
        self.inherit: Callable[[Cell, Sequence[tuple[object, int]]], None] | None = None
        """Takes, with their sizes, what an actor that ended itself had not read, after `finished`."""
        self.read_out: Callable[[], None] | None = None
        """Lets the actor stop behind its mail, where the system stops in order; None: after the message in hand."""
        self.wrap_child: Callable[[BaseBehavior[Any]], BaseBehavior[Any]] | None = None
        """What this incarnation makes of the behaviours of its children."""
        self.log_of: Callable[[str], EventStore] | None = None if parent is None else parent.log_of
        """Returns a log of this entity by its id; None for actors that belong to no region."""
        self.has_log = False
        """Whether it is event sourced: what it knows is on record."""
        self.is_ready = False
        """Whether its setup has ended once."""
        self._spawned = behavior
        self._behavior: Callable[[BaseContext, Any], Any] = _not_started
        self._schedules: Schedules | None = None
        self._callbacks: list[Callable[[], Awaitable[None] | None]] = []
        self._hooks: list[Hooks] = []
        self._strategies: tuple[SupervisionStrategy, ...] = ()
        """Who decides what becomes of this incarnation when it fails, the outermost first."""
        self._raised: Exception | None = None
        """What the actor's code raised, until the strategies have decided."""
        self._pipes: Pipes | None = None
        self._awaits_children = False
        self._ends_itself = False
        """Whether it handled a message by its end: what starts and stops only would be started for ever."""
        self._left: Sequence[tuple[object, int]] = ()
        self._failure = ""
        """What it failed with, cut short: whoever asked and was not heard is told."""
        self._is_busy = self._is_forced = False
        self._task: asyncio.Task[None] | None = None
        mailbox.bind(core.max_mailbox, self._dropped, core.unread)

    def start(self) -> None:
        """Begin to live."""
        loop = asyncio.get_running_loop()
        context = self.core.context.copy()
        if self.lease is not None:
            context.run(ACTING.set, self.lease)
        self._task = loop.create_task(self._run(), name=f"actor {self.path}", context=context)

    def tell(self, message: object, size_bytes: int = MESSAGE_BYTES) -> bool:
        """Take a message from anyone, with what it counts for while unread; False when it became a dead letter."""
        if self.is_stopping:
            self._refuse(message)
            return False
        self.mailbox.add(message, size_bytes)
        return True

    def terminated(self, ref: ActorRef[Any]) -> None:
        """A watched actor is gone; told once, and only while it is still watched."""
        key = self.core.key_of(ref)
        watched = self.watching.get(key)
        if watched is None or isinstance(watched, Terminated):
            return
        if self.is_stopping:
            del self.watching[key]
        else:
            self.watching[key] = told = Terminated(ref)
            self._told = self._told or {}
            self._told[id(told)] = key
            self.mailbox.put_beyond(told)

    def take_back(self, told: Terminated) -> None:
        """Have an end that was told, and is watched for no more, not read."""
        self._note_read(told)
        self.mailbox.take_out(lambda message: message is told)

    def _note_read(self, message: object) -> None:
        """If this is an end that was told: the watch is over, and the next one of that actor is another one."""
        told = self._told
        key = None if told is None else told.pop(id(message), None)
        if key is not None:
            self.watching.pop(key, None)
            self._told = told or None

    def stop(self, *, is_forced: bool = False) -> None:
        """Stop after the message in hand; by force, cancel the handlers of this actor and of all below it."""
        self._stop()
        below: list[Cell] = [self] if is_forced else []
        while below:
            cell = below.pop()
            cell._stop()
            cell._force()
            below.extend(cell.children.values())

    def _stop(self) -> None:
        self.is_stopping = True
        self.mailbox.close()

    def _force(self) -> None:
        if not self.stopped.is_set():
            self._is_forced = True
            if self._is_busy and self._task is not None:
                self._task.cancel()

    @property
    def is_busy(self) -> bool:
        """Whether code of the actor runs, or waits in the middle of it."""
        return self._is_busy

    def reads_on(self, handler: object) -> bool:
        """Whether the next thing that it does is to give a message to this handler."""
        is_other = self._behavior != handler or self.is_stopping or self.interceptors or self._told
        return not (is_other or self.mailbox.empty() or self.mailbox.first() is READ_OUT)

    @property
    def has_heirs(self) -> bool:
        """Whether it left messages for its next life."""
        return bool(self._left)

    @property
    def awaits_children(self) -> bool:
        """Whether nothing but the end of its children keeps the actor from going on."""
        return self._awaits_children

    def evict(self) -> None:
        """Free the name of an actor whose code does not yield to its cancellation; harmless when it is gone."""
        self._finish()

    # -- what the context offers

    def add_callback(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call at the end of this incarnation."""
        self._callbacks.append(callback)

    def add_strategy(self, strategy: SupervisionStrategy) -> None:
        """Ask this first when this incarnation fails."""
        self._strategies = (*self._strategies, strategy)

    def add_hooks(self, hooks: Hooks) -> bool:
        """Remember hooks for this incarnation; says whether it follows another."""
        self._hooks.append(hooks)
        return self.incarnation > 1

    def pipe(self, work: Coroutine[Any, Any, None], awaitable: Awaitable[object]) -> None:
        """Run work, which waits for an awaitable, beside the actor until it stops."""
        if self._pipes is None:
            self._pipes = Pipes(self.path, self.lease)
        self._pipes.begin(work, awaitable)

    def schedule(
        self, message: object, delay_s: float | None, interval_s: float | None, key: Hashable
    ) -> Scheduled:
        """Give the actor a message later; see `ActorContext.schedule`."""
        if self._schedules is None:
            self._schedules = Schedules(self.core.runtime.clock)
        if delay_s is not None:
            hold(Done(partial(self._schedules.once, key, delay_s, partial(self._remind, message))))
        elif interval_s is not None:
            hold(Done(partial(self._schedules.every, key, interval_s, partial(self._remind, message))))
        return Scheduled(self._schedules, key)

    def _remind(self, message: object) -> bool:
        try:
            return self.tell(message)
        except asyncio.QueueFull:
            self.core.dead_letter(message, self.ref, "the mailbox is full", kind=Overloaded)
        return True

    def _cancel_schedules(self) -> None:
        if self._schedules is not None:
            self._schedules.cancel_all()

    def _cancel_pipes(self) -> None:
        if self._pipes is not None:
            self._pipes.cancel()

    # -- the life

    async def _run(self) -> None:
        # User code is guarded where it is called. What else raises is a bug in casty, and even that must
        # not leave a name taken and a shutdown waiting for ever.
        for part in (self._live, self._end):
            try:
                await part()
            except Exception as error:  # the actor cell: a bug of ours ends one actor
                self._fail(error)
        ACTING.set(None)  # what is said from here on is the library's
        self._finish()  # unless it was evicted meanwhile

    async def _live(self) -> None:
        if self.is_stopping:
            return
        work = self._begin()  # run as `_acts` does
        if (
            await self._guarded(work if self.lease is None else Leased(work, self.lease))
            or await self._recover()
        ):
            self.is_ready = True
            if not self.is_stopping:
                self.core.publish(ActorStarted(self.ref))
            await self._receive()

    async def _begin(self) -> None:
        self.incarnation += 1
        await self._become(self._spawned, is_start=True)

    async def _receive(self) -> None:
        mailbox, replies = self.mailbox, self.core.replies
        while not self.is_stopping:
            try:
                message = await mailbox.get()
            except MailboxClosed:
                return
            except asyncio.CancelledError:
                self.is_stopping = True  # the loop itself ends
                return
            if self.is_stopping:
                self._refuse(message)
                continue
            if self._told is not None:
                self._note_read(message)
            if self.guard is None or self.guard(message):
                result = self._act(message)
                if result is not None and result is not _FAILED:
                    work, lease = self._conclude(message, result), self.lease
                    if not await self._guarded(work if lease is None else Leased(work, lease, is_known=True)):
                        result = _FAILED
                if result is _FAILED:
                    what = "failed" if self._raised is not None or self._failure else "was stopped"
                    replies.lost(message, self.ref, f"the actor {what} while it handled the question")
                    await self._recover()
                    continue
            if replies.asked:  # as `Replies.handled`
                replies.asked.pop(id(message), None)

    def _act(self, message: object) -> Any:
        """Run the handler, as `_guarded` does, and return what it says: mostly it is done, without a coroutine."""
        lease = self.lease  # which the guard, where there is one, has just looked at
        if lease is not None and self.guard is None and not lease.lasts():
            self._yield_to_stop()
            return _FAILED
        was_busy, self._is_busy = self._is_busy, True
        try:
            for interceptor in self.interceptors:
                if interceptor(message):
                    return None
            return self._behavior(self.ctx, message)
        except GeneratorExit:
            raise
        except BaseException as error:  # the actor cell: as in `_guarded`
            self._caught(error)
            return _FAILED
        finally:
            self._is_busy = was_busy

    async def _conclude(self, message: object, result: Any) -> None:
        """Wait for what a handler waits for, and become what it says."""
        if not isinstance(result, BaseBehavior):
            if type(result) is CoroutineType or inspect.isawaitable(result):  # last: it costs most
                result = await result
                if result is None:
                    return
            check_behavior(result, f"actor {named(self.path)}: the handler's result")
        if result.signal is Signal.same:
            return
        self._ends_itself = result.signal is Signal.stopped
        if result.signal is Signal.unhandled:
            self.core.replies.lost(message, self.ref, "the actor does not handle such a message")
            self.core.publish(UnhandledMessage(message, self.ref))
        else:
            await self._become(result)

    async def _become(self, behavior: BaseBehavior[Any], *, is_start: bool = False) -> None:
        while (setup := behavior.setup()) is not None:
            behavior = await setup(self.ctx)
            check_behavior(behavior, f"actor {named(self.path)}: the setup's result")
            is_start = True  # what a setup returns has no earlier behaviour to be the same as
        if (handler := behavior.handler()) is not None:
            self._behavior = handler
        elif behavior.signal is Signal.stopped:
            self.stop()
        elif is_start:
            raise ValueError(
                f"actor {named(self.path)}: expected a behaviour to start with, found {behavior.signal}"
            )
        elif behavior.signal is Signal.restart:
            await self._restart(None)

    async def _restart(self, error: Exception | None) -> None:
        for hooks in self._hooks:
            if hooks.pre_restart is not None:
                await hooks.pre_restart(error)
        await self._end_children()  # the setup spawns them anew
        await self._end_incarnation()
        if self.is_stopping:
            return
        self.core.publish(ActorRestarted(self.ref, error))
        await self._begin()

    async def _acts(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run user code, as `_guarded` does, while the lease lasts."""
        return await self._guarded(work if self.lease is None else Leased(work, self.lease))

    async def _guarded(self, work: Awaitable[None]) -> bool:
        """Run user code; an error or a forced stop ends the actor and nothing else. False when it did."""
        was_busy, self._is_busy = self._is_busy, True
        try:
            await work
        except GeneratorExit:
            raise  # the loop is gone, and the task is thrown away
        except BaseException as error:  # the actor cell: whatever its code raises ends it
            self._caught(error)
            return False
        finally:
            self._is_busy = was_busy
        return True

    def _caught(self, error: BaseException) -> None:
        """End the actor for what its code raised, unless its strategies have a say."""
        if isinstance(error, asyncio.CancelledError):
            self._cancelled(error)
        elif isinstance(error, LeaseEnded):
            self._yield_to_stop()
        elif self._strategies and isinstance(error, Exception) and not self.is_stopping:
            self._raised = error
        else:
            self._fail(error)
            if isinstance(error, (SystemExit, KeyboardInterrupt)):
                # Out of the loop, as if any other callback had raised it; the actor ends all the same.
                asyncio.get_running_loop().call_soon(raise_out, error)

    # -- supervision

    async def _recover(self) -> bool:
        """Do with what the actor's code raised what its strategies say; False where it stops or did not raise."""
        while (error := self._raised) is not None:
            self._raised = None
            directive = self._directive(error)
            if directive is not Directive.restart:
                self._fail(error)
                if directive is Directive.escalate and self.parent is not None:
                    self.parent.child_failed(self.ref, error)
                return False
            self.core.failures.say(f"actor {named(self.path)} failed and is restarted", error)
            if await self._acts(self._restart(error)):
                return not self.is_stopping
        return False

    def _directive(self, error: Exception) -> Directive:
        for strategy in reversed(self._strategies):
            try:
                directive = directive_of(strategy, error, self.path)
            except Exception:  # a strategy is the user's
                self.core.log.exception("actor %s: its supervision strategy failed", named(self.path))
                return Directive.stop
            if directive is not Directive.escalate:
                return directive
        return Directive.escalate

    def child_failed(self, ref: ActorRef[Any], error: Exception) -> None:
        """Fail with a child's exception, after the messages that are here."""
        if self.is_stopping:
            return
        failed = ChildFailed(ref, error)

        def intercept(message: object) -> bool:
            if message is failed:
                raise error
            return False

        self.interceptors.append(intercept)  # goes with this incarnation
        self.mailbox.put_beyond(failed)

    def _cancelled(self, error: asyncio.CancelledError) -> None:
        task = self._task
        assert task is not None
        if task.cancelling() == 0:
            self._fail(error)  # something the handler waited for was cancelled, not the actor
        self._yield_to_stop()

    def _yield_to_stop(self) -> None:
        task = self._task
        assert task is not None
        while task.cancelling() > 0:
            task.uncancel()
        self.stop()

    def _fail(self, error: BaseException) -> None:
        self.stop()
        self._failure = self._failure or shown(error, 200)
        self.core.log.error("actor %s failed and stops", named(self.path), exc_info=error)
        self.core.publish(ActorFailed(self.ref, error))

    # -- the end

    async def _end(self) -> None:
        self.stop()
        while self.children:  # again, where force ended the wait and not the children
            await self._guarded(self._end_children())
        self._cancel_pipes()
        await self._end_incarnation()
        self._cancel_pipes()  # what the hooks began

    async def _end_children(self) -> None:
        """Stop the children, each after the message in hand, and wait until they are gone."""
        children = list(self.children.values())
        for child in children:
            child.stop(is_forced=self._is_forced and not child._is_forced)
        self._awaits_children = True
        try:
            for child in children:
                await child.stopped.wait()
        finally:
            self._awaits_children = False

    async def _end_incarnation(self) -> None:
        """Run the hooks; one that raises or is cancelled keeps no other from running."""
        if self.incarnation_over is not None:
            self.incarnation_over()
        callbacks, self._callbacks, self.incarnation_over = self._callbacks, [], None
        hooked, self._hooks = self._hooks, []
        self.interceptors.clear()
        self._strategies, self.wrap_child = (), None
        self._cancel_schedules()
        for callback in callbacks:
            await self._acts(call(callback))
        for hooks in hooked:
            if hooks.post_stop is not None:
                await self._acts(call(hooks.post_stop))

    def _finish(self) -> None:
        if self.stopped.is_set():
            return
        core, ref = self.core, self.ref
        self._cancel_schedules()  # what the hooks began, or an actor that was evicted
        left = self.mailbox.drain()
        if self.inherit is not None and self._ends_itself and not (self._failure or self._is_forced):
            self._try(self._leave, left)
        else:
            for message, _ in left:
                self._try(self.unread, message)
        for watched in list(self.watching.values()):
            if not isinstance(watched, Terminated):
                self._try(core.unwatch, self, watched)
        self._try(core.remove, self)
        self._try(core.watching.ended, self)
        self._try(core.publish, ActorStopped(ref))
        self.stopped.set()
        if self.finished is not None:
            self._try(self.finished, self)
        heirs, self._left = self._left, ()
        if heirs and self.inherit is not None:
            self._try(self.inherit, self, heirs)

    def _try(self, step: Callable[..., object], *args: object) -> None:
        """Take a step of the end; one that raises keeps no other from being taken."""
        try:
            step(*args)
        except Exception:  # whoever hears of the end may be anybody, and no other step is left out
            self.core.log.exception("actor %s: a step of its end failed", named(self.path))

    def _dropped(self, message: object) -> None:
        self._note_read(message)
        self.core.full_mailboxes.dropped(self.path)
        self.core.dead_letter(message, self.ref, "the mailbox is full", level=0, kind=Overloaded)

    def _refuse(self, message: object) -> None:
        if message is not READ_OUT:
            self.core.dead_letter(message, self.ref, "the actor is stopping", level=logging.INFO)

    def _leave(self, left: list[tuple[object, int]]) -> None:
        """Keep what was not read for the next life; what was said of those that this one watched is nobody's."""
        self._left = [
            (message, size)
            for message, size in left
            if message is not READ_OUT and not isinstance(message, Terminated)
        ]

    def unread(self, message: object) -> None:
        """Make a dead letter of a message that the actor did not read before its end."""
        if message is READ_OUT:
            return
        failed = f": it failed with {self._failure}" if self._failure else ""
        reason = f"the actor stopped before it read the message{failed}"
        self.core.dead_letter(message, self.ref, reason, level=logging.INFO)


def _not_started(ctx: BaseContext, message: object) -> None:
    del ctx
    raise AssertionError(f"a message was handled before the setup ended: {message!r}")
