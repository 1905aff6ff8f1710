"""Numbers that who watches a map and the slot that is watched share; part of the wire version.

What they say to each other is in `casty.cluster.slots.feed`.
"""

from __future__ import annotations

from casty.limits import MAX_NUMBER
from casty.schema import Data, Number, Row

__all__ = ["ALL", "ENTRIES", "MAP_QUERIES", "NOTHING", "PART", "WATCH"]

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
