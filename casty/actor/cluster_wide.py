"""Behaviours of a whole cluster: a region of entities, one actor in all of it, or one on each of its nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from casty.actor.base import ClusterBehavior
from casty.actor.event_sourced import ReplicationConfig
from casty.actor.handling import Behavior
from casty.checks import check_callable, check_count, check_kind, check_seconds
from casty.traits import check_role

__all__ = ["BroadcastedBehavior", "MarkedBehavior", "ShardedBehavior", "SingletonBehavior"]

M = TypeVar("M")

LEAST_IDLE_S = 0.1
"""Shorter than that an entity would be unloaded between two messages of one caller."""


@dataclass(frozen=True)
class ShardedBehavior(ClusterBehavior, Generic[M]):
    """A region of entities, for a clustered ``spawn``; see `Behaviors.sharded`."""

    entity_factory: Callable[[str], Behavior[M]]
    num_shards: int = 100
    replication: ReplicationConfig | None = None
    idle_timeout: float | None = None
    max_activations: int | None = None
    role: str | None = None

    def __post_init__(self) -> None:
        check_callable(self.entity_factory, "entity_factory")
        check_count("num_shards", self.num_shards, 1)
        check_kind(self.replication, ReplicationConfig, "replication")
        if self.idle_timeout is not None:
            check_seconds(self.idle_timeout, "idle_timeout")
            if self.idle_timeout < LEAST_IDLE_S:
                raise ValueError(
                    f"idle_timeout: expected at least {LEAST_IDLE_S} seconds or None, found {self.idle_timeout}"
                )
        if self.max_activations is not None:
            check_count("max_activations", self.max_activations, 1)
        if self.role is not None:
            check_role(self.role)


@dataclass(frozen=True)
class SingletonBehavior(ClusterBehavior, Generic[M]):
    """One actor in the cluster, for a clustered ``spawn``; see `Behaviors.singleton`."""

    factory: Callable[[], Behavior[M]]
    role: str | None = None

    def __post_init__(self) -> None:
        check_callable(self.factory, "factory")
        if self.role is not None:
            check_role(self.role)


@dataclass(frozen=True)
class BroadcastedBehavior(ClusterBehavior, Generic[M]):
    """One actor on each node, for a clustered ``spawn``; see `Behaviors.broadcasted`."""

    behavior: Behavior[M]


MarkedBehavior = ShardedBehavior[Any] | SingletonBehavior[Any] | BroadcastedBehavior[Any]
"""What only a node of a cluster spawns."""
