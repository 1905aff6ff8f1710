"""What the numbers of histories stand for: keys of maps, members of sets, and large items of queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["KEY_TYPES", "LARGE_BYTES", "key_of", "large_item", "number_in"]

LARGE_BYTES = 2048
_NUMBER_BYTES = 8

KEY_TYPES: dict[str, Callable[[int, int], object]] = {
    "int": lambda number, twist: number,
    "str": lambda number, twist: f"key {number}",
    "bytes": lambda number, twist: bytes([number]),
    "bool": lambda number, twist: {1: True, 2: False}.get(number, number),
    "float": lambda number, twist: number + 0.5,
    "number": lambda number, twist: {1: 1, 2: 1.0, 3: True}.get(number, 0.0 if twist % 2 else -0.0),
    "tuple": lambda number, twist: (number, "a"),
    "mixed": lambda number, twist: {1: 1, 2: "1", 3: b"1"}.get(number, (1,)),
}
"""Name -> which key a number stands for. The twist changes how it is written, never which key it is."""


def key_of(entity: str, number: int, twist: int) -> Any:
    """Return the key or member that a number stands for in a map or set.

    Examples
    --------
    >>> key_of("map-str", 2, 0), key_of("map-1", 2, 0), key_of("map-number", 3, 1)
    ('key 2', 2, True)
    """
    make = KEY_TYPES.get(entity.rpartition("-")[2], KEY_TYPES["int"])
    return make(number, twist)


def large_item(number: int) -> bytes:
    """Return the item of `LARGE_BYTES` bytes that a number stands for.

    Examples
    --------
    >>> number_in(large_item(7))
    7
    """
    return number.to_bytes(_NUMBER_BYTES, "big").ljust(LARGE_BYTES, b".")


def number_in(item: bytes) -> int:
    """Return the number that a large item stands for."""
    return int.from_bytes(item[:_NUMBER_BYTES], "big")
