"""Sharded entities of one's own: each account is an actor that lives on one node at a time."""

import asyncio
from dataclasses import dataclass

from casty import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    ShardEnvelope,
)


@dataclass(frozen=True)
class Deposit:
    amount: int
    reply_to: ActorRef[int]


def account(entity_id: str, balance: int = 0) -> Behavior[Deposit]:
    def receive(ctx: ActorContext[Deposit], message: Deposit) -> Behavior[Deposit]:
        total = balance + message.amount
        message.reply_to.tell(total)
        return account(entity_id, total)

    return Behaviors.receive(receive)


async def deposit(client: ClusterClient, accounts: ActorRef[ShardEnvelope[Deposit]], amount: int) -> int:
    return await client.ask(accounts, lambda reply: ShardEnvelope("alice", Deposit(amount, reply)))


async def main() -> None:
    async with ClusteredActorSystem(name="bank", host="127.0.0.1", port=0) as system:
        system.spawn(Behaviors.sharded(account, num_shards=10), "accounts")
        async with ClusterClient(contact_points=[system.self_node], system_name="bank") as client:
            await client.ready()
            accounts = client.entity_ref("accounts", num_shards=10)
            for amount in (5, 20):
                print("alice has", await deposit(client, accounts, amount))


if __name__ == "__main__":
    asyncio.run(main())
