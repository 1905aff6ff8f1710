"""One write per link and turn; hooks and links may cause each other work, within bounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from casty.transport.output_batch import MAX_PASSES, OutputBatch, TurnOverran
from tests.kit.ports import Ports


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
def output(soon: Soon) -> OutputBatch:
    return OutputBatch(Ports().runtime, soon)


def test_the_outermost_end_flushes(output: OutputBatch, soon: Soon) -> None:
    link = Marked()
    output.begin()
    output.begin()
    output.mark(link)
    output.end()
    assert link.flushes == 0
    output.end()
    assert (link.flushes, soon.callbacks) == (1, [])


def test_hooks_run_before_the_flush_and_may_mark(output: OutputBatch) -> None:
    order: list[str] = []
    link = Marked(lambda: order.append("flush"))

    def hook() -> None:
        order.append("hook")
        output.mark(link)

    output.hooks.append(hook)
    output.begin()
    output.end()
    assert order == ["hook", "flush"]


def test_a_mark_outside_schedules_one_end(output: OutputBatch, soon: Soon) -> None:
    one, two = Marked(), Marked()
    output.mark(one)
    output.mark(two)
    output.mark_due()
    assert len(soon.callbacks) == 1
    soon.run()
    assert (one.flushes, two.flushes, soon.callbacks) == (1, 1, [])
    output.mark(one)
    soon.run()
    assert one.flushes == 2


def test_hooks_alone_can_be_scheduled(output: OutputBatch, soon: Soon) -> None:
    calls: list[int] = []
    output.hooks.append(lambda: calls.append(1))
    output.mark_due()
    soon.run()
    assert calls == [1]


def test_endless_work_is_bounded_and_goes_on_later(soon: Soon) -> None:
    ports = Ports()
    events: list[object] = []
    ports.runtime.observe.subscribe(events.append)
    output = OutputBatch(ports.runtime, soon)
    link = Marked(lambda: output.mark(link))
    output.begin()
    output.mark(link)
    output.end()
    assert (link.flushes, len(soon.callbacks)) == (MAX_PASSES, 1)
    assert events == [TurnOverran(MAX_PASSES)]
    soon.run()
    assert link.flushes == 2 * MAX_PASSES


def test_a_hook_that_raises_leaves_the_turn_usable(output: OutputBatch) -> None:
    def hook() -> None:
        raise ValueError("a bug")

    output.hooks.append(hook)
    output.begin()
    with pytest.raises(ValueError, match="a bug"):
        output.end()
    output.hooks.clear()
    link = Marked()
    output.begin()
    output.mark(link)
    output.end()
    assert link.flushes == 1
