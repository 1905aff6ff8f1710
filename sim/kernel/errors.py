"""What a simulated world raises."""

from __future__ import annotations

__all__ = ["BackgroundError", "CrashedError", "DeadlockError", "EscapeError", "TimeLimitError"]


class EscapeError(RuntimeError):
    """Simulated code tried to leave the simulation; the text names what to call instead."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what} would leave the simulation; {instead}")
        self.what = what
        self.instead = instead


class DeadlockError(RuntimeError):
    """The test waits, and nothing that could wake it will ever happen."""


class TimeLimitError(RuntimeError):
    """The test still ran when its limit of virtual time was reached."""


class CrashedError(RuntimeError):
    """The process that ran the awaited code crashed or was stopped."""


class BackgroundError(RuntimeError):
    """Simulated code raised where nobody awaited it: a task whose error was never asked for, or a callback."""
