"""A gateway's side of its session in one slot: numbers, marks, holds, and how long it may trust them. Pure.

`low` is the lowest number without an answer (``queued`` is one), `wait_low` the lowest one still waited
for; every command carries both, so the slot can forget what this side has. An abandoned number keeps `low`
down until the slot says that it is settled, unless it was queued: then the slot finds it through the waiter
itself.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Entity", "Held", "Ledger"]

ROW_BYTES = 72
REQUEST_BYTES = 16
"""What the numbers of a row, and of one request in it, take on the wire, at most."""

Entity = tuple[int, bytes]
"""(kind, entity)."""


class Held:
    """What a slot granted: a lock or a permit, named for good by its session and the number of its request.

    It counts until `session.covered_until_ns`, and no longer than until it `is_over`; once over it stays so.
    """

    __slots__ = ("entity", "is_over", "seq", "session", "token")

    def __init__(self, session: Ledger, seq: int, entity: Entity, token: int) -> None:
        self.session = session
        self.seq = seq
        self.entity = entity
        self.token = token
        self.is_over = False


class Ledger:
    """One slot's session, from this side.

    Parameters
    ----------
    slot, epoch
        Where it lives.
    attempt
        The identity of the opening; the same answer however often it is sent. It proves whose session it is: 128 random
        bits that only this side and the slot's replicas know.
    """

    __slots__ = (
        "_done", "abandoned", "attempt", "covered_until_ns", "epoch", "held", "is_in_question", "low", "next_seq",
        "number", "slot", "used_ns", "waiting",
    )  # fmt: skip

    def __init__(self, slot: int, epoch: int, attempt: bytes, now_ns: int) -> None:
        self.slot = slot
        self.epoch = epoch
        self.attempt = attempt
        self.number: int | None = None
        self.next_seq = 1
        self.low = 1
        self.waiting: dict[int, Entity] = {}
        """Requests whose outcome is still to come, in order of their numbers."""
        self.held: dict[int, Held] = {}
        """What is granted and not over, by the number of its request."""
        self.abandoned: dict[int, Entity] = {}
        """What nobody wants any more, or has the outcome of, until the slot settled it; at most a window of them,
        and those that a release or a deadline adds."""
        self.covered_until_ns = 0
        self.is_in_question = False
        """Whether the slot is being asked if the session lives on: nothing new is sent in it until it says so."""
        self.used_ns = now_ns
        self._done: dict[int, None] = {}

    @property
    def wait_low(self) -> int:
        """The lowest number still waited for."""
        for seq in self.waiting:
            return seq
        return self.next_seq

    @property
    def outstanding(self) -> int:
        """Numbers that the slot still has to remember."""
        return self.next_seq - self.low

    def take(self) -> int:
        """Return the next number."""
        seq = self.next_seq
        self.next_seq = seq + 1
        return seq

    def answered(self, seq: int) -> None:
        """The number has an answer; `low` moves over what is done."""
        if seq != self.low:
            if seq > self.low:
                self._done[seq] = None
            return
        low = seq + 1
        done = self._done
        while low in done:
            del done[low]
            low += 1
        self.low = low

    def abandon(self, seq: int, entity: Entity) -> None:
        """Nobody wants the outcome any more: keep asking for its withdrawal until it is settled."""
        self.waiting.pop(seq, None)
        self.held.pop(seq, None)
        self.abandoned[seq] = entity

    def confirm(self, seq: int, entity: Entity) -> None:
        """The outcome is here: keep-alives say so until the slot has forgotten it."""
        self.abandoned[seq] = entity

    def settle(self, seq: int) -> None:
        """The slot withdrew an abandoned number for good."""
        if self.abandoned.pop(seq, None) is not None:
            self.answered(seq)

    def cover(self, until_ns: int) -> None:
        """The slot heard of us: until then it expires nothing."""
        self.covered_until_ns = max(self.covered_until_ns, until_ns)

    def is_idle(self) -> bool:
        """Whether nothing is held, waited for, abandoned or without an answer."""
        return not (self.waiting or self.held or self.abandoned) and self.low == self.next_seq

    def keep_alive_rows(self, limit_bytes: int) -> Iterator[tuple[list[object], int]]:
        """Return this session's rows of keep-alives, with their sizes: one, unless it names very much.

        Parameters
        ----------
        limit_bytes
            No row is longer, but for one that names a single request.
        """
        named = (
            self.waiting.items(),
            ((seq, held.entity) for seq, held in self.held.items()),
            self.abandoned.items(),
        )
        lists: list[list[list[object]]] = [[], [], []]
        size_bytes = ROW_BYTES
        for kind, requests in enumerate(named):
            for seq, entity in requests:
                more_bytes = REQUEST_BYTES + len(entity[1])
                if size_bytes + more_bytes > limit_bytes and any(lists):
                    yield [self.slot, self.epoch, self.number, *lists, self.low, self.attempt], size_bytes
                    lists, size_bytes = [[], [], []], ROW_BYTES
                lists[kind].append([seq, *entity])
                size_bytes += more_bytes
        yield [self.slot, self.epoch, self.number, *lists, self.low, self.attempt], size_bytes
