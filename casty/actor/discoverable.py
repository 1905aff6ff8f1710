"""Actors that are instances of a service for as long as they live."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from casty.actor.context import ActorContext
from casty.actor.handling import Behavior
from casty.actor.ref import ActorRef
from casty.actor.services import Deregister, Register, ServiceKey

__all__ = ["Discoverable"]

M = TypeVar("M")


@dataclass(frozen=True)
class Discoverable(Generic[M]):
    """A setup that registers the actor; see `Behaviors.discoverable`."""

    behavior: Behavior[M]
    key: ServiceKey[M]

    async def __call__(self, ctx: ActorContext[M]) -> Behavior[M]:
        """Register before anything of the behaviour runs."""
        receptionist: ActorRef[Any] | None = getattr(ctx.system, "receptionist", None)
        if receptionist is None:
            raise RuntimeError(
                f"discoverable: expected an actor of a ClusteredActorSystem, found one of system {ctx.system.name!r}: "
                "only nodes register services"
            )
        receptionist.tell(Register(self.key, ctx.self))
        ctx.on_stop(partial(receptionist.tell, Deregister(self.key, ctx.self)))
        return self.behavior
