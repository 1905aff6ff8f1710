"""What the client sides of lock and semaphore share: holds, their loss, and taking turns within one instance.

A hold that is seen invalid, or reported lost, is over at that moment and for good, whichever comes first. The
task inside an ``async with`` is cancelled; its `__aexit__` turns that one cancellation into `LockLost` and
leaves any other alone, as `asyncio.timeout` does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

from casty import runtime
from casty.distributed.port import LOST_DESTROYED, LOST_EXPIRED, Grant
from casty.errors import LockLost, SessionExpired

__all__ = ["Hold", "Holds", "Turns", "hold_lost"]

SECOND_NS = 1_000_000_000

Task = asyncio.Task[object]


class Hold:
    """One grant in the hands of one task."""

    __slots__ = ("_cancelling", "_endings", "_is_interrupted", "_watched", "grant", "reason", "task")

    def __init__(self, grant: Grant, task: Task | None) -> None:
        self.grant = grant
        self.task = task
        self.reason: str | None = None
        """Why it was lost; None while it was not."""
        self._endings: list[asyncio.Future[bool]] = []
        # The task whose body runs under this hold, and how many cancellations it had when the body began.
        self._watched: Task | None = None
        self._cancelling = 0
        self._is_interrupted = False

    def watch(self, task: Task | None) -> None:
        """Cancel this task when the hold is lost, until `unwatch`."""
        self._watched = task
        self._cancelling = 0 if task is None else task.cancelling()
        if self.reason is not None:
            self._interrupt_soon()

    def lose(self, reason: str) -> None:
        """It ended early."""
        self.reason = reason
        self.finish(True)
        if self._watched is not None:
            self._interrupt_soon()

    def finish(self, is_lost: bool) -> None:
        """It ended: tell those who wait for that."""
        for ending in self._endings:
            if not ending.done():
                ending.set_result(is_lost)
        self._endings.clear()

    async def wait_end(self) -> bool:
        """Wait for the end, and return whether it was a loss."""
        ending: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._endings.append(ending)
        try:
            return await ending
        finally:
            if ending in self._endings:
                self._endings.remove(ending)

    def _interrupt_soon(self) -> None:
        # Never at once: the loss may be noticed by the body's own task, and a running task that cancels
        # itself carries the cancellation out of the body if that ends without another await.
        asyncio.get_running_loop().call_soon(self._interrupt)

    def _interrupt(self) -> None:
        if self._watched is not None and not self._is_interrupted:
            self._is_interrupted = True
            self._watched.cancel(self.reason)

    def unwatch(self, error: BaseException | None) -> bool:
        """End the watch; return whether `error` is a cancellation from outside, not for us to take."""
        task, self._watched = self._watched, None
        count = 0
        if task is not None:
            count = task.uncancel() if self._is_interrupted else task.cancelling()
        if isinstance(error, asyncio.CancelledError):
            return count > self._cancelling
        return error is not None and not isinstance(error, Exception)


def hold_lost(what: str, reason: str, error: BaseException | None = None) -> LockLost:
    """Return the error of a hold that ended early; `error` is what the body under it raised itself."""
    lost = LockLost(f"{what}: the hold ended before it was released: {reason}")
    own = error if isinstance(error, Exception) else None
    if reason == LOST_DESTROYED:
        lost.__cause__ = own
    else:
        lost.__cause__ = SessionExpired(reason)
        lost.__cause__.__cause__ = own
    return lost


class Holds:
    """The holds of one client instance, oldest first."""

    __slots__ = ("_entered", "_holds", "_missing", "_on_end")

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._holds: dict[int, Hold] = {}
        # The holds under which a task is inside ``async with``, the innermost last.
        self._entered: dict[Task, list[Hold]] = {}
        # How many holds of a task ended without its doing, and it does not know yet. Weak: tasks end without
        # asking.
        self._missing: WeakKeyDictionary[Task, int] = WeakKeyDictionary()

    def begin(self, grant: Grant) -> Hold:
        """Record what was just granted to this task."""
        hold = Hold(grant, asyncio.current_task())
        self._holds[grant.token] = hold
        grant.lost.add_done_callback(lambda lost: self._lost(hold, lost.result()))
        return hold

    def oldest(self) -> Hold | None:
        """Return the oldest hold that is still good."""
        for hold in list(self._holds.values()):
            if self.is_good(hold):
                return hold
        return None

    def of(self, task: Task | None) -> Hold | None:
        """Return the latest hold of a task that is still good."""
        for hold in list(self._holds.values())[::-1]:
            if hold.task is task and self.is_good(hold):
                return hold
        return None

    def is_good(self, hold: Hold) -> bool:
        """Whether it has neither ended nor become invalid. Seeing it invalid ends it."""
        if self._holds.get(hold.grant.token) is not hold:
            return False
        if hold.grant.is_valid:
            return True
        lost = hold.grant.lost
        self._lost(hold, lost.result() if lost.done() else LOST_EXPIRED)
        return False

    def meant(self, task: Task | None) -> Hold | None:
        """Return the hold that a release by this task means: its latest, else the oldest.

        Nothing, once, for each hold that the task lost: it means that one, and not what another has by now.
        """
        hold = self.of(task)
        if hold is None and self.forgive(task):
            return None
        return hold or self.oldest()

    def end(self, hold: Hold) -> None:
        """Its owner gives it up."""
        del self._holds[hold.grant.token]
        hold.finish(False)
        self._on_end()

    def enter(self, hold: Hold) -> None:
        """The present task's body begins under this hold."""
        task = asyncio.current_task()
        assert task is not None, "coroutines run in tasks"
        hold.watch(task)
        self._entered.setdefault(task, []).append(hold)

    def leave(self) -> Hold | None:
        """The present task's innermost body ended; return its hold."""
        task = asyncio.current_task()
        assert task is not None, "coroutines run in tasks"
        entered = self._entered.get(task)
        if not entered:
            return None
        hold = entered.pop()
        if not entered:
            del self._entered[task]
        return hold

    def miss(self, task: Task | None) -> None:
        """Remember that a hold of this task ended without its doing."""
        if task is not None:
            self._missing[task] = self._missing.get(task, 0) + 1

    def forgive(self, task: Task | None) -> bool:
        """Forget one hold that the task missed; whether there was one."""
        if task is None:
            return False
        count = self._missing.pop(task, 0)
        if count > 1:
            self._missing[task] = count - 1
        return count > 0

    def _lost(self, hold: Hold, reason: str) -> None:
        if self._holds.get(hold.grant.token) is not hold:
            return
        del self._holds[hold.grant.token]
        self.miss(hold.task)
        hold.lose(reason)
        self._on_end()


