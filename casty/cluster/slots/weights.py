"""What the entities and sessions of one slot take in memory, up to date whenever somebody looks. Pure.

Estimates: the bytes that users gave, exactly, and for the objects around them what CPython was measured to spend.
Every replica comes to the same numbers, but nothing that is replicated depends on them.
"""

from __future__ import annotations

from typing import Any

from casty.cluster.slots.session_record import KEY_KIND, KEY_NAME, EntityKey
from casty.distributed.machines.base import KIND_NAMES, RECORD_BYTES
from casty.distributed.machines.registry import STRUCTURES

__all__ = ["LARGE_BYTES", "SESSION_BYTES", "Weights", "weight_of"]

LARGE_BYTES = 64 * 1024
"""Entities from this size on are remembered by name, to tell people what fills a node; bounded by the state itself:
there are at most (bytes of the state) / 64 KiB of them."""

SESSION_BYTES = 1_200
"""About what an idle session takes, its identity and its empty tables."""


def weight_of(key: EntityKey, state: Any) -> int:
    """Return about how many bytes an entity takes; 0 for one that does not exist."""
    if state is None:
        return 0
    return RECORD_BYTES + len(key[KEY_NAME]) + STRUCTURES[key[KEY_KIND]].weight(state)


class Weights:
    """The running sums of one slot.

    Attributes
    ----------
    by_kind, count_by_kind
        Bytes of all entities of a kind, at the kind's number, and how many they are.
    large
        Bytes of each entity that takes `LARGE_BYTES` or more; a row goes when its entity shrinks or ends.
    reply_bytes
        Bytes of the replies that sessions keep.
    """

    __slots__ = ("by_kind", "count_by_kind", "large", "reply_bytes")

    def __init__(self) -> None:
        self.by_kind = [0] * (max(KIND_NAMES) + 1)
        self.count_by_kind = [0] * (max(KIND_NAMES) + 1)
        self.large: dict[EntityKey, int] = {}
        self.reply_bytes = 0

    def changed(self, key: EntityKey, before: int, after: int) -> None:
        """An entity took `before` bytes and takes `after` now; 0 is one that does not exist."""
        self.by_kind[key[KEY_KIND]] += after - before
        self.count_by_kind[key[KEY_KIND]] += (after > 0) - (before > 0)
        if after >= LARGE_BYTES:
            self.large[key] = after
        elif before >= LARGE_BYTES:
            del self.large[key]

    def total(self, sessions: int) -> int:
        """Return what the slot takes, with so many sessions."""
        return sum(self.by_kind) + self.reply_bytes + SESSION_BYTES * sessions
