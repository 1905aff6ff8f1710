"""Keyed randomness: every draw is a pure function of (seed, purpose, subject, sequence number).

A shared stream would tie all draws together: one more message between A and B would change the fate of a
message between C and D, and neither shrinking nor replaying would survive an edit. Keys cost one hash per
(purpose, subject), cached; a draw is one integer mix (the splitmix64 finaliser), frozen here so that no
release of Python can move it. No logarithm and no float takes part: their last bits differ between machines.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeVar

__all__ = ["Buggify", "Draws", "Entropy", "mix"]

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_GOLDEN = 0x9E37_79B9_7F4A_7C15
_WORD_BITS = 64

T = TypeVar("T")


def mix(key: int, sequence: int) -> int:
    """Return the 64 bits that belong to a key and a sequence number."""
    value = (key + (sequence + 1) * _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return value ^ (value >> 31)


class Draws:
    """All draws of one seed.

    Parameters
    ----------
    seed
        Any integer.

    Examples
    --------
    >>> draws = Draws(7)
    >>> draws.below("delay", "a>b", 0, 100) == Draws(7).below("delay", "a>b", 0, 100)
    True
    """

    __slots__ = ("_keys", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._keys: dict[tuple[str, str], int] = {}

    def key(self, purpose: str, subject: str) -> int:
        """Return the key of a purpose and a subject, for `mix`."""
        known = self._keys.get((purpose, subject))
        if known is None:
            parts = [str(self.seed).encode(), purpose.encode(), subject.encode()]
            text = b"".join(b"%d:%s" % (len(part), part) for part in parts)
            known = int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
            self._keys[(purpose, subject)] = known
        return known

    def bits(self, purpose: str, subject: str, sequence: int) -> int:
        """Return 64 bits."""
        return mix(self.key(purpose, subject), sequence)

    def below(self, purpose: str, subject: str, sequence: int, bound: int) -> int:
        """Return an integer, 0 <= n < bound; the bias is below bound / 2**64."""
        assert bound > 0, "a bound must be positive"
        key = self.key(purpose, subject)
        if bound <= _MASK >> 8:
            return mix(key, sequence) * bound >> _WORD_BITS
        words = (bound.bit_length() + 2 * _WORD_BITS) // _WORD_BITS
        wide = int.from_bytes(self.token(purpose, subject, sequence, words * 8), "big")
        return wide * bound >> (words * _WORD_BITS)

    def between(self, purpose: str, subject: str, sequence: int, low: int, high: int) -> int:
        """Return an integer, low <= n <= high."""
        return low + self.below(purpose, subject, sequence, high - low + 1)

    def chance(self, purpose: str, subject: str, sequence: int, parts_per_million: int) -> bool:
        """Return whether something of this likelihood happens."""
        return mix(self.key(purpose, subject), sequence) * 1_000_000 >> _WORD_BITS < parts_per_million

    def token(self, purpose: str, subject: str, sequence: int, size: int) -> bytes:
        """Return so many bytes."""
        key = mix(self.key(purpose, subject), sequence)
        words = (mix(key, index).to_bytes(8, "big") for index in range((size + 7) // 8))
        return b"".join(words)[:size]

    def choice(self, purpose: str, subject: str, sequence: int, items: tuple[T, ...] | list[T]) -> T:
        """Return one of the items."""
        return items[self.below(purpose, subject, sequence, len(items))]

    def shuffled(self, purpose: str, subject: str, items: tuple[T, ...] | list[T]) -> list[T]:
        """Return the items in a drawn order."""
        key = self.key(purpose, subject)
        order = sorted((mix(key, index), index) for index in range(len(items)))
        return [items[index] for _, index in order]


class Entropy:
    """One process's port to randomness: draws keyed by the process and a counter per purpose."""

    __slots__ = ("_counts", "_draws", "_subject")

    def __init__(self, draws: Draws, subject: str) -> None:
        self._draws = draws
        self._subject = subject
        self._counts: dict[str, int] = {}

    def _next(self, purpose: str) -> int:
        count = self._counts.get(purpose, 0)
        self._counts[purpose] = count + 1
        return count

    def token(self, purpose: str, size: int) -> bytes:
        """So many unpredictable bytes."""
        return self._draws.token("entropy:" + purpose, self._subject, self._next(purpose), size)

    def below(self, purpose: str, bound: int) -> int:
        """A uniform integer, 0 <= n < bound."""
        return self._draws.below("entropy:" + purpose, self._subject, self._next(purpose), bound)


class Buggify:
    """Says which rare paths of a process are taken: a quarter of the sites, then a quarter of the time."""

    __slots__ = ("_counts", "_draws", "_name")

    def __init__(self, draws: Draws, name: str) -> None:
        self._draws = draws
        self._name = name
        self._counts: dict[str, int] = {}

    def fires(self, site: str) -> bool:
        """Return whether the path is taken now."""
        if not self._draws.chance("buggify-site", site, 0, 250_000):
            return False
        count = self._counts.get(site, 0)
        self._counts[site] = count + 1
        return self._draws.chance("buggify", f"{site}@{self._name}", count, 250_000)
