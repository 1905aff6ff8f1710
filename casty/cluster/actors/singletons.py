"""Singletons: the only entity of a region of one shard, which lives also when nobody sends to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.cluster_refs import SINGLETON
from casty.actor.context import ActorContext
from casty.actor.local import LocalSystem
from casty.cluster.actors.hosted_regions import name_of
from casty.cluster.actors.region_host import RegionHost

__all__ = ["Singletons", "factory_of"]

LOOK_S = 0.5
"""So often a node looks whether it has become the one where a singleton lives."""


class _Factory:
    """A singleton's factory as that of a region; it has the name and the code of the user's own."""

    def __init__(self, factory: Callable[[], Behavior[Any]]) -> None:
        self.__func__ = factory
        self.__qualname__ = name_of(factory)

    def __call__(self, entity_id: str) -> Behavior[Any]:
        del entity_id
        return self.__func__()


def factory_of(factory: Callable[[], Behavior[Any]]) -> Callable[[str], Behavior[Any]]:
    """Return a singleton's factory as that of a region."""
    return _Factory(factory)


class Singletons:
    """Starts the singletons that belong to this node.

    Parameters
    ----------
    local
        The actors of this node.
    host
        Its entities.

    Bounds: `_names` has a row per singleton of this process, which are regions: at most `MAX_REGIONS`.
    """

    def __init__(self, local: LocalSystem, host: RegionHost) -> None:
        self._local = local
        self._host = host
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        """Keep one more alive."""
        if not self._names:
            self._local.spawn_at("$singletons", Behaviors.setup(self._begin))
        self._names[name] = None
        self._host.wake(name, SINGLETON)

    async def _begin(self, ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.schedule(None, interval=LOOK_S)
        return Behaviors.receive(self._look)

    def _look(self, ctx: ActorContext[Any], message: object) -> None:
        del ctx, message
        for name in self._names:
            self._host.wake(name, SINGLETON)
