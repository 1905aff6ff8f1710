"""Numbers that who watches a map and the slot that is watched share; part of the wire version.

What they say to each other is in `casty.cluster.slots.feed`.
"""

from __future__ import annotations

from casty.limits import MAX_NUMBER
from casty.schema import Data, Number, Row

__all__ = ["ALL", "ENTRIES", "MAP_QUERIES", "NOTHING", "PART", "WATCH", "map_of"]

ENTRIES = 97
"""A read of ``[MAP, prefix, [ENTRIES, after]]``: the keys that begin with the prefix and their values, as a page
``[[[entity, value], ...], is_more]``."""

WATCH = 98
"""A read of ``[MAP, prefix, [WATCH, origin, at, state, position, limit]]``: a cursor, and about how many bytes the
answer may have."""

NOTHING, PART, ALL = range(3)
"""Of which keys a watcher knows something: the state of its cursor."""

ORIGIN_BYTES = 32

MAP_QUERIES = {
    ENTRIES: Row((Data(),)),
    WATCH: Row(
        (Data(ORIGIN_BYTES), Number(0, MAX_NUMBER), Number(NOTHING, ALL), Data(), Number(0, MAX_NUMBER))
    ),
}

_PAIR = 0x92
_SHORT_TEXT, _SHORT_TEXT_END = 0xA0, 0xC0
_LENGTH_BYTES = {0xD9: 1, 0xDA: 2, 0xDB: 4}
"""How a packed pair of a name and a key begins, and how many bytes say how long the name is."""


def map_of(entity: bytes) -> bytes:
    """Return what all keys of the map of a key begin with; all of it where it is the key of no map."""
    if len(entity) < 2 or entity[0] != _PAIR:
        return entity
    head = entity[1]
    if _SHORT_TEXT <= head < _SHORT_TEXT_END:
        return entity[: 2 + head - _SHORT_TEXT]
    end = 2 + _LENGTH_BYTES.get(head, len(entity))
    return entity[: end + int.from_bytes(entity[2:end], "big")] if end < len(entity) else entity
