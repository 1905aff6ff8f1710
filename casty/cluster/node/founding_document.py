"""What a founder proposes: the document that every founder agrees to, and that the founding entry carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from casty.address import peer_key, replica_id_of
from casty.cluster.control.ballots import MAX_VOTERS, Identity
from casty.cluster.node.options import NodeOptions
from casty.config import SECOND_NS
from casty.consensus import Membership
from casty.ports import Clock

__all__ = ["WallGeneration", "document_of", "founders_of"]

AGREED = (
    "session_ttl_s", "drift", "max_waiters", "max_entities", "max_sessions", "shortest_ttl_s", "max_session_ttl_s",
)  # fmt: skip
"""The settings that the founder's decide for good: replicas that apply the same entry have to come out the same."""


def document_of(
    options: NodeOptions,
    node_id: str,
    founding_id: str,
    cluster_id: str,
    founders: Sequence[Identity],
    generation: int,
) -> dict[str, Any]:
    """Return the document of a founding.

    Parameters
    ----------
    options, node_id
        Of the founder.
    founding_id, cluster_id
        Random texts.
    founders
        All of them.
    generation
        Of the cluster.
    """
    settings = options.settings
    return {
        "id": founding_id,
        "founder": node_id,
        "name": options.name,
        "generation": generation,
        "cluster_id": cluster_id,
        "slots": settings.slots,
        "replication": settings.replication,
        "settings": {name: getattr(settings, name) for name in AGREED},
        "founders": [identity.plain for identity in founders],
    }


def founders_of(document: Mapping[str, Any]) -> Membership:
    """Return the configuration that the control group begins with."""
    keys = [replica_id_of(peer_key(row[0], row[1])) for row in document["founders"]]
    return Membership(tuple(sorted(keys[:MAX_VOTERS])), (), tuple(sorted(keys[MAX_VOTERS:])))


class WallGeneration:
    """What the wall clock gives for a generation; None within the second of this object's making.

    A clock that stands still or goes back afterwards holds nobody up: then the process's own clock counts on.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._born_ns = clock.now()
        self.born_wall_s = clock.wall_s()

    def __call__(self) -> int | None:
        """Return it."""
        passed_s = (self._clock.now() - self._born_ns) // SECOND_NS
        wall_s = max(self._clock.wall_s(), self.born_wall_s + passed_s)
        return None if wall_s <= self.born_wall_s else max(1, wall_s)
