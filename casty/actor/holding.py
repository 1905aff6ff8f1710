"""What a command of an event-sourced entity says and starts is held back until its events are committed.

While the command is decided, its code runs under a `Held` in a context variable. What would leave the actor - a tell to
any ref, the start of a child, a pipe, a schedule - asks `hold` first and is kept, in order. Then either the events are
committed and all of it leaves, or they are not and nothing does: a message that was kept becomes a dead letter.

A task that the code started inherits the variable. It is held back as long as the command is, and afterwards acts as
any code, unless the command's events were not committed: then nothing of it leaves any more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum
from typing import Protocol

__all__ = ["HELD", "Done", "Held", "OperationContext", "hold"]


class _State(Enum):
    holding = "holding"
    released = "released"
    dropped = "dropped"


class OperationContext(Protocol):
    """What would leave the actor."""

    def do(self) -> object:
        """Let it happen."""
        ...

    def lose(self) -> object:
        """It does not happen."""
        ...


class Done:
    """An act that is a function, and nothing in its place where it does not happen, unless that is said.

    Parameters
    ----------
    do, lose
        See `OperationContext`.
    """

    __slots__ = ("_do", "_lose")

    def __init__(self, do: Callable[[], object], lose: Callable[[], object] | None = None) -> None:
        self._do = do
        self._lose = lose

    def do(self) -> None:
        """See `OperationContext.do`."""
        self._do()

    def lose(self) -> None:
        """See `OperationContext.lose`."""
        if self._lose is not None:
            self._lose()


class Held:
    """What one command would do; kept until somebody says whether it may."""

    __slots__ = ("_acts", "_state")

    def __init__(self) -> None:
        self._acts: list[OperationContext] = []
        self._state = _State.holding

    def keeps(self, act: OperationContext) -> bool:
        """Keep an act, or lose it where the command came to nothing; False if it may happen now."""
        if self._state is _State.released:
            return False
        if self._state is _State.holding:
            self._acts.append(act)
        else:
            act.lose()
        return True

    @property
    def is_holding(self) -> bool:
        """Whether nobody has said yet whether it may happen."""
        return self._state is _State.holding

    def release(self) -> None:
        """The events are committed: do everything, in order. The first error is raised when all is done."""
        self._state = _State.released
        acts, self._acts = self._acts, []
        first: Exception | None = None
        for act in acts:
            try:
                act.do()
            except Exception as error:  # raised below, when the others are done
                first = first or error
        if first is not None:
            raise first

    def drop(self) -> None:
        """The command came to nothing: do nothing of it."""
        if self._state is not _State.holding:
            return
        self._state = _State.dropped
        acts, self._acts = self._acts, []
        for act in acts:
            act.lose()


HELD: ContextVar[Held | None] = ContextVar("casty.held", default=None)
"""What holds the running code back; None for all code that nothing does."""


def hold(act: OperationContext) -> None:
    """Do it now, or when the events of the command are committed that does it; see `Held.keeps`."""
    held = HELD.get()
    if held is None or not held.keeps(act):
        act.do()
