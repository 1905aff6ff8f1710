"""One run of one process: what it has ready, its tasks, its generators, and whether it lives; and its callbacks."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextvars import Context, ContextVar
from typing import Any

from .clock import NodeClock

__all__ = ["OWNER", "Handle", "Incarnation"]

_SECOND_NS = 1_000_000_000
_SWEEP_MIN = 64


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


class Incarnation:
    """A process from its start to its end. Every callback belongs to one.

    Parameters
    ----------
    name
        The process's name, the same for all its incarnations.
    ordinal
        How many incarnations there were before.
    clock
        Its machine's clock.
    turn_key
        Decides, with the instant, when it runs relative to other processes.
    """

    __slots__ = (
        "clock", "context", "futures_made", "generators", "generators_made", "generators_sweep_at",
        "inner_made", "instant_ns", "is_dead", "is_held", "is_queued", "label", "name", "ordinal", "passes",
        "ready", "spin_ns", "sweep_at", "tasks", "tasks_made", "timers_made", "turn_key",
    )  # fmt: skip

    def __init__(self, name: str, ordinal: int, clock: NodeClock, turn_key: int) -> None:
        self.name = name
        self.ordinal = ordinal
        self.label = f"{name}/{ordinal}"
        self.clock = clock
        self.turn_key = turn_key
        self.ready: deque[Handle] = deque()
        # Strong references: a pending task that nobody else holds would be collected at a step that differs
        # between versions of Python, and with it a live connection.
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        self.sweep_at = _SWEEP_MIN
        self.generators: dict[int, weakref.ref[AsyncGenerator[Any, Any]]] = {}
        self.tasks_made = self.futures_made = self.inner_made = 0
        self.timers_made = self.generators_made = 0
        self.generators_sweep_at = 4 * _SWEEP_MIN
        self.is_queued = self.is_held = self.is_dead = False
        self.instant_ns = -1
        self.passes = self.spin_ns = 0
        self.context = Context()
        self.context.run(OWNER.set, self)

    def keep(self, number: int, task: asyncio.Task[Any]) -> None:
        """Hold a live task; finished ones are let go now and then, but for those that failed unheard."""
        tasks = self.tasks
        tasks[number] = task
        if len(tasks) >= self.sweep_at:
            self.tasks = {
                known: kept for known, kept in tasks.items() if not kept.done() or _is_unheard(kept)
            }
            self.sweep_at = max(_SWEEP_MIN, 2 * len(self.tasks))

    def live_tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that are not done, in the order of their creation."""
        return [task for task in self.tasks.values() if not task.done()]

    def unheard(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that failed and whose error nobody asked for, in the order of their creation."""
        return [task for task in self.tasks.values() if task.done() and _is_unheard(task)]

    def die(self) -> None:
        """Run nothing more, not a line."""
        self.is_dead = True
        self.ready.clear()


def _is_unheard(task: asyncio.Task[Any]) -> bool:
    """What asyncio asks when a task is collected, without waiting for that."""
    return bool(getattr(task, "_log_traceback", False))


OWNER: ContextVar[Incarnation] = ContextVar("casty_sim_owner")
"""The incarnation that the running code belongs to."""
