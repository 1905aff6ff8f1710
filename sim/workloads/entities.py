"""Entities with odd ids, slow, asking, endless and stopping handlers; each looks at its lease wherever it goes on.

A message is ``[sender, number, what, argument, reference or None]``: which process sends it, the how-manieth to this
entity it is, what to do, and who takes the reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope, shard_of
from casty.cluster.actors.region_router import entity_path
from casty.cluster.control.placement import slot_of_region
from casty.errors import CastyError, EncodingError

from ..checks.step.actors import Activation
from ..checks.step.introspection import actors_of
from ..checks.violation import Violation
from .population import AS_PLANNED, Population
from .recorder import OperationContext

if TYPE_CHECKING:
    from casty.system import ClusteredActorSystem

    from ..world.process import Process

__all__ = ["ENTITY_PERFORMERS", "ODD_IDS", "ODD_REGION", "ask_odd", "host_odd", "stop_odd"]

Message = list[Any]

ODD_REGION = "od/d %2F\u00fc"
ODD_IDS = (
    "", "a", "a/b", "a/b/c", "a%2Fb", ".", "..", "$region", " ", "\u00fc/\u00f1", "x" * 300, "\x00", "#~0",
    "\U0001f0a1",
)  # fmt: skip
_DRAWN = (*ODD_IDS, "a", "a", "a", "a/b", "a/b")
"""Some of them have more to do than others: what they do may meet."""
NUM_SHARDS = 4
_ASK_S = 2.0
_CHILD_S = 0.05
_SLOW_S = 0.5
"""The longest that a handler takes which ends by itself: at rest all mail is read soon."""


def host_odd(population: Population, process: Process, system: ClusteredActorSystem) -> None:
    """Host the region on a node."""

    def entity(entity_id: str) -> Behavior[Message]:
        slot = slot_of_region(ODD_REGION, shard_of(entity_id, NUM_SHARDS), population.settings.slots)
        life = population.checks.began(entity_path(ODD_REGION, entity_id), process, system, slot)
        return _Odd(population, process, life).behavior()

    system.spawn(Behaviors.sharded(entity, num_shards=NUM_SHARDS), ODD_REGION)


class _Odd:
    """One activation."""

    def __init__(self, population: Population, process: Process, life: Activation) -> None:
        self._population = population
        self._process = process
        self._checks = population.checks
        self._life = life
        self._handled = 0
        self._hook_s = 0.0
        self._has_child = False

    def behavior(self) -> Behavior[Message]:
        return Behaviors.with_lifecycle(Behaviors.receive(self._receive), post_stop=self._stopped)

    async def _receive(self, ctx: ActorContext[Message], message: Message) -> Behavior[Message] | None:
        sender, number, what, argument, reply_to = message
        if not sender:  # a pipe's
            self._checks.goes_on(self._life)
            return None
        self._checks.handles(self._life, sender, number)
        self._handled += 1
        behavior = await self._does(ctx, what, argument)
        self._checks.goes_on(self._life)
        if reply_to is not None:
            reply_to.tell(self._handled)
        return behavior

    async def _does(self, ctx: ActorContext[Message], what: str, argument: int) -> Behavior[Message] | None:
        self._population.recorder.goal(f"entities did: {what}")
        match what:
            case "slow":
                await asyncio.sleep(min(argument / 1000, _SLOW_S))
            case "ask":
                await self._ask(argument)
            case "endless" | "stubborn":
                await self._get_stuck(is_stubborn=what == "stubborn")
            case "child":
                self._say_to_child(ctx)
            case "pipe":
                ctx.pipe_to_self(self._later(argument / 1000))
            case "hook":
                self._hook_s = argument / 1000
            case "fail":
                raise RuntimeError(AS_PLANNED)
            case "stop":
                return Behaviors.stopped()
            case _:
                return None
        return None

    async def _ask(self, argument: int) -> None:
        """Ask another entity, or, for some numbers, oneself: that has no answer."""
        try:
            await ask_odd(self._population, self._process, argument, "count", 0, _ASK_S)
            self._population.recorder.goal("an entity asked another one")
        except (TimeoutError, CastyError):
            self._population.recorder.goal("an entity asked in vain")

    async def _get_stuck(self, *, is_stubborn: bool) -> None:
        """Wait for nothing; who is stubborn holds on to the first cancellation."""
        try:
            await self._population.wait_for_nothing(self._process)
        except asyncio.CancelledError:
            self._population.recorder.goal("an endless handler was cancelled")
            actors = actors_of(self._process.value)
            if actors is not None and actors.host is not None and self._life.slot in actors.host.hand_overs:
                self._population.recorder.goal("an endless handler was cancelled in a hand-over")
            if not is_stubborn:
                raise
            await self._population.wait_for_nothing(self._process)

    def _say_to_child(self, ctx: ActorContext[Message]) -> None:
        """Its name is the rest of another entity's id, where this one's is the beginning."""
        if not self._has_child:
            self._has_child = True
            child: ActorRef[int] = ctx.spawn(Behaviors.receive(self._child_receives), "b")
            child.tell(self._handled)

    async def _child_receives(self, ctx: ActorContext[int], message: int) -> Behavior[int]:
        del ctx
        self._checks.goes_on(self._life)
        await asyncio.sleep(_CHILD_S)
        self._checks.goes_on(self._life)
        return Behaviors.same()

    async def _later(self, seconds: float) -> Message:
        await asyncio.sleep(seconds)
        self._checks.goes_on(self._life)
        return ["", 0, "", 0, None]

    async def _stopped(self, ctx: ActorContext[Message]) -> None:
        del ctx
        self._checks.over(self._life)
        if self._hook_s:
            await asyncio.sleep(self._hook_s)
            self._checks.over(self._life)


# -- what others do


def _region(process: Process) -> ActorRef[ShardEnvelope[Message]] | None:
    actors = actors_of(process.value)
    return None if actors is None else actors.entity_ref(ODD_REGION, num_shards=NUM_SHARDS)


def _id_of(number: int) -> str:
    return _DRAWN[number % len(_DRAWN)]


def _next(population: Population, process: Process, entity_id: str) -> tuple[str, int]:
    sender = process.incarnation.label
    return sender, population.recorder.next_message(sender, entity_path(ODD_REGION, entity_id))


async def ask_odd(
    population: Population, process: Process, which: int, what: str, argument: int, timeout_s: float
) -> int:
    """Ask an entity from a process; raises as `ask` does."""
    actors, region, entity_id = actors_of(process.value), _region(process), _id_of(which)
    if actors is None or region is None:
        raise TimeoutError("the process is leaving")
    own = (*_next(population, process, entity_id), what, argument)
    answer: int = await actors.local.ask(region, partial(_envelope, entity_id, own), timeout=timeout_s)
    return answer


def _envelope(
    entity_id: str, own: tuple[str, int, str, int], reply_to: ActorRef[int] | None
) -> ShardEnvelope[Message]:
    return ShardEnvelope(entity_id, [*own, reply_to])


async def _tell(context: OperationContext) -> None:
    population, region = _population(context), _region(context.process)
    if region is None:
        return
    entity_id, argument = _id_of(context.number("which")), context.number("ms")
    what = str(context.planned.args.get("what"))
    for _ in range(context.number("count", 1)):
        own = (*_next(population, context.process, entity_id), what, argument)
        region.tell(_envelope(entity_id, own, None))


async def _ask(context: OperationContext) -> None:
    began_ns = context.process.clock.now()
    what = str(context.planned.args.get("what"))
    try:
        await ask_odd(
            _population(context),
            context.process,
            context.number("which"),
            what,
            context.number("ms"),
            context.timeout_s(),
        )
        context.recorder.goal("an entity with an odd id answered")
    except (TimeoutError, CastyError) as error:
        context.recorder.goal("an entity with an odd id did not answer")
        if isinstance(error, EncodingError):
            context.recorder.violations.append(
                Violation(51, context.entity, f"a question ended for its words: {error!r:.200}")
            )
    context.check_end(began_ns, context.timeout_s(), "odd.ask", f"ask of {context.process.name}")


async def stop_odd(population: Population, process: Process) -> None:
    """Have every entity stop."""
    region = _region(process)
    if region is None:
        return
    for entity_id in ODD_IDS:
        own = (*_next(population, process, entity_id), "stop", 0)
        region.tell(_envelope(entity_id, own, None))


def _population(context: OperationContext) -> Population:
    population: Population | None = context.recorder.population
    assert population is not None, "the executor makes one for these operations"
    return population


ENTITY_PERFORMERS: dict[str, Callable[[OperationContext], Awaitable[None]]] = {
    "odd.tell": _tell,
    "odd.ask": _ask,
}
"""Kind of operation -> what it does."""
