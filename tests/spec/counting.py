"""The entities of the client page's examples."""

from __future__ import annotations

from dataclasses import dataclass

from casty import ActorContext, ActorRef, Behavior, Behaviors, ClusterClient, ShardEnvelope
from tests.spec.places import Place

__all__ = ["SHARDS", "GetCount", "Ignored", "Increment", "Message", "counting", "with_counters"]

SHARDS = 100


@dataclass(frozen=True)
class Increment:
    amount: int


@dataclass(frozen=True)
class GetCount:
    reply_to: ActorRef[int]


@dataclass(frozen=True)
class Ignored:
    reply_to: ActorRef[int]


Message = Increment | GetCount | Ignored
Envelope = ShardEnvelope[Message]


def counting(entity_id: str, count: int = 0) -> Behavior[Message]:
    def receive(ctx: ActorContext[Message], message: Message) -> Behavior[Message]:
        del ctx
        if isinstance(message, Increment):
            return counting(entity_id, count + message.amount)
        if isinstance(message, GetCount):
            message.reply_to.tell(count)
        return Behaviors.same()

    return Behaviors.receive(receive)


async def with_counters(place: Place) -> ClusterClient:
    """Host the region ``counter`` on every node, and return a client."""
    for node in place.nodes:
        node.region_ref("counter", counting, num_shards=SHARDS)
    return await place.client()
