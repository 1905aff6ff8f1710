"""How behaviours are made: `Behaviors` has all the kinds, also those for which only a cluster has room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from casty.actor.base import Signal, check_behavior
from casty.actor.cluster_wide import BroadcastedBehavior, ShardedBehavior, SingletonBehavior
from casty.actor.context import ActorContext
from casty.actor.discoverable import Discoverable
from casty.actor.event_sourced import EventSourced, Persisted, ReplicationConfig, SnapshotEvery
from casty.actor.handling import Behavior, Next
from casty.actor.lifecycle import Hook, Lifecycle, RestartHook, Supervised
from casty.actor.ref import ActorRef
from casty.actor.services import ServiceKey, check_key
from casty.actor.spying import SpyEvent, spied
from casty.actor.supervision import SupervisionStrategy
from casty.checks import check_callable, check_kind, check_text, shown
from casty.journal.base import EventJournal

__all__ = ["Behavior", "Behaviors", "Signal"]

M = TypeVar("M")
S = TypeVar("S")
E = TypeVar("E")


# Values, so one of each is enough: handlers return one for every message.
_SAME: Behavior[Any] = Behavior(signal=Signal.same)
_STOPPED: Behavior[Any] = Behavior(signal=Signal.stopped)
_UNHANDLED: Behavior[Any] = Behavior(signal=Signal.unhandled)

Decided = Persisted[E] | Behavior[M] | None | Awaitable[Persisted[E] | Behavior[M] | None]
"""What `on_command` of an event-sourced actor may return."""

Then = Behavior[M] | Persisted[E] | Callable[[Any], Decided[E, M]] | None
"""What may follow the commit of events."""


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
        return spied(behavior, observer, spy_children=spy_children)

    @staticmethod
    def event_sourced(
        *,
        entity_id: str,
        journal: EventJournal | None = None,
        initial_state: S,
        on_event: Callable[[S, E], S],
        on_command: Callable[[ActorContext[M], S, M], Decided[E, M]],
        snapshot_policy: SnapshotEvery | None = None,
        replica_refs: Sequence[ActorRef[Any]] | None = None,
        replication: ReplicationConfig | None = None,
        upcast: Callable[[Any], Any] | None = None,
    ) -> Behavior[M]:
        """An actor whose state is made of events, which survive it.

        It recovers before its first message: from the latest snapshot and the events behind that. What a command says
        or starts while it is decided is held back until its events are committed; if they are not, it is a dead letter.
        See docs/event-sourcing.md.

        Parameters
        ----------
        entity_id
            Under which the journal has its events; in a region without one, the name of the log within the entity.
        journal
            Where the events go. None, in a region only: to the slot that the entity lives in, replicated with it.
        initial_state
            The state before the first event.
        on_event
            ``on_event(state, event)`` returns the state after an event. It is pure: it changes no state in place, and
            gives the same for the same. Each event is asked for before it is persisted and at each recovery.
        on_command
            ``on_command(ctx, state, message)``, plain or a coroutine function, returns `persisted` or a behaviour.
        snapshot_policy
            When a snapshot is kept; None: in a region as often as its log needs it, with a journal never.
        replica_refs
            None: events of a region are replicated by its slots.
        replication
            Accepted for programs that have it; see `ReplicationConfig`.
        upcast
            ``upcast(value)`` turns each recovered event, and the state of a snapshot, into what `on_event` takes now.

        Examples
        --------
        >>> def deposit(ctx: ActorContext[int], balance: int, cents: int) -> Persisted[int]:
        ...     return Behaviors.persisted([cents])
        >>> account = Behaviors.event_sourced(
        ...     entity_id="account-1", initial_state=0, on_event=int.__add__, on_command=deposit
        ... )
        """
        check_text(entity_id, "entity_id")
        check_callable(on_event, "on_event")
        check_callable(on_command, "on_command")
        if upcast is not None:
            check_callable(upcast, "upcast")
        check_kind(journal, EventJournal, "journal")
        check_kind(snapshot_policy, SnapshotEvery, "snapshot_policy")
        check_kind(replication, ReplicationConfig, "replication")
        if replica_refs:
            raise ValueError(
                "replica_refs: expected None, found refs: the slot of an entity replicates its events by itself"
            )
        sourced = EventSourced(
            entity_id,
            journal,
            initial_state,
            on_event,
            on_command,
            snapshot_policy,
            upcast,
        )
        return Behavior(on_setup=sourced)

    @staticmethod
    def persisted(events: Sequence[E], then: Then[M, E] = None) -> Persisted[E]:
        """What a command of an event-sourced actor decided: these events, and what follows from them.

        Parameters
        ----------
        events
            In order, committed all or none; at most 1,000. None at all is a decision as well.
        then
            What to do once they are committed: a behaviour; or a function of the state after them, plain or a coroutine
            function, that may return a behaviour; either may be another `persisted`. None: go on as before.

        Examples
        --------
        >>> Behaviors.persisted(["paid"], then=Behaviors.stopped()).events
        ('paid',)
        """
        _check_events(events)
        if then is not None and not isinstance(then, (Behavior, Persisted)):
            check_callable(then, "then")
        return Persisted(tuple(events), then)

    @staticmethod
    def singleton(factory: Callable[[], Behavior[M]], *, role: str | None = None) -> SingletonBehavior[M]:
        """One actor in the whole cluster, made by ``factory()``; spawn it on every node, under one name.

        It lives on the node that leads the slot of its name, under that leader's lease, whether anybody sends to it or
        not; when leadership moves it stops there first and begins anew, without its state, where it moved to. One that
        stops is started again within a second. Clients reach it as the entity ``"singleton"`` of the region of its
        name, with one shard. With a `role` it lives on nodes that have it only; see `sharded`.
        """
        return SingletonBehavior(factory, role)

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
        replication: ReplicationConfig | None = None,
        idle_timeout: float | None = None,
        max_activations: int | None = None,
        role: str | None = None,
    ) -> ShardedBehavior[M]:
        """A region: ``entity_factory(entity_id)`` makes each entity on the node that owns its shard.

        Parameters
        ----------
        entity_factory
            Called when the first message for an entity arrives.
        num_shards
            At least 1; every node and client must say the same.
        replication
            Accepted for programs that have it; see `ReplicationConfig`.
        idle_timeout
            Seconds, at least 0.1. An entity that was sent nothing for so long is unloaded: it stops behind its mail,
            and the next message activates it again. One without events begins anew then. None: never.
        max_activations
            How many entities of the region live on one node at a time, at least 1. A message for one more waits until
            the event-sourced one that was used least recently is unloaded; where none is event sourced, whoever sent it
            is told `Overloaded`. None: only `Settings.max_entities` counts.
        role
            Its entities live on nodes with this role only (`roles` of `ClusteredActorSystem`), in slots that belong to
            the role; while no member has it they live nowhere, and messages wait as for a slot without a leader. Every
            node that spawns the region has to say the same, also one without the role, which only sends.
        """
        return ShardedBehavior(entity_factory, num_shards, replication, idle_timeout, max_activations, role)


def _check_events(events: object) -> None:
    if type(events) is tuple or type(events) is list:
        return  # to ask whether it is a sequence costs more than the rest of a decision
    if isinstance(events, (str, bytes)) or not isinstance(events, Sequence):
        raise TypeError(f"events: expected a list or tuple of events, found {shown(events)}")


def _ignore(ctx: ActorContext[Any], message: object) -> None:
    del ctx, message
