"""Shapes of partitions, and what ends one fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Partition", "Undo"]


class Undo:
    """Ends one fault, once."""

    __slots__ = ("_mend",)

    def __init__(self, mend: Callable[[], object]) -> None:
        self._mend: Callable[[], object] | None = mend

    def heal(self) -> None:
        """End the fault; harmless when it ended before."""
        mend, self._mend = self._mend, None
        if mend is not None:
            mend()


class Partition:
    """Which directions to cut for the well-known shapes."""

    @staticmethod
    def ring(names: Sequence[str]) -> list[tuple[str, str]]:
        """Each machine sees its two neighbours only."""
        count = len(names)
        return [
            (names[a], names[b])
            for a in range(count)
            for b in range(count)
            if a != b and (a - b) % count not in (1, count - 1)
        ]

    @staticmethod
    def bridge(names: Sequence[str]) -> list[tuple[str, str]]:
        """Two halves that do not see each other, and one machine between that sees both."""
        middle = len(names) // 2
        halves = (names[:middle], names[middle + 1 :])
        return [(a, b) for side, other in (halves, halves[::-1]) for a in side for b in other]
