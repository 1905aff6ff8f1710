"""What happened to a queue, in the words of histories, as the log tells it: also what no client hears."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["DEAD", "FREE", "MOVED", "RESERVED", "Row"]

FREE, RESERVED, DEAD = "free", "reserved", "dead"
"""Where an item may be that is not gone."""

MOVED = "moved"
"""The word for an item that came back: its arguments are the item and where it went."""


class Row(NamedTuple):
    """One event, with the bytes of the item that it was about."""

    name: bytes
    word: str
    args: tuple[Any, ...]
    answer: Any
