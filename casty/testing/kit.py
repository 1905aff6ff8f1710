"""One behaviour without a system: give it messages, and look at what it does."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from casty.actor.base import Hooks, Signal, check_behavior, check_start
from casty.actor.behavior import Behavior
from casty.actor.context import ActorContext
from casty.actor.holding import Done, hold
from casty.actor.ref import ActorRef
from casty.checks import shown

__all__ = [
    "BehaviorTestKit", "Piped", "Refused", "Scheduled", "Spawned", "Stopped", "Told", "Unwatched", "Watched",
]  # fmt: skip

M = TypeVar("M")


class Told(NamedTuple):
    """A message was sent to a ref that the kit made."""

    ref: ActorRef[Any]
    message: object


class Spawned(NamedTuple):
    """A child was started; it does not run."""

    name: str
    behavior: Behavior[Any]
    ref: ActorRef[Any]


class Stopped(NamedTuple):
    """A child, or the actor itself, was told to stop by ``ctx.stop``."""

    ref: ActorRef[Any]


class Watched(NamedTuple):
    """An actor is watched."""

    ref: ActorRef[Any]


class Unwatched(NamedTuple):
    """An actor is watched no more."""

    ref: ActorRef[Any]


class Scheduled(NamedTuple):
    """The actor gets a message later: in `delay` seconds, or every `interval`."""

    message: object
    delay: float | None
    interval: float | None
    key: Hashable


class Piped(NamedTuple):
    """The actor gets the result of something; the kit does not wait for it."""

    awaitable: Awaitable[object]


class Refused(NamedTuple):
    """The events of a message were not persisted: it is a dead letter."""

    message: object
    reason: str


class _Ref:
    """A ref that notes what it is told."""

    def __init__(self, kit: _Kit, path: str) -> None:
        self._kit = kit
        self.id = path

    def tell(self, message: object, /) -> None:
        hold(Done(partial(self._kit.effects.append, Told(self, message))))

    def __repr__(self) -> str:
        return f"ref of {self.id}"


class _Cancel:
    """What ``ctx.schedule`` gives back."""

    def __init__(self, kit: _Kit, effect: Scheduled) -> None:
        self._kit = kit
        self._effect = effect

    def cancel(self) -> None:
        if self._effect in self._kit.effects:
            self._kit.effects.remove(self._effect)


class _Kit:
    """What a context finds where an actor has its cell and its system; each notes what is asked of it."""

    def __init__(self, path: str) -> None:
        self.effects: list[object] = []
        self.core = self
        self.system = self
        self.path = path
        self.log = logging.getLogger("casty.actor")
        self.ref: ActorRef[Any] = _Ref(self, path)
        self.children: dict[str, _Child] = {}
        self.interceptors: list[Callable[[Any], bool]] = []
        self.callbacks: list[Callable[[], Awaitable[None] | None]] = []
        self.wrap_child: Callable[[Behavior[Any]], Behavior[Any]] | None = None
        self.is_stopping = False
        self.log_of = None
        self.has_log = False
        self.runtime = _Unobserved()
        self.incarnation_over: Callable[[], None] | None = None

    def reads_on(self, handler: object) -> bool:
        """One message at a time."""
        return False

    def dead_letter(self, message: object, ref: object, reason: str, *, kind: object) -> None:
        self.effects.append(Refused(message, reason))

    def check_loop(self, call: str) -> None:
        """Everything runs where the test does."""

    def spawn(self, behavior: Behavior[Any], name: str, *, parent: object, mailbox: object) -> ActorRef[Any]:
        check_start(behavior)
        path = f"{self.path}/{name}"
        if path in self.children:
            raise ValueError(f"actor {path!r} is alive already; choose another name or stop it first")
        ref: ActorRef[Any] = _Ref(self, path)
        self.children[path] = _Child(self, ref)
        hold(Done(partial(self.effects.append, Spawned(name, behavior, ref))))
        return ref

    def stop(self) -> None:
        self.effects.append(Stopped(self.ref))
        self.is_stopping = True

    def living(self, ref: ActorRef[Any]) -> Any:
        return self if ref is self.ref else self.children.get(ref.id)

    def watch(self, cell: object, ref: ActorRef[Any]) -> None:
        self.effects.append(Watched(ref))

    def unwatch(self, cell: object, ref: ActorRef[Any]) -> None:
        self.effects.append(Unwatched(ref))

    def schedule(
        self, message: object, delay: float | None, interval: float | None, key: Hashable
    ) -> _Cancel:
        self.effects[:] = [one for one in self.effects if not (isinstance(one, Scheduled) and one.key == key)]
        effect = Scheduled(message, delay, interval, key)
        self.effects.append(effect)
        return _Cancel(self, effect)

    def pipe(self, work: Coroutine[Any, Any, None], awaitable: Awaitable[object]) -> None:
        work.close()
        self.effects.append(Piped(awaitable))

    def add_callback(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        self.callbacks.append(callback)

    def add_strategy(self, strategy: object) -> None:
        """What a handler raises is the test's to see."""

    def add_hooks(self, hooks: Hooks) -> bool:
        return False


