"""Step checks of what is held: who holds beside whom, how much, and who is told of a leader.

What each request asked for is remembered from its command, not read from the state that is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from casty.distributed.machines.base import DESTROY, ELECTION, LOCK, OK, RELEASE, RESIZE, RW_LOCK, SEMAPHORE
from casty.distributed.machines.rw_lock import WRITE

__all__ = ["Lines"]

Entity = tuple[int, bytes]
Request = tuple[int, int]
Broken = Callable[[int, int, str], None]

_ONE = (LOCK, ELECTION)
"""Kinds that one holds at a time."""


class Lines:
    """The lines of one slot.

    Parameters
    ----------
    broken
        Told of a violation: its number, the index of the entry, and what is wrong.
    debts
        Returns the entities that are to tell more by further entries.
    """

    def __init__(self, broken: Broken, debts: Callable[[], Container[Entity]]) -> None:
        self._broken = broken
        self._debts = debts
        self._writers: dict[Request, None] = {}
        """Requests to write; the slot gives no number twice."""
        self._granted: dict[Entity, int] = {}
        """How much was granted of each semaphore after the entry before."""
        self._resized: dict[Entity, tuple[int, int]] = {}
        """How many permits a semaphore was created with, and how many it has now, where those differ."""

    def commanded(
        self, entity: Entity, request: Request, command: Sequence[Any], reply: Sequence[Any]
    ) -> None:
        """A command was applied that was not applied before."""
        if entity[0] == RW_LOCK and command[0] not in (DESTROY, RELEASE) and command[1] == WRITE:
            self._writers[request] = None
        if command[0] == DESTROY and reply[0] == OK:
            self._resized.pop(entity, None)
        if entity[0] == SEMAPHORE and command[0] == RESIZE and reply[0] == OK:
            founded = self._resized[entity][0] if entity in self._resized else reply[1]
            self._resized[entity] = (founded, command[2])
            if founded == command[2]:
                del self._resized[entity]

    def check(self, index: int, entity: Entity, line: Any) -> None:
        """Check a line after an entry; it is None where it does not exist."""
        self._check_resized(index, entity, line)
        if line is None:
            self._granted.pop(entity, None)
            return
        self._check_sums(index, entity, line)
        if entity[0] == RW_LOCK:
            self._check_writers(index, entity, line)
        elif entity[0] in _ONE:
            self._check_alone(index, entity, line)
        if entity[0] == ELECTION:
            self._check_watchers(index, entity, line)

    def _check_resized(self, index: int, entity: Entity, line: Any) -> None:
        """A number that was changed stays until the semaphore is destroyed (28)."""
        if entity not in self._resized:
            return
        founded, permits = self._resized[entity]
        if line is None:
            self._broken(28, index, f"{entity[1]!r} was resized from {founded} to {permits}, and is gone")
        elif line.capacity != permits:
            self._broken(28, index, f"{entity[1]!r} was resized to {permits}, and has {line.capacity}")

    def _check_sums(self, index: int, entity: Entity, line: Any) -> None:
        """Nothing is granted beyond what there is (20, 28), and a record stays only for a reason (9)."""
        taken = sum(share.amount for share in line.grants.values())
        revoked = sum(share.amount for share in line.revoked.values())
        before = self._granted.get(entity, 0)
        self._granted[entity] = taken
        # What was granted when there was more stays granted; nothing is added to it.
        if line.capacity and taken > line.capacity and taken > before:
            number = 28 if entity[0] == SEMAPHORE else 20
            self._broken(
                number, index, f"{entity[1]!r}: {taken} of {line.capacity} are granted: {dict(line.grants)}"
            )
        if line.taken != taken + revoked:
            self._broken(28, index, f"{entity[1]!r}: {taken + revoked} are granted, counted as {line.taken}")
        is_used = bool(line.grants or line.waiters or entity in self._resized)
        if bool(line.capacity) != is_used:
            self._broken(
                28, index, f"{entity[1]!r} has {line.capacity} permits with {len(line.grants)} grants"
            )
        is_watched = entity[0] == ELECTION and line.watchers
        if not (is_used or line.revoked or is_watched or entity in self._debts()):
            self._broken(9, index, f"{entity[1]!r} has a record, yet nobody holds or waits")
        if line.capacity and any(share.amount > line.capacity for share in line.waiters.values()):
            self._broken(27, index, f"{entity[1]!r} has waiters for more than the {line.capacity} there are")
        first = next(iter(line.waiters.values()), None)
        fits = first is not None and taken + revoked + first.amount <= line.capacity
        if (fits or line.dismissed) and entity not in self._debts():
            self._broken(
                27, index, f"{entity[1]!r} has what its first waiter is to be told, and never tells it"
            )

    def _check_alone(self, index: int, entity: Entity, line: Any) -> None:
        """One holds at a time, and nobody beside a destroyed hold (20)."""
        if len(line.grants) > 1:
            self._broken(20, index, f"{entity[1]!r} is granted to {list(line.grants)}")
        if line.grants and line.revoked:
            self._broken(
                20, index, f"{entity[1]!r} is granted while a destroyed hold of it is not confirmed lost"
            )

    def _check_writers(self, index: int, entity: Entity, line: Any) -> None:
        """A writer holds alone, also beside what was destroyed and is not confirmed lost (20)."""
        holders = [*line.grants, *line.revoked]
        writers = [request for request in holders if request in self._writers]
        is_granted = any(request in line.grants for request in holders)
        if writers and len(holders) > 1 and is_granted:
            self._broken(20, index, f"{entity[1]!r}: {writers[0]} writes beside {len(holders) - 1} others")

    def _check_watchers(self, index: int, entity: Entity, line: Any) -> None:
        """Whoever watches knows of the present leader, or would have been told (27)."""
        leader = next((share.token for share in line.grants.values()), 0)
        for request, share in line.watchers.items():
            if share.token != leader and entity not in self._debts():
                text = f"{request} was not told of {leader}, and knows of {share.token}"
                self._broken(27, index, f"{entity[1]!r}: {text}")
