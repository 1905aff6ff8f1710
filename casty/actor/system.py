"""A system of actors in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from casty import runtime as runtimes
from casty.actor.base import BaseBehavior
from casty.actor.cluster_refs import BroadcastRef
from casty.actor.events import EventStreamMessage
from casty.actor.local import LocalSystem
from casty.actor.mailbox import Mailbox
from casty.actor.ref import ActorRef, Question
from casty.actor.scheduling import SchedulerMessage
from casty.actor.sharding import ShardEnvelope
from casty.config import CastyConfig, Settings

__all__ = ["ActorSystem"]

M = TypeVar("M")
R = TypeVar("R")


class ActorSystem:
    """Actors that talk to each other inside one process.

    Parameters
    ----------
    name
        The system's name.
    config
        Bounds, or a whole configuration: its settings and `suppress_dead_letters_on_shutdown` count. None takes
        the defaults.

    Examples
    --------
    >>> async def main() -> None:
    ...     async with ActorSystem("shop") as system:
    ...         system.spawn(Behaviors.ignore(), "cart").tell("hello")
    """

    def __init__(self, name: str = "casty-system", *, config: Settings | CastyConfig | None = None) -> None:
        settings = config.settings if isinstance(config, CastyConfig) else config
        self._core = LocalSystem(name, runtimes.current(), settings=settings)
        self._core.system = self
        if isinstance(config, CastyConfig):
            self._core.is_quiet_at_the_end = config.suppress_dead_letters_on_shutdown

    @classmethod
    def over(cls, core: LocalSystem) -> ActorSystem:
        """Let actors see an embedded core as a plain system; shutting that down stops the core's actors."""
        system = ActorSystem.__new__(ActorSystem)
        system._core = core
        core.system = system
        return system

    @property
    def core(self) -> LocalSystem:
        """What runs the actors; for whoever embeds a system, and for tests."""
        return self._core

    @property
    def name(self) -> str:
        """The system's name."""
        return self.core.name

    @property
    def event_stream(self) -> ActorRef[EventStreamMessage]:
        """Takes `EventStreamSubscribe`, `EventStreamUnsubscribe` and `Publish`."""
        return self.core.event_stream

    @property
    def scheduler(self) -> ActorRef[SchedulerMessage]:
        """Takes `ScheduleTick`, `ScheduleOnce` and `CancelSchedule`; all of its users have the same keys."""
        return self.core.scheduler

    def __reduce_ex__(self, protocol: object) -> Any:
        """Refuse to be copied or pickled."""
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled: its actors are its own")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()

    async def shutdown(self) -> None:
        """Stop every actor: after the message in hand, by force when that takes longer than a second."""
        await self.core.shutdown()

    def spawn(
        self, behavior: BaseBehavior[M], name: str, *, mailbox: Mailbox[M] | None = None
    ) -> ActorRef[M]:
        """Start a root actor.

        Parameters
        ----------
        behavior
            What it starts with.
        name
            Unique among the living root actors; not empty, no slash, not beginning with ``$``.
        mailbox
            Its mailbox, used by no other actor; None takes one of the configured bound.

        Raises
        ------
        ValueError
            The name is taken or illegal, or `behavior` is one that needs an earlier one.
        TypeError
            `behavior` is no behaviour, the name no text, or `mailbox` no mailbox.
        RuntimeError
            The system is shutting down, or no event loop runs.
        """
        return self.core.spawn(behavior, name, mailbox=mailbox)

    @overload
    async def ask(
        self, ref: BroadcastRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0
    ) -> tuple[R, ...]: ...

    @overload
    async def ask(
        self,
        ref: ActorRef[ShardEnvelope[M]],
        msg_factory: Callable[[ActorRef[Any]], ShardEnvelope[Question[R]]],
        *,
        timeout: float = 5.0,
    ) -> R: ...

    @overload
    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[Any]], Question[R]], *, timeout: float = 5.0
    ) -> R: ...

    @overload
    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0
    ) -> R: ...

    async def ask(
        self, ref: ActorRef[Any], msg_factory: Callable[[ActorRef[Any]], Any], *, timeout: float = 5.0
    ) -> Any:
        """Send a message that carries a reply reference, and return the reply.

        Of a `BroadcastRef` all members that are up are asked at once, and the replies are a tuple. It fails when one of
        them does, with that one's error.

        Parameters
        ----------
        ref
            Who is asked.
        msg_factory
            Makes the message from the reference that takes the reply. Of a message whose field `reply_to` is that
            reference, type checkers know the type of the reply.
        timeout
            Seconds to wait.

        Raises
        ------
        TimeoutError
            No reply came in time; the text names the actor.
        """
        if isinstance(ref, BroadcastRef):
            return await _all_of([self.core.ask(one, msg_factory, timeout=timeout) for one in ref.members()])
        return await self.core.ask(ref, msg_factory, timeout=timeout)

    async def ask_or_none(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0
    ) -> R | None:
        """Like `ask`, but return None when no reply came in time."""
        try:
            return await self.ask(ref, msg_factory, timeout=timeout)
        except TimeoutError:
            return None

    def lookup(self, path: str) -> ActorRef[Any] | None:
        """Return the reference of a living actor by its path, with or without leading slash."""
        return self.core.lookup(path)


async def _all_of(asking: list[Coroutine[Any, Any, R]]) -> tuple[R, ...]:
    """Return all results in their order; the first error ends the others, and is raised."""
    tasks = [asyncio.get_running_loop().create_task(one, name="ask") for one in asking]
    try:
        return tuple(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
