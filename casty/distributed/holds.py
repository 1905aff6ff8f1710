"""What the client sides of lock and semaphore share: holds, their loss, and taking turns within one instance.

A hold belongs to the instance that acquired it: whichever task runs, a `release()` of the instance, the end of the
``async with`` that acquired it, or its loss ends it. `release()` gives back the latest grant that the running task
acquired itself, else the smallest of the instance. So it never gives back more than its caller had, also where the
caller's own grant cannot be told because another task acquired it (`asyncio.wait_for` before 3.12, `create_task`,
a fixture): taking the smallest of what is held, and any one of what is used, leaves no use without its grant. Which
task runs is looked at for two courtesies besides, and decides about no hold: a task that would wait for itself is
told so, and the late release of a task that lost its hold does not mean another's.

A hold that is seen invalid, or reported lost, is over at that moment and for good, whichever comes first. The
task inside an ``async with`` is cancelled; its `__aexit__` turns that one cancellation into `LockLost` and
leaves any other alone, as `asyncio.timeout` does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import NamedTuple, Protocol
from weakref import ReferenceType, WeakKeyDictionary, ref

from casty import runtime
from casty.distributed.port import LOST_DESTROYED, LOST_EXPIRED, Grant
from casty.errors import LockLost, SessionExpired

__all__ = ["Hold", "Holds", "LocalFifo", "hold_lost"]

SECOND_NS = 1_000_000_000

Task = asyncio.Task[object]


class Hold:
    """One grant of an instance."""

    __slots__ = (
        "_cancelling", "_endings", "_is_interrupted", "_watched", "amount", "grant", "is_seen", "number",
        "reason", "task",
    )  # fmt: skip

    def __init__(self, grant: Grant, task: Task | None, amount: int, number: int) -> None:
        self.grant = grant
        self.task = task
        """The task that ran when it was acquired; not its owner."""
        self.amount = amount
        self.number = number
        """Counts the instance's grants."""
        self.reason: str | None = None
        """Why it was lost; None while it was not."""
        self.is_seen = False
        """Whether its user was told that it is held."""
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
            # Left by another task than entered it, its cancellation is none of ours.
            return count > self._cancelling or task is not asyncio.current_task()
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


class _Missed(NamedTuple):
    """How many holds a task lost and has not given back since, and the last grant before the latest loss."""

    times: int
    number: int


class Owner(Protocol):
    """The instance that holds."""

    def hold_ended(self) -> None:
        """A hold of this instance ended, by release or by loss."""


