"""Accounts made of events: they survive their nodes, and what is asked for twice happens once.

A question can be lost with the node that had it, so whoever asks may have to ask again. Each booking therefore has an
id, and an account remembers the ids of its latest bookings.
"""

import asyncio
from dataclasses import dataclass, replace

from casty import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    Persisted,
    ShardEnvelope,
    SnapshotEvery,
    message,
)

REMEMBERED = 1_000
"""Ids of bookings that an account remembers: nobody asks again later than that."""


@message(name="bank.statement")
@dataclass(frozen=True)
class Statement:
    balance: int
    bookings: int
    was_booked: bool = True


@message(name="bank.book")
@dataclass(frozen=True)
class Book:
    """Put money in, or take it out where `cents` is negative."""

    id: str
    cents: int
    reply_to: ActorRef[Statement]


@message(name="bank.look")
@dataclass(frozen=True)
class Look:
    reply_to: ActorRef[Statement]


@message(name="bank.booked")
@dataclass(frozen=True)
class Booked:
    """The event."""

    id: str
    cents: int


@message(name="bank.account")
@dataclass(frozen=True)
class Account:
    """The state."""

    balance: int = 0
    bookings: int = 0
    latest: tuple[str, ...] = ()

    def after(self, event: Booked) -> "Account":
        latest = (*self.latest[1 - REMEMBERED :], event.id)
        return replace(self, balance=self.balance + event.cents, bookings=self.bookings + 1, latest=latest)

    def statement(self, *, was_booked: bool = True) -> Statement:
        return Statement(self.balance, self.bookings, was_booked)


def account(entity_id: str) -> Behavior[Book | Look]:
    def decide(
        ctx: ActorContext[Book | Look], state: Account, order: Book | Look
    ) -> Persisted[Booked] | None:
        if isinstance(order, Look) or order.id in state.latest:
            order.reply_to.tell(state.statement())
            return None
        if state.balance + order.cents < 0:
            order.reply_to.tell(state.statement(was_booked=False))
            return None
        booked = Booked(order.id, order.cents)
        # Held back until the event is committed, and never sent if it is not.
        order.reply_to.tell(state.after(booked).statement())
        return Behaviors.persisted([booked])

    return Behaviors.event_sourced(
        entity_id=entity_id,
        initial_state=Account(),
        on_event=Account.after,
        on_command=decide,
        snapshot_policy=SnapshotEvery(100),
    )


async def app(system: ClusteredActorSystem) -> None:
    """What each node hosts: ``casty node --app examples.bank_account:app``."""
    accounts = Behaviors.sharded(account, num_shards=20, idle_timeout=60.0, max_activations=10_000)
    system.spawn(accounts, "accounts")


async def book(client: ClusterClient, name: str, id: str, cents: int) -> Statement:
    """Book once, however often it has to be asked for."""
    accounts = client.entity_ref("accounts", num_shards=20)
    while True:
        try:
            return await client.ask(
                accounts, lambda reply: ShardEnvelope(name, Book(id, cents, reply)), timeout=2.0
            )
        except TimeoutError:  # lost with its node, perhaps after it was booked
            await asyncio.sleep(0.1)


async def main() -> None:
    async with ClusteredActorSystem(name="bank", host="127.0.0.1", port=0) as system:
        await app(system)
        async with ClusterClient(contact_points=[system.self_node], system_name="bank") as client:
            await client.ready()
            for id, cents in (("salary", 2_000), ("rent", -900), ("salary", 2_000), ("car", -9_000)):
                print(id, await book(client, "alice", id, cents))


if __name__ == "__main__":
    asyncio.run(main())
