"""Show an observer what an actor handles, without the actor knowing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from casty import runtime as runtimes
from casty.actor.base import BaseBehavior, check_behavior
from casty.actor.context import ActorContext
from casty.actor.events import Terminated
from casty.actor.handling import Behavior
from casty.actor.ref import ActorRef
from casty.checks import shown
from casty.config import SECOND_NS

__all__ = ["SpyEvent", "check_observer", "spied"]

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class SpyEvent:
    """An actor handled a message, or is gone.

    Parameters
    ----------
    actor_path
        The actor, as its ref names it.
    event
        The message that was handled; `Terminated`, with the actor's own ref, when it stopped.
    timestamp
        When, in seconds of the process's clock, whose beginning means nothing.
    """

    actor_path: str
    event: object
    timestamp: float


Observer = Callable[[SpyEvent], object] | ActorRef[SpyEvent]


def check_observer(observer: object) -> None:
    """Raise `TypeError` unless events can be told to it."""
    if not callable(observer) and not callable(getattr(observer, "tell", None)):
        raise TypeError(
            f"observer: expected a function that takes a SpyEvent, or a ref, found {shown(observer)}"
        )


@dataclass(frozen=True)
class _Spy:
    """One observer. When it raises that is logged, and the actor goes on: who looks changes nothing."""

    observer: Observer

    def tell(self, ctx: ActorContext[Any], event: object) -> None:
        seen = SpyEvent(ctx.self.id, event, runtimes.current().clock.now() / SECOND_NS)
        try:
            if isinstance(self.observer, ActorRef):
                self.observer.tell(seen)
            else:
                self.observer(seen)
        except Exception as error:  # the observer is the user's
            ctx.system.core.failures.say(f"an observer of actor {ctx.self.id} failed", error)


@dataclass(frozen=True)
class _SpiedSetup(Generic[M]):
    """A setup whose result is spied on."""

    setup: Callable[[ActorContext[M]], Any]
    spy: _Spy

    async def __call__(self, ctx: ActorContext[M]) -> Any:
        return _spied_result(await self.setup(ctx), self.spy)


@dataclass(frozen=True)
class _SpiedHandler(Generic[M]):
    """A handler that tells of each message after it was handled."""

    handler: Callable[[ActorContext[M], M], Any]
    spy: _Spy

    async def __call__(self, ctx: ActorContext[M], message: M) -> Any:
        result = self.handler(ctx, message)
        if inspect.isawaitable(result):
            result = await result
        self.spy.tell(ctx, message)
        return _spied_result(result, self.spy)


def _spied_result(result: Any, spy: _Spy) -> Any:
    """Return what user code returned, spied on if it is a behaviour; what is none is refused where it is used."""
    return _spied(result, spy) if isinstance(result, Behavior) else result


def _spied(behavior: Behavior[M], spy: _Spy) -> Behavior[M]:
    if behavior.on_setup is not None:
        return Behavior(on_setup=_SpiedSetup(behavior.on_setup, spy))
    if behavior.on_receive is not None:
        return Behavior(on_receive=_SpiedHandler(behavior.on_receive, spy))
    return behavior


def spied(behavior: BaseBehavior[M], observer: Observer, *, spy_children: bool) -> Behavior[M]:
    """Return the behaviour, spied on; see `Behaviors.spy`."""
    check_behavior(behavior)
    assert isinstance(behavior, Behavior), "there is no other kind"
    check_observer(observer)
    spy = _Spy(observer)

    async def begin(ctx: ActorContext[M]) -> Behavior[M]:
        ctx.on_stop(partial(_ended, ctx, spy))
        if spy_children:
            ctx.wrap_children(partial(spied, observer=observer, spy_children=True))
        return _spied(behavior, spy)

    return Behavior(on_setup=begin)


def _ended(ctx: ActorContext[Any], spy: _Spy) -> None:
    if ctx.is_stopping:
        spy.tell(ctx, Terminated(ctx.self))
