"""What the nodes of `test_entity_journals` host: entities whose events are in a journal outside the cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass

from casty import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    EventJournal,
    Persisted,
    PostgresJournal,
    SnapshotEvery,
    SqliteJournal,
    message,
)

__all__ = ["REGION", "SHARDS", "WHERE", "Note", "app", "journal_at"]

REGION, SHARDS = "ledgers", 8
WHERE = "LEDGERS_JOURNAL"
"""The variable that says where the journal is."""


@message(name="test.ledgers.note")
@dataclass(frozen=True)
class Note:
    """Note a number, the next one or the last one once more; answered is how many are noted."""

    number: int
    reply_to: ActorRef[int]


def journal_at(where: str) -> EventJournal:
    """Return the journal at a file or a server."""
    return PostgresJournal(where) if where.startswith("postgresql") else SqliteJournal(where)


def _decide(ctx: ActorContext[Note], count: int, note: Note) -> Persisted[int] | None:
    del ctx
    if note.number < count:
        note.reply_to.tell(count)
        return None
    note.reply_to.tell(note.number + 1)
    return Behaviors.persisted([note.number])


async def app(system: ClusteredActorSystem) -> None:
    """What each node hosts."""
    journal = journal_at(os.environ[WHERE])

    def ledger(entity_id: str) -> Behavior[Note]:
        return Behaviors.event_sourced(
            entity_id=entity_id,
            journal=journal,
            initial_state=0,
            on_event=lambda count, number: number + 1,
            on_command=_decide,
            snapshot_policy=SnapshotEvery(20),
        )

    system.spawn(Behaviors.sharded(ledger, num_shards=SHARDS), REGION)
