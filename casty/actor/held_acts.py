"""Tells and begins of actors that are held back until a command's events are committed; see `holding`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from casty.actor.ref import ActorRef
from casty.address import ActorAddress
from casty.errors import CastyError, Overloaded

__all__ = ["Begun", "Said"]

UNCOMMITTED = "the command of an event-sourced actor that says it came to nothing"
"""Why what was held back is lost."""


class Speaker(Protocol):
    """The system whose actor speaks: `local.LocalSystem`."""

    def own_ref(self, path: str) -> ActorRef[Any]:
        """Return the ref of a path here."""
        ...

    def make_ref(self, address: ActorAddress) -> ActorRef[Any]:
        """Return the ref of an address."""
        ...

    def dead_letter(
        self,
        message: object,
        ref: ActorRef[Any],
        reason: str,
        *,
        level: int = 0,
        kind: type[CastyError] = CastyError,
    ) -> None:
        """Make a dead letter of a message."""
        ...


class Beginner(Protocol):
    """An actor that has not begun: `cell.Cell`."""

    def start(self) -> None:
        """Begin to live."""
        ...

    def stop(self) -> None:
        """Take no message any more."""
        ...

    def evict(self) -> None:
        """Free its name, and make dead letters of its mail."""
        ...


class Said:
    """A tell that is held back."""

    __slots__ = ("_core", "_message", "_post", "_target")

    def __init__(
        self, core: Speaker, post: Callable[[], object], target: str | ActorAddress, message: object
    ) -> None:
        self._core = core
        self._post = post
        self._target = target
        self._message = message

    def do(self) -> None:
        """Say it. Whoever said it has gone on, so a mailbox that refuses it raises at nobody."""
        try:
            self._post()
        except asyncio.QueueFull:
            self._core.dead_letter(self._message, self._ref(), "the mailbox is full", kind=Overloaded)

    def lose(self) -> None:
        """It is not said."""
        self._core.dead_letter(self._message, self._ref(), UNCOMMITTED, level=logging.INFO)

    def _ref(self) -> ActorRef[Any]:
        target = self._target
        return self._core.own_ref(target) if isinstance(target, str) else self._core.make_ref(target)


class Begun:
    """The begin of an actor that is held back."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Beginner) -> None:
        self._cell = cell

    def do(self) -> None:
        """Let it begin."""
        self._cell.start()

    def lose(self) -> None:
        """End it before its code runs; its name is free at once."""
        self._cell.stop()
        self._cell.evict()
