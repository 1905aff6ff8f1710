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

from ..checks.step.introspection import actors_of
from .recorder import OperationContext, RunRecorder

if TYPE_CHECKING:
    from ..checks.step.services import Subscriber
    from ..world.process import Process

__all__ = ["SERVICE_PERFORMERS", "probe_services"]

_SETTLE_S = 15.0
"""How long it may take until all know: longer than a dead link can go unnoticed, with time to dial again."""

_LOOK_S = 0.1


async def _register(context: OperationContext) -> None:
    """Start an actor and register it; its path tells which incarnation it lives in."""
    if _is_leaving(context):
        return
    system: Any = context.process.value
    name = context.next_name("worker")
    ref = system.spawn(Behaviors.receive(_nothing), name)
    _ask_for(context, Register(ServiceKey(context.entity), ref))
    context.recorder.services.offered(context.process, context.entity, ref)
    context.recorder.goal("services registered")


async def _deregister(context: OperationContext) -> None:
    ref = _one_of(context)
    if ref is not None:
        _ask_for(context, Deregister(ServiceKey(context.entity), ref))
        context.recorder.services.taken_back(context.process, context.entity, ref)
        context.recorder.goal("services taken back")


async def _again(context: OperationContext) -> None:
    """Take an actor out and put it in again, before the first can be confirmed."""
    ref = _one_of(context)
    if ref is not None:
        _ask_for(context, Deregister(ServiceKey(context.entity), ref))
        _ask_for(context, Register(ServiceKey(context.entity), ref))


async def _stop(context: OperationContext) -> None:
    """Stop an actor: it is no instance of anything any more."""
    ref = _one_of(context)
    if ref is not None:
        ref.tell(None)
        context.recorder.services.taken_back(context.process, context.entity, ref)
        context.recorder.goal("services stopped")


async def _subscribe(context: OperationContext) -> None:
    if _is_leaving(context):
        return
    value: Any = context.process.value
    name = context.next_name("listener")
    listener = _Listener(context)
    ref = value.spawn(Behaviors.receive(listener.receive), name)
    listener.subscriber = context.recorder.services.listening(context.process, context.entity, ref)
    _ask_for(context, Subscribe(ServiceKey(context.entity), ref))


async def _find(context: OperationContext) -> None:
    by = context.process.name
    try:
        listing = await listing_of(context.process, context.entity)
    except (TimeoutError, NotStarted, Unavailable):
        context.recorder.goal("no listing came")
        return
    context.recorder.services.seen(context.entity, listing, by)
    context.recorder.goal("services found" if listing.instances else "no service was found")


async def listing_of(process: Process, key: str) -> Listing[Any]:
    """Return the listing that a node or a client gives."""
    value: Any = process.value
    listing: Any = value.lookup(ServiceKey[Any](key))
    return listing if isinstance(listing, Listing) else await listing


async def probe_services(
    recorder: RunRecorder, until: Callable[[Callable[[], bool], float], Awaitable[bool]]
) -> None:
    """In peace all soon know exactly what lives (46): subscribers by what they heard, everybody when asked.

    A node lists what its own replica of the control state has applied. One that was cut off learns the rest when its
    links are good again: a link that died silently is found by a timeout, after the faults are over.
    """
    services = recorder.services
    if not services.keys():
        return
    end_ns = recorder.world.now_ns + round(_SETTLE_S * 1e9)
    if not await until(lambda: not services.unheard(), _SETTLE_S):
        for text in services.unheard()[:1]:
            services.broken(text)
        return
    differing = await _differing(recorder)
    while differing and not services.violations and recorder.world.now_ns < end_ns:
        await asyncio.sleep(_LOOK_S)
        differing = await _differing(recorder)
    for text in differing:
        services.broken(text)
    recorder.goal("listings compared")


async def _differing(recorder: RunRecorder) -> list[str]:
    """Ask every process for every listing; return, in words, what is wrong with them."""
    found: list[str] = []
    for process in list(recorder.world.processes.values()):
        for key in recorder.services.keys() if process.value is not None else []:
            listing = await process.run(listing_of(process, key))
            found += recorder.services.differing(key, listing, process.name)
    return found


def _is_leaving(context: OperationContext) -> bool:
    """Whether the process began to leave in this instant: then it spawns nothing any more."""
    actors = actors_of(context.process.value)
    is_leaving = actors is None or actors.local.is_stopping
    if is_leaving:
        context.recorder.skipped.append(
            f"operation {context.planned.kind}: {context.process.name} is leaving"
        )
    return is_leaving


def _one_of(context: OperationContext) -> ActorRef[Any] | None:
    if _is_leaving(context):
        return None
    refs = context.recorder.services.offers_of(context.process, context.entity)
    return refs[context.number("which") % len(refs)] if refs else None


def _ask_for(context: OperationContext, request: object) -> None:
    """Tell the receptionist of the process; a client has one as well, though it hands out none."""
    actors = actors_of(context.process.value)
    assert actors is not None
    actors.receptionist.ref.tell(request)


def _nothing(ctx: ActorContext[Any], message: object) -> Behavior[Any]:
    """Live until told something."""
    del ctx, message
    return Behaviors.stopped()


class _Listener:
    """Passes on what it is told to the checks."""

    subscriber: Subscriber

    def __init__(self, context: OperationContext) -> None:
        self._context = context

    def receive(self, ctx: ActorContext[Any], message: Listing[Any]) -> None:
        """Take a listing."""
        del ctx
        self._context.recorder.services.heard(self.subscriber, message)
        self._context.recorder.goal("listings heard")


SERVICE_PERFORMERS = {
    "service.register": _register,
    "service.deregister": _deregister,
    "service.again": _again,
    "service.stop": _stop,
    "service.subscribe": _subscribe,
    "service.find": _find,
}
"""Kind of operation -> what it does."""
