"""What a node is like for placement: where it stands, how much it takes, what it is for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from casty.checks import shown
from casty.errors import ConfigError

__all__ = [
    "MAX_ROLES",
    "MAX_TRAIT_BYTES",
    "MAX_WEIGHT",
    "USUAL_WEIGHT",
    "Traits",
    "check_role",
    "checked_traits",
]

MAX_TRAIT_BYTES = 64
"""Of a zone or a role: each topology carries those of every member."""

MAX_ROLES = 16
"""Roles of one member."""

USUAL_WEIGHT = 100
"""So that half a node, or a quarter, can be said as well."""

MAX_WEIGHT = 10_000


class Traits(NamedTuple):
    """What a node is like.

    Parameters
    ----------
    zone
        What fails together with it: a rack, a data center. None: nothing is known of it, so it counts as by itself.
    weight
        How much it takes, of places and of leaderships, to what others do; from 1 to `MAX_WEIGHT`.
    roles
        What it is for, sorted.
    """

    zone: str | None = None
    weight: int = USUAL_WEIGHT
    roles: tuple[str, ...] = ()

    @property
    def plain(self) -> list[object]:
        """Return them as a plain value."""
        return [self.zone, self.weight, list(self.roles)]

    @staticmethod
    def of_plain(row: object) -> Traits:
        """Return what `plain` wrote, as another process says it; raises `ValueError` for what is of no use."""
        if not isinstance(row, list) or len(row) != 3 or not isinstance(row[2], list):
            raise ValueError(f"expected [zone, weight, roles], found {shown(row, 100)}")
        zone, weight, roles = row
        words = roles if zone is None else [zone, *roles]
        if not all(map(_is_word, words)) or len(roles) > MAX_ROLES:
            raise ValueError(f"expected texts as zone and roles, found {shown(row, 100)}")
        if type(weight) is not int or not 1 <= weight <= MAX_WEIGHT:
            raise ValueError(f"expected a weight from 1 to {MAX_WEIGHT}, found {shown(weight, 40)}")
        return Traits(zone, weight, tuple(sorted(dict.fromkeys(roles))))


def checked_traits(zone: object, weight: object, roles: object) -> Traits:
    """Return the traits that a node was given.

    Raises
    ------
    TypeError
        One of them is of another type.
    ConfigError
        One is too long, too large, or has characters that are not printed. It is a `ValueError`.

    Examples
    --------
    >>> checked_traits("a", 50, ["web", "web", "batch"])
    Traits(zone='a', weight=50, roles=('batch', 'web'))
    """
    if zone is not None:
        _check_word("zone", zone)
    if isinstance(weight, bool) or not isinstance(weight, int):
        raise TypeError(f"weight: expected an int, found {shown(weight)}")
    if not 1 <= weight <= MAX_WEIGHT:
        raise ConfigError(
            f"weight: expected 1 to {MAX_WEIGHT}, where {USUAL_WEIGHT} is usual, found {shown(weight)}"
        )
    return Traits(None if zone is None else str(zone), weight, _checked_roles(roles))


def _checked_roles(roles: object) -> tuple[str, ...]:
    if isinstance(roles, (str, bytes)) or not isinstance(roles, Iterable):
        raise TypeError(f"roles: expected a set or list of texts, found {shown(roles)}")
    names = dict[str, None]()
    for role in roles:
        check_role(role, "roles")
        names[str(role)] = None
    if len(names) > MAX_ROLES:
        raise ConfigError(f"roles: expected at most {MAX_ROLES}, found {len(names)}")
    return tuple(sorted(names))


def check_role(role: object, what: str = "role") -> None:
    """Raise `TypeError` or `ConfigError` unless something is the name of a role."""
    _check_word(what, role)


def _is_word(word: object) -> bool:
    return isinstance(word, str) and 0 < len(word.encode("utf-8", "surrogatepass")) <= MAX_TRAIT_BYTES


def _check_word(what: str, word: object) -> None:
    if not isinstance(word, str):
        raise TypeError(f"{what}: expected a text, found {shown(word)}")
    if not word or not word.isprintable() or "," in word or word != word.strip():
        raise ConfigError(
            f"{what}: expected a text that can be printed, without commas and without spaces around it, "
            f"found {shown(word)}"
        )
    size = len(word.encode("utf-8", "surrogatepass"))
    if size > MAX_TRAIT_BYTES:
        raise ConfigError(f"{what}: expected at most {MAX_TRAIT_BYTES} bytes, found {size}")
