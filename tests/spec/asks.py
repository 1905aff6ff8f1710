"""Questions as the specification writes them, for type checkers only; see `test_typed_asks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import reveal_type

from casty import ActorRef, ActorSystem, ClusterClient, ClusteredActorSystem, ShardEnvelope


@dataclass(frozen=True)
class Increment:
    """Adds."""

    amount: int


@dataclass(frozen=True)
class GetCount:
    """Asks for a number."""

    reply_to: ActorRef[int]


@dataclass(frozen=True)
class GetName:
    """Asks for a text, of somebody with another field's name."""

    asked_by: ActorRef[str]


Message = Increment | GetCount | GetName


async def asks(
    client: ClusterClient,
    system: ActorSystem,
    node: ClusteredActorSystem,
    ref: ActorRef[Message],
    region: ActorRef[ShardEnvelope[Message]],
) -> None:
    """Ask in all ways."""
    counter = client.entity_ref("counter", num_shards=100)
    counter.tell(ShardEnvelope("user-42", Increment(1)))
    reveal_type(await client.ask(counter, lambda r: ShardEnvelope("user-42", GetCount(reply_to=r))))
    reveal_type(await client.ask(region, lambda r: ShardEnvelope("user-42", GetCount(r))))
    reveal_type(await node.ask(region, lambda r: ShardEnvelope("user-42", GetCount(r)), timeout=1.0))
    reveal_type(await system.ask(ref, lambda r: GetCount(r)))
    reveal_type(await system.ask(ref, GetCount))
    reveal_type(await node.ask(ref, GetName))
