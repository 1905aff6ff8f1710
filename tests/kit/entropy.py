"""The entropy of tests: draws that are always the same."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["CountedEntropy", "highest", "in_turn", "lowest"]


def lowest(drawn: int, bound: int) -> int:
    """Choose 0: delays without a random part."""
    del drawn, bound
    return 0


def highest(drawn: int, bound: int) -> int:
    """Choose the greatest that may be drawn: the longest delays."""
    del drawn
    return bound - 1


def in_turn(drawn: int, bound: int) -> int:
    """Choose by the number of the draw: the next each time."""
    return drawn % bound


class CountedEntropy:
    """Tokens are the numbers of the draws, so no two are equal; `choose` makes integers of that number and a bound."""

    def __init__(self, choose: Callable[[int, int], int] = in_turn) -> None:
        self.drawn = 0
        self._choose = choose

    def token(self, purpose: str, size: int) -> bytes:
        del purpose
        self.drawn += 1
        return self.drawn.to_bytes(size, "big")

    def below(self, purpose: str, bound: int) -> int:
        del purpose
        self.drawn += 1
        return self._choose(self.drawn, bound)
