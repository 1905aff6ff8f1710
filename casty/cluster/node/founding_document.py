"""What a founder proposes: the document that every founder agrees to, and that the founding entry carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from casty.cluster.control.ballots import Identity
from casty.cluster.node.options import NodeOptions

__all__ = ["document_of"]

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
        "founders": [list(identity) for identity in founders],
    }
