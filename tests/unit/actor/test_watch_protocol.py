"""The watch protocol of two processes over a wire that loses, doubles and overtakes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casty.actor.watch_protocol import (
    ENDED,
    FULL,
    FULL_NS,
    GONE,
    HEARD,
    HELD,
    KNOWN,
    LEFT,
    OVER,
    RESEND_NS,
    ROWS_A_FRAME,
    UNWATCH,
    WATCH,
    Conversation,
    Row,
    Target,
    is_row,
)


class Side:
    """One process: actors by path, each life with a number of its own, and what it heard of its watches."""

    def __init__(self, key: str) -> None:
        self.talk = Conversation(key)
        self.lives: dict[str, int] = {}
        self.number = 0
        self.last_id = 0
        self.watched: dict[int, str] = {}
        """The watches of this side that are not over, by id."""
        self.heard: list[int] = []
        self.held: dict[int, Target] = {}
        """Rows of the other side's watches."""
        self.has_room = True

    def spawn(self, path: str) -> None:
        if path not in self.lives:
            self.number += 1
            self.lives[path] = self.number

    def stop(self, path: str) -> None:
        number = self.lives.pop(path, None)
        for id, target in list(self.talk.theirs.items()):
            if target == number:
                self.talk.target_ended(id)

    def watch(self, path: str, number: int | None = None) -> int:
        self.last_id += 1
        self.watched[self.last_id] = path
        self.talk.watch(self.last_id, path, None, number)
        return self.last_id

    def unwatch(self, id: int) -> None:
        self.watched.pop(id, None)
        self.talk.unwatch(id)

    def judge(self) -> None:
        """Take the other side for lost."""
        for id in self.talk.end_all(self.last_id):
            self.told(self.talk, id)

    def take(self, rows: list[Row], now_ns: int = 0) -> None:
        for row in rows:
            assert is_row(row)
            self.talk.step(self, row, now_ns)

    # -- the host

    def find(self, path: str, incarnation: str | None, number: int | None) -> Target | None:
        assert incarnation in (None, "1")
        found = self.lives.get(path)
        return found if number in (None, found) else None

    def number_of(self, target: Target) -> int:
        assert isinstance(target, int)
        return target

    def admit(self, conversation: Conversation, id: int, target: Target) -> bool:
        if self.has_room:
            self.held[id] = target
        return self.has_room

    def release(self, conversation: Conversation, id: int, target: Target | None) -> None:
        del self.held[id]

    def told(self, conversation: Conversation, id: int) -> None:
        del self.watched[id]
        self.heard.append(id)

    def refused(self, conversation: Conversation, id: int) -> None:
        assert id in self.watched


def settle(a: Side, b: Side, now_ns: int = 10**12) -> list[Row]:
    """Let both sides talk until nothing is left to say; what was said."""
    said: list[Row] = []
    for _ in range(10):
        now_ns += RESEND_NS
        for speaker, hearer in ((a, b), (b, a)):
            for frame in speaker.talk.due(now_ns):
                said.extend(frame)
                hearer.take(frame, now_ns)
    assert not a.talk.due(now_ns + RESEND_NS) and not b.talk.due(now_ns + RESEND_NS)
    return said


def rows(side: Side, now_ns: int = 0) -> list[Row]:
    return [row for frame in side.talk.news(now_ns) for row in frame]


def pair() -> tuple[Side, Side]:
    return Side("b#1"), Side("a#1")


def test_a_watch_is_asked_for_held_known_told_and_heard() -> None:
    a, b = pair()
    b.spawn("x")
    id = a.watch("x")
    assert rows(a) == [[WATCH, id, "x", None, None]]
    b.take([[WATCH, id, "x", None, None]])
    assert rows(b) == [[HELD, id, 1]]
    a.take([[HELD, id, 1]])
    assert rows(a) == [[KNOWN, id]] and not a.talk.owes
    b.take([[KNOWN, id]])
    assert not b.talk.owes and b.held == {id: 1}
    b.stop("x")
    assert rows(b) == [[GONE, id]]
    a.take([[GONE, id]])
    assert rows(a) == [[HEARD, id]] and a.heard == [id] and a.talk.is_over
    assert b.talk.due(RESEND_NS) == [[[GONE, id]]], "owed until it is heard"
    b.take([[HEARD, id]])
    assert b.talk.is_over and b.held == {}


def test_what_never_was_and_another_life_are_told_at_once() -> None:
    a, b = pair()
    b.spawn("x")
    ids = [a.watch("nobody"), a.watch("x", 7)]
    settle(a, b)
    assert a.heard == ids and b.held == {}
    assert a.talk.is_over and b.talk.is_over


def test_a_known_life_is_asked_for_again_not_its_successor() -> None:
    a, b = pair()
    b.spawn("x")
    id = a.watch("x")
    settle(a, b)
    b.talk, b.held = Conversation("a#1"), {}  # it forgot, as when the other was lost for long
    b.stop("x")
    b.spawn("x")
    a.talk.repeat(a)
    settle(a, b)
    assert a.heard == [id]


