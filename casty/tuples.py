"""Named tuples where many are made: one for each entry, decision or write of a group."""

from __future__ import annotations

__all__ = ["new_tuple"]

new_tuple = tuple.__new__
"""Builds a named tuple at half the price of calling its class, with all of its fields: ``new_tuple(Pair, (1, 2))``.

What a class's own constructor does besides is to fill in defaults; a type checker does not look at the fields here, so
it is for the few places that run several times for each operation.
"""
