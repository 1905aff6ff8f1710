"""What all actors of the scenario ``actors`` share: who lives, who watches whom, and how they reach each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from casty.actor.behavior import Behavior
from casty.actor.context import ActorContext
from casty.actor.events import ActorFailed, ActorStopped, EventStreamSubscribe
from casty.actor.local import LocalSystem
from casty.actor.ref import ActorRef, RemoteActorRef

from ..checks.step.actors import ActorChecks
from ..checks.step.introspection import actors_of, client_core_of
from ..checks.step.lives import Life, Lives
from ..checks.step.watches import Watches
from ..checks.violation import Violation

if TYPE_CHECKING:
    from casty.config import Settings

    from ..world.process import Process
    from ..world.world import World

__all__ = ["AS_PLANNED", "Do", "Population", "Recorder", "actors_of"]

AS_PLANNED = "as planned"
"""What handlers raise that are to fail."""
_OWN_FAILURE = 57

Doing = Callable[[Any, ActorContext[Any]], Awaitable[Behavior[Any] | None]]


class Do(NamedTuple):
    """Told to an actor of the same process: do this, as your own handler."""

    what: Doing


class Recorder(Protocol):
    """What the actors need of the recorder of their run."""

    violations: list[Violation]
    skipped: list[str]
    """What the plan named and was not there."""

    @property
    def world(self) -> World:
        """The world they live in."""
        ...

    def goal(self, name: str) -> None:
        """Count something interesting."""

    def next_message(self, sender: str, target: str) -> int:
        """Return the number of the next message from here to there, from 1."""
        ...


class Flowing(Protocol):
    """A stream of the run: `flows.Flow`."""

    def is_over(self) -> bool:
        """Whether each user that lives has heard of the end."""
        ...

    def check(self) -> None:
        """Report what does not fit together of what both sides saw."""


class Population:
    """The actors of one run.

    Parameters
    ----------
    stage
        The workload's side of the run.
    settings
        The cluster's.
    checks
        Looks at what they handle, and takes violations.

    Attributes
    ----------
    stuck
        What handlers and hooks wait for that would wait for ever, by the home of their actors.
    is_calm
        Nobody waits for nothing any more.
    """

    def __init__(self, recorder: Recorder, settings: Settings, checks: ActorChecks) -> None:
        self.recorder = recorder
        self.settings = settings
        self.checks = checks
        self.lives = Lives(recorder.world)
        self.watches = Watches(recorder.world, self.lives, settings, checks.report)
        self.stuck: dict[tuple[str, int], list[asyncio.Event]] = {}
        self.is_calm = False
        self.flows: list[Flowing] = []
        """All streams that were begun."""

    def hosted(self, process: Process, value: object) -> None:
        """A node or client runs: hear of the ends of its actors."""
        local = _local_of(value)
        assert local is not None, "it was just entered"
        client_core = client_core_of(value)
        if client_core is not None:
            self.lives.client_is(process, client_core.client_id)

        local.event_stream.tell(EventStreamSubscribe(ActorStopped, partial(self._stopped, process)))
        local.event_stream.tell(EventStreamSubscribe(ActorFailed, self._failed))

    def _stopped(self, process: Process, event: ActorStopped) -> None:
        self.lives.stopped(process, event.ref.id)

    def _failed(self, event: ActorFailed) -> None:
        """An actor fails by what its own code raises, and by nothing else (57)."""
        if str(event.exception) != AS_PLANNED:
            text = f"it failed: {type(event.exception).__name__}: {event.exception!s:.200}"
            self.checks.report(Violation(_OWN_FAILURE, event.ref.id, text))

    # -- saying something

    def ref_at(self, process: Process, ref: ActorRef[Any]) -> ActorRef[Any] | None:
        """Return what a process makes of a ref that came in a message; None when it runs no actors now."""
        local = None if process.value is None else _local_of(process.value)
        if local is None or local.is_stopping or not isinstance(ref, RemoteActorRef):
            return None
        return local.make_ref(ref.address)

    def tell(self, process: Process, target: Life, speaker: str = "", count: int = 1) -> bool:
        """Tell an actor something, from a process or one of its actors; whether that was possible."""
        ref = self.ref_at(process, target.ref)
        if ref is None:
            return False
        if target.is_over:
            is_former = target.ordinal < target.process.incarnation.ordinal
            of_whom = "a former process" if is_former else "one who was gone"
            self.recorder.goal(f"an actor of {of_whom} was told something")
        sender = process.incarnation.label
        for _ in range(count):
            number = self.recorder.next_message(sender, target.label)
            if speaker:
                self.watches.speaks(target.label, sender, number)
            ref.tell([sender, number, target.label, speaker])
        return True

    async def wait_for_nothing(self, process: Process) -> None:
        """Wait until the run has seen enough of it: then nobody waits for nothing any more."""
        if not self.is_calm:
            event = asyncio.Event()
            self.stuck.setdefault((process.name, process.incarnation.ordinal), []).append(event)
            await event.wait()

    async def release(self, process: Process) -> None:
        """Let all go on that wait for nothing in a process, this one."""
        for event in self.stuck.pop((process.name, process.incarnation.ordinal), []):
            event.set()


def _local_of(value: object) -> LocalSystem | None:
    actors = actors_of(value)
    return None if actors is None else actors.local
