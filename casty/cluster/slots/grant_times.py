"""Since when what one may hold alone is held, by the clock of one replica: for people who ask, never for a decision."""

from __future__ import annotations

from casty.cluster.slots.session_record import EntityKey

__all__ = ["GrantTimes"]

MILLISECOND_NS = 1_000_000


class GrantTimes:
    """When this replica applied the latest grant of each entity.

    It is no part of the replicated state, is in no snapshot and no digest, and nothing is decided by it. What was held
    already when the state was restored counts from then: it was held at least since then.

    Bound: a row for each entity that somebody holds, waits for or held while it was not gone.
    """

    __slots__ = ("_at_ns", "_since_ns", "now_ns")

    def __init__(self) -> None:
        self.now_ns = 0
        """The time by this replica's clock; whoever applies an entry, or asks, sets it first."""
        self._since_ns = 0
        self._at_ns: dict[EntityKey, int] = {}

    def granted(self, key: EntityKey) -> None:
        """Something of the entity was granted now."""
        self._at_ns[key] = self.now_ns

    def forget(self, key: EntityKey) -> None:
        """The entity is gone."""
        self._at_ns.pop(key, None)

    def restart(self) -> None:
        """Another state took the place of what was known."""
        self._at_ns.clear()
        self._since_ns = self.now_ns

    def age_ms(self, key: EntityKey) -> int:
        """Return for how long the latest grant has been held, in milliseconds, at least."""
        return max(0, self.now_ns - self._at_ns.get(key, self._since_ns)) // MILLISECOND_NS
