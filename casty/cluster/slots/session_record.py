"""One session of one slot as every replica has it: which requests it made and what they were answered.

States of a request (session, seq), as the slot sees it::

    unseen --applied--> answered (reply kept until the client's `low` passes it)
    unseen --applied--> queued   (the structure has the waiter; `waits` says where)
    queued --granted--> held     (the structure has the hold, which is the outcome)
    queued --tripped, destroyed, broken--> resolved (the outcome is kept until `wait_low` passes it)
    any    --withdrawn--> withdrawn (remembered until `low` passes it)

`low` is the lowest number that the client has no answer to, ``queued`` being an answer; `wait_low` the
lowest one that it still waits for. Both only grow. A number below `low` of which nothing is known any more
can only be a late duplicate of something long finished: it is answered STALE and does nothing. An outcome
that `wait_low` passes before `low` does leaves a withdrawal behind, so that its number is never new again.

How much a session may make its slot remember: `window.py`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from hmac import compare_digest
from typing import Any, Final, Protocol

from casty.distributed.machines.base import STALE, VALUE, WITHDRAWN, Frozen, Pairs, Reply

__all__ = ["EntityKey", "SlotSession"]

EntityKey = tuple[int, bytes]
"""The kind of an entity, and its name. Two are made with each entry, so it is no named tuple; see `KEY_KIND`."""

KEY_KIND: Final = 0
KEY_NAME: Final = 1
"""Where a key has what."""

FEW = 8

TAKEN_FIELDS, TAKEN_BYTES = 6, 120
"""Fields of the reply to who takes an item of a queue for good, and about what it takes besides the item."""


class SlotSession:
    """What the slot remembers of one session."""

    __slots__ = (
        "attempt", "entities", "gateway", "low", "outcomes", "over", "replies", "reply_bytes", "ttl_ms", "wait_low",
        "waits", "withdrawn",
    )  # fmt: skip

    def __init__(self, attempt: bytes, gateway: bytes, ttl_ms: int = 0) -> None:
        self.attempt = attempt
        self.gateway = gateway
        self.ttl_ms = ttl_ms
        """How long it lives without being heard of; 0 for as long as is usual in the cluster."""
        self.low = 1
        self.wait_low = 1
        self.over = 0
        """The kind of the entry that ended it, while what it had is let go in parts; 0 for one that lives."""
        self.replies: dict[int, Reply] = {}
        """By number, none of them below `low`."""
        self.reply_bytes = 0
        self.waits: dict[int, EntityKey] = {}
        """Requests that were queued or granted a hold, and the entity that knows what became of them."""
        self.outcomes: dict[int, Reply] = {}
        """Final answers of waiting calls that left nothing behind in the entity; none below `wait_low`."""
        self.withdrawn: dict[int, None] = {}
        """Numbers that must do nothing; none below `low`."""
        self.entities: dict[EntityKey, None] = {}
        """Entities in which something of this session waits, is held, or haunts."""

    def pass_marks(self, low: int, wait_low: int) -> int:
        """Forget what the client has confirmed to have; return by how much `reply_bytes` fell."""
        freed_bytes = 0
        if low > self.low:
            before, self.low = self.low, low
            replies, withdrawn = self.replies, self.withdrawn
            # Mostly by one or two: to look for each costs less than to ask which of them are there.
            are_few = low - before < FEW
            for seq in range(before, low) if are_few else _passed(replies, before, low):
                reply = replies.pop(seq, None)
                if reply is not None:
                    freed_bytes += size_of(reply)
                if withdrawn and are_few:
                    withdrawn.pop(seq, None)
            if withdrawn and not are_few:
                for seq in _passed(withdrawn, before, low):
                    del withdrawn[seq]
        if wait_low > self.wait_low:
            before, self.wait_low = self.wait_low, wait_low
            if self.outcomes:
                for seq in _passed(self.outcomes, before, wait_low):
                    freed_bytes += size_of(self.outcomes.pop(seq))
                    self.finish(seq)
        self.reply_bytes -= freed_bytes
        return freed_bytes

    def is_owned_by(self, proof: bytes) -> bool:
        """Whether whoever proves itself with that opened the session; takes the same time however much is right."""
        return compare_digest(self.attempt, proof)

    def finish(self, seq: int) -> None:
        """Nothing is kept of the number but that it is no new one."""
        if seq >= self.low:
            self.withdrawn[seq] = None

    def resolve(self, seq: int, reply: Reply) -> int:
        """Keep the outcome of a waiting call until `wait_low` passes it; return by how much `reply_bytes` grew."""
        if seq < self.wait_low:
            self.finish(seq)
            return 0
        self.outcomes[seq] = reply
        size_bytes = size_of(reply)
        self.reply_bytes += size_bytes
        return size_bytes

    def unconfirmed(self, seq: int) -> Reply | None:
        """Return the answer that is kept of a number, as nobody confirmed to have it; None without one."""
        return self.outcomes.get(seq) or self.replies.get(seq)

    def remembers(self, seq: int) -> bool:
        """Whether the slot keeps something of the number."""
        return seq in self.waits or seq in self.replies or seq in self.outcomes or seq in self.withdrawn

    def bytes_from(self, low: int) -> int:
        """Return the bytes of replies that would stay if `low` were the mark."""
        return sum(size_of(reply) for seq, reply in self.replies.items() if seq >= low)

    def known(self, seq: int) -> Reply | None:
        """Return the answer to a number seen before, or None for a new one; the caller asks `waits` first."""
        if seq in self.outcomes:
            return self.outcomes[seq]
        if seq in self.replies:
            return self.replies[seq]
        if seq in self.withdrawn:
            return [WITHDRAWN]
        return [STALE] if seq < self.low else None

    def answered(self, seq: int, reply: Reply) -> int:
        """Keep the reply to a number until `low` passes it; return by how much `reply_bytes` grew."""
        self.replies[seq] = reply
        size_bytes = size_of(reply)
        self.reply_bytes += size_bytes
        return size_bytes

    def withdraw(self, seq: int) -> int:
        """Remember that this number must do nothing, now or later; return by how much `reply_bytes` fell."""
        size_bytes = 0
        for table in (self.replies, self.outcomes):
            reply = table.pop(seq, None)
            size_bytes += 0 if reply is None else size_of(reply)
        self.reply_bytes -= size_bytes
        self.waits.pop(seq, None)
        self.finish(seq)
        return size_bytes

    def freeze(self) -> Frozen:
        """Return what the session is now, as plain values; see `Structure.freeze`."""
        head = [self.attempt, self.gateway, self.low, self.wait_low, self.over, self.ttl_ms]
        pairs = (Pairs(self.replies), Pairs(self.waits), Pairs(self.outcomes))
        return Frozen(head, (*pairs, list(self.withdrawn), list(self.entities)))

    @staticmethod
    def begin(head: Any) -> SlotSession:
        """Return the session of a `Frozen.head`, its tables still empty."""
        attempt, gateway, low, wait_low, over, ttl_ms = head
        session = SlotSession(attempt, gateway, ttl_ms)
        session.low, session.wait_low, session.over = low, wait_low, over
        return session

    def extend(self, table: int, rows: Sequence[Any]) -> int:
        """Add the next rows of a table; return by how much `reply_bytes` grew."""
        if table == 0:
            return sum([self.answered(seq, reply) for seq, reply in rows])
        if table == 1:
            self.waits.update((seq, (kind, entity)) for seq, (kind, entity) in rows)
        elif table == 2:
            return sum([self.resolve(seq, reply) for seq, reply in rows])
        elif table == 3:
            self.withdrawn.update(dict.fromkeys(rows))
        else:
            self.entities.update(dict.fromkeys((kind, entity) for kind, entity in rows))
        return 0


_SHORT = (bool, type(None))


def size_of(reply: Reply) -> int:
    """Return roughly what keeping a reply costs, in bytes."""
    if len(reply) == 2:
        # Most are like that: a status, which is a small number, and what the loop below finds for the other.
        value = reply[VALUE]
        kind = type(value)
        if kind is int:
            return 48 + int(value.bit_length()) // 8
        if kind is bytes:
            return 32 + len(value)
        if kind in _SHORT:
            return 48
    if len(reply) == TAKEN_FIELDS and type(reply[VALUE]) is bytes:
        return TAKEN_BYTES + len(reply[VALUE])
    size = 16
    for part in reply:
        kind = type(part)
        if kind is int:
            size += 16 + part.bit_length() // 8  # a counter's value may be any number
        elif kind is bytes or kind is str:
            size += len(part)
        else:
            size += 16
    return size


class _Table(Container[int], Iterable[int], Protocol):
    def __len__(self) -> int: ...


def _passed(table: _Table, before: int, mark: int) -> Sequence[int]:
    """Return the numbers in a table that a mark passed, in time that grows with the lesser of both."""
    if mark - before < len(table):
        return [seq for seq in range(before, mark) if seq in table]
    return [seq for seq in table if seq < mark]
