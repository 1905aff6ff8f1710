"""The instances of services that the control group has agreed on, within bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from casty.cluster.control.service_offers import flaw_of_offer, size_of
from casty.limits import MAX_SERVICE_BYTES, MAX_SERVICES

__all__ = ["Registry"]


class Registry:
    """All instances: at most `MAX_SERVICES`, with keys and addresses of at most `MAX_SERVICE_BYTES` together.

    A row goes when its process takes it back, is replaced or is removed; a key goes with its last row.
    """

    __slots__ = ("count", "rows", "size_bytes")

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, tuple[str, str]]] = {}
        """By key and address: the node id and the incarnation that offer the instance."""
        self.count = 0
        self.size_bytes = 0

    def change(self, key: str, ref: str, owner: tuple[str, str], *, is_on: bool) -> bool:
        """Put an instance in or take it out; True when that changed anything."""
        known = self.rows.get(key, {}).get(ref)
        if is_on:
            if known is not None or not self._has_room(key, ref):
                return False
            self._put(key, ref, owner)
            return True
        if known != owner:
            return False
        self._take(key, ref)
        return True

    def refused(self, changes: Iterable[tuple[str, str, bool]], owner: tuple[str, str]) -> list[list[str]]:
        """Return which instances an announcement that was applied offers in vain."""
        return [
            [key, ref] for key, ref, is_on in changes if is_on and self.rows.get(key, {}).get(ref) != owner
        ]

    def forget(self, node_id: str) -> bool:
        """Take out whatever a node offers; True when there was something."""
        gone = [
            (key, ref)
            for key, refs in self.rows.items()
            for ref, owner in refs.items()
            if owner[0] == node_id
        ]
        for key, ref in gone:
            self._take(key, ref)
        return bool(gone)

    def _has_room(self, key: str, ref: str) -> bool:
        is_within = self.count < MAX_SERVICES and self.size_bytes + size_of(key, ref) <= MAX_SERVICE_BYTES
        return is_within and flaw_of_offer(key, ref) is None

    def _put(self, key: str, ref: str, owner: tuple[str, str]) -> None:
        self.rows.setdefault(key, {})[ref] = owner
        self.count += 1
        self.size_bytes += size_of(key, ref)

    def _take(self, key: str, ref: str) -> None:
        del self.rows[key][ref]
        if not self.rows[key]:
            del self.rows[key]
        self.count -= 1
        self.size_bytes -= size_of(key, ref)

    def dump(self) -> dict[str, list[list[str]]]:
        """Return all rows as a plain value."""
        return {key: [[ref, *owner] for ref, owner in refs.items()] for key, refs in self.rows.items()}

    def load(self, plain: Mapping[str, Any]) -> None:
        """Replace all rows by dumped ones."""
        self.rows, self.count, self.size_bytes = {}, 0, 0
        for key, refs in plain.items():
            for ref, node_id, incarnation in refs:
                self._put(key, ref, (node_id, incarnation))
