"""A world: processes, a network between them, one clock for all, one seed for everything drawn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from casty.ports import Storage

from ..kernel.clock import NodeClock
from ..kernel.draws import Buggify, Draws
from ..kernel.errors import CrashedError, DeadlockError
from ..kernel.events import Crashed, Paused, Resumed, Started, Stopped, UncaughtError
from ..kernel.fences import fenced
from ..kernel.incarnation import Incarnation
from ..kernel.loop import SimLoop
from ..kernel.teardown import discard
from ..kernel.trace import Trace
from ..net.network import Network
from ..net.path import NetworkProfile
from .clusters import ClusterSupport
from .disk import SimDisk
from .link_faults import LinkFaults
from .process import Claimed, Process, Setup

__all__ = ["World"]

T = TypeVar("T")

_SECOND_NS = 1_000_000_000
_WALL_START_S = 1_735_689_600  # 2025-01-01 00:00 UTC

log = logging.getLogger("casty.sim")


class World(LinkFaults, ClusterSupport):
    """A simulated world. Use it as a context manager, or `close` it.

    Parameters
    ----------
    seed
        Decides everything that is drawn.
    network
        The network in good health.
    is_shuffled
        Also permute what is due at one instant within a process (the search mode). Its digests hold for one
        version of Python.
    has_buggify
        Whether `Runtime.buggify` points fire (a quarter of the sites, a quarter of the time).
    wall_s
        Civil time at the beginning, in seconds since the start of 2025.

    Examples
    --------
    >>> async def main(world: World) -> int:
    ...     await asyncio.sleep(3600)
    ...     return world.now_ns
    >>> with World(7) as world:
    ...     world.run(main(world))
    3600000000000
    """

    def __init__(
        self,
        seed: int,
        *,
        network: NetworkProfile | None = None,
        is_shuffled: bool = False,
        has_buggify: bool = False,
        wall_s: int = 0,
    ) -> None:
        self.seed = seed
        self.wall_s = wall_s
        self.draws = Draws(seed)
        self.loop = SimLoop(self.draws, is_shuffled=is_shuffled)
        self.network = Network(self.loop, self.draws, network or NetworkProfile())
        self.trace = Trace()
        self.errors: list[tuple[str, dict[str, Any]]] = []
        self.processes: dict[str, Process] = {}
        self.rogues: dict[str, Claimed] = {}
        """The processes that keep to no protocol, by name."""
        self.on_disk: Callable[[Process, SimDisk], None] = _unseen
        """Told of a process that opens its disk, before anything is read from it."""
        self._dead: list[Incarnation] = []
        self._has_buggify = has_buggify
        self._starting: asyncio.Task[None] | None = None
        self._is_closed = False
        self.loop.on_error = self._uncaught
        super().__init__()
        self.test = Process(self, "test", None)
        self.network.add_machine("test")
        self.test.boot()

    # -- time

    @property
    def now_ns(self) -> int:
        """World time, from 0."""
        return self.loop.now_ns

    def run(self, coro: Coroutine[Any, Any, T], *, limit_s: float | None = None) -> T:
        """Run a coroutine as the test's own process, the world with it, and return its result.

        Raises `DeadlockError` when nothing is left that could wake it, `TimeLimitError` when it takes more
        than `limit_s` virtual seconds.
        """
        task = self.test.spawn(coro)
        try:
            self._drive(task.done, limit_s)
        except DeadlockError as error:
            raise DeadlockError(f"{error}; the test waits at {_place_of(task)}") from None
        return task.result()

    def run_until(self, until: Callable[[], bool] | float, *, limit_s: float | None = None) -> None:
        """Let the world go on until a predicate holds, or a time (in seconds from the beginning) has come."""
        if callable(until):
            self._drive(until, limit_s)
            return
        end_ns = round(until * _SECOND_NS)
        self.loop.schedule(end_ns, self.loop.kernel, _nothing)
        self._drive(lambda: self.loop.now_ns >= end_ns, limit_s)

    async def until(self, predicate: Callable[[], bool], *, timeout_s: float | None = None) -> None:
        """Wait, inside a running test, until a predicate over the world holds; asked at each instant."""
        if predicate():
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watcher = _Watcher(predicate, reached)
        self.loop.watchers.append(watcher.look)
        try:
            async with asyncio.timeout(timeout_s):
                await reached
        finally:
            self.loop.watchers.remove(watcher.look)

    def _drive(self, is_done: Callable[[], bool], limit_s: float | None) -> None:
        limit_ns = None if limit_s is None else self.loop.now_ns + round(limit_s * _SECOND_NS)
        with fenced(self._wall):
            self.loop.drive(is_done, limit_ns)

    def _wall(self) -> float:
        return _WALL_START_S + self.wall_s + self.loop.now_ns / _SECOND_NS

    # -- processes

    def add_node(
        self, name: str, setup: Setup, *, storage: Callable[[Process], Storage] | None = None
    ) -> Process:
        """Add a process on a machine of its own; `start` runs it."""
        if name in self.processes:
            raise ValueError(f"name: expected one that is not in use, found {name!r}")
        process = self.processes[name] = Process(self, name, setup, storage)
        self.network.add_machine(name)
        return process

    async def start(self, name: str) -> object:
        """Begin an incarnation and return what its setup returned."""
        process = self.processes[name]
        if process.is_up:
            raise ValueError(f"{name} is running already")
        process.boot()
        self._note(name, Started(process.incarnation.ordinal, process.node_id))
        assert process.setup is not None, "only the test's own process has no setup"
        process.value = await process.run(_call(process.setup, process))
        return process.value

    def start_soon(self, name: str) -> None:
        """Start a process, if it is down, without waiting for it."""
        if not self.processes[name].is_up:
            self._starting = self.test.spawn(self._start_again(name))

    async def _start_again(self, name: str) -> None:
        try:
            await self.start(name)
        except CrashedError:
            log.info("%s crashed again before it was up", name)

    def crash(self, name: str, *, power_loss: bool = False) -> None:
        """Kill a process: not a line of it runs any more. Others see resets; after a power loss, nothing."""
        process = self.processes[name]
        if process.is_up:
            self._note(name, Crashed(power_loss))
            self._end(process, is_silent=power_loss)
            if power_loss:
                self.network.power_off(name)

    async def restart(self, name: str, *, identity: str = "same", disk: str = "kept") -> object:
        """Crash a process if it runs and start it again.

        Parameters
        ----------
        identity
            ``"same"`` or ``"new"``: the node id.
        disk
            ``"kept"`` or ``"lost"``; a new identity has an empty one.
        """
        process = self.processes[name]
        self.crash(name)
        if identity not in ("same", "new") or disk not in ("kept", "lost"):
            raise ValueError("identity: 'same' or 'new'; disk: 'kept' or 'lost'")
        if identity == "new":
            process.node_id = f"{name}.{process.starts}"
        if identity == "new" or disk == "lost":
            process.disk = None
        return await self.start(name)

    async def stop(self, name: str) -> None:
        """End a process properly: leave its value's ``async with``, if it has one; then it is gone."""
        process = self.processes[name]
        leave = getattr(process.value, "__aexit__", None)
        if leave is not None:
            await process.run(leave(None, None, None))
        self._note(name, Stopped())
        self._end(process, is_silent=False)

    def pause(self, name: str, duration_s: float | None = None) -> None:
        """Hold a process while the world goes on, for so long or until `resume`."""
        process = self.processes[name]
        if process.is_up and not process.is_paused:
            self._note(name, Paused())
            process.hold()
            if duration_s is not None:
                self.after(duration_s, self._resume_incarnation, process, process.incarnation)

    def resume(self, name: str) -> None:
        """Let a held process run again; harmless when it does."""
        process = self.processes[name]
        if process.is_paused:
            self._note(name, Resumed())
            process.go_on()

    def _resume_incarnation(self, process: Process, incarnation: Incarnation) -> None:
        if process.incarnation is incarnation:
            self.resume(process.name)

    def _end(self, process: Process, *, is_silent: bool) -> None:
        self._dead.append(process.incarnation)
        process.end(is_silent=is_silent)

    def clock(self, name: str) -> NodeClock:
        """Return a machine's clock, to drift, step, freeze or thaw it."""
        return self.processes[name].clock

    # -- the end of faults, and of the world

    async def quiesce(self, settle_s: float = 0.0) -> None:
        """End every fault - cuts, slow paths, pauses, bent clocks - start what is down, and let it settle."""
        self.network.heal()
        for process in list(self.processes.values()):
            self.resume(process.name)
            process.clock.thaw()
            process.clock.drift(0)
            if not process.is_up and process.starts and process.setup is not None and not process.is_retired:
                await self.start(process.name)
        await asyncio.sleep(settle_s)

    def after(self, delay_s: float, callback: Callable[..., object], *args: object) -> None:
        """Run a callback of the world itself after so much world time."""
        self.loop.schedule(self.loop.now_ns + round(delay_s * _SECOND_NS), self.loop.kernel, callback, *args)

    def record(self, node: str, event: tuple[object, ...]) -> None:
        """Put an event of a workload or a checker into the trace, and so into the digest."""
        self._note(node, event)

    def digest(self) -> str:
        """Return the digest of everything that happened."""
        return self.trace.digest()

    def close(self) -> None:
        """End the world; what still runs is dropped without effect."""
        if self._is_closed:
            return
        self._is_closed = True
        for process in [self.test, *self.processes.values()]:
            if process.is_up:
                self._end(process, is_silent=True)
        with fenced(self._wall):
            discard(self.loop, self._dead)
        self.loop.close()

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside

    def buggify_of(self, name: str) -> Callable[[str], bool]:
        """Return a process's `Runtime.buggify`."""
        return Buggify(self.draws, name).fires if self._has_buggify else _never

    def unheard(self) -> list[tuple[str, str]]:
        """Return what was raised where nobody awaited it, as (process, text): in callbacks, and in tasks until now.

        Whoever failed at this very instant may still be awaited: let the world go on a little first. What a process
        raised before it crashed is not looked at.
        """
        found = [
            (name, f"{context.get('message')}: {context.get('exception')!r}") for name, context in self.errors
        ]
        for process in [self.test, *self.processes.values()]:
            tasks = process.incarnation.unheard() if process.is_up else []
            found += [
                (process.name, f"a task that nobody awaits failed: {_error_of(task)}") for task in tasks
            ]
        return found

    def _note(self, name: str, event: tuple[object, ...]) -> None:
        self.trace.add(self.loop.now_ns, name, event)

    def _uncaught(self, owner: Incarnation, context: dict[str, Any]) -> None:
        if self._is_closed or owner.is_dead:
            return
        error = context.get("exception")
        self.errors.append((owner.name, context))
        self._note(owner.name, UncaughtError(str(context.get("message")), type(error).__name__))
        log.error("%s: %s", owner.name, context.get("message"), exc_info=error)


class _Watcher:
    __slots__ = ("_predicate", "_reached")

    def __init__(self, predicate: Callable[[], bool], reached: asyncio.Future[None]) -> None:
        self._predicate = predicate
        self._reached = reached

    def look(self) -> None:
        if not self._reached.done() and self._predicate():
            self._reached.set_result(None)


async def _call(setup: Setup, process: Process) -> object:
    return await setup(process)


def _place_of(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    return f"{frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else "an unknown place"


def _error_of(task: asyncio.Task[Any]) -> str:
    """Return the error of a failed task in words; asking for it counts as having heard it."""
    return f"{task.get_name()}: {task.exception()!r}"


def _never(site: str) -> bool:
    del site
    return False


def _unseen(process: Process, disk: SimDisk) -> None:
    """Nobody looks into disks."""


def _nothing() -> None:
    """Only time had to pass."""
