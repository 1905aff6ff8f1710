"""Actors that may act only while a lease lasts: entities, which may live on another node as soon as it ended.

Each step of a handler, a hook or a pipe is looked at before it runs: a coroutine whose lease ended is closed where it
waits. What it has to say in that moment, and what code without a coroutine says, is looked at as well: a tell becomes a
dead letter, and nothing is spawned. What Python cannot prevent is code between two awaits that was begun in time; it
runs on to its next await, its tell or its end, and so do ``finally`` blocks of a coroutine that is closed.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["ACTING", "Lease", "LeaseEnded", "Leased", "acting_slot", "may_act"]

log = logging.getLogger("casty.actor")


class Lease(Protocol):
    """Until when an actor may act."""

    slot: int
    """The slot of the entity that has it."""

    def lasts(self) -> bool:
        """Whether it may act now; False for good once it was False."""
        ...


ACTING: ContextVar[Lease | None] = ContextVar("casty.acting", default=None)
"""The lease under which the running code acts; None for all code that needs none."""


def may_act() -> bool:
    """Whether the running code may act: it needs no lease, or its lease lasts."""
    lease = ACTING.get()
    return lease is None or lease.lasts()


def acting_slot() -> int | None:
    """Return the slot of the entity whose code runs; None for all other code."""
    lease = ACTING.get()
    return None if lease is None else lease.slot


class LeaseEnded(Exception):
    """The code of an actor was not run on, for its lease ended."""


class Leased:
    """Work that is run on only while a lease lasts; awaited once, in the task that runs it.

    Parameters
    ----------
    work
        A coroutine that was not begun.
    lease
        Looked at before each of its steps. Where it ended the work is closed, and `LeaseEnded` is raised.
    is_known
        Whether it was looked at just now, so that the first step needs no look.
    """

    __slots__ = ("_is_known", "_lease", "_work")

    def __init__(self, work: Coroutine[Any, Any, None], lease: Lease, *, is_known: bool = False) -> None:
        self._work = work
        self._lease = lease
        self._is_known = is_known

    def __await__(self) -> Generator[Any, Any, None]:
        """Run the work step by step."""
        work, lease, is_known = self._work, self._lease, self._is_known
        thrown: BaseException | None = None
        while is_known or lease.lasts():
            is_known = False
            try:
                waits_for = work.send(None) if thrown is None else work.throw(thrown)
            except StopIteration:
                return
            thrown = None
            try:
                yield waits_for
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:  # whatever its awaitable raises is for the code that waits
                thrown = error
        _close(work)
        raise LeaseEnded


def _close(work: Coroutine[Any, Any, None]) -> None:
    """End a coroutine where it waits; what it does about that ends with its next await."""
    try:
        work.close()
    except Exception as error:  # the code is the user's
        # "ignored GeneratorExit", as of an `async with`, or what a finally block raises: nobody is there to be told.
        log.info("the code of an actor whose lease ended did not end cleanly: %s", error)
