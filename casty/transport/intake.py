"""What one link may cost in one turn, and the rotation in which links that have more to say take turns.

Reading is what bounds a link: a link with more work than fits its budget is not read until that work is done, so what
it sends waits with its sender. It goes on in the next turn of the loop, never at a timer: who is alone loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from casty.ports import Clock

__all__ = ["CLIENT", "FLOOD_NS", "FULL_BYTES", "MEMBER", "TURN_NS", "WINDOW_NS", "Budget", "Intake", "Share"]

FULL_BYTES = 1024 * 1024
"""Answers that wait for a client to read them, but for the last one: with more it is not read, and not served."""

TURN_NS = 10_000_000
"""What clients and strangers may take of one turn of the loop, all together, but for the last of their shares."""

LOOK_NS = TURN_NS // 4
"""From so much on it is noted when the turn of the loop is over; less adds up to that over several turns."""


class Budget(NamedTuple):
    """What one link may cost in one turn of its own.

    Parameters
    ----------
    units
        Frames, and the rows of those that have rows; each costs some ten microseconds or less.
    answer_bytes
        Answers that are ready to be sent.
    ns
        Nanoseconds of the process's clock.
    """

    units: int
    answer_bytes: int
    ns: int


# Small, as a share is what everybody else waits for; the trip through the loop costs some ten microseconds.
CLIENT = Budget(64, 256 * 1024, 1_000_000)
MEMBER = Budget(4096, 2**40, 20_000_000)
"""Nodes trust each other, and what they say keeps leaders alive: it does not wait for what clients say."""


FLOOD_NS = CLIENT.ns // 4
"""What a link that floods may take in a turn of its own, with all that its frames cause in it."""

WINDOW_NS = 50_000_000
"""For so long it is added up what a link takes, before it is said whether it floods."""


class Share:
    """How many units of a client's link are served in a turn of its own: fewer while it floods, and others are there.

    A link floods that took more than half of the process's time in one window, and goes on doing so until it takes less
    than a quarter. Who is alone in a window has its whole budget, whatever it takes. What a unit costs is known only
    when its turn is over: answers and log entries are made at its end. So that is measured, and the next share has as
    many units as fit. Pure.

    Attributes
    ----------
    units
        At most so many are served in the next turn, 1 at least.
    """

    __slots__ = ("_began_ns", "_changes", "_is_flooding", "_taken_ns", "units")

    def __init__(self) -> None:
        self.units = CLIENT.units
        self._began_ns = self._taken_ns = self._changes = 0
        """The present window: when it began, what was taken in it, and how often others had been served before it."""
        self._is_flooding = False

    @property
    def is_small(self) -> bool:
        """Whether it is less than what a client may have."""
        return self.units < CLIENT.units

    def served(self, units: int, took_ns: int, now_ns: int, changes: int) -> None:
        """So many units were served.

        Parameters
        ----------
        took_ns
            How long that took, up to the end of the turn.
        now_ns
            The time since then.
        changes
            How often the process turned from one client's link to another one.
        """
        self._taken_ns += took_ns
        window_ns = now_ns - self._began_ns
        if window_ns >= WINDOW_NS:
            least = 4 if self._is_flooding else 2
            self._is_flooding = changes > self._changes and least * self._taken_ns > window_ns
            self._began_ns, self._taken_ns, self._changes = now_ns, 0, changes
        if not self._is_flooding:
            self.units = CLIENT.units
        elif units:
            fitting = units * FLOOD_NS // max(took_ns, 1)
            if fitting < self.units or units >= self.units:
                # Not more than twice as many: the next ones may be others.
                self.units = max(1, min(fitting, 2 * self.units, CLIENT.units))


class Worker(Protocol):
    """A link, as this sees it."""

    def work(self) -> None:
        """Take its share, in a turn of its own; whoever has more to do waits again."""


W = TypeVar("W", bound=Worker)


class Intake(Generic[W]):
    """The rotation of one process.

    Parameters
    ----------
    clock
        Tells how long a share took.
    is_member
        Whether a link is that of a node that may say more.

    Bounds: `_members` and `_others` have a row per link that has work left; it goes with the work, or with the link.
    """

    __slots__ = (
        "_clock", "_is_member", "_is_noted", "_is_scheduled", "_latest", "_members", "_others", "_spent_ns", "changes",
        "shares",
    )  # fmt: skip

    def __init__(self, clock: Clock, is_member: Callable[[W], bool]) -> None:
        self._clock = clock
        self._is_member = is_member
        self._members: dict[W, None] = {}
        self._others: dict[W, None] = {}
        """Who was served longest ago comes first."""
        self._spent_ns = 0
        """What clients took of this turn of the loop, or in small pieces of several."""
        self._is_noted = False
        self._is_scheduled = False
        self._latest: W | None = None
        self.changes = 0
        """How often another client's link was served than the one before."""
        self.shares = 0
        """How many shares links got beyond what they were served when they were read."""

    @property
    def waiting(self) -> int:
        """How many links have work left."""
        return len(self._members) + len(self._others)

    def now(self) -> int:
        """Nanoseconds of the process's clock."""
        return self._clock.now()

    def is_member(self, link: W) -> bool:
        """Whether a link has the budget of a member."""
        return self._is_member(link)

    def has_time(self, link: W) -> bool:
        """Whether a link may be served now, or has to wait until others had this turn of the loop."""
        return self._spent_ns < TURN_NS or self._is_member(link)

    def spent(self, ns: int, link: W) -> None:
        """A client's link was served for so long."""
        if link is not self._latest:
            self._latest = link
            self.changes += 1
        self._spent_ns += ns
        if self._spent_ns >= LOOK_NS and not self._is_noted:
            self._is_noted = True
            asyncio.get_running_loop().call_soon(self._turn_over)

    def _turn_over(self) -> None:
        self._is_noted = False
        self._spent_ns = 0

    def wait(self, link: W) -> None:
        """Serve a link again, in the next turn of the loop if others leave time; harmless when it waits already."""
        queue = self._members if self._is_member(link) else self._others
        queue[link] = None
        self._see_to_it()

    def forget(self, link: W) -> None:
        """The link is over."""
        self._members.pop(link, None)
        self._others.pop(link, None)
        if self._latest is link:
            self._latest = None

    def _see_to_it(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._rotate)

    def _rotate(self) -> None:
        """Serve each member, then each client once, until the time is up: the others come first in the next turn."""
        self._is_scheduled = False
        self._spent_ns = 0
        for queue in (self._members, self._others):
            for _ in range(len(queue)):
                link = next(iter(queue), None)
                if link is None or (queue is self._others and self._spent_ns >= TURN_NS):
                    break
                del queue[link]
                self.shares += 1
                link.work()
        if self._members or self._others:
            self._see_to_it()