class Holds:
    """The holds of one client instance.

    Parameters
    ----------
    owner
        The instance, which is told when a hold ended. It is not kept alive: dropping one that holds something is
        noticed, see `Holder`.
    """

    __slots__ = (
        "__weakref__", "_by_amount", "_by_task", "_entered", "_loop", "_missed", "_number", "_owner", "_ref",
        "by_token", "latest",
    )  # fmt: skip

    def __init__(self, owner: Owner) -> None:
        self._owner = ref(owner)
        self._ref: ReferenceType[Holds] = ref(self)
        self._number = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the holds were acquired: nothing is changed elsewhere. None before the first."""
        self.by_token: dict[int, Hold] = {}
        """By token, oldest first; each is in the next two as well, and in neither when it ended."""
        self._by_task: dict[Task | None, dict[int, Hold]] = {}
        self._by_amount: dict[int, dict[int, Hold]] = {}
        self.latest: Hold | None = None
        """What was granted last, lost or not; None once it was given back."""
        self._entered: dict[Task, list[Hold]] = {}
        """Under which a task entered an ``async with``, the innermost last."""
        # Weak: tasks end without asking.
        self._missed: WeakKeyDictionary[Task, _Missed] = WeakKeyDictionary()

    def begin(self, grant: Grant, amount: int) -> Hold:
        """Record what was just granted."""
        self._number += 1
        self._loop = asyncio.get_running_loop()
        task, token = asyncio.current_task(), grant.token
        hold = Hold(grant, task, amount, self._number)
        self.by_token[token] = self.latest = hold
        if task in self._by_task:
            self._by_task[task][token] = hold
        else:
            self._by_task[task] = {token: hold}
        if amount in self._by_amount:
            self._by_amount[amount][token] = hold
        else:
            self._by_amount[amount] = {token: hold}
        grant.lost.add_done_callback(partial(_on_lost, self._ref, hold))
        return hold

    def _drop(self, hold: Hold) -> None:
        token = hold.grant.token
        del self.by_token[token]
        of_task, of_amount = self._by_task[hold.task], self._by_amount[hold.amount]
        del of_task[token]
        if not of_task:
            del self._by_task[hold.task]
        del of_amount[token]
        if not of_amount:
            del self._by_amount[hold.amount]

    def is_elsewhere(self) -> bool:
        """Whether another thread or loop asks, in which nothing of the holds may change."""
        try:
            return self._loop is not None and asyncio.get_running_loop() is not self._loop
        except RuntimeError:
            return True

    def is_any_valid(self) -> bool:
        """Whether anything is held. Changes nothing, so any thread may ask; the loop sees a loss by itself."""
        return any(hold.grant.is_valid for hold in list(self.by_token.values()))

    def oldest(self) -> Hold | None:
        """Return the oldest hold that is still good."""
        while self.by_token:
            hold = next(iter(self.by_token.values()))
            if self.is_good(hold):
                return hold
        return None

    def is_held(self) -> bool:
        """Whether anything is held, as its user asks: whoever saw a hold, and then its loss, knows of it."""
        if self.is_elsewhere():
            return self.is_any_valid()
        hold = self.oldest()
        if hold is not None:
            hold.is_seen = True
        elif self.latest and self.latest.is_seen:
            self.drop_lost()
        return hold is not None

    def of(self, task: Task | None) -> Hold | None:
        """Return the latest hold that was acquired while this task ran and is still good."""
        while self._by_task.get(task):
            hold = next(reversed(self._by_task[task].values()))
            if self.is_good(hold):
                return hold
        return None

    def _smallest(self) -> Hold | None:
        """Return the oldest of the smallest holds that are still good."""
        while self._by_amount:
            hold = next(iter(self._by_amount[min(self._by_amount)].values()))
            if self.is_good(hold):
                return hold
        return None

    def is_good(self, hold: Hold) -> bool:
        """Whether it has neither ended nor become invalid. Seeing it invalid ends it."""
        if self.by_token.get(hold.grant.token) is not hold:
            return False
        if hold.grant.is_valid:
            return True
        lost = hold.grant.lost
        self.lose(hold, lost.result() if lost.done() else LOST_EXPIRED)
        return False

    def meant(self) -> Hold | None:
        """Return the hold that a release by the running task means, None where there is none.

        Nothing, once, for each hold that the task lost: it means that one, and not what another has by now. What
        a task that has ended acquired since then is nobody else's, so the release means it.
        """
        task = asyncio.current_task()
        hold = self.of(task)
        if hold is not None:
            return hold
        hold = self._smallest()
        missed = None if task is None else self._missed.get(task)
        if missed is not None:
            self.forgive(task)
            is_others = hold is None or hold.number <= missed.number or not _has_ended(hold.task)
            hold = None if is_others else hold
        if hold is None:
            self.drop_lost()
        return hold

    def drop_lost(self) -> None:
        """What was granted last, and lost, is given back as far as its user is concerned."""
        if self.latest is not None and self.latest.reason is not None:
            self.latest = None

    def end(self, hold: Hold) -> None:
        """The instance gives it up."""
        self._drop(hold)
        if self.latest is hold:
            self.latest = None
        hold.finish(False)
        self._ended()

    def enter(self, hold: Hold) -> None:
        """The present task's body begins under this hold."""
        task = asyncio.current_task()
        assert task is not None, "coroutines run in tasks"
        hold.watch(task)
        self._entered.setdefault(task, []).append(hold)

    def leave(self) -> Hold | None:
        """A body ended; return its hold: the innermost of this task, else of one that cannot leave it itself."""
        task = asyncio.current_task()
        if task not in self._entered:
            others = list(self._entered)[::-1]
            task = next((other for other in others if other.done()), others[0] if others else None)
        if task is None:
            return None
        entered = self._entered[task]
        hold = entered.pop()
        if not entered:
            del self._entered[task]
        return hold

    def forgive(self, task: Task | None) -> None:
        """Forget one hold that the task lost."""
        missed = None if task is None else self._missed.pop(task, None)
        if task is not None and missed is not None and missed.times > 1:
            self._missed[task] = _Missed(missed.times - 1, missed.number)

    def lose(self, hold: Hold, reason: str) -> None:
        """A hold ended early."""
        if self.by_token.get(hold.grant.token) is not hold:
            return
        self._drop(hold)
        if hold.task is not None:
            missed = self._missed.get(hold.task)
            self._missed[hold.task] = _Missed(1 if missed is None else missed.times + 1, self._number)
        hold.lose(reason)
        self._ended()

    def _ended(self) -> None:
        if (owner := self._owner()) is not None:
            owner.hold_ended()


def _on_lost(holds: ReferenceType[Holds], hold: Hold, lost: asyncio.Future[str]) -> None:
    """The gateway said that a hold was lost."""
    if (known := holds()) is not None:
        known.lose(hold, lost.result())


def _has_ended(task: Task | None) -> bool:
    return task is None or task.done()


class LocalFifo:
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
