"""Values of sharded regions: the envelope, and which shard an entity belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import md5
from typing import Generic, TypeVar

from casty.checks import check_text

__all__ = ["ShardEnvelope", "shard_of"]

KNOWN = 16_384
KNOWN_CHARS = 64
"""How many ids the numbers are remembered of, and how long one may be: some megabytes in all."""

M_co = TypeVar("M_co", covariant=True)


@dataclass(frozen=True)
class ShardEnvelope(Generic[M_co]):
    """A message for one entity of a region.

    Parameters
    ----------
    entity_id
        The entity's name within its region.
    message
        What the entity gets.

    Raises
    ------
    TypeError, ValueError
        `entity_id` is no text, or one that UTF-8 cannot encode.
    """

    entity_id: str
    message: M_co

    def __post_init__(self) -> None:
        check_text(self.entity_id, "entity_id")


def shard_of(entity_id: str, num_shards: int) -> int:
    """Return the entity's shard: the first four bytes of md5, big endian, modulo `num_shards`.

    Examples
    --------
    >>> shard_of("user-42", 100)
    87
    """
    number = _known_number_of(entity_id) if len(entity_id) <= KNOWN_CHARS else _number_of(entity_id)
    return number % num_shards


def _number_of(entity_id: str) -> int:
    digest = md5(entity_id.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big")


_known_number_of = lru_cache(maxsize=KNOWN)(_number_of)
"""As each message asks, where it is sent and where its entity lives."""
