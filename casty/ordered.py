"""A frozen set that keeps the order in which its members were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["FrozenOrderedSet"]

T_co = TypeVar("T_co", covariant=True)


class FrozenOrderedSet(frozenset[T_co]):
    """A ``frozenset`` whose members are iterated, indexed and shown in the order in which they were given.

    It equals every other set of the same members, in whatever order. A plain ``frozenset`` would be iterated in an
    order that differs from process to process.
    """

    __slots__ = ("_members",)
    _members: tuple[T_co, ...]

    def __new__(cls, members: Iterable[T_co] = ()) -> FrozenOrderedSet[T_co]:
        """Return the set of these members; of equal ones the first counts."""
        distinct = dict.fromkeys(members)
        made = super().__new__(cls, distinct)
        made._members = tuple(distinct)
        return made

    def __iter__(self) -> Iterator[T_co]:
        return iter(self._members)

    def __reversed__(self) -> Iterator[T_co]:
        return reversed(self._members)

    def __getitem__(self, index: int) -> T_co:
        return self._members[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._members)!r})"

    def __reduce__(self) -> tuple[type[FrozenOrderedSet[T_co]], tuple[tuple[T_co, ...]]]:
        return type(self), (self._members,)
