"""When questions end without a reply: those that wait equally long share an alarm, as nearly all are answered before.

Of such questions the one that was asked first ends first. So an alarm for that one is enough; when it rings, what was
answered meanwhile is not there any more, and the next alarm is for the first of those that are left.
"""

from __future__ import annotations

from typing import Protocol

from casty.config import SECOND_NS
from casty.ports import Clock, Timer

__all__ = ["KEPT", "Deadlines", "Question"]

KEPT = 16
"""Timeouts whose alarm stays where nobody waits: programs use a few of them again and again."""


class Question(Protocol):
    """What ends at its deadline."""

    due_ns: int
    timeout_s: float

    def expire(self) -> None:
        """The deadline passed."""
        ...


class _Equals:
    """Open questions of one timeout, the first that was asked first."""

    __slots__ = ("open", "timer")

    def __init__(self) -> None:
        self.open: dict[Question, None] = {}
        self.timer: Timer | None = None
        """No later than the first of them is due."""


class Deadlines:
    """The deadlines of one process.

    Bounds: `_by_timeout` has a row per timeout of open questions, and at most `KEPT` of those that nobody waits for;
    in all of them is a row per open question.
    """

    __slots__ = ("_by_timeout", "_clock")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_timeout: dict[float, _Equals] = {}

    def add(self, question: Question) -> None:
        """Let a question end when its timeout has passed from now on."""
        timeout_s = question.timeout_s
        equals = self._by_timeout.get(timeout_s)
        if equals is None:
            equals = self._by_timeout[timeout_s] = _Equals()
        question.due_ns = self._clock.now() + int(timeout_s * SECOND_NS)
        equals.open[question] = None
        if equals.timer is None:
            equals.timer = self._clock.call_at(question.due_ns, self._ring, timeout_s)

    def remove(self, question: Question) -> None:
        """The question ended; harmless when it is not there."""
        equals = self._by_timeout.get(question.timeout_s)
        if equals is not None:
            equals.open.pop(question, None)
            if not equals.open and len(self._by_timeout) > KEPT:
                self._forget(question.timeout_s, equals)

    def _ring(self, timeout_s: float) -> None:
        equals, now_ns = self._by_timeout[timeout_s], self._clock.now()
        equals.timer = None
        due: list[Question] = []
        for question in equals.open:
            if question.due_ns > now_ns:
                equals.timer = self._clock.call_at(question.due_ns, self._ring, timeout_s)
                break
            due.append(question)
        for question in due:
            del equals.open[question]
            question.expire()
        if not equals.open:
            self._forget(timeout_s, equals)

    def _forget(self, timeout_s: float, equals: _Equals) -> None:
        del self._by_timeout[timeout_s]
        if equals.timer is not None:
            equals.timer.cancel()

    def close(self) -> None:
        """Nothing is due any more."""
        for timeout_s, equals in list(self._by_timeout.items()):
            self._forget(timeout_s, equals)
