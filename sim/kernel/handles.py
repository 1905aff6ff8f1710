"""What the loop runs: one callback of one process incarnation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .incarnation import Incarnation

__all__ = ["Handle"]

_SECOND_NS = 1_000_000_000


class Handle(asyncio.TimerHandle):
    """A callback that has not run yet, soon or at an instant of its owner's clock.

    A timer handle of asyncio in type only: none of its fields are used, and it is never compared.
    """

    __slots__ = ("arguments", "callback", "context", "is_done", "local_ns", "owner", "version")

    def __init__(
        self,
        owner: Incarnation,
        callback: Callable[..., object],
        arguments: tuple[object, ...],
        context: Context,
        local_ns: int = -1,
    ) -> None:
        self.owner = owner
        self.callback = callback
        self.arguments = arguments
        self.context = context
        self.is_done = False
        self.local_ns = local_ns
        # Bumped when a change of the owner's clock moves the timer; older places in the heap are then void.
        self.version = 0

    def cancel(self) -> None:
        """Make sure that the callback never runs."""
        self.is_done = True
        self.callback = _nothing
        self.arguments = ()

    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.callback is _nothing

    def when(self) -> float:
        """When the callback runs, in seconds of the owner's clock."""
        return self.local_ns / _SECOND_NS

    def get_context(self) -> Context:
        """The context it runs in."""
        return self.context

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<callback of {self.owner.label}>"


def _nothing(*arguments: object) -> None:
    del arguments
