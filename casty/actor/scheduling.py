"""Messages that are sent later, once or again and again, by key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from casty.actor.holding import Done, hold
from casty.actor.ref import ActorRef
from casty.checks import check_seconds, shown
from casty.complaint import Complaint
from casty.config import SECOND_NS
from casty.errors import CastyError, Overloaded
from casty.ports import Clock, Runtime, Timer

__all__ = [
    "CancelSchedule", "ScheduleOnce", "ScheduleTick", "Scheduled", "Scheduler", "SchedulerMessage", "Schedules",
    "check_interval",
]  # fmt: skip

M = TypeVar("M")

LEAST_INTERVAL_S = 0.001
"""Of ticks; what is to happen more often is no matter of a timer."""


@dataclass(frozen=True)
class ScheduleTick(Generic[M]):
    """Tell `target` the message every `interval` seconds, the first time after one interval.

    A key that is scheduled already is scheduled anew. Ticks that a pause of the process made late are left out: there
    is one, and then the next at its time. It ends with the target, where that is an actor of the same process.

    Raises
    ------
    TypeError, ValueError
        `interval` is no number of seconds, or shorter than a millisecond; `target` is no ref; `key` is not hashable.
    """

    key: Hashable
    target: ActorRef[M]
    message: M
    interval: float

    def __post_init__(self) -> None:
        _check(self.key, self.target)
        check_interval(self.interval)


@dataclass(frozen=True)
class ScheduleOnce(Generic[M]):
    """Tell `target` the message in `delay` seconds. A key that is scheduled already is scheduled anew.

    Raises
    ------
    TypeError, ValueError
        `delay` is no number of seconds; `target` is no ref; `key` is not hashable.
    """

    key: Hashable
    target: ActorRef[M]
    message: M
    delay: float

    def __post_init__(self) -> None:
        _check(self.key, self.target)
        check_seconds(self.delay, "delay")


@dataclass(frozen=True)
class CancelSchedule:
    """Send nothing more for this key; harmless when there is nothing."""

    key: Hashable


SchedulerMessage = ScheduleTick[Any] | ScheduleOnce[Any] | CancelSchedule


def check_interval(interval_s: float) -> None:
    """Raise `TypeError` or `ValueError` unless ticks may come so often."""
    check_seconds(interval_s, "interval")
    if interval_s < LEAST_INTERVAL_S:
        raise ValueError(f"interval: expected at least {LEAST_INTERVAL_S} seconds, found {shown(interval_s)}")


def _check(key: object, target: object) -> None:
    if not isinstance(key, Hashable):
        raise TypeError(f"key: expected something that can be hashed, found {shown(key)}")
    if not callable(getattr(target, "tell", None)):
        raise TypeError(f"target: expected a ref, found {shown(target)}")


class Schedules:
    """Timers by key.

    Parameters
    ----------
    clock
        Whose time counts.

    Bounds: `_timers` has a row per key under which something is to happen; it goes when that happened the last time.
    """

    __slots__ = ("_clock", "_timers")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: dict[Hashable, Timer] = {}

    def once(self, key: Hashable, delay_s: float, act: Callable[[], object]) -> None:
        """Call `act` in so many seconds."""
        self.cancel(key)
        self._timers[key] = self._clock.call_at(self._after(delay_s), self._act, key, act)

    def every(self, key: Hashable, interval_s: float, act: Callable[[], bool]) -> None:
        """Call `act` again and again, until it returns False."""
        self.cancel(key)
        interval_ns = int(interval_s * SECOND_NS)
        self._arm(key, self._after(interval_s), interval_ns, act)

    def cancel(self, key: Hashable) -> None:
        """Forget what is to happen under a key."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def cancel_all(self) -> None:
        """Forget everything."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _after(self, seconds: float) -> int:
        return self._clock.now() + int(seconds * SECOND_NS)

    def _act(self, key: Hashable, act: Callable[[], object]) -> None:
        del self._timers[key]
        act()

    def _arm(self, key: Hashable, when_ns: int, interval_ns: int, act: Callable[[], bool]) -> None:
        self._timers[key] = self._clock.call_at(when_ns, self._tick, key, when_ns, interval_ns, act)

    def _tick(self, key: Hashable, when_ns: int, interval_ns: int, act: Callable[[], bool]) -> None:
        del self._timers[key]
        if act() and key not in self._timers:  # it may have scheduled the key anew
            late_ns = max(0, self._clock.now() - when_ns)
            self._arm(key, when_ns + interval_ns * (1 + late_ns // interval_ns), interval_ns, act)


class Scheduled:
    """What was scheduled under a key, until the key is used again."""

    __slots__ = ("_key", "_schedules")

    def __init__(self, schedules: Schedules, key: Hashable) -> None:
        self._schedules = schedules
        self._key = key

    def cancel(self) -> None:
        """Send nothing more; harmless when nothing is left. A message that is in the mailbox already is handled."""
        hold(Done(partial(self._schedules.cancel, self._key)))


class Sender(Protocol):
    """The system that tells what is due; see `LocalSystem`."""

    runtime: Runtime
    failures: Complaint
    is_stopping: bool

    def is_gone(self, ref: ActorRef[Any]) -> bool:
        """Whether nobody takes its messages here any more."""
        ...

    def dead_letter(
        self, message: object, ref: ActorRef[Any], reason: str, *, kind: type[CastyError] = CastyError
    ) -> None:
        """Make a dead letter of a message."""
        ...


class Scheduler:
    """Takes the messages of a scheduler.

    Parameters
    ----------
    core
        The system in which it is.
    """

    __slots__ = ("_core", "schedules")

    def __init__(self, core: Sender) -> None:
        self._core = core
        self.schedules = Schedules(core.runtime.clock)

    def receive(self, message: object) -> bool:
        """Take a message; False for what is none of a scheduler's."""
        match message:
            case ScheduleTick(key, target, content, interval):
                self.schedules.every(key, interval, partial(self._tell, target, content))
            case ScheduleOnce(key, target, content, delay):
                self.schedules.once(key, delay, partial(self._tell, target, content))
            case CancelSchedule(key):
                self.schedules.cancel(key)
            case _:
                return False
        return True

    def _tell(self, target: ActorRef[Any], message: object) -> bool:
        """Send a message; False when its target is an actor of this process that is gone."""
        core = self._core
        if core.is_stopping or core.is_gone(target):
            return False
        try:
            target.tell(message)
        except asyncio.QueueFull:
            core.dead_letter(message, target, "the mailbox is full", kind=Overloaded)
        except Exception as error:  # who takes it may be no actor, and what it refuses is the sender's
            core.failures.say(f"a scheduled message for {target.id} was refused", error)
            return False
        return True
