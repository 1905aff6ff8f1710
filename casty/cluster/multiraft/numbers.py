"""Which number a group has: the control group is 0, and the slots follow. Part of the wire, and of each disk."""

from __future__ import annotations

__all__ = ["CONTROL", "group_of", "slot_of"]

CONTROL = 0
"""The number of the control group."""


def group_of(slot: int) -> int:
    """Return the number of a slot's group."""
    return slot + 1


def slot_of(number: int) -> int:
    """Return which slot a group is of; of the control group a number that no slot has, below 0."""
    return number - 1
