"""One session of one slot as every replica has it: which requests it made and what they were answered.

States of a request (session, seq), as the slot sees it::

    unseen --applied--> answered (reply kept until the client's `low` passes it)
    unseen --applied--> queued   (the structure has the waiter; `waits` says where)
    queued --granted--> held     (the structure has the hold, which is the outcome)
    queued --tripped, destroyed, broken--> settled (the outcome is kept until `wait_low` passes it)
    any    --withdrawn--> withdrawn (remembered until `low` passes it)

`low` is the lowest number that the client has no answer to, ``queued`` being an answer; `wait_low` the
lowest one that it still waits for. Both only grow. A number below `low` of which nothing is known any more
can only be a late duplicate of something long finished: it is answered STALE and does nothing.
"""

from __future__ import annotations

from typing import Any

from casty.distributed.core import STALE, WITHDRAWN, Reply

__all__ = ["EntityKey", "SlotSession"]

EntityKey = tuple[int, bytes]
"""(kind, entity)."""


class SlotSession:
    """What the slot remembers of one session."""

    __slots__ = (
        "attempt", "entities", "gateway", "low", "outcomes", "replies", "reply_bytes", "wait_low", "waits",
        "withdrawn",
    )  # fmt: skip

    def __init__(self, attempt: bytes, gateway: bytes) -> None:
        self.attempt = attempt
        self.gateway = gateway
        self.low = 1
        self.wait_low = 1
        self.replies: dict[int, Reply] = {}
        self.reply_bytes = 0
        self.waits: dict[int, EntityKey] = {}
        """Requests that were queued or granted a hold, and the entity that knows what became of them."""
        self.outcomes: dict[int, Reply] = {}
        """Final answers of waiting calls that left nothing behind in the entity."""
        self.withdrawn: dict[int, None] = {}
        self.entities: dict[EntityKey, None] = {}
        """Entities in which something of this session waits, is held, or haunts."""

    def pass_marks(self, low: int, wait_low: int) -> None:
        """Forget what the client has confirmed to have."""
        if low > self.low:
            self.low = low
            self._drop_replies(low)
            if self.withdrawn:
                self.withdrawn = {seq: None for seq in self.withdrawn if seq >= low}
        if wait_low > self.wait_low:
            self.wait_low = wait_low
            if self.outcomes:
                self.outcomes = {seq: reply for seq, reply in self.outcomes.items() if seq >= wait_low}

    def _drop_replies(self, low: int) -> None:
        """Replies come nearly in order: what is behind one that stays goes with it, later."""
        gone = []
        for seq in self.replies:
            if seq >= low:
                break
            gone.append(seq)
        for seq in gone:
            self.reply_bytes -= size_of(self.replies.pop(seq))

    def known(self, seq: int) -> Reply | None:
        """Return the answer to a number seen before, or None for a new one; the caller asks `waits` first."""
        if seq in self.outcomes:
            return self.outcomes[seq]
        if seq in self.replies:
            return self.replies[seq]
        if seq in self.withdrawn:
            return [WITHDRAWN]
        return [STALE] if seq < self.low else None

    def answered(self, seq: int, reply: Reply) -> None:
        """Keep the reply to a number until `low` passes it."""
        self.replies[seq] = reply
        self.reply_bytes += size_of(reply)

    def withdraw(self, seq: int) -> None:
        """Remember that this number must do nothing, now or later."""
        reply = self.replies.pop(seq, None)
        if reply is not None:
            self.reply_bytes -= size_of(reply)
        self.outcomes.pop(seq, None)
        self.waits.pop(seq, None)
        if seq >= self.low:
            self.withdrawn[seq] = None

    def dump(self) -> list[object]:
        """Return the session as a plain value."""
        return [
            self.attempt, self.gateway, self.low, self.wait_low,
            [[seq, reply] for seq, reply in self.replies.items()],
            [[seq, *key] for seq, key in self.waits.items()],
            [[seq, reply] for seq, reply in self.outcomes.items()],
            list(self.withdrawn),
            [list(key) for key in self.entities],
        ]  # fmt: skip

    @staticmethod
    def load(plain: Any) -> SlotSession:
        """Return the session that `dump` gave as `plain`."""
        attempt, gateway, low, wait_low, replies, waits, outcomes, withdrawn, entities = plain
        session = SlotSession(attempt, gateway)
        session.low, session.wait_low = low, wait_low
        for seq, reply in replies:
            session.answered(seq, reply)
        session.waits = {seq: (kind, entity) for seq, kind, entity in waits}
        session.outcomes = dict(outcomes)
        session.withdrawn = dict.fromkeys(withdrawn)
        session.entities = dict.fromkeys((kind, entity) for kind, entity in entities)
        return session


def size_of(reply: Reply) -> int:
    """Return roughly what keeping a reply costs, in bytes."""
    size = 16
    for part in reply:
        size += len(part) if isinstance(part, (bytes, str)) else 16
    return size
