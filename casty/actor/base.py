"""What stands between behaviours, contexts, cells and systems: each knows of the others what is said here.

A cell runs behaviours, of which it knows no more than `BaseBehavior`; the first of them makes the context that all of
that actor are given, and a context knows its cell and its system as a `Host` and a `Core`. So cells and systems lie
below contexts, and contexts below the behaviours that they are given to.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from casty.actor.event_store import EventStore
from casty.actor.mailbox import Mailbox
from casty.actor.ref import ActorRef
from casty.actor.replies import Replies
from casty.actor.scheduling import Scheduled
from casty.actor.supervision import SupervisionStrategy
from casty.actor.unread import MESSAGE_BYTES
from casty.checks import shown
from casty.complaint import Complaint, one_line
from casty.errors import CastyError
from casty.ports import Runtime

__all__ = [
    "BaseBehavior", "BaseContext", "ClusterBehavior", "Core", "Hooks", "Host", "Signal", "check_behavior",
    "check_start", "named",
]  # fmt: skip

M = TypeVar("M")
H = TypeVar("H")

SHOWN = 200
"""So many characters of a path say which actor it is."""


class Signal(Enum):
    """A behaviour that is an instruction instead of a handler."""

    same = "same"
    stopped = "stopped"
    restart = "restart"
    unhandled = "unhandled"


class BaseContext:
    """What the handlers and setups of one actor are given; its cell passes it on and looks at nothing of it."""

    __slots__ = ()


class BaseBehavior(Generic[M]):
    """What an actor does next, as its cell knows it. All of them are `Behavior`, which `Behaviors` makes."""

    __slots__ = ()

    signal: Signal | None
    """An instruction to the cell; None for a setup or a handler."""

    def make_context(self, host: Host) -> BaseContext:
        """Make what this behaviour, and all that follow it in the same actor, are given."""
        raise NotImplementedError

    def setup(self) -> Callable[[BaseContext], Awaitable[BaseBehavior[M]]] | None:
        """Return what is awaited for the behaviour to go on with; None where there is none."""
        raise NotImplementedError

    def handler(self) -> Callable[[BaseContext, M], Any] | None:
        """Return the user's handler of messages; None where there is none."""
        raise NotImplementedError


class ClusterBehavior:
    """What only a node of a cluster spawns: regions, singletons, broadcasts."""

    __slots__ = ()


class Hooks(NamedTuple):
    """What runs around the end of one incarnation of an actor."""

    post_stop: Callable[[], Awaitable[None]] | None
    pre_restart: Callable[[Exception | None], Awaitable[None]] | None


class Host(Protocol):
    """The cell of an actor, as its context knows it; see `Cell`, which says what each of these does."""

    path: str
    ref: ActorRef[Any]
    interceptors: list[Callable[[Any], bool]]
    is_stopping: bool
    wrap_child: Callable[[BaseBehavior[Any]], BaseBehavior[Any]] | None
    log_of: Callable[[str], EventStore] | None
    has_log: bool
    incarnation_over: Callable[[], None] | None

    @property
    def core(self) -> Core[Self]:
        """The system it lives in."""
        ...

    @property
    def parent(self) -> Self | None:
        """Who spawned it; None for a root actor."""
        ...

    def tell(self, message: object, size_bytes: int = MESSAGE_BYTES) -> bool:
        """Take a message; False when it became a dead letter."""
        ...

    def stop(self, *, is_forced: bool = False) -> None:
        """Stop after the message in hand."""
        ...

    def add_callback(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call at the end of this incarnation."""
        ...

    def add_strategy(self, strategy: SupervisionStrategy) -> None:
        """Ask this first when this incarnation fails."""
        ...

    def add_hooks(self, hooks: Hooks) -> bool:
        """Remember hooks for this incarnation; says whether it follows another."""
        ...

    def pipe(self, work: Coroutine[Any, Any, None], awaitable: Awaitable[object]) -> None:
        """Run work, which waits for an awaitable, beside the actor."""
        ...

    def schedule(
        self, message: object, delay_s: float | None, interval_s: float | None, key: Hashable
    ) -> Scheduled:
        """Give the actor a message later."""
        ...

    def reads_on(self, handler: object) -> bool:
        """Whether the next thing that it does is to give a message to this handler."""
        ...


class Core(Protocol[H]):
    """The system of an actor, as its context knows it, with hosts of one kind; see `LocalSystem`."""

    system: object
    runtime: Runtime
    log: logging.Logger
    replies: Replies
    failures: Complaint

    def check_loop(self, call: str = "tell") -> None:
        """Refuse what another thread or loop asks."""
        ...

    def spawn(
        self,
        behavior: BaseBehavior[M],
        name: str,
        *,
        parent: H | None = None,
        mailbox: Mailbox[M] | None = None,
    ) -> ActorRef[M]:
        """Start an actor."""
        ...

    def living(self, ref: ActorRef[Any]) -> H | None:
        """Return the living actor that a reference leads to."""
        ...

    def watch(self, watcher: H, ref: ActorRef[Any]) -> None:
        """Tell `watcher` once when that actor is gone."""
        ...

    def unwatch(self, watcher: H, ref: ActorRef[Any]) -> None:
        """Forget a watch."""
        ...

    def dead_letter(
        self,
        message: object,
        ref: ActorRef[Any],
        reason: str,
        *,
        level: int = logging.WARNING,
        kind: type[CastyError] = CastyError,
    ) -> None:
        """Make a dead letter of a message."""
        ...


def check_behavior(behavior: object, what: str = "behavior") -> None:
    """Raise `TypeError` unless it is a behaviour."""
    if isinstance(behavior, BaseBehavior):
        return
    if isinstance(behavior, ClusterBehavior):
        raise TypeError(
            f"{what}: expected one of a single actor, found a {type(behavior).__name__}: regions, singletons and "
            "broadcasts are spawned on a node of a cluster"
        )
    hint = "; a handler is wrapped by Behaviors.receive" if callable(behavior) else ""
    raise TypeError(f"{what}: expected a behaviour, as Behaviors makes them, found {shown(behavior)}{hint}")


def check_start(behavior: object) -> None:
    """Raise `TypeError` or `ValueError` unless an actor can start with it."""
    check_behavior(behavior)
    assert isinstance(behavior, BaseBehavior), "just checked"
    if behavior.signal not in (None, Signal.stopped):
        raise ValueError(
            f"behavior: expected one to start with, found {behavior.signal}, which needs an earlier one"
        )


def named(path: str) -> str:
    """Return an actor's path for a log: ids of entities come from anywhere."""
    return one_line(path, SHOWN)
