"""What links took is counted once, whatever ends first, and whatever is said again."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from casty.errors import RemoteProtocolError
from casty.transport import losses
from casty.transport.losses import KEPT_NS, MAX_ENDED, LinkCounted, Losses
from casty.wire import frames
from casty.wire.hello import Hello
from casty.wire.pack import pack
from sim.checks.step.leftovers import rows_of
from tests.kit.clock import ManualClock

KEPT_S = KEPT_NS / 1e9


class End:
    """One end of a link; what is sent waits for the other end until it is let through, or is lost with the link."""

    def __init__(self, remote: Hello, *, is_dialled: bool) -> None:
        self.remote = remote
        self.is_dialled = is_dialled
        self.messages_out = self.messages_in = self.confirmed = 0
        self.waiting: deque[tuple[int, bytes]] = deque()
        self.is_open = True

    def send(self, kind: int, body: bytes) -> bool:
        if self.is_open:
            self.waiting.append((kind, body))
        return self.is_open


class Process:
    def __init__(self, clock: ManualClock, node_id: str, role: str = "node") -> None:
        self.hello = Hello("shop", role, node_id, "1", node_id, 1)
        self.gone: dict[str, None] = {}
        self.lost: list[int] = []
        self.unconfirmed: list[int] = []
        self.counted: list[LinkCounted] = []
        self.losses = Losses(clock)
        self.losses.on_lost = lambda key, count: self.lost.append(count)
        self.losses.on_unconfirmed = lambda key, count: self.unconfirmed.append(count)
        self.losses.on_counted = self.counted.append
        self.losses.is_there = lambda key: key not in self.gone


class Link:
    """A link that `a` made; only frames with messages are counted."""

    def __init__(self, a: Process, b: Process) -> None:
        self.a, self.b = a, b
        self.at_a: Any = End(b.hello, is_dialled=True)
        self.at_b: Any = End(a.hello, is_dialled=False)
        a.losses.opened(self.at_a)
        b.losses.opened(self.at_b)

    def tell(self, count: int = 1) -> None:
        self.at_a.messages_out += count
        self.at_a.waiting.extend([(frames.ACTOR, b"")] * count)

    def arrive(self, count: int = 1000) -> None:
        """Let so many frames come through from `a`, and every answer."""
        for _ in range(min(count, len(self.at_a.waiting))):
            kind, body = self.at_a.waiting.popleft()
            if kind == frames.ACTOR:
                self.at_b.messages_in += 1
            else:
                self.b.losses.handlers[kind](self.at_b, body)
        while self.at_b.waiting:
            kind, body = self.at_b.waiting.popleft()
            self.a.losses.handlers[kind](self.at_a, body)

    def confirm(self) -> None:
        self.at_a.confirmed = self.at_b.messages_in

    def end_at_a(self) -> None:
        self.at_a.is_open = False
        self.a.losses.closed(self.at_a)

    def end_at_b(self) -> None:
        self.at_b.is_open = False
        self.b.losses.closed(self.at_b)


@pytest.fixture
def pair() -> tuple[ManualClock, Process, Process]:
    clock = ManualClock()
    return clock, Process(clock, "a"), Process(clock, "b")


@pytest.mark.parametrize("is_a_first", [True, False])
@pytest.mark.parametrize("is_before", [True, False])
def test_what_a_link_took_is_counted_by_whoever_it_was_for(
    pair: tuple[ManualClock, Process, Process], is_a_first: bool, is_before: bool
) -> None:
    _, a, b = pair
    first = Link(a, b)
    first.tell(5)
    first.arrive(3)
    first.confirm()
    ends = [first.end_at_a, first.end_at_b] if is_a_first else [first.end_at_b, first.end_at_a]
    ends[0]()
    if is_before:
        ends[1]()
    second = Link(a, b)
    second.arrive()
    if not is_before:
        assert b.lost == []
        ends[1]()
        second.arrive()
    assert b.lost == [3]
    assert a.unconfirmed == []
    assert LinkCounted("b#1", 1, 5, 0, 0) in a.counted
    assert LinkCounted("a#1", 0, 0, 1, 2) in b.counted


def test_a_link_that_never_said_its_number_took_everything(
    pair: tuple[ManualClock, Process, Process],
) -> None:
    _, a, b = pair
    first = Link(a, b)
    first.tell(4)
    first.end_at_a()
    first.end_at_b()
    Link(a, b).arrive()
    assert b.lost == [4]


def test_it_is_said_until_it_is_confirmed_and_counted_once(
    pair: tuple[ManualClock, Process, Process],
) -> None:
    _, a, b = pair
    former = Link(a, b)
    former.tell(4)
    former.arrive(2)
    for _ in range(3):
        former.end_at_a()
        former.end_at_b()
        former = Link(a, b)
        kind, body = former.at_a.waiting.popleft()
        b.losses.handlers[kind](former.at_b, body)  # and what it answers is lost
    assert b.lost == [3]
    former.arrive()
    former.end_at_a()
    former.end_at_b()
    last = Link(a, b)
    last.arrive()
    assert b.lost == [3]
    found = rows_of(a.losses, b.losses)
    assert not found.get("transport.losses._Process.sent")


def test_a_link_of_which_everything_was_confirmed_is_no_news(
    pair: tuple[ManualClock, Process, Process],
) -> None:
    clock, a, b = pair
    link = Link(a, b)
    link.tell(4)
    link.arrive()
    link.confirm()
    link.end_at_a()
    link.end_at_b()
    assert not rows_of(a.losses).get("transport.losses.Losses._processes")
    a.gone["b#1"] = b.gone["a#1"] = None
    clock.advance(KEPT_S)
    assert (a.unconfirmed, b.lost) == ([], [])
    assert not rows_of(b.losses).get("transport.losses.Losses._processes")


def test_what_a_process_that_ended_had_not_confirmed_is_unconfirmed(
    pair: tuple[ManualClock, Process, Process],
) -> None:
    clock, a, b = pair
    link = Link(a, b)
    link.tell(5)
    link.arrive(3)
    link.confirm()
    link.tell(4)
    link.end_at_a()
    clock.advance(2 * KEPT_S)
    assert a.unconfirmed == [], "it may come back"
    a.gone["b#1"] = None
    clock.advance(2 * KEPT_S)
    assert a.unconfirmed == [7]
    assert not rows_of(a.losses).get("transport.losses.Losses._processes")


def test_who_was_forgotten_counts_from_what_it_had_confirmed(
    pair: tuple[ManualClock, Process, Process],
) -> None:
    clock, a, b = pair
    link = Link(a, b)
    link.tell(5)
    link.arrive(4)
    link.confirm()
    link.end_at_a()
    link.end_at_b()
    b.gone["a#1"] = None
    clock.advance(KEPT_S)
    Link(a, b).arrive()
    assert b.lost == [2]


def test_a_process_is_known_by_where_it_is_as_well(pair: tuple[ManualClock, Process, Process]) -> None:
    _, a, b = pair
    link = Link(a, b)
    link.tell(5)
    link.arrive(3)
    link.end_at_a()
    link.end_at_b()
    copy = Process(ManualClock(), "a")
    copy.hello = copy.hello._replace(host="elsewhere")
    Link(copy, b).arrive()
    assert b.lost == []
    Link(a, b).arrive()
    assert b.lost == [3]


def test_of_too_many_links_that_are_not_settled_the_first_is_given_up(
    pair: tuple[ManualClock, Process, Process],
) -> None:
    _, a, b = pair
    for _ in range(MAX_ENDED + 2):
        link = Link(a, b)
        link.tell()
        link.end_at_a()
        link.end_at_b()
    assert a.unconfirmed == [1, 1]
    Link(a, b).arrive()
    assert b.lost == [1] * MAX_ENDED


@pytest.mark.parametrize(
    "row",
    [[], [0, [], []], [1, [[1, 2]], []], [1, [[1, -1, 0]], []], [1, [], ["x"]], [True, [], []], "x",
     [1, [[1, 1 << 41, 0]], []], [1, [[1, 1, 0]] * (MAX_ENDED + 1), []]],
)  # fmt: skip
def test_what_is_no_count_is_refused(pair: tuple[ManualClock, Process, Process], row: Any) -> None:
    _, a, b = pair
    link = Link(a, b)
    with pytest.raises(RemoteProtocolError):
        b.losses.on_sent(link.at_b, pack(row))
    with pytest.raises(RemoteProtocolError):
        b.losses.on_settled(link.at_b, pack(["x"]))


def test_processes_without_a_link_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "MAX_PROCESSES", 2)
    clock = ManualClock()
    b = Process(clock, "b")
    for name in ("n1", "n2", "n3"):
        link = Link(b, Process(clock, name))
        link.tell()
        link.end_at_a()
    assert b.unconfirmed == [1]
