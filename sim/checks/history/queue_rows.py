"""What happened to a queue, in the words of histories, as the log tells it: also what no client hears."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["DEAD", "FREE", "MOVED", "RESERVED", "REVIVED", "Row"]

FREE, RESERVED, DEAD = "free", "reserved", "dead"
"""Where an item may be that is not gone."""

MOVED = "moved"
"""The word for an item that came back: its arguments are the item and where it went."""

REVIVED = "revived"
"""The word for an item that may be free again as the cluster lost its memory: nobody holds it any more, and that it was
dead may not be on record. Its arguments are as those of `MOVED`; what is not on record either does not come back."""


class Row(NamedTuple):
    """One event, with the bytes of the item that it was about."""

    name: bytes
    word: str
    args: tuple[Any, ...]
    answer: Any
