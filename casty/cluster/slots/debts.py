"""What entities owe to requests, and how the leader has it paid: work of any length goes in parts. Pure.

One entry may decide any number of requests: a lock with 20,000 waiters is destroyed, a writer gives way to 20,000
readers, a barrier trips. Each replica tells `PAID_AT_ONCE` of them with that entry, and one part more with each
entry ``[PAY, kind, entity]``. These the slot's leader proposes, one at a time, in turns of their own, until nothing
is owed.

What is owed follows from the state, so every replica knows it, and a leader that was elected in the middle goes on. An
entry that is lost is proposed again by whoever leads next, or at a heartbeat; one that is applied twice pays the next
part, or nothing. Until a request is told it waits, as far as anybody can see: it may be withdrawn, and ends with its
session. What comes in between is no different from what comes a moment later: nobody was told of either.
"""

from __future__ import annotations

from typing import Any

from casty.cluster.slots.schema import PAY
from casty.cluster.slots.session_record import KEY_KIND, EntityKey
from casty.distributed.machines.registry import STRUCTURES
from casty.wire.pack import pack

__all__ = ["Debts", "Payments"]


class Debts:
    """The entities of one slot that owe something; see `Structure.owes`.

    Bound: a row per such entity, which goes with what it owes or with the entity.
    """

    __slots__ = ("keys",)

    def __init__(self) -> None:
        self.keys: dict[EntityKey, None] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: object) -> bool:
        return key in self.keys

    def look(self, key: EntityKey, state: Any) -> None:
        """An entity of a kind in which requests wait has this state now; None where it is gone."""
        if state is not None and STRUCTURES[key[KEY_KIND]].owes(state):
            self.keys[key] = None
        elif self.keys:
            self.keys.pop(key, None)

    def first(self) -> EntityKey | None:
        """Return who owes for longest."""
        return next(iter(self.keys), None)


class Payments:
    """What one leadership proposed: one part at a time."""

    __slots__ = ("is_under_way",)

    def __init__(self) -> None:
        self.is_under_way = False

    def next(self, debts: Debts) -> bytes | None:
        """Return the entry of the next part, which is under way from now on; None while one is, or without any."""
        key = None if self.is_under_way else debts.first()
        if key is None:
            return None
        self.is_under_way = True
        return pack([PAY, *key])
