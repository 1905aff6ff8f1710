"""How the entities of a cluster are called in a journal, and what a journal keeps for casty itself. Pure."""

from __future__ import annotations

from typing import Any

from casty.distributed.machines.base import KIND_NAMES, MAP
from casty.wire.pack import pack, unpack

__all__ = ["IDENTITY", "LIFE", "TOKENS", "entities_of", "journal_id", "map_prefix"]

IDENTITY = "casty:journal"
"""Holds one event, the identity that tells this journal from others."""

TOKENS = "casty:tokens"
"""Holds ``[generation, cluster id]`` for each cluster that gave out fencing tokens to users of this journal."""

LIFE = "life"
"""An event ``[LIFE, identity]`` begins each life of an entity in a cluster: no other life may append any more."""


def journal_id(kind: int, entity: bytes) -> str:
    """Return the id of an entity in a journal: its kind, its name, and of a map's entry its key in hexadecimal.

    Examples
    --------
    >>> journal_id(1, b"hits")
    'counter:hits'
    """
    if kind != MAP:
        return f"{KIND_NAMES[kind]}:{entity.decode()}"
    name_and_key: Any = unpack(entity)
    return f"{map_prefix(name_and_key[0])}{name_and_key[1].hex()}"


def map_prefix(name: str) -> str:
    """Return what the ids of all entries of a map begin with."""
    return f"{KIND_NAMES[MAP]}:{name}:"


def entities_of(name: str, ids: list[str]) -> list[bytes]:
    """Return a map's entries by ids that begin with its prefix; those of a map whose name is longer are left out."""
    prefix = pack([name, b""])[: -len(pack(b""))]
    keys = [entity_id[len(map_prefix(name)) :] for entity_id in ids]
    return [prefix + pack(bytes.fromhex(key)) for key in keys if ":" not in key]
