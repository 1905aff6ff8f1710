"""When a fault fires that waits for something: the so-manieth call, commit, election ... after its time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..kernel.trace import TraceEvent

__all__ = ["TRIGGERS", "Triggers"]

_EVENTS = {
    "Called": "call",
    "CallEnded": "answer",
    "SessionOpened": "session",
    "Started": "start",
    "Crashed": "crash",
}
TRIGGERS = (*_EVENTS.values(), "commit", "elected", "heir", "joint", "expiring", "written")
"""What a fault may wait for; ``commit`` is an entry of a slot that is committed for the first time anywhere,
``elected`` the first write of a new leader of any group, ``heir`` that of one which does not know all entries before
its own to be committed, ``joint`` a leader that begins to change the voters of its group, ``expiring`` the end of a
session for its silence that comes into the log of a leader, committed or not, ``written`` events of an entity that
came into a journal."""


class Triggers:
    """Counts events for those who wait for one; see `TRIGGERS`."""

    def __init__(self) -> None:
        self._waiting: list[_Wait] = []
        self._is_over = False

    def begin(self) -> None:
        """From now on it is worth waiting."""
        self._is_over = False

    async def wait(self, what: str, count: int) -> bool:
        """Wait for the so-manieth such event from now on; False when `give_up` came first."""
        if self._is_over:
            return False
        one = _Wait(what, count, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        try:
            return await one.reached
        finally:
            self._waiting.remove(one)

    def give_up(self) -> None:
        """Nobody waits any longer, until `begin`."""
        self._is_over = True
        for one in self._waiting:
            one.end(False)

    def heard(self, entry: TraceEvent) -> None:
        """Take an event of the trace."""
        what = _EVENTS.get(entry.kind) if self._waiting else None
        if what is not None:
            self._count(what)

    def committed(self) -> None:
        """Take a commit."""
        if self._waiting:
            self._count("commit")

    def elected(self) -> None:
        """Take a new leader."""
        if self._waiting:
            self._count("elected")

    def inherited(self) -> None:
        """Take a new leader with entries of which it does not know what becomes of them."""
        if self._waiting:
            self._count("heir")

    def changing(self) -> None:
        """Take a joint configuration in a leader's log."""
        if self._waiting:
            self._count("joint")

    def expiring(self) -> None:
        """Take a session whose expiry is in a leader's log."""
        if self._waiting:
            self._count("expiring")

    def written(self) -> None:
        """Take a write of an entity into a journal."""
        if self._waiting:
            self._count("written")

    def _count(self, what: str) -> None:
        for one in self._waiting:
            one.hear(what)


class _Wait:
    __slots__ = ("_left", "_what", "reached")

    def __init__(self, what: str, count: int, reached: asyncio.Future[bool]) -> None:
        self._what = what
        self._left = count
        self.reached = reached

    def hear(self, what: str) -> None:
        """Count down."""
        self._left -= what == self._what
        if self._left <= 0:
            self.end(True)

    def end(self, is_reached: bool) -> None:
        """Let whoever waits go on."""
        if not self.reached.done():
            self.reached.set_result(is_reached)
