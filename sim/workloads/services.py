"""Services: nodes register actors, take them back and stop them; anybody looks for them, or wants to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.ref import ActorRef
from casty.actor.services import Deregister, Listing, Register, ServiceKey, Subscribe
from casty.errors import NotStarted, Unavailable

from ..checks.step.introspection import inside
from .recorder import Act, Stage

if TYPE_CHECKING:
    from ..checks.step.services import Subscriber
    from ..world.process import Process

__all__ = ["SERVICE_PERFORMERS", "probe_services"]

_SETTLE_S = 15.0
"""How long it may take until all know: longer than a dead link can go unnoticed, with time to dial again."""

_LOOK_S = 0.1


async def _register(act: Act) -> None:
    """Start an actor and register it; its path tells which incarnation it lives in."""
    if _is_leaving(act):
        return
    system: Any = act.process.value
    name = act.next_name("worker")
    ref = system.spawn(Behaviors.receive(_nothing), name)
    _ask_for(act, Register(ServiceKey(act.entity), ref))
    act.stage.services.offered(act.process, act.entity, ref)
    act.stage.goal("services registered")


async def _deregister(act: Act) -> None:
    ref = _one_of(act)
    if ref is not None:
        _ask_for(act, Deregister(ServiceKey(act.entity), ref))
        act.stage.services.taken_back(act.process, act.entity, ref)
        act.stage.goal("services taken back")


async def _again(act: Act) -> None:
    """Take an actor out and put it in again, before the first can be confirmed."""
    ref = _one_of(act)
    if ref is not None:
        _ask_for(act, Deregister(ServiceKey(act.entity), ref))
        _ask_for(act, Register(ServiceKey(act.entity), ref))


async def _stop(act: Act) -> None:
    """Stop an actor: it is no instance of anything any more."""
    ref = _one_of(act)
    if ref is not None:
        ref.tell(None)
        act.stage.services.taken_back(act.process, act.entity, ref)
        act.stage.goal("services stopped")


async def _subscribe(act: Act) -> None:
    if _is_leaving(act):
        return
    value: Any = act.process.value
    name = act.next_name("listener")
    listener = _Listener(act)
    ref = value.spawn(Behaviors.receive(listener.receive), name)
    listener.subscriber = act.stage.services.listening(act.process, act.entity, ref)
    _ask_for(act, Subscribe(ServiceKey(act.entity), ref))


async def _find(act: Act) -> None:
    by = act.process.name
    try:
        listing = await listing_of(act.process, act.entity)
    except (TimeoutError, NotStarted, Unavailable):
        act.stage.goal("no listing came")
        return
    act.stage.services.seen(act.entity, listing, by)
    act.stage.goal("services found" if listing.instances else "no service was found")


async def listing_of(process: Process, key: str) -> Listing[Any]:
    """Return the listing that a node or a client gives."""
    value: Any = process.value
    listing: Any = value.lookup(ServiceKey[Any](key))
    return listing if isinstance(listing, Listing) else await listing


async def probe_services(stage: Stage, until: Callable[[Callable[[], bool], float], Awaitable[bool]]) -> None:
    """In peace all soon know exactly what lives (46): subscribers by what they heard, everybody when asked.

    A node lists what its own replica of the control state has applied. One that was cut off learns the rest when its
    links are good again: a link that died silently is found by a timeout, after the faults are over.
    """
    services = stage.services
    if not services.keys():
        return
    end_ns = stage.world.now_ns + round(_SETTLE_S * 1e9)
    if not await until(lambda: not services.unheard(), _SETTLE_S):
        for text in services.unheard()[:1]:
            services.broken(text)
        return
    differing = await _differing(stage)
    while differing and not services.violations and stage.world.now_ns < end_ns:
        await asyncio.sleep(_LOOK_S)
        differing = await _differing(stage)
    for text in differing:
        services.broken(text)
    stage.goal("listings compared")


async def _differing(stage: Stage) -> list[str]:
    """Ask every process for every listing; return, in words, what is wrong with them."""
    found: list[str] = []
    for process in list(stage.world.processes.values()):
        for key in stage.services.keys() if process.value is not None else []:
            listing = await process.run(listing_of(process, key))
            found += stage.services.differing(key, listing, process.name)
    return found


def _is_leaving(act: Act) -> bool:
    """Whether the process began to leave in this instant: then it spawns nothing any more."""
    actors = inside(act.process.value, "_actors")
    is_leaving = actors is None or bool(inside(inside(actors, "local"), "is_stopping"))
    if is_leaving:
        act.stage.skipped.append(f"operation {act.planned.kind}: {act.process.name} is leaving")
    return is_leaving


def _one_of(act: Act) -> ActorRef[Any] | None:
    if _is_leaving(act):
        return None
    refs = act.stage.services.offers_of(act.process, act.entity)
    return refs[act.number("which") % len(refs)] if refs else None


def _ask_for(act: Act, request: object) -> None:
    """Tell the receptionist of the process; a client has one as well, though it hands out none."""
    receptionist: Any = inside(act.process.value, "_actors", "receptionist", "ref")
    receptionist.tell(request)


def _nothing(ctx: ActorContext[Any], message: object) -> Behavior[Any]:
    """Live until told something."""
    del ctx, message
    return Behaviors.stopped()


class _Listener:
    """Passes on what it is told to the checks."""

    subscriber: Subscriber

    def __init__(self, act: Act) -> None:
        self._act = act

    def receive(self, ctx: ActorContext[Any], message: Listing[Any]) -> None:
        """Take a listing."""
        del ctx
        self._act.stage.services.heard(self.subscriber, message)
        self._act.stage.goal("listings heard")


SERVICE_PERFORMERS = {
    "service.register": _register,
    "service.deregister": _deregister,
    "service.again": _again,
    "service.stop": _stop,
    "service.subscribe": _subscribe,
    "service.find": _find,
}
"""Kind of operation -> what it does."""
