"""Trees of actors on nodes and clients: they grow, watch, talk, take their time, fail and stop.

A message is ``[sender, number, target, speaker]``: which process says it, the how-manieth to this actor it is, for
which life it is meant, and which actor says it, if any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import Terminated
from casty.address import NodeAddress

from ..checks.step.actors import Activation
from ..checks.step.introspection import actors_of
from ..checks.step.lives import Life
from ..checks.step.protected import OfContext
from ..checks.violation import Violation
from ..world.clusters import NODE_PORT
from .population import AS_PLANNED, Do, Population
from .recorder import OperationContext

if TYPE_CHECKING:
    from ..world.process import Process

__all__ = ["BUSY", "TREE_PERFORMERS", "TreeActor", "grow"]

_ORDER = 7
_LAST_WORDS = 2
_FORMER = 30
"""Lives of so long ago are told and watched no more."""


class _Unusual(BaseException):
    """What no handler should raise: it is no `Exception`."""


class TreeActor:
    """One actor of a tree.

    Parameters
    ----------
    population, process
        Where it lives.
    depth, width
        How many levels are below it, and how many children each actor has there.
    parent
        Whose child it is.

    Attributes
    ----------
    life
        Set with its first setup.
    """

    life: Life
    _activation: Activation

    def __init__(
        self,
        population: Population,
        process: Process,
        depth: int,
        width: int,
        parent: TreeActor | None = None,
    ) -> None:
        self._population = population
        self._process = process
        self._depth = depth
        self._width = width
        self._parent = parent
        self._is_known = False
        self.hook_s: float | None = 0.0
        """How long its hook takes; None without end."""

    def behavior(self) -> Behavior[Any]:
        """Return what it begins with."""
        return Behaviors.setup(self._start)

    async def _start(self, ctx: ActorContext[Any]) -> Behavior[Any]:
        population, process = self._population, self._process
        if self._is_known:  # a restart is no other life
            population.recorder.goal("actors restarted")
            self.life.free_ns = population.recorder.world.now_ns  # its children and hooks took their time
        else:
            self._is_known = True
            self.life = population.lives.began(process, ctx.self.id, ctx.self)
            self.life.cell = OfContext.cell_of(ctx)
            self.life.parent = None if self._parent is None else self._parent.life
            self._activation = population.checks.began(self.life.label, process, process.value, None)
        for number in range(self._width if self._depth else 0):
            child = TreeActor(population, process, self._depth - 1, self._width, self)
            ctx.spawn(child.behavior(), f"c{number}")
        ctx.on_stop(self._hook)
        return Behaviors.receive(self._receive)

    async def _receive(self, ctx: ActorContext[Any], message: Any) -> Behavior[Any] | None:
        world = self._population.recorder.world
        self.life.reads(world.now_ns)
        try:
            return await self._handle(ctx, message)
        finally:
            self.life.free_ns = world.now_ns

    async def _handle(self, ctx: ActorContext[Any], message: Any) -> Behavior[Any] | None:
        match message:
            case Terminated(ref):
                self._population.watches.heard(self.life, ref)
            case Do(what):
                return await what(self, ctx)
            case _:
                self._told(message)
        return None

    def _told(self, message: Any) -> None:
        sender, number, target, speaker = message
        if target not in ("", self.life.label):
            text = f"it is told message {number} of {sender}, which is for {target}"
            self._population.checks.report(Violation(_ORDER, str(self.life), text))
            return
        self._population.checks.handles(self._activation, sender, number)
        if speaker:
            self._population.watches.said(self.life, speaker, sender, number)

    async def _hook(self) -> None:
        if self.hook_s is None:
            await self.get_stuck()
        elif self.hook_s:
            await asyncio.sleep(self.hook_s)

    # -- what operations have it do

    async def get_stuck(self) -> None:
        """Wait for nothing."""
        self._population.recorder.goal("actors got stuck")
        self.life.is_stuck = True
        try:
            await self._population.wait_for_nothing(self._process)
        finally:
            self.life.is_stuck = False

    def watches(self, ctx: ActorContext[Any], target: Life) -> None:
        """Watch another actor."""
        ref = self._population.ref_at(self._process, target.ref)
        if ref is not None:
            self._population.watches.begun(self.life, ref, target, is_by_path=False)
            ctx.watch(ref)

    def watches_path(self, ctx: ActorContext[Any], host: str, path: str) -> None:
        """Watch whoever is at a path: in a process of its own that is an actor or nobody."""
        population, process = self._population, self._process
        actors = actors_of(process.value)
        ref = None if actors is None else actors.lookup(path, NodeAddress(host, NODE_PORT))
        if ref is not None and ref != self.life.ref:
            target = population.lives.at(process, path) if host == process.name else None
            population.watches.begun(self.life, ref, target, is_by_path=target is None)
            ctx.watch(ref)

    def watches_no_longer(self, ctx: ActorContext[Any]) -> None:
        """End the oldest watch."""
        for watch in self._population.watches.open_of(self.life)[:1]:
            ctx.unwatch(watch.ref)
            self._population.watches.ended(self.life, watch.ref)

    def tells(self, target: Life, count: int) -> None:
        """Tell another actor something."""
        self._population.tell(self._process, target, self.life.label, count)

    def say_last(self) -> None:
        """Say a few words to all who watch, to be followed by the end."""
        for watch in self._population.watches.open_on(self.life):
            if not watch.watcher.is_over:
                self._population.tell(self._process, watch.watcher, self.life.label, _LAST_WORDS)


def grow(population: Population, process: Process, name: str, depth: int, width: int) -> None:
    """Start a tree, unless one of that name lives."""
    value: Any = process.value
    if population.lives.at(process, f"/{name}") is None and f"{name}" not in inside_cells(value):
        value.spawn(TreeActor(population, process, depth, width).behavior(), name)
        population.recorder.goal("trees grown")


def inside_cells(value: object) -> dict[str, object]:
    """Return the living actors of a process by path, those included that have not begun yet."""
    actors = actors_of(value)
    return {} if actors is None else dict(actors.local.cells)


# -- operations


async def _grow(context: OperationContext) -> None:
    if _is_there(context):
        grow(
            _population(context),
            context.process,
            context.entity,
            context.number("depth"),
            context.number("width", 1),
        )


def _is_there(context: OperationContext) -> bool:
    actors = actors_of(context.process.value)
    return actors is not None and not actors.local.is_stopping


def _population(context: OperationContext) -> Population:
    population: Population | None = context.recorder.population
    assert population is not None, "the executor makes one for these operations"
    return population


def _one_here(context: OperationContext) -> Life | None:
    """Return a living actor of the act's own process."""
    lives = _population(context).lives.living(context.process) if _is_there(context) else []
    return lives[context.number("which") % len(lives)] if lives else None


