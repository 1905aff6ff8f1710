"""What each other process takes of this one's tables: bounded in bytes, and gone when the process is. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["ROW_BYTES", "Shares"]

R = TypeVar("R", bound=Hashable)

ROW_BYTES = 500
"""About what a row takes besides its texts."""


class Shares(Generic[R]):
    """The rows of one table, by the process that caused them.

    Parameters
    ----------
    most_bytes
        What the rows of one process may take.

    Bounds: `_rows` has a row per row of the table; it goes with that, or with the process.
    """

    __slots__ = ("_bytes", "_most_bytes", "_rows")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rows: dict[str, dict[R, int]] = {}
        """By process and row, its bytes."""
        self._bytes: dict[str, int] = {}

    def size_bytes(self, owner: str) -> int:
        """Return what the rows of a process take."""
        return self._bytes.get(owner, 0)

    def add(self, owner: str, row: R, text_bytes: int) -> bool:
        """Count a row with so many bytes of texts; False when that is more than the process may have."""
        rows = self._rows.get(owner, {})
        if row in rows:
            return True
        size_bytes = ROW_BYTES + text_bytes
        if self.size_bytes(owner) + size_bytes > self._most_bytes:
            return False
        self._rows.setdefault(owner, {})[row] = size_bytes
        self._bytes[owner] = self.size_bytes(owner) + size_bytes
        return True

    def drop(self, owner: str, row: R) -> None:
        """The row is gone; harmless when it was not counted."""
        rows = self._rows.get(owner, {})
        size_bytes = rows.pop(row, None)
        if size_bytes is not None:
            self._bytes[owner] -= size_bytes
            if not rows:
                del self._rows[owner], self._bytes[owner]

    def forget(self, owner: str) -> list[R]:
        """The process is gone; return its rows."""
        self._bytes.pop(owner, None)
        return list(self._rows.pop(owner, {}))
