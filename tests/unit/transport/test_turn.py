"""One write per link and turn; hooks and links may cause each other work, within bounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from casty.transport.turn import MAX_PASSES, Turn, TurnOverran
from tests.unit.transport.doors import Doors


class Marked:
    def __init__(self, on_flush: Callable[[], None] = lambda: None) -> None:
        self.flushes = 0
        self.on_flush = on_flush

    def flush(self) -> None:
        self.flushes += 1
        self.on_flush()


class Soon:
    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []

    def __call__(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def run(self) -> None:
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


@pytest.fixture
def soon() -> Soon:
    return Soon()


@pytest.fixture
def turn(soon: Soon) -> Turn:
    return Turn(Doors().runtime, soon)


def test_the_outermost_end_flushes(turn: Turn, soon: Soon) -> None:
    link = Marked()
    turn.begin()
    turn.begin()
    turn.mark(link)
    turn.end()
    assert link.flushes == 0
    turn.end()
    assert (link.flushes, soon.callbacks) == (1, [])


def test_hooks_run_before_the_flush_and_may_mark(turn: Turn) -> None:
    order: list[str] = []
    link = Marked(lambda: order.append("flush"))

    def hook() -> None:
        order.append("hook")
        turn.mark(link)

    turn.hooks.append(hook)
    turn.begin()
    turn.end()
    assert order == ["hook", "flush"]


def test_a_mark_outside_schedules_one_end(turn: Turn, soon: Soon) -> None:
    one, two = Marked(), Marked()
    turn.mark(one)
    turn.mark(two)
    turn.mark_due()
    assert len(soon.callbacks) == 1
    soon.run()
    assert (one.flushes, two.flushes, soon.callbacks) == (1, 1, [])
    turn.mark(one)
    soon.run()
    assert one.flushes == 2


def test_hooks_alone_can_be_scheduled(turn: Turn, soon: Soon) -> None:
    calls: list[int] = []
    turn.hooks.append(lambda: calls.append(1))
    turn.mark_due()
    soon.run()
    assert calls == [1]


def test_endless_work_is_bounded_and_goes_on_later(soon: Soon) -> None:
    doors = Doors()
    events: list[object] = []
    doors.runtime.observe.subscribe(events.append)
    turn = Turn(doors.runtime, soon)
    link = Marked(lambda: turn.mark(link))
    turn.begin()
    turn.mark(link)
    turn.end()
    assert (link.flushes, len(soon.callbacks)) == (MAX_PASSES, 1)
    assert events == [TurnOverran(MAX_PASSES)]
    soon.run()
    assert link.flushes == 2 * MAX_PASSES


def test_a_hook_that_raises_leaves_the_turn_usable(turn: Turn) -> None:
    def hook() -> None:
        raise ValueError("a bug")

    turn.hooks.append(hook)
    turn.begin()
    with pytest.raises(ValueError, match="a bug"):
        turn.end()
    turn.hooks.clear()
    link = Marked()
    turn.begin()
    turn.mark(link)
    turn.end()
    assert link.flushes == 1