def _one_anywhere(context: OperationContext) -> Life | None:
    """Return an actor of any process: alive, gone, or whoever it is."""
    lives = _population(context).lives.all
    wanted = context.planned.args.get("whom")
    found = {
        "living": [life for life in lives if not life.is_over],
        "gone": [life for life in lives[-_FORMER:] if life.is_over],
    }.get(str(wanted), lives)
    return found[context.number("target") % len(found)] if found else None


def _have(life: Life | None, doing: Callable[..., Awaitable[Behavior[Any] | None]]) -> None:
    if life is not None:
        life.ref.tell(Do(doing))


async def _stop(context: OperationContext) -> None:
    how = str(context.planned.args.get("how"))
    life = _one_here(context)
    if life is None:
        return
    if how == "by parent" and life.parent is not None:
        _have(life.parent, partial(_stop_child, life))
    else:
        _have(life, _ENDS.get(how, _ends))
    context.recorder.goal("actors told to stop")


async def _stop_child(life: Life, actor: TreeActor, ctx: ActorContext[Any]) -> None:
    del actor
    ctx.stop(life.ref)


async def _ends(actor: TreeActor, ctx: ActorContext[Any]) -> Behavior[Any]:
    del ctx
    actor.say_last()
    return Behaviors.stopped()


async def _fails(actor: TreeActor, ctx: ActorContext[Any]) -> Behavior[Any]:
    del ctx
    actor.say_last()
    raise RuntimeError(AS_PLANNED)


async def _fails_unusually(actor: TreeActor, ctx: ActorContext[Any]) -> Behavior[Any]:
    del ctx
    actor.say_last()
    raise _Unusual(AS_PLANNED)


