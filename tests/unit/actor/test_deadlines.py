"""Questions of one timeout share an alarm, and each ends at its own instant."""

from __future__ import annotations

from casty.actor.deadlines import KEPT, Deadlines
from casty.config import SECOND_NS
from tests.kit.clock import ManualClock


class Asked:
    """A question that notes when it ended."""

    due_ns = 0

    def __init__(self, clock: ManualClock, deadlines: Deadlines, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.ended_ns: list[int] = []
        self._clock = clock
        deadlines.add(self)

    def expire(self) -> None:
        self.ended_ns.append(self._clock.now_ns)


def test_each_ends_once_its_timeout_has_passed_since_it_was_asked() -> None:
    clock = ManualClock(0)
    deadlines = Deadlines(clock)
    asked: list[Asked] = []
    for timeout_s in (5.0, 2.0, 5.0, 2.0, 0.0):
        asked.append(Asked(clock, deadlines, timeout_s))
        clock.advance(0.5)
    assert clock.live() == 2, "one a timeout"
    clock.advance(10)
    seconds = [at_ns / SECOND_NS for one in asked for at_ns in one.ended_ns]
    assert seconds == [5.0, 2.5, 6.0, 3.5, 2.0]
    assert clock.live() == 0


def test_what_was_answered_does_not_end() -> None:
    clock = ManualClock(0)
    deadlines = Deadlines(clock)
    first, second = Asked(clock, deadlines, 5.0), Asked(clock, deadlines, 5.0)
    deadlines.remove(first)
    clock.advance(1)
    third = Asked(clock, deadlines, 5.0)
    deadlines.remove(second)
    clock.advance(4)
    assert clock.due() == [6 * SECOND_NS]
    clock.advance(1)
    assert (first.ended_ns, second.ended_ns, third.ended_ns) == ([], [], [6 * SECOND_NS])
    deadlines.remove(third)


def test_questions_one_after_the_other_arm_one_timer_and_it_goes_when_nobody_asks() -> None:
    clock = ManualClock(0)
    deadlines = Deadlines(clock)
    for _ in range(100):
        deadlines.remove(Asked(clock, deadlines, 5.0))
    assert clock.due() == [5 * SECOND_NS]
    clock.advance(5)
    assert clock.live() == 0


def test_of_many_timeouts_few_alarms_stay() -> None:
    clock = ManualClock(0)
    deadlines = Deadlines(clock)
    asked = [Asked(clock, deadlines, 1 + number / 1000) for number in range(100)]
    assert clock.live() == 100
    for one in asked:
        deadlines.remove(one)
    assert clock.live() == KEPT
    deadlines.close()
    assert clock.live() == 0