class Turns:
    """Lets the tasks that share an instance go one after the other, in the order they came."""

    __slots__ = ("_clock", "_is_taken", "_waiting", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._clock = runtime.current().clock
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take the turn if it is free. It never is while somebody waits: it is passed on, not put back."""
        if self._is_taken:
            return False
        self._is_taken = True
        return True

    async def wait(self, timeout_s: float | None) -> float | None:
        """Wait for the turn, and return what is left of the timeout; `TimeoutError` when nothing is."""
        clock = self._clock
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        until_ns = 0 if timeout_s is None else clock.now() + int(timeout_s * SECOND_NS)
        timer = None if timeout_s is None else clock.call_at(until_ns, self._expire, turn, timeout_s)
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            self._leave(turn)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return None if timeout_s is None else max(0.0, (until_ns - clock.now()) / SECOND_NS)

    def _leave(self, turn: asyncio.Future[None]) -> None:
        """A waiter gives up. Given the turn at the same moment, it owes it to the next."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            self.pass_on()

    def _expire(self, turn: asyncio.Future[None], timeout_s: float) -> None:
        if not turn.done():
            turn.set_exception(
                TimeoutError(
                    f"{self._what}: other tasks that share this instance kept it for all of {timeout_s} s"
                )
            )

    def pass_on(self) -> None:
        """Give the turn to the first who waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