async def _restarts(actor: TreeActor, ctx: ActorContext[Any]) -> Behavior[Any]:
    del actor, ctx
    return Behaviors.restart()


_ENDS = {"fails": _fails, "fails unusually": _fails_unusually, "restarts": _restarts}


async def _keep_busy(context: OperationContext) -> None:
    how = str(context.planned.args.get("how"))
    doing = partial(BUSY.get(how, _takes_time), context.number("ms") / 1000)
    _have(_one_here(context), doing)


async def _takes_time(seconds: float, actor: TreeActor, ctx: ActorContext[Any]) -> None:
    del ctx
    actor.life.is_stuck = True
    await asyncio.sleep(seconds)
    actor.life.is_stuck = False


async def _never_ends(seconds: float, actor: TreeActor, ctx: ActorContext[Any]) -> None:
    del seconds, ctx
    await actor.get_stuck()


async def _yields_late(seconds: float, actor: TreeActor, ctx: ActorContext[Any]) -> None:
    """Hold on to the first cancellation, and clean up at the second."""
    try:
        await actor.get_stuck()
    except asyncio.CancelledError:
        await actor.get_stuck()
    del seconds, ctx


async def _has_slow_hook(seconds: float, actor: TreeActor, ctx: ActorContext[Any]) -> None:
    del ctx
    actor.hook_s = seconds


async def _has_endless_hook(seconds: float, actor: TreeActor, ctx: ActorContext[Any]) -> None:
    del seconds, ctx
    actor.hook_s = None


BUSY: dict[str, Callable[..., Awaitable[None]]] = {
    "endless": _never_ends,
    "stubborn": _yields_late,
    "slow hook": _has_slow_hook,
    "endless hook": _has_endless_hook,
}
"""Name -> what an actor does that takes longer than it should; each is told for how many seconds."""


async def _watch(context: OperationContext) -> None:
    watcher, whom = _one_here(context), str(context.planned.args.get("whom"))
    if watcher is None:
        return
    if whom in ("path", "nobody", "nowhere"):
        _have(watcher, partial(_watch_path, _path(context, whom)))
        return
    target = _one_anywhere(context)
    if target is not None and target is not watcher:
        _have(watcher, partial(_watch_life, target))


def _path(context: OperationContext, whom: str) -> tuple[str, str]:
    """Return the host and the path to watch: where somebody was, where never anybody is, or of no node at all."""
    number = context.number("target")
    if whom == "nowhere":
        return "node-99", "/nobody"
    nodes = [name for name in context.recorder.world.processes if name.startswith("node-")]
    life = _one_anywhere(context)
    if whom == "nobody" or life is None or life.process.name not in nodes:
        return nodes[number % len(nodes)], f"/nobody-{number % 3}"
    return life.process.name, life.path


async def _watch_life(target: Life, actor: TreeActor, ctx: ActorContext[Any]) -> None:
    actor.watches(ctx, target)


async def _watch_path(where: tuple[str, str], actor: TreeActor, ctx: ActorContext[Any]) -> None:
    actor.watches_path(ctx, *where)


async def _unwatch(context: OperationContext) -> None:
    _have(_one_here(context), _watches_no_longer)


async def _watches_no_longer(actor: TreeActor, ctx: ActorContext[Any]) -> None:
    actor.watches_no_longer(ctx)


async def _tell(context: OperationContext) -> None:
    target = _one_anywhere(context) if _is_there(context) else None
    if target is None:
        return
    population = _population(context)
    speaker = _one_here(context) if context.planned.args.get("is_from_actor") else None
    if speaker is None:
        population.tell(context.process, target, count=context.number("count", 1))
    else:
        _have(speaker, partial(_says, target, context.number("count", 1)))


async def _says(target: Life, count: int, actor: TreeActor, ctx: ActorContext[Any]) -> None:
    del ctx
    actor.tells(target, count)


TREE_PERFORMERS: dict[str, Callable[[OperationContext], Awaitable[None]]] = {
    "tree.grow": _grow,
    "tree.stop": _stop,
    "tree.busy": _keep_busy,
    "watch.begin": _watch,
    "watch.end": _unwatch,
    "mail.tell": _tell,
}
"""Kind of operation -> what it does."""
