"""Setups around a behaviour: hooks of each incarnation, and who decides on what it raises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from casty.actor.base import Hooks
from casty.actor.context import ActorContext
from casty.actor.handling import Behavior
from casty.actor.supervision import SupervisionStrategy

__all__ = ["Hook", "Lifecycle", "RestartHook", "Supervised"]

M = TypeVar("M")

Hook = Callable[[ActorContext[M]], Awaitable[None]]
RestartHook = Callable[[ActorContext[M], Exception | None], Awaitable[None]]


@dataclass(frozen=True)
class Lifecycle(Generic[M]):
    """A setup that gives the actor hooks around each of its incarnations; see `Behaviors.with_lifecycle`."""

    behavior: Behavior[M]
    pre_start: Hook[M] | None
    post_stop: Hook[M] | None
    pre_restart: RestartHook[M] | None
    post_restart: Hook[M] | None

    async def __call__(self, ctx: ActorContext[M]) -> Behavior[M]:
        """Register the hooks and run those that belong to a start."""
        post_stop, pre_restart = self.post_stop, self.pre_restart
        is_restart = ctx.add_hooks(
            Hooks(
                None if post_stop is None else partial(post_stop, ctx),
                None if pre_restart is None else partial(pre_restart, ctx),
            )
        )
        if self.pre_start is not None:
            await self.pre_start(ctx)
        if is_restart and self.post_restart is not None:
            await self.post_restart(ctx)
        return self.behavior


@dataclass(frozen=True)
class Supervised(Generic[M]):
    """A setup that gives this incarnation of the actor a strategy; see `Behaviors.supervise`."""

    behavior: Behavior[M]
    strategy: SupervisionStrategy

    async def __call__(self, ctx: ActorContext[M]) -> Behavior[M]:
        """Register the strategy, before anything of the behaviour runs."""
        ctx.add_strategy(self.strategy)
        return self.behavior
