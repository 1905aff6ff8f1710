"""The two states of a stream against each other, over ways that lose, under any order of steps."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casty.actor.streams.consuming import Consuming
from casty.actor.streams.messages import (
    StreamCheck,
    StreamClose,
    StreamDemand,
    StreamElements,
    StreamEnd,
    StreamEnding,
    StreamProgress,
    StreamSubscribe,
    Why,
)
from casty.actor.streams.producing import Producing

PATIENCE = 3


class Ref:
    """Nobody's mailbox."""

    id = "c"

    def tell(self, message: object, /) -> None:
        raise AssertionError("the states send nothing themselves")


class Pair:
    """Both ends, and what is on the way between them."""

    def __init__(self, size: int, window: int) -> None:
        self.producing = Producing(size, PATIENCE)
        self.consuming = Consuming("s", Ref(), window, PATIENCE)
        self.window = window
        self.down: deque[Any] = deque()
        self.up: deque[Any] = deque()
        self.put = 0
        self.taken: list[int] = []
        self.losses = 0
        self.is_cancelled = False
        self.has_failed = False
        self.says(self.consuming.subscribe())

    def says(self, message: Any) -> None:
        """The consumer says something."""
        if message is not None:
            self.up.append(message)

    def due(self, answer: Any = None) -> None:
        """The producer says what is due, an answer before all else."""
        while answer is not None:
            self.down.append(answer)
            answer = self.producing.due(3)

    def after(self, answer: Any) -> None:
        self.due(answer)
        self.due(self.producing.due(3))

    def step(self, name: str) -> None:
        getattr(self, f"do_{name}")()
        self.check()

    def do_put(self) -> None:
        if self.producing.has_room:
            self.put += 1
            self.producing.put(self.put)
            self.after(None)

    def do_finish(self) -> None:
        self.producing.finish()
        self.after(None)

    def do_fail(self) -> None:
        self.has_failed = True
        self.producing.fail("no more")
        self.after(None)

    def do_read(self) -> None:
        self.says(self.consuming.wanted())

    def do_take(self) -> None:
        if self.consuming.has_element:
            self.taken.append(self.consuming.take())
            self.says(self.consuming.more())

    def do_cancel(self) -> None:
        self.is_cancelled = True
        self.says(self.consuming.close(StreamEnd(Why.cancelled, "enough")))

    def do_down(self) -> None:
        if self.down:
            message = self.down.popleft()
            if isinstance(message, StreamElements):
                self.says(self.consuming.came(message))
            elif isinstance(message, StreamProgress):
                self.says(self.consuming.progressed(message))
            else:
                self.says(self.consuming.ending(message))

    def do_up(self) -> None:
        if self.up:
            message = self.up.popleft()
            if isinstance(message, StreamSubscribe):
                self.after(self.producing.subscribed(message))
            elif isinstance(message, StreamClose):
                self.producing.closed(message)
            else:
                self.after(self.producing.demanded(message))

    def do_lose_down(self) -> None:
        if self.down:
            self.down.popleft()
            self.losses += 1

    def do_lose_up(self) -> None:
        if self.up:
            self.up.popleft()
            self.losses += 1

    def do_tick_producer(self) -> None:
        self.producing.tick()
        self.after(None)

    def do_tick_consumer(self) -> None:
        self.says(self.consuming.tick())

    def check(self) -> None:
        """What holds after every step."""
        producing, consuming = self.producing, self.consuming
        assert self.taken == list(range(1, len(self.taken) + 1)), "in order, none twice, none left out"
        assert producing.waiting <= producing.size
        assert producing.sent <= producing.until <= consuming.taken + self.window
        assert consuming.taken <= consuming.received <= producing.sent
        on_the_way = sum(len(one.elements) for one in self.down if isinstance(one, StreamElements))
        assert on_the_way + consuming.received - consuming.taken <= self.window or self.is_cancelled
        if consuming.end is not None and consuming.end.why is Why.completed:
            assert consuming.received == self.put, "completed is said where all has come"
        if producing.end is not None and producing.end.why is Why.completed and producing.is_closed:
            assert consuming.received == self.put

    def calm(self) -> None:
        """Nothing is lost any more; both tick, the reader reads."""
        self.step("read")
        for _ in range(4 * PATIENCE + self.put):
            for _ in range(200):
                before = (len(self.up), len(self.down), len(self.taken))
                for name in ("up", "down", "take"):
                    self.step(name)
                if before == (0, 0, len(self.taken)) and not self.up and not self.down:
                    break
            self.step("tick_producer")
            self.step("tick_consumer")


