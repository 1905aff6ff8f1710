"""Rows of one frame that are too many for one turn of their link: they are taken in its shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["InShares"]


class InShares:
    """A long frame, taken part by part; see `Connection.defer`.

    Parameters
    ----------
    rows
        What is in it.
    most
        How many are taken at once.
    take
        Takes some.
    charge
        Told how many.
    """

    __slots__ = ("_charge", "_first", "_most", "_rows", "_take")

    def __init__(
        self, rows: list[Any], most: int, take: Callable[[list[Any]], None], charge: Callable[[int], None]
    ) -> None:
        self._rows = rows
        self._most = most
        self._take = take
        self._charge = charge
        self._first = 0

    def go_on(self) -> bool:
        """Take the next part; True when it was the last one."""
        part = self._rows[self._first : self._first + self._most]
        self._first += self._most
        self._charge(len(part))
        self._take(part)
        return self._first >= len(self._rows)
