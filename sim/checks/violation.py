"""A broken promise: its number in the list of invariants, and what was seen."""

from __future__ import annotations

__all__ = ["Violation"]


class Violation(AssertionError):
    """An invariant was broken.

    Parameters
    ----------
    number
        Its number in ``docs/guarantees.md``.
    text
        What was seen, with names and times.
    """

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"invariant {number}: {text}")
        self.number = number
        self.text = text