def test_a_watch_that_comes_after_its_end_leaves_nothing() -> None:
    a, b = pair()
    b.spawn("x")
    id = a.watch("x")
    (late,) = rows(a)
    a.unwatch(id)
    said = settle(a, b)
    assert [UNWATCH, id] in said and [LEFT, id] in said
    b.take([late])
    said = settle(a, b)
    assert [HEARD, id] in said
    assert b.held == {} and a.talk.is_over and b.talk.is_over


def test_whoever_was_taken_for_lost_and_lives_lets_go() -> None:
    a, b = pair()
    b.spawn("x")
    first = a.watch("x")
    settle(a, b)
    a.judge()
    assert a.heard == [first]
    second = a.watch("x")
    said = settle(a, b)
    assert [OVER, first] in said and [ENDED, first] in said
    assert list(b.held) == [second]
    b.stop("x")
    settle(a, b)
    assert a.heard == [first, second] and a.talk.is_over and b.talk.is_over


def test_a_judgement_over_nothing_owes_nothing() -> None:
    a, _ = pair()
    a.judge()
    assert a.talk.is_over


def test_where_there_is_no_room_it_is_asked_again_later() -> None:
    a, b = pair()
    b.spawn("x")
    b.has_room = False
    id = a.watch("x")
    b.take(rows(a))
    assert rows(b) == [[FULL, id]]
    a.take([[FULL, id]], 5)
    assert a.talk.due(4 + FULL_NS) == []
    b.has_room = True
    settle(a, b)
    assert list(b.held) == [id]


def test_frames_are_bounded_in_rows_and_bytes() -> None:
    a, _ = pair()
    for number in range(ROWS_A_FRAME + 1):
        a.watch(f"x{number}")
    assert [len(frame) for frame in a.talk.news(0)] == [ROWS_A_FRAME, 1]
    for _ in range(3):
        a.watch("y" * 40_000)
    assert [len(frame) for frame in a.talk.news(0)] == [1, 1, 1]
    assert a.talk.news(0) == []


@pytest.mark.parametrize(
    "row",
    [
        [], [WATCH], [WATCH, 1], [WATCH, 1, b"x", None, None], [WATCH, 1, "x", 1, None], [WATCH, 1, "x", None, -1],
        [HELD, 1], [HELD, 1, "1"], [GONE, "1"], [GONE, 1, 1], [GONE, True], [0, 1], [11, 1], [GONE, 2**63], "row", None,
    ],
)  # fmt: skip
def test_malformed_rows(row: Any) -> None:
    assert not is_row(row)


ACTS = ("watch", "watch", "unwatch", "stop", "spawn", "repeat", "judge", "say", "say", "hear", "hear")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTS),
        st.booleans(),
        st.integers(0, 7),
    ),
    max_size=80,
)  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(STEPS)
def test_any_wire_at_the_end_each_watch_is_held_or_told_once(steps: list[tuple[str, bool, int]]) -> None:
    """Whatever is lost, doubled or overtaken: a watch is told once if its target ended, and never while it lives."""
    a, b = pair()
    wire: dict[str, list[list[Row]]] = {"a": [], "b": []}
    lives: dict[tuple[str, int], int] = {}
    judged: set[tuple[str, int]] = set()
    now_ns = 0
    for what, is_a, number in steps:
        side, other, name = (a, b, "a") if is_a else (b, a, "b")
        path = f"x{number % 3}"
        now_ns += RESEND_NS // 3
        if what == "watch" and path in other.lives:
            # Exactly this life: what is there now is known without a race of the wire.
            lives[name, side.watch(path, other.lives[path])] = other.lives[path]
        elif what == "unwatch" and side.watched:
            side.unwatch(list(side.watched)[number % len(side.watched)])
        elif what == "judge":
            judged.update((name, id) for id in side.watched)
            side.judge()
        elif what == "stop":
            side.stop(path)
        elif what == "spawn":
            side.spawn(path)
        elif what == "repeat":
            side.talk.repeat(side)
        elif what == "say":
            wire[name].extend(side.talk.due(now_ns))
        elif what == "hear" and wire[name]:
            frame = wire[name][number % len(wire[name])]
            if number < 6:  # else it comes twice
                wire[name].remove(frame)
            if number > 0:  # else it is lost
                other.take(frame, now_ns)
    for name, hearer in (("a", b), ("b", a)):
        for frame in wire[name]:
            hearer.take(frame, now_ns)
    settle(a, b)
    for side, other, name in ((a, b, "a"), (b, a, "b")):
        assert len(set(side.heard)) == len(side.heard), "told once"
        living = set(other.lives.values())
        for id in side.heard:
            assert (name, id) in judged or lives[name, id] not in living, "nothing that lives is reported"
        for id in side.watched:
            assert lives[name, id] in living, "each end is told"
        assert set(other.held) == set(side.watched) == set(side.talk.mine), "rows go with the watch"
        assert not side.talk.owes
