"""The system that a cell lives in, as the cell knows it."""

from __future__ import annotations

from contextvars import Context
from typing import Any, Protocol, TypeVar

from casty.actor.base import Core
from casty.actor.full import FullMailboxes
from casty.actor.ref import ActorRef
from casty.actor.unread import Unread

__all__ = ["Home", "Watches"]

H = TypeVar("H")
H_contra = TypeVar("H_contra", contravariant=True)


class Watches(Protocol[H_contra]):
    """Who watches whom; see `Watching`."""

    def ended(self, cell: H_contra) -> None:
        """An actor is gone: tell whoever watches it."""
        ...


class Home(Core[H], Protocol[H]):
    """What a cell needs of its system, and what it offers to contexts; see `LocalSystem`."""

    max_mailbox: int
    unread: Unread
    context: Context
    full_mailboxes: FullMailboxes

    @property
    def watching(self) -> Watches[H]:
        """Who watches whom."""
        ...

    def next_number(self) -> int:
        """Return the number of the next life of an actor."""
        ...

    def own_ref(self, path: str, number: int | None = None) -> ActorRef[Any]:
        """Make a reference to something of this process."""
        ...

    def key_of(self, ref: ActorRef[Any]) -> str:
        """Return a text that is the same for equal references."""
        ...

    def publish(self, event: object) -> None:
        """Put an event on the event stream."""
        ...

    def remove(self, cell: H) -> None:
        """Free the name of a stopped actor."""
        ...