class _Unobserved:
    """What stands for the ports of a process: nobody looks."""

    observe = None


class _Child:
    """A child that does not run."""

    def __init__(self, kit: _Kit, ref: ActorRef[Any]) -> None:
        self._kit = kit
        self.parent = kit
        self.ref = ref

    def stop(self) -> None:
        self._kit.effects.append(Stopped(self.ref))
        self._kit.children.pop(self.ref.id, None)


class BehaviorTestKit(Generic[M]):
    """Runs one behaviour, a message at a time, in the test's own turn.

    There is no system, no other actor and no time: what the behaviour does is noted in `effects`. A handler that waits
    for something cannot be run so; test it with a `TestProbe` in a simulated world.

    Parameters
    ----------
    behavior
        What the actor starts with; its setup runs at once.
    path
        The actor's path.

    Attributes
    ----------
    effects
        What it did so far, in order; a test may clear it.
    context
        What its handlers are given; `context.self` is its ref.

    Examples
    --------
    >>> from casty import Behaviors
    >>> kit = BehaviorTestKit(Behaviors.receive(lambda ctx, message: ctx.self.tell(message + 1)))
    >>> kit.run(1)
    >>> kit.effects
    [Told(ref=ref of actor, message=2)]
    """

    def __init__(self, behavior: Behavior[M], path: str = "actor") -> None:
        check_start(behavior)
        self._kit = _Kit(path)
        cell: Any = self._kit
        self.context: ActorContext[M] = ActorContext(cell)
        self._spawned = behavior
        self._handler: Callable[[ActorContext[M], M], Any] | None = None
        self.is_unhandled = False
        """Whether the last message was not handled."""
        self._become(behavior)

    @property
    def effects(self) -> list[object]:
        """What the behaviour did so far, in order."""
        return self._kit.effects

    @property
    def is_alive(self) -> bool:
        """Whether it takes messages."""
        return not self._kit.is_stopping

    def ref(self, name: str = "other") -> ActorRef[Any]:
        """Return a ref of another actor, such as to be replied to; what it is told is an effect."""
        return _Ref(self._kit, name)

    def run(self, message: M) -> None:
        """Handle one message; what the handler raises is raised here.

        Raises
        ------
        RuntimeError
            The actor has stopped, or its handler waits for something.
        """
        if not self.is_alive or self._handler is None:
            raise RuntimeError(f"{self._kit.path} has stopped and handles nothing")
        self.is_unhandled = False
        if any(interceptor(message) for interceptor in self._kit.interceptors):
            return
        result = self._now(self._handler(self.context, message))
        if result is not None:
            check_behavior(result, "the handler's result")
            self._become(result)

    def stop(self) -> None:
        """End the actor: what it registered by ``ctx.on_stop`` runs."""
        self._kit.is_stopping = True
        callbacks, self._kit.callbacks = self._kit.callbacks, []
        for callback in callbacks:
            self._now(callback())

    def _become(self, behavior: Behavior[M]) -> None:
        while behavior.on_setup is not None:
            behavior = self._now(behavior.on_setup(self.context))
            check_behavior(behavior, "the setup's result")
        if behavior.on_receive is not None:
            self._handler = behavior.on_receive
        elif behavior.signal is Signal.stopped:
            self.stop()
        elif behavior.signal is Signal.unhandled:
            self.is_unhandled = True
        elif behavior.signal is Signal.restart:
            self._become(self._spawned)

    def _now(self, result: Any) -> Any:
        """Return what a handler returned, or its coroutine returns without waiting."""
        if not inspect.isawaitable(result):
            return result
        steps = result.__await__()
        try:
            waits_for = next(steps)
        except StopIteration as end:
            return end.value
        steps.close()
        raise RuntimeError(
            f"{self._kit.path} waits for {shown(waits_for)}: test it with a TestProbe in a world"
        )
