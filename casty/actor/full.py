"""What is said of full mailboxes: one line at once, and at most one a second after that, with how much was lost."""

from __future__ import annotations

import logging
from typing import Protocol

from casty.complaint import one_line
from casty.ports import Runtime

__all__ = ["FullMailboxes"]

PAUSE_NS = 1_000_000_000
NAMED = 5
"""How many actors a line names."""


class Owner(Protocol):
    """The system whose mailboxes are full; see `LocalSystem`."""

    runtime: Runtime
    log: logging.Logger


class FullMailboxes:
    """Counts the messages that full mailboxes of one system dropped, until they were logged."""

    __slots__ = ("_core", "_dropped", "_is_waiting")

    def __init__(self, core: Owner) -> None:
        self._core = core
        self._dropped: dict[str, int] = {}
        """By actor, since the last line; empty after each."""
        self._is_waiting = False

    def dropped(self, path: str) -> None:
        """A full mailbox dropped a message."""
        self._dropped[path] = self._dropped.get(path, 0) + 1
        if not self._is_waiting:
            self._say()

    def _say(self) -> None:
        self._is_waiting = bool(self._dropped)
        if not self._dropped:
            return
        dropped, self._dropped = self._dropped, {}
        named = one_line(", ".join(f"{path} {count}" for path, count in list(dropped.items())[:NAMED]))
        more = f" and {len(dropped) - NAMED} more actors" if len(dropped) > NAMED else ""
        self._core.log.warning(
            "full mailboxes dropped %d messages (%s%s); slow the senders down or widen them",
            sum(dropped.values()), named, more,
        )  # fmt: skip
        clock = self._core.runtime.clock
        clock.call_at(clock.now() + PAUSE_NS, self._say)
