"""What the nodes of a workload host, a region of entities and an inbox each, and what clients tell and ask them.

A message is ``[sender, number, reference or None]``: who sent it, the how-manieth to this actor it is, and who
takes the reply. Actors tell the checks what they handle.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.ref import ActorRef
from casty.actor.services import Register, ServiceKey
from casty.actor.sharding import ShardEnvelope, shard_of
from casty.cluster.actors.region_router import entity_path
from casty.cluster.control.placement import slot_of_region
from casty.errors import CastyError, EncodingError

from ..checks.step.actors import Activation, ActorChecks
from ..checks.violation import Violation
from .deaths import died_since
from .recorder import OperationContext, RunRecorder

if TYPE_CHECKING:
    from casty.client import ClusterClient
    from casty.system import ClusteredActorSystem

    from ..world.process import Process

__all__ = [
    "INBOXES",
    "NUM_SHARDS",
    "REGION",
    "ask_entity",
    "host_actors",
    "probe_entities",
    "tell_entity",
    "tell_inbox",
]

Message = list[Any]

REGION = "tally"
NUM_SHARDS = 4
INBOXES = ServiceKey[Message]("inbox")
_SLOW_EVERY = 3
_SLOW_S = 0.04


def host_actors(
    process: Process, system: ClusteredActorSystem, checks: ActorChecks, slots: int, role: str | None
) -> ActorRef[Message]:
    """Start the region and the inbox of a node; return the inbox, which is registered.

    Parameters
    ----------
    process, system
        The node.
    checks
        Hear what the actors do.
    slots
        How many the cluster has; those of a role come after them.
    role
        What the region is limited to; None: nothing.
    """
    first = 0 if role is None else slots

    def entity(entity_id: str) -> Behavior[Message]:
        slot = first + slot_of_region(REGION, shard_of(entity_id, NUM_SHARDS), slots)
        return _Counting(
            checks, checks.began(entity_path(REGION, entity_id), process, system, slot)
        ).behavior()

    system.spawn(Behaviors.sharded(entity, num_shards=NUM_SHARDS, role=role), REGION)
    life = checks.began(f"inbox of {process.incarnation.label}", process, system, None)
    inbox = system.spawn(_Counting(checks, life).behavior(), "inbox")
    system.receptionist.tell(Register(INBOXES, inbox))
    return inbox


class _Counting:
    """Answers how many messages came in this life; some of them take their time."""

    def __init__(self, checks: ActorChecks, life: Activation) -> None:
        self._checks = checks
        self._life = life
        self._handled = 0

    def behavior(self) -> Behavior[Message]:
        """Return what the actor does."""
        return Behaviors.with_lifecycle(Behaviors.receive(self._receive), post_stop=self._stopped)

    async def _receive(self, ctx: ActorContext[Message], message: Message) -> Behavior[Message]:
        del ctx
        sender, number, reply_to = message
        self._checks.handles(self._life, sender, number)
        if number % _SLOW_EVERY == 0:
            await asyncio.sleep(_SLOW_S)
            self._checks.goes_on(self._life)
        self._handled += 1
        if reply_to is not None:
            reply_to.tell(self._handled)
        return Behaviors.same()

    async def _stopped(self, ctx: ActorContext[Message]) -> None:
        del ctx
        self._checks.over(self._life)


# -- what clients do


async def tell_entity(context: OperationContext) -> None:
    """Send a few messages in a row to an entity."""
    region = _client(context).entity_ref(REGION, num_shards=NUM_SHARDS)
    for _ in range(context.number("count", 1)):
        region.tell(ShardEnvelope(context.entity, [*context.next_message(context.entity), None]))


async def ask_entity(context: OperationContext) -> None:
    """Ask an entity; no answer is no violation, a late end is."""
    client = _client(context)
    region = client.entity_ref(REGION, num_shards=NUM_SHARDS)
    began_ns = context.process.clock.now()
    try:
        envelope = partial(_envelope, context.entity, *context.next_message(context.entity))
        await client.ask(region, envelope, timeout=context.timeout_s())
        context.recorder.goal("an entity answered")
    except (TimeoutError, CastyError) as error:
        context.recorder.goal("an entity did not answer")
        if isinstance(error, EncodingError):  # what is asked here can be read, and so can the answer
            context.violate(
                51, f"a question of {context.process.name} ended for what it did not say: {error!r:.200}"
            )
    context.check_end(began_ns, context.timeout_s(), "entity.ask", f"ask of {context.process.name}")


async def probe_entities(
    recorder: RunRecorder, process: Process, client: ClusterClient, within_s: float
) -> None:
    """After the faults entities have to answer (46).

    What a node has when it dies is lost, and what is on the way to it: a death during the probes costs a question,
    which is asked again. Two do not happen.
    """
    began_ns = recorder.world.now_ns
    for entity in ("entity-1", "entity-2", "entity-3"):
        wrong = await _ask_once(recorder, process, client, entity, within_s)
        if wrong is not None and died_since(recorder.world, began_ns):
            recorder.goal("an entity was asked again")
            wrong = await _ask_once(recorder, process, client, entity, within_s)
        if wrong is not None:
            recorder.violations.append(wrong)
            return


async def _ask_once(
    recorder: RunRecorder, process: Process, client: ClusterClient, entity: str, within_s: float
) -> Violation | None:
    region = client.entity_ref(REGION, num_shards=NUM_SHARDS)
    sender = process.incarnation.label
    number = recorder.next_message(sender, entity)
    try:
        await client.ask(region, partial(_envelope, entity, sender, number), timeout=within_s)
    except (TimeoutError, CastyError) as error:
        return Violation(46, entity, f"asked as {sender}, message {number}: {error!r}")
    return None


def _envelope(entity: str, sender: str, number: int, reply_to: ActorRef[int]) -> ShardEnvelope[Message]:
    return ShardEnvelope(entity, [sender, number, reply_to])


async def tell_inbox(context: OperationContext) -> None:
    """Send a few messages in a row to one of the nodes' inboxes."""
    instances = _client(context).lookup(INBOXES).instances
    if not instances:
        context.recorder.goal("no inbox was known")
        return
    inbox = instances[context.number("which") % len(instances)].ref
    for _ in range(context.number("count", 1)):
        inbox.tell([*context.next_message(str(inbox)), None])


def _client(context: OperationContext) -> ClusterClient:
    client: ClusterClient | Any = context.process.value
    return client
