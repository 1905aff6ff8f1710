"""Behaviours: values that say what an actor does with its next message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from casty.actor.base import BaseBehavior, BaseContext, Host, Signal
from casty.actor.context import ActorContext
from casty.checks import check_callable

__all__ = ["Behavior", "Next"]

M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class Behavior(BaseBehavior[M]):
    """What an actor does next; made by `Behaviors`. Exactly one field is set.

    Parameters
    ----------
    on_receive
        ``handler(ctx, message)``, plain or a coroutine function; returns the next behaviour; None: the same.
    on_setup
        ``await factory(ctx)``, run when the actor gets here; returns the behaviour to go on with.
    signal
        An instruction to the actor's cell.

    Raises
    ------
    ValueError
        When not exactly one field is given.
    TypeError
        When `on_receive` or `on_setup` cannot be called.
    """

    on_receive: Callable[[ActorContext[M], M], Next[M]] | None = None
    on_setup: Callable[[ActorContext[M]], Awaitable[Behavior[M]]] | None = None
    signal: Signal | None = None

    def __post_init__(self) -> None:
        on_receive, on_setup, signal = self.on_receive, self.on_setup, self.signal
        if (on_receive is not None) + (on_setup is not None) + (signal is not None) != 1:
            given = [name for name in ("on_receive", "on_setup", "signal") if getattr(self, name) is not None]
            raise ValueError(f"behavior: expected exactly one of on_receive, on_setup, signal; found {given}")
        if on_receive is not None:
            check_callable(on_receive, "on_receive")
        elif on_setup is not None:
            check_callable(on_setup, "on_setup")

    def make_context(self, host: Host) -> ActorContext[M]:
        """See `BaseBehavior`."""
        return ActorContext(host)

    # A cell gives both of these the context that `make_context` made for its actor: behaviours are of one kind.

    def setup(self) -> Callable[[BaseContext], Awaitable[Behavior[M]]] | None:
        """See `BaseBehavior`."""
        return cast("Callable[[BaseContext], Awaitable[Behavior[M]]] | None", self.on_setup)

    def handler(self) -> Callable[[BaseContext, M], Any] | None:
        """See `BaseBehavior`."""
        return cast("Callable[[BaseContext, M], Any] | None", self.on_receive)


Next = Behavior[M] | None | Awaitable[Behavior[M] | None]
"""What a handler may return."""