STEPS = [
    "put", "put", "put", "finish", "fail", "read", "take", "take", "cancel", "down", "down", "up", "up",
    "lose_down", "lose_up", "tick_producer", "tick_consumer",
]  # fmt: skip
GOOD = [name for name in STEPS if name not in ("fail", "cancel", "lose_down", "lose_up", "tick_producer")]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.lists(st.sampled_from(STEPS), max_size=120))
def test_elements_come_in_order_at_most_once_and_within_the_bounds(
    size: int, window: int, steps: list[str]
) -> None:
    pair = Pair(size, window)
    for name in steps:
        pair.step(name)
    pair.do_finish()
    pair.calm()
    assert pair.producing.is_closed or pair.producing.stream is None, "both ends know that it is over"
    assert pair.consuming.end is not None
    if pair.consuming.end.why is Why.gap:
        assert pair.losses


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.lists(st.sampled_from(GOOD), max_size=120))
def test_where_nothing_is_lost_all_arrives_and_both_ends_say_so(
    size: int, window: int, steps: list[str]
) -> None:
    pair = Pair(size, window)
    for name in steps:
        if name != "tick_consumer" or not pair.down:
            pair.step(name)
        if pair.up:
            pair.step("up")
    while pair.down or pair.up:
        pair.step("up")
        pair.step("down")
    pair.do_finish()
    pair.calm()
    assert pair.taken == list(range(1, pair.put + 1))
    assert pair.consuming.end is not None and pair.producing.end is not None
    assert (pair.consuming.end.why, pair.producing.end.why) == (Why.completed, Why.completed)


def opened(size: int = 4, window: int = 4) -> Pair:
    """Return a pair whose stream flows."""
    pair = Pair(size, window)
    pair.step("read")
    for _ in range(3):
        pair.step("up")
        pair.step("down")
    return pair


def test_a_lost_demand_is_healed_by_the_next_check() -> None:
    pair = opened()
    for _ in range(4):
        pair.step("put")
    for _ in range(4):
        pair.step("down")
        pair.step("take")
        pair.step("lose_up")
    pair.step("put")
    assert not pair.down
    pair.step("tick_consumer")
    pair.step("up")
    for _ in range(2):
        pair.step("down")
    pair.step("take")
    assert pair.taken == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("sign", ["element", "check", "end"])
def test_a_lost_element_is_noticed_by_the_next_one_by_a_check_and_by_the_end(sign: str) -> None:
    pair = opened()
    pair.step("put")
    pair.step("lose_down")
    if sign == "element":
        pair.step("put")
    elif sign == "check":
        pair.step("tick_consumer")
        pair.step("up")
    else:
        pair.step("finish")
    pair.step("down")
    assert pair.consuming.end == StreamEnd(
        Why.gap, "expected every element, found that element 1 did not arrive"
    )
    pair.step("up")
    assert pair.producing.end is not None and pair.producing.end.why is Why.gap


def test_an_end_that_was_lost_is_said_again_until_it_is_confirmed() -> None:
    pair = opened()
    pair.step("finish")
    pair.step("lose_down")
    for _ in range(2):
        pair.step("tick_consumer")
        pair.step("up")
        pair.step("lose_down")
    pair.step("tick_consumer")
    pair.step("up")
    pair.step("down")
    pair.step("lose_up")
    assert not pair.producing.is_closed
    pair.step("tick_consumer")
    pair.step("up")
    assert pair.producing.is_closed and pair.producing.end is not None
    assert pair.producing.end.why is Why.completed


