"""A process of a world: a name, a machine, and one incarnation after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol, TypeVar

from casty.ports import EventSink, Runtime, Storage
from casty.runtime import use
from casty.storage import MemoryStorage

from ..kernel.clock import NodeClock
from ..kernel.draws import Draws, Entropy
from ..kernel.errors import CrashedError
from ..kernel.events import ClockChanged
from ..kernel.incarnation import Incarnation
from ..kernel.loop import SimLoop
from ..kernel.trace import Trace
from ..net.dialing import SimTransport
from ..net.network import Network
from .disk import SimDevice, SimDisk

__all__ = ["Claimed", "Process", "Setup"]

T = TypeVar("T")

Setup = Callable[["Process"], Awaitable[object]]
"""Starts what the process runs, in its context, and returns it (kept as `Process.value`)."""

Claimed = dict[tuple[str, str], None]
"""Nodes that a process without a protocol linked with, each with the name that it gave there."""

MEMORY_BYTES = 1 << 33
LOOK_UP_S = 0.002

_DAY_NS = 86_400_000_000_000


class Surroundings(Protocol):
    """What a process needs of the world that it lives in."""

    loop: SimLoop
    draws: Draws
    network: Network
    trace: Trace
    wall_s: int
    """Civil time at the beginning, in seconds since the start of 2025."""
    on_disk: Callable[[Process, SimDisk], None]
    """Told of a process that opens its disk."""

    def buggify_of(self, name: str) -> Callable[[str], bool]:
        """Return what says whether a process takes a rare path."""
        ...


class Process:
    """What the test holds of a node or client.

    Parameters
    ----------
    world
        Where it lives.
    name
        Its name, its machine's name and, at first, its node id.
    setup
        Starts it; called again at each restart.
    storage
        Makes the storage port of a new incarnation out of this handle; None: memory.

    Attributes
    ----------
    node_id
        Stays the same through a restart with the same identity.
    value
        What `setup` returned in this incarnation.
    disk
        What its data directory has, between incarnations too; None before it has one, or when it is lost.
    is_up, is_paused
        Its state.
    memory_bytes
        What it may use, from its next start on.
    """

    def __init__(
        self,
        world: Surroundings,
        name: str,
        setup: Setup | None,
        storage: Callable[[Process], Storage] | None = None,
    ) -> None:
        self.world = world
        self.name = name
        self.node_id = name
        self.setup = setup
        self.value: object = None
        self.disk: object = None
        self.is_up = False
        self.is_paused = False
        self.starts = 0
        self.started_ns = 0
        """When it was started last, by the world's time."""
        self.is_retired = False
        """It went for good: nobody starts it again."""
        self.memory_bytes = MEMORY_BYTES
        self._storage = storage
        self._waiting: list[asyncio.Future[Any]] = []
        # A day more than drawn: a clock may be stepped back by hours and still never shows less than 0.
        offset_ns = _DAY_NS + world.draws.below("clock", name, 0, _DAY_NS)
        self.clock = NodeClock(world.loop, offset_ns=offset_ns, wall_s=world.wall_s)
        self.clock.on_change = self._clock_changed
        self.incarnation: Incarnation
        self.runtime: Runtime

    def __repr__(self) -> str:
        return f"<process {self.name}>"

    def boot(self) -> None:
        """Begin a new incarnation, with new ports."""
        world = self.world
        label = f"{self.name}/{self.starts}"
        incarnation = Incarnation(self.name, self.starts, self.clock, world.draws.key("turn", label))
        self.starts += 1
        self.started_ns = world.loop.now_ns
        self.incarnation = incarnation
        world.loop.run_on(self.clock, incarnation)
        event_sink = EventSink()
        event_sink.subscribe(self._observed)
        self.runtime = Runtime(
            clock=self.clock,
            entropy=Entropy(world.draws, label),
            transport=SimTransport(world.network, incarnation, self.name),
            storage=self._storage(self) if self._storage else MemoryStorage(),
            observe=event_sink,
            memory_bytes=self.memory_bytes,
            device=self._device,
            resolve=self._resolve,
            outward=self._outward,
            buggify=world.buggify_of(self.name),
        )
        incarnation.context.run(use, self.runtime)
        self.is_up, self.is_paused = True, False
        world.network.power_on(self.name)

    async def _resolve(self, name: str) -> list[str]:
        """Look a name up, which takes a moment."""
        await self.clock.sleep(LOOK_UP_S)
        return self.world.network.addresses(self.name, name)

    async def _outward(self, host: str | None) -> str:
        """Return under which name others see this machine."""
        del host
        return self.name

    def _device(self, path: str) -> SimDevice:
        """Return the port to the machine's disk; a machine has one, whatever it is called."""
        del path
        world = self.world
        if not isinstance(self.disk, SimDisk):
            self.disk = SimDisk()
        opened = partial(world.on_disk, self, self.disk)
        return SimDevice(self.disk, self.clock, world.draws, self.name, self.incarnation.label, opened)

    def _observed(self, event: tuple[object, ...]) -> None:
        self.world.trace.add(self.world.loop.now_ns, self.name, event)

    def _clock_changed(self, how: str, amount: int) -> None:
        self._observed(ClockChanged(how, amount))

    def spawn(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a coroutine as a task of this process."""
        if not self.is_up:
            coro.close()
            raise CrashedError(f"{self.name} is not running")
        return self.world.loop.create_task(coro, context=self.incarnation.context.copy())

    async def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in this process and return its result; `CrashedError` when it ends first."""
        task = self.spawn(coro)
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(outcome)
        task.add_done_callback(lambda done: _pass_on(done, outcome))
        is_cancelled = False
        try:
            while not outcome.done():
                try:
                    await asyncio.wait([outcome])
                except asyncio.CancelledError:
                    # As with a plain await: the work hears of it, cleans up, and only then is the wait over.
                    is_cancelled = True
                    task.cancel()
        finally:
            self._waiting = [waiting for waiting in self._waiting if waiting is not outcome]
        if is_cancelled and not outcome.cancelled() and isinstance(outcome.exception(), CrashedError):
            raise asyncio.CancelledError
        return outcome.result()

    def end(self, *, is_silent: bool) -> None:
        """End the incarnation: not a line of it runs any more."""
        if not self.is_up:
            return
        self.is_up = self.is_paused = False
        self.value = None
        incarnation = self.incarnation
        incarnation.die()
        self.world.network.drop_process(incarnation, is_silent=is_silent)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(CrashedError(f"{self.name} crashed"))

    def hold(self) -> None:
        """Stop running, as SIGSTOP does; the world goes on."""
        self.is_paused = self.incarnation.is_held = self.is_up

    def go_on(self) -> None:
        """Run again, first what has queued up."""
        if self.is_paused:
            self.is_paused = False
            self.world.loop.release(self.incarnation)


def _pass_on(done: asyncio.Task[T], outcome: asyncio.Future[T]) -> None:
    if outcome.done():
        return
    error = None if done.cancelled() else done.exception()
    if done.cancelled():
        outcome.cancel()
    elif error is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(done.result())
