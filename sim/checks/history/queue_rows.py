"""What happened to a queue, in the words of histories, as the log tells it: also what no client hears."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["DEAD", "FREE", "LOST", "MOVED", "RESERVED", "REVIVED", "Change", "Row"]

FREE, RESERVED, DEAD = "free", "reserved", "dead"
"""Where an item may be that is not gone."""

MOVED = "moved"
"""The word for an item that came back: its arguments are the item and where it went."""

REVIVED = "revived"
"""The word for an item that may be free again as the cluster lost its memory: nobody holds it any more, or that it left
is not on record. Its arguments are as those of `MOVED`; what is not on record either does not come back."""

LOST = "lost"
"""The word for an item that is gone as the cluster lost its memory before it was on record that it came. Its arguments
are as those of `MOVED`."""


class Change(NamedTuple):
    """A change of a queue that was not known to be on record when the cluster lost its memory."""

    name: bytes
    life: bytes
    number: int


class Row(NamedTuple):
    """One event, with the bytes of the item that it was about."""

    name: bytes
    word: str
    args: tuple[Any, ...]
    answer: Any
    undone: Change | None = None
    """What it is the undoing of: it did not happen where that went on record after all. None for what did happen."""