def test_more_than_was_asked_for_is_refused_and_what_came_already_is_ignored() -> None:
    consuming = Consuming("s", Ref(), 2, PATIENCE)
    assert consuming.wanted() == StreamDemand("s", 2)
    assert consuming.came(StreamElements("s", 1, ("a", "b"))) is None
    assert consuming.came(StreamElements("s", 1, ("a", "b"))) is None
    assert consuming.came(StreamElements("another", 3, ("x",))) is None
    assert consuming.received == 2
    said = consuming.came(StreamElements("s", 2, ("b", "c")))
    assert isinstance(said, StreamClose) and said.end.why is Why.failed
    assert [consuming.take(), consuming.take()] == ["a", "b"] and not consuming.has_element


def test_a_producer_serves_one_subscription() -> None:
    producing = Producing(1, PATIENCE)
    assert producing.subscribed(StreamSubscribe("s", Ref(), 0)) == StreamProgress("s", 0)
    assert producing.subscribed(StreamSubscribe("s", Ref(), 3)) == StreamProgress("s", 0)
    refused = producing.subscribed(StreamSubscribe("t", Ref(), 3))
    assert isinstance(refused, StreamEnding) and refused.end.why is Why.taken
    assert producing.demanded(StreamCheck("t", 100)) is None
    assert (producing.stream, producing.until) == ("s", 3)
    consuming = Consuming("t", Ref(), 2, PATIENCE)
    assert isinstance(consuming.ending(refused), StreamClose)
    assert consuming.is_settled, "the producer goes on without this one"


def test_silence_ends_both_sides_and_says_of_whom() -> None:
    pair = opened()
    for _ in range(PATIENCE + 1):
        pair.producing.tick()
        pair.consuming.tick()
    for end, who in ((pair.producing.end, "consumer"), (pair.consuming.end, "producer")):
        assert end == StreamEnd(Why.lost, f"nothing was heard of the {who} for {PATIENCE} seconds")


def test_a_failure_comes_behind_what_was_sent_and_drops_what_was_not() -> None:
    pair = opened(window=2)
    for _ in range(4):
        pair.step("put")
    pair.step("fail")
    assert pair.producing.waiting == 0
    while pair.down:
        pair.step("down")
    pair.step("take")
    pair.step("take")
    assert not pair.consuming.has_element
    assert pair.consuming.end == StreamEnd(Why.failed, "no more")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: StreamElements("s", 0, (1,)), ValueError),
        (lambda: StreamElements("s", 1, ()), ValueError),
        (lambda: StreamElements("s", 1, [1]), TypeError),  # type: ignore[arg-type]
        (lambda: StreamDemand("s", -1), ValueError),
        (lambda: StreamProgress("s", "1"), TypeError),  # type: ignore[arg-type]
        (lambda: StreamSubscribe("s", None, 1), TypeError),  # type: ignore[arg-type]
        (lambda: StreamEnding("s", 1, "over"), TypeError),  # type: ignore[arg-type]
        (lambda: StreamEnd("over", ""), TypeError),  # type: ignore[arg-type]
    ],
)
def test_messages_of_strangers_are_checked_where_they_are_made(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="expected"):
        make()


def test_that_a_side_is_gone_ends_the_stream_for_the_other_behind_what_came() -> None:
    pair = opened()
    pair.step("put")
    pair.step("down")
    said = pair.consuming.lost("its process is gone")
    assert isinstance(said, StreamClose) and said.end == StreamEnd(Why.lost, "its process is gone")
    assert pair.consuming.is_settled and pair.consuming.tick() is None
    pair.step("take")
    assert pair.taken == [1]
    pair.producing.lost("its process is gone")
    assert pair.producing.is_closed and pair.producing.end == StreamEnd(Why.lost, "its process is gone")
