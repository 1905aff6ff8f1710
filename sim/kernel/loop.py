"""A deterministic event loop on virtual time, shared by all processes of a world.

Within a process callbacks run first in, first out, exactly as asyncio promises. Between processes a keyed
draw decides: all that are ready at one instant take turns in an order that the seed and the instant fix.
Time moves only when nobody is ready. What happens never depends on how many callbacks a version of Python
needs.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context
from heapq import heapify, heappop, heappush
from inspect import currentframe
from typing import Any, TypeVar, TypeVarTuple

from .clock import NodeClock
from .draws import Draws, mix
from .errors import DeadlockError, EscapeError, TimeLimitError
from .fenced_loop import FencedLoop
from .generators import GeneratorHooks
from .incarnation import OWNER, Handle, Incarnation
from .tasks import CounterFuture, CounterTask, is_inner

__all__ = ["SimLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_SECOND_NS = 1_000_000_000
_MAX_PASSES = 1_000
_SPIN_NS = 10_000
_SPIN_MAX_NS = 1_000_000
_COLLECT_EVERY = 200_000
_EXECUTOR_MAX_NS = 1_000_000
_HAS_INNER = sys.version_info < (3, 12)

ErrorHook = Callable[[Incarnation, dict[str, Any]], None]

HeapEntry = tuple[int, int, int, Handle, int]
"""When, in world time; what orders those of one instant, twice; the callback, and the version of it that is meant."""


class SimLoop(FencedLoop):
    """The loop of one world.

    Parameters
    ----------
    draws
        Decides the order between processes.
    is_shuffled
        Also permute what is due at one instant *within* a process (the search mode).
    """

    def __init__(self, draws: Draws, *, is_shuffled: bool = False) -> None:
        self.now_ns = 0
        self.callbacks_run = 0
        self.draws = draws
        self._is_shuffled = is_shuffled
        self.heap: list[HeapEntry] = []
        """All timers, those that were cancelled lately among them."""
        self._sequence = 0
        self._queued: list[Incarnation] = []
        self._collect_at = _COLLECT_EVERY
        self._is_closed = False
        self._is_driven = False
        self._frozen: dict[NodeClock, list[Handle]] = {}
        self._owners: dict[NodeClock, Incarnation] = {}
        """The process that runs now on the machine of a clock."""
        self.kernel = Incarnation("kernel", 0, NodeClock(self), 0)
        self.current = self.kernel
        self.watchers: list[Callable[[], None]] = []
        self.on_error: ErrorHook = _ignore
        self._hooks = GeneratorHooks(self)

    # -- what asyncio and its users call

    def time(self) -> float:
        """Seconds of the running process's clock."""
        return self.current.clock.now() / _SECOND_NS

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        """Run a callback in the next pass of the process that the context belongs to."""
        if context is None:
            context = contextvars.copy_context()
        handle = Handle(context.get(OWNER, self.kernel), callback, args, context)
        self.enqueue(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        """The same as `call_soon`: there are no threads here."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Handle:
        """Run a callback after so many seconds of its process's clock."""
        if context is None:
            context = contextvars.copy_context()
        owner = context.get(OWNER, self.kernel)
        when_ns = owner.clock.now() + max(0, round(delay * _SECOND_NS))
        return self._arm(Handle(owner, callback, args, context, when_ns))

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Handle:
        """Run a callback when its process's clock shows `when` seconds."""
        if context is None:
            context = contextvars.copy_context()
        owner = context.get(OWNER, self.kernel)
        return self._arm(Handle(owner, callback, args, context, round(when * _SECOND_NS)))

    def create_future(self) -> CounterFuture[Any]:
        """Make a future that hashes as its number."""
        owner = self.current
        if _HAS_INNER and is_inner(currentframe()):
            owner.inner_made += 1
            return CounterFuture(loop=self, number=-owner.inner_made)
        owner.futures_made += 1
        return CounterFuture(loop=self, number=owner.futures_made)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: object = None,
        context: Context | None = None,
        eager_start: bool | None = None,
    ) -> CounterTask[T]:
        """Start a task of the process that the context belongs to. Never eager: 3.11 knows no such."""
        del eager_start
        if context is None:
            context = contextvars.copy_context()
        owner = context.get(OWNER, self.kernel)
        if _HAS_INNER and is_inner(currentframe()):
            owner.inner_made += 1
            number = -owner.inner_made
        else:
            owner.tasks_made += 1
            number = owner.tasks_made
        title = f"{owner.label}#{number}" if name is None else str(name)
        task = CounterTask(coro, loop=self, number=number, name=title, context=context)
        owner.keep(number, task)
        return task

    def set_task_factory(self, factory: Callable[..., Any] | None) -> None:
        """Refused but for None: every task here must hash as its number."""
        if factory is not None:
            raise EscapeError("loop.set_task_factory", "tasks of a simulated world are made by its loop")

    def get_task_factory(self) -> None:
        """Return None."""
        return

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run `func` inline, after a drawn time of at most a millisecond."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        owner = self.current
        delay_ns = self.draws.below("executor", owner.label, owner.futures_made, _EXECUTOR_MAX_NS)
        self.schedule(self.now_ns + delay_ns, owner, _run_inline, future, func, args)
        return future

    def set_default_executor(self, executor: Any) -> None:
        """Harmless: work runs inline."""
        del executor

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Harmless: work runs inline."""
        del timeout

    async def shutdown_asyncgens(self) -> None:
        """Close the running process's open generators, oldest first."""
        for reference in list(self.current.generators.values()):
            generator = reference()
            if generator is not None:
                await generator.aclose()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Hand an error that nobody caught to the world."""
        self.on_error(self.current, context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """The same: there is one way."""
        self.call_exception_handler(context)

    def set_exception_handler(self, handler: Callable[..., object] | None) -> None:
        """Ignored: the world hears every error."""
        del handler

    def get_exception_handler(self) -> None:
        """Return None."""
        return

    def get_debug(self) -> bool:
        """Always False: debug mode adds callbacks."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Ignored."""
        del enabled

    def is_running(self) -> bool:
        """Whether the world steps now."""
        return self._is_driven

    def is_closed(self) -> bool:
        """Whether the world has ended."""
        return self._is_closed

    def close(self) -> None:
        """End: nothing runs any more."""
        self._is_closed = True
        self.heap.clear()
        self._queued.clear()

    # -- what the world, its clocks and its network call

    def timer_at(
        self, clock: NodeClock, when_ns: int, callback: Callable[..., object], args: tuple[object, ...]
    ) -> Handle:
        """Run a callback in the process whose clock this is, whoever calls."""
        owner = self.current
        if owner.clock is clock:
            context = contextvars.copy_context()
        else:
            owner = self._owners.get(clock, self.kernel)
            context = owner.context.copy()
        return self._arm(Handle(owner, callback, args, context, when_ns))

    def schedule(
        self, when_ns: int, owner: Incarnation, callback: Callable[..., object], *args: object, tie: int = 0
    ) -> Handle:
        """Run a callback of a process at a *world* time; `tie` orders what is due at one instant."""
        handle = Handle(owner, callback, args, owner.context)
        self._sequence += 1
        heappush(self.heap, (when_ns, tie, self._sequence, handle, 0))
        return handle

    def enqueue(self, handle: Handle) -> None:
        """Append a callback to its process's queue."""
        owner = handle.owner
        if owner.is_dead or self._is_closed:
            return
        owner.ready.append(handle)
        if not owner.is_queued and not owner.is_held:
            owner.is_queued = True
            self._queued.append(owner)

    def run_on(self, clock: NodeClock, owner: Incarnation) -> None:
        """Timers of a clock are those of this incarnation from now on, whoever sets them."""
        self._owners[clock] = owner

    def release(self, owner: Incarnation) -> None:
        """Let a held process run again."""
        owner.is_held = False
        if owner.ready and not owner.is_queued and not owner.is_dead:
            owner.is_queued = True
            self._queued.append(owner)

    def rearm(self, clock: NodeClock) -> None:
        """Move all timers of a clock that was changed."""
        moved: list[Handle] = []
        for _, _, _, handle, version in self.heap:
            if handle.local_ns >= 0 and handle.owner.clock is clock and version == handle.version:
                moved.append(handle)
        moved.extend(self._frozen.pop(clock, []))
        moved = [handle for handle in moved if not handle.is_done]
        for handle in moved:
            handle.version += 1
            self._arm(handle)
        self.heap = [entry for entry in self.heap if entry[4] == entry[3].version]
        heapify(self.heap)

    def _arm(self, handle: Handle) -> Handle:
        clock = handle.owner.clock
        when_ns = clock.world_ns_of(handle.local_ns)
        if when_ns is None:
            self._frozen.setdefault(clock, []).append(handle)
            return handle
        self._sequence += 1
        tie = 0
        if self._is_shuffled:
            handle.owner.timers_made += 1
            tie = mix(handle.owner.turn_key, handle.owner.timers_made)
        if when_ns < self.now_ns:
            when_ns = self.now_ns
        heappush(self.heap, (when_ns, tie, self._sequence, handle, handle.version))
        return handle

    # -- driving

    def drive(self, is_done: Callable[[], bool], limit_ns: int | None) -> None:
        """Step until `is_done`; raises `DeadlockError` or `TimeLimitError`."""
        outer = events._get_running_loop()
        outer_hooks = sys.get_asyncgen_hooks()
        was_collecting = gc.isenabled()
        events._set_running_loop(None)
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=self._hooks.first_iteration, finalizer=self._hooks.finalize)
        gc.disable()
        self._is_driven = True
        try:
            while not is_done():
                self._step(limit_ns)
        finally:
            self._is_driven = False
            self.current = self.kernel
            sys.set_asyncgen_hooks(*outer_hooks)
            events._set_running_loop(outer)
            if was_collecting:
                gc.enable()

    def _step(self, limit_ns: int | None) -> None:
        """Work off one instant, or one round of it."""
        if not self._queued:
            self._advance(limit_ns)
        heap = self.heap
        if heap and heap[0][0] <= self.now_ns:
            self._take_due(heap, self.now_ns)
        queued = self._queued
        if queued:
            self._queued = []
            if len(queued) > 1:
                now_ns = self.now_ns
                queued.sort(key=lambda owner: mix(owner.turn_key, now_ns))
            for owner in queued:
                self._run(owner)
            self.current = self.kernel
        if self.watchers:
            for watcher in list(self.watchers):
                watcher()
        if self.callbacks_run >= self._collect_at:
            self._collect_at = self.callbacks_run + _COLLECT_EVERY
            gc.collect(1)

    def _advance(self, limit_ns: int | None) -> None:
        """Move time to the next thing due."""
        heap = self.heap
        while heap:
            when_ns, _, _, handle, version = heap[0]
            if not handle.is_done and version == handle.version and not handle.owner.is_dead:
                if limit_ns is None or when_ns <= limit_ns:
                    self.now_ns = when_ns
                    return
                self.now_ns = max(self.now_ns, limit_ns)
                raise TimeLimitError(f"not done after {limit_ns / _SECOND_NS:g} virtual seconds")
            heappop(heap)
        raise DeadlockError(f"at {self.now_ns / _SECOND_NS:.6f} s nothing is left that could ever happen")

    def _take_due(self, heap: list[HeapEntry], now_ns: int) -> None:
        """Queue what is due; the network's own events run here, at their instant, paused processes or not."""
        kernel, enqueue = self.kernel, self.enqueue
        while heap and heap[0][0] <= now_ns:
            _, _, _, handle, version = heappop(heap)
            if handle.is_done or version != handle.version:
                continue
            if handle.owner is kernel:
                handle.callback(*handle.arguments)
            else:
                enqueue(handle)

    def _run(self, owner: Incarnation) -> None:
        """Run a process until it waits, pass by pass as asyncio does. It counts as queued meanwhile."""
        self.current = owner
        if owner.instant_ns != self.now_ns:
            owner.instant_ns = self.now_ns
            owner.passes = _MAX_PASSES if owner.spin_ns else 0
        ready, is_shuffled = owner.ready, self._is_shuffled
        while ready and not owner.is_held:
            owner.passes += 1
            if is_shuffled:
                self._shuffle(owner)
            self._run_pass(owner, ready)
            if owner.passes >= _MAX_PASSES and ready:
                self._slow_down(owner)
                return
        owner.spin_ns = 0
        owner.is_queued = False

    def _run_pass(self, owner: Incarnation, ready: deque[Handle]) -> None:
        count = len(ready)
        self.callbacks_run += count
        for _ in range(count):
            handle = ready.popleft()
            if not handle.is_done:
                handle.is_done = True
                try:
                    handle.context.run(handle.callback, *handle.arguments)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # the boundary of a process: its errors are not the world's
                    self.call_exception_handler({"message": "a callback failed", "exception": error})
                if not ready or owner.is_held:  # it may have crashed or held its own process
                    return

    def _slow_down(self, owner: Incarnation) -> None:
        """Charge time for each pass of a process that spins (``await sleep(0)``), so the world goes on."""
        owner.spin_ns = min(_SPIN_MAX_NS, max(_SPIN_NS, 2 * owner.spin_ns))
        self.schedule(self.now_ns + owner.spin_ns, self.kernel, self._speed_up, owner)

    def _speed_up(self, owner: Incarnation) -> None:
        owner.is_queued = False
        if not owner.is_held:
            self.release(owner)

    def _shuffle(self, owner: Incarnation) -> None:
        """Permute the waiting task steps of a pass among themselves; plain callbacks keep their places."""
        ready = owner.ready
        places = [index for index, handle in enumerate(ready) if _is_task_step(handle)]
        if len(places) < 2:
            return
        key = mix(mix(owner.turn_key, self.now_ns), owner.passes)
        order = sorted(range(len(places)), key=lambda index: mix(key, index))
        steps = [ready[place] for place in places]
        for place, index in zip(places, order, strict=True):
            ready[place] = steps[index]


def _is_task_step(handle: Handle) -> bool:
    return isinstance(getattr(handle.callback, "__self__", None), asyncio.Task) or (
        type(handle.callback).__name__ == "TaskStepMethWrapper"
    )


def _run_inline(future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[object, ...]) -> None:
    if future.done():
        return
    try:
        result = func(*args)
    except Exception as error:  # the boundary of an executor: the error is the caller's
        future.set_exception(error)
    else:
        future.set_result(result)


def _ignore(owner: Incarnation, context: dict[str, Any]) -> None:
    del owner, context
