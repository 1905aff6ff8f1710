"""Behaviours: values that say what an actor does with its next message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from casty.actor.cluster_wide import BroadcastedBehavior, SingletonBehavior
from casty.actor.discoverable import Discoverable
from casty.actor.services import ServiceKey, check_key
from casty.actor.supervision import Supervised, SupervisionStrategy
from casty.checks import check_callable, check_count, shown

if TYPE_CHECKING:
    from casty.actor.context import ActorContext
    from casty.actor.ref import ActorRef
    from casty.actor.spying import SpyEvent

__all__ = [
    "Behavior", "Behaviors", "Lifecycle", "MarkedBehavior", "Next", "ShardedBehavior", "Signal", "check_behavior",
    "check_start",
]  # fmt: skip

M = TypeVar("M")


class Signal(Enum):
    """A behaviour that is an instruction instead of a handler."""

    same = "same"
    stopped = "stopped"
    restart = "restart"
    unhandled = "unhandled"


@dataclass(frozen=True, kw_only=True)
class Behavior(Generic[M]):
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


# Values, so one of each is enough: handlers return one for every message.
_SAME: Behavior[Any] = Behavior(signal=Signal.same)
_STOPPED: Behavior[Any] = Behavior(signal=Signal.stopped)
_UNHANDLED: Behavior[Any] = Behavior(signal=Signal.unhandled)

Next = Behavior[M] | None | Awaitable[Behavior[M] | None]
"""What a handler may return."""

Hook = Callable[["ActorContext[M]"], Awaitable[None]]
RestartHook = Callable[["ActorContext[M]", Exception | None], Awaitable[None]]


@dataclass(frozen=True)
class ShardedBehavior(Generic[M]):
    """A region of entities, for a clustered ``spawn``; see `Behaviors.sharded`."""

    entity_factory: Callable[[str], Behavior[M]]
    num_shards: int = 100
    replication: object | None = None

    def __post_init__(self) -> None:
        check_callable(self.entity_factory, "entity_factory")
        check_count("num_shards", self.num_shards, 1)


MarkedBehavior = ShardedBehavior[Any] | SingletonBehavior[Any] | BroadcastedBehavior[Any]
"""What only a node of a cluster spawns."""


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
        is_restart = ctx.add_lifecycle(self)
        if self.pre_start is not None:
            await self.pre_start(ctx)
        if is_restart and self.post_restart is not None:
            await self.post_restart(ctx)
        return self.behavior


class Behaviors:
    """Factories of behaviours. Those that carry no handler fit an actor of any message type.

    Examples
    --------
    >>> def echo(ctx: ActorContext[str], message: str) -> Behavior[str]:
    ...     ctx.log.info("%s", message)
    ...     return Behaviors.same()
    >>> Behaviors.receive(echo).on_receive is echo
    True
    """

    @staticmethod
    def receive(handler: Callable[[ActorContext[M], M], Next[M]]) -> Behavior[M]:
        """Handle each message with ``handler(ctx, message)``, a plain or a coroutine function."""
        return Behavior(on_receive=handler)

    @staticmethod
    def setup(factory: Callable[[ActorContext[M]], Awaitable[Behavior[M]]]) -> Behavior[M]:
        """Run ``await factory(ctx)`` once when the actor starts; it may return another setup.

        If it raises, the actor stops, its name is free again, and `ActorFailed` is published.
        """
        return Behavior(on_setup=factory)

    @staticmethod
    def same() -> Behavior[Any]:
        """Keep the present behaviour."""
        return _SAME

    @staticmethod
    def stopped() -> Behavior[Any]:
        """Stop the actor."""
        return _STOPPED

    @staticmethod
    def unhandled() -> Behavior[Any]:
        """Keep the present behaviour and publish `UnhandledMessage`."""
        return _UNHANDLED

    @staticmethod
    def restart() -> Behavior[Any]:
        """Run the spawned behaviour anew, with the mail of before.

        First the children stop, each after the message in hand: the behaviour spawns its own.
        """
        return Behavior(signal=Signal.restart)

    @staticmethod
    def ignore() -> Behavior[Any]:
        """Take every message and do nothing."""
        return Behavior(on_receive=_ignore)

    @staticmethod
    def with_lifecycle(
        behavior: Behavior[M],
        *,
        pre_start: Hook[M] | None = None,
        post_stop: Hook[M] | None = None,
        pre_restart: RestartHook[M] | None = None,
        post_restart: Hook[M] | None = None,
    ) -> Behavior[M]:
        """Surround a behaviour with coroutine hooks.

        Parameters
        ----------
        behavior
            What the actor does.
        pre_start
            Before the first message of each incarnation.
        post_stop
            Once at the end of each incarnation, also when it is stopped by force.
        pre_restart
            ``pre_restart(ctx, error)`` before a restart; `error` is None when the actor asked for it.
        post_restart
            After `pre_start` of an incarnation that follows another.

        Examples
        --------
        >>> Behaviors.with_lifecycle(Behaviors.ignore()).on_setup is not None
        True
        """
        check_behavior(behavior)
        return Behavior(on_setup=Lifecycle(behavior, pre_start, post_stop, pre_restart, post_restart))

    @staticmethod
    def supervise(behavior: Behavior[M], strategy: SupervisionStrategy) -> Behavior[M]:
        """Let a strategy decide what becomes of the actor when its code raises an `Exception`.

        Without one the actor stops. It is asked for what handlers and setups raise, hooks of a stop excepted; a
        strategy further inwards is asked first. The message in hand is not handled again, and whoever asked it is told.

        Parameters
        ----------
        behavior
            What the actor does.
        strategy
            Such as `OneForOneStrategy`; what it raises itself stops the actor.

        Examples
        --------
        >>> from casty import OneForOneStrategy
        >>> Behaviors.supervise(Behaviors.ignore(), OneForOneStrategy()).on_setup is not None
        True
        """
        check_behavior(behavior)
        check_callable(getattr(strategy, "decide", None), "strategy.decide")
        return Behavior(on_setup=Supervised(behavior, strategy))

    @staticmethod
    def discoverable(behavior: Behavior[M], *, key: ServiceKey[M]) -> Behavior[M]:
        """Register the actor as an instance of a service before its first message, until it stops.

        It has to be an actor of a node of a cluster; on any other its start fails, and says so.

        Examples
        --------
        >>> from casty import ServiceKey
        >>> Behaviors.discoverable(Behaviors.ignore(), key=ServiceKey("printer")).on_setup is not None
        True
        """
        check_behavior(behavior)
        check_key(key, "a ServiceKey")
        return Behavior(on_setup=Discoverable(behavior, key))

    @staticmethod
    def spy(
        behavior: Behavior[M],
        observer: Callable[[SpyEvent], object] | ActorRef[SpyEvent],
        *,
        spy_children: bool = False,
    ) -> Behavior[M]:
        """Show an observer each message after the actor handled it, and `Terminated` when the actor stopped.

        Parameters
        ----------
        behavior
            What the actor does; it does not notice.
        observer
            A ref, or a function; what it raises is logged.
        spy_children
            Whether the actor's children, and theirs, are shown as well.

        Examples
        --------
        >>> Behaviors.spy(Behaviors.ignore(), print).on_setup is not None
        True
        """
        from casty.actor.spying import spied  # it makes behaviours, as this does

        return spied(behavior, observer, spy_children=spy_children)

    @staticmethod
    def singleton(factory: Callable[[], Behavior[M]]) -> SingletonBehavior[M]:
        """One actor in the whole cluster, made by ``factory()``; spawn it on every node, under one name.

        It lives on the node that leads the slot of its name, under that leader's lease, whether anybody sends to it or
        not; when leadership moves it stops there first and begins anew, without its state, where it moved to. One that
        stops is started again within a second. Clients reach it as the entity ``"singleton"`` of the region of its
        name, with one shard.
        """
        return SingletonBehavior(factory)

    @staticmethod
    def broadcasted(behavior: Behavior[M]) -> BroadcastedBehavior[M]:
        """One actor on each node that spawns it; what ``spawn`` returns sends to those on all members that are up."""
        check_behavior(behavior)
        return BroadcastedBehavior(behavior)

    @staticmethod
    def sharded(
        entity_factory: Callable[[str], Behavior[M]],
        *,
        num_shards: int = 100,
        replication: object | None = None,
    ) -> ShardedBehavior[M]:
        """A region: ``entity_factory(entity_id)`` makes each entity on the node that owns its shard.

        Parameters
        ----------
        entity_factory
            Called when the first message for an entity arrives.
        num_shards
            At least 1; every node and client must say the same.
        replication
            Kept for event-sourced entities.
        """
        return ShardedBehavior(entity_factory, num_shards, replication)


def check_behavior(behavior: object, what: str = "behavior") -> None:
    """Raise `TypeError` unless it is a behaviour."""
    if isinstance(behavior, Behavior):
        return
    if isinstance(behavior, (ShardedBehavior, SingletonBehavior, BroadcastedBehavior)):
        raise TypeError(
            f"{what}: expected one of a single actor, found a {type(behavior).__name__}: regions, singletons and "
            "broadcasts are spawned on a node of a cluster"
        )
    hint = "; a handler is wrapped by Behaviors.receive" if callable(behavior) else ""
    raise TypeError(f"{what}: expected a behaviour, as Behaviors makes them, found {shown(behavior)}{hint}")


def check_start(behavior: object) -> None:
    """Raise `TypeError` or `ValueError` unless an actor can start with it."""
    check_behavior(behavior)
    assert isinstance(behavior, Behavior), "just checked"
    if behavior.signal not in (None, Signal.stopped):
        raise ValueError(
            f"behavior: expected one to start with, found {behavior.signal}, which needs an earlier one"
        )


def _ignore(ctx: ActorContext[Any], message: object) -> None:
    del ctx, message
