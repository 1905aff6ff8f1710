"""What who watches a map hears of one slot: cursors, pages, floors and questions that wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from casty.cluster.slots import feed as feeds
from casty.cluster.slots.feed import Asked, Feed
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import COMMAND, LAPSE, OPEN
from casty.distributed.machines.base import DESTROY, MAP, OVERLOADED
from casty.distributed.machines.map import HAS_ENDED, PUT, PUT_FOR, WAS_DELETED, WAS_PUT
from casty.distributed.machines.watching import ALL, NOTHING, PART, map_of
from casty.wire.pack import pack

ORIGIN = b"log"
K = pack(["k", b""])[: -len(pack(b""))]
"""What all keys of the map begin with."""
BEGIN: list[Any] = [b"", 0, NOTHING, b""]
SECOND_NS = 1_000_000_000
LARGE = 1 << 20


class ReplySink:
    """Where answers go."""

    is_full = False

    def add(self, call_id: int, reply: list[object]) -> None:
        raise AssertionError("the feed returns what it answers")

    def put_off(self, serve: Callable[[], None]) -> None:
        raise AssertionError("nothing is put off here")


class Slot:
    """A machine with a feed, written to by one session."""

    def __init__(self) -> None:
        self.machine = SlotMachine(MachineLimits(), 1)
        self.index = 1
        self.session = self.machine.apply(1, pack([OPEN, b"proof", b""])).reply[1]
        self.seq = 0
        self.answered: list[Asked] = []
        self.machine.on_change = self.changed
        self.answers = ReplySink()
        self.calls = 0
        self.lead()

    def lead(self, origin: bytes = ORIGIN) -> None:
        """Begin a leadership, which knows of no change."""
        self.feed = Feed(self.machine, origin)

    def changed(self, *change: Any) -> None:
        self.answered += self.feed.changed(*change)

    def do(self, name: bytes, *command: object) -> None:
        self.index += 1
        self.seq += 1
        entry = [COMMAND, self.session, self.seq, self.seq, 1, MAP, name, list(command)]
        self.machine.apply(self.index, pack(entry))

    def lapse(self, time: int, *names: bytes) -> None:
        self.index += 1
        self.machine.apply(self.index, pack([LAPSE, time, list(names)]))

    def asked(
        self, cursor: list[Any], prefix: bytes, now_ns: int, limit: int, answers: ReplySink | None = None
    ) -> Asked:
        self.calls += 1
        origin, at, state, position = cursor
        return Asked(answers or self.answers, self.calls, now_ns, prefix, origin, at, state, position, limit)

    def ask(
        self, cursor: list[Any], prefix: bytes = K, now_ns: int = 0, limit: int = LARGE
    ) -> list[Any] | None:
        reply = self.feed.ask(self.asked(cursor, prefix, now_ns, limit))
        if reply is None:
            return None
        assert reply[0] == 0
        answer: list[Any] = reply[1]
        return answer


@pytest.fixture
def slot() -> Slot:
    return Slot()


def begun(slot: Slot, prefix: bytes = K) -> list[Any]:
    """Return the cursor of a watcher that knows the present state."""
    answer = slot.ask(BEGIN, prefix)
    assert answer is not None and answer[0][2] == ALL
    cursor: list[Any] = answer[0]
    return cursor


def test_a_watch_begins_with_the_present_state(slot: Slot) -> None:
    slot.do(K + b"1", PUT, b"1")
    slot.do(K + b"2", PUT_FOR, b"2", 5)
    slot.do(b"other", PUT, b"3")
    assert slot.ask(BEGIN) == [
        [ORIGIN, slot.index, ALL, b""], True, [], [b"", None, [[K + b"1", b"1"], [K + b"2", b"2"]]],
    ]  # fmt: skip


def test_each_change_is_told_once_in_order(slot: Slot) -> None:
    cursor = begun(slot)
    assert slot.ask(cursor) is None, "nothing is new: it waits"
    slot.do(K + b"1", PUT_FOR, b"1", 5)
    slot.do(K + b"1", PUT, b"2")
    slot.do(b"other", PUT, b"3")
    slot.do(K + b"1", DESTROY)
    slot.do(K + b"1", DESTROY)
    slot.do(K + b"2", PUT_FOR, b"3", 1)
    slot.lapse(9, K + b"2")
    assert len(slot.answered) == 1, "the first change answers the question, the others find none"
    answer = slot.feed.news(slot.answered[0])[1]
    assert isinstance(answer, list)
    assert answer[2] == [
        [K + b"1", b"1", WAS_PUT], [K + b"1", b"2", WAS_PUT], [K + b"1", None, WAS_DELETED], [K + b"2", b"3", WAS_PUT],
        [K + b"2", None, HAS_ENDED],
    ]  # fmt: skip
    assert slot.ask(answer[0]) is None


def test_who_knew_everything_when_the_leader_changed_has_missed_nothing(slot: Slot) -> None:
    slot.do(K + b"1", PUT, b"1")
    cursor = begun(slot)
    slot.lead()
    slot.index += 100  # entries that change no map
    assert slot.ask(cursor) is None
    slot.do(K + b"1", PUT, b"2")
    (asked,) = slot.answered
    assert slot.feed.news(asked)[1][1:3] == [False, [[K + b"1", b"2", WAS_PUT]]]


def test_who_lacks_a_change_of_a_former_leader_is_told_the_present_state(slot: Slot) -> None:
    slot.do(K + b"1", PUT, b"1")
    cursor = begun(slot)
    slot.do(K + b"1", PUT, b"2")
    slot.lead()
    assert slot.ask(cursor) == [
        [ORIGIN, slot.index, ALL, b""], True, [], [b"", None, [[K + b"1", b"2"]]],
    ]  # fmt: skip


@pytest.mark.parametrize("cursor", [[b"another", 2, ALL, b""], [ORIGIN, 10_000, ALL, b""]])
def test_what_is_known_of_another_log_counts_for_nothing(slot: Slot, cursor: list[Any]) -> None:
    slot.do(K + b"1", PUT, b"1")
    answer = slot.ask(cursor)
    assert answer is not None and answer[1] is True


def test_who_lacks_forgotten_changes_is_told_the_present_state(slot: Slot) -> None:
    cursor = begun(slot)
    for number in range(feeds.KEPT):
        slot.do(K + b"1", PUT, b"%d" % number)
    answer = slot.ask(cursor)
    assert answer is not None and answer[1] is False and len(answer[2]) == feeds.CHANGES_AT_ONCE
    slot.do(K + b"1", PUT, b"last")
    answer = slot.ask(cursor)
    assert answer is not None
    assert answer[1:] == [True, [], [b"", None, [[K + b"1", b"last"]]]]


def test_memory_goes_when_it_is_short_and_when_nobody_watches(slot: Slot) -> None:
    cursor = begun(slot)
    slot.do(K + b"1", PUT, b"x" * 1000)
    assert slot.feed.size_bytes > 1000
    slot.feed.shed()
    assert slot.feed.size_bytes == 0
    answer = slot.ask(cursor)
    assert answer is not None and answer[1] is True, "what is gone is told as lost"
    slot.do(K + b"1", PUT, b"y" * 1000)
    assert not list(slot.feed.tick(feeds.KEPT_FOR_NS)) and slot.feed.size_bytes > 1000
    assert not list(slot.feed.tick(feeds.KEPT_FOR_NS + 1)) and slot.feed.size_bytes == 0
    slot.do(K + b"1", PUT, b"z")
    assert slot.feed.size_bytes == 0, "nobody watches"


def test_a_large_value_is_remembered_alone(slot: Slot) -> None:
    cursor = begun(slot)
    slot.do(K + b"1", PUT, b"x")
    slot.do(K + b"1", PUT, b"x" * feeds.KEPT_BYTES)
    slot.do(K + b"2", PUT, b"y" * feeds.KEPT_BYTES)
    assert slot.feed.size_bytes < 2 * feeds.KEPT_BYTES
    answer = slot.ask(cursor)
    assert answer is not None and answer[1] is True


def test_the_changes_of_one_entry_go_out_together(slot: Slot) -> None:
    for number in range(5):
        slot.do(K + b"%d" % number, PUT_FOR, b"v", 1)
    cursor = begun(slot)
    slot.lapse(5, *[K + b"%d" % number for number in range(5)])
    answer = slot.ask(cursor, limit=1)
    assert answer is not None
    assert [row[0] for row in answer[2]] == [K + b"0", K + b"1", K + b"2", K + b"3", K + b"4"]
    assert slot.ask(answer[0]) is None


def test_an_answer_is_as_long_as_it_may_be_and_the_rest_follows(slot: Slot) -> None:
    cursor = begun(slot)
    for number in range(3):
        slot.do(K, PUT, b"%d" % number * 100)
    seen: list[bytes] = []
    while (answer := slot.ask(cursor, limit=1)) is not None:
        assert len(answer[2]) == 1 and answer[3] is None
        seen += [row[1] for row in answer[2]]
        cursor = answer[0]
    assert seen == [b"0" * 100, b"1" * 100, b"2" * 100]


def test_changes_of_keys_that_are_on_a_later_page_are_not_told(slot: Slot) -> None:
    slot.do(K + b"1", PUT, b"1")
    slot.do(K + b"2", PUT, b"2")
    first = slot.ask(BEGIN, limit=1)
    assert first is not None
    assert first[0] == [ORIGIN, slot.index, PART, K + b"1"] and first[3] == [
        b"",
        K + b"1",
        [[K + b"1", b"1"]],
    ]
    slot.do(K + b"2", PUT, b"3")
    slot.do(K + b"1", PUT, b"4")
    second = slot.ask(first[0])
    assert second is not None
    assert second[1:] == [False, [[K + b"1", b"4", WAS_PUT]], [K + b"1", None, [[K + b"2", b"3"]]]]
    assert second[0] == [ORIGIN, slot.index, ALL, b""]


def test_a_map_that_changes_all_the_time_is_told_to_its_end(slot: Slot) -> None:
    for number in range(5):
        slot.do(K + b"%d" % number, PUT, b"v")
    answer = slot.ask(BEGIN, limit=1)
    for number in range(4):
        assert answer is not None and answer[0][2] == PART
        slot.do(K + b"0", PUT, b"%d" % number * 100)
        answer = slot.ask(answer[0], limit=1)
    assert answer is not None and answer[0][2] == ALL
    assert answer[2][0][0] == K + b"0" and answer[3][2] == [[K + b"4", b"v"]]


def test_a_question_that_waited_long_is_answered_with_nothing(slot: Slot) -> None:
    cursor = begun(slot)
    assert slot.ask(cursor, now_ns=5) is None
    assert not list(slot.feed.tick(feeds.ANSWERED_AFTER_NS))
    (asked,) = slot.feed.tick(feeds.ANSWERED_AFTER_NS + 5)
    assert slot.feed.news(asked) == [0, [[ORIGIN, slot.machine.changed_index, ALL, b""], False, [], None]]
    slot.do(K + b"1", PUT, b"1")
    assert not slot.answered, "it waits no more"


def test_questions_end_with_their_link(slot: Slot) -> None:
    cursor = begun(slot)
    assert slot.ask(cursor) is None
    others = ReplySink()
    assert slot.feed.ask(slot.asked(cursor, K, 0, LARGE, others)) is None
    assert len(list(slot.feed.forget(slot.answers))) == 1
    slot.do(K + b"1", PUT, b"1")
    assert [asked.answers for asked in slot.answered] == [others]
    slot.feed.shed()
    assert slot.feed.size_bytes == 0


def test_questions_of_one_link_have_a_bound(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_WATCHES_OF_LINK", 2)
    cursor = begun(slot)
    assert slot.ask(cursor) is None and slot.ask(cursor) is None
    refused = slot.feed.ask(slot.asked(cursor, K, 0, LARGE))
    assert refused is not None and refused[0] == OVERLOADED
    assert slot.feed.ask(slot.asked(cursor, K, 0, LARGE, ReplySink())) is None, "others may"


def test_questions_of_a_link_are_forgotten_one_in_a_step_and_answered_in_between(slot: Slot) -> None:
    cursor = begun(slot)
    assert [slot.ask(cursor), slot.ask(cursor, K + b"1"), slot.ask(cursor, K + b"2")] == [None] * 3
    steps = slot.feed.forget(slot.answers)
    next(steps)
    slot.do(K + b"1", PUT, b"1")
    assert len(slot.answered) == 1, "the first was forgotten, the third is about another key"
    assert len(list(steps)) == 2
    slot.feed.shed()
    assert slot.feed.size_bytes == 0


def test_what_questions_of_one_link_take_has_a_bound(slot: Slot) -> None:
    cursor = begun(slot)
    name = K + b"n" * (feeds.MAX_ASKED_BYTES_OF_LINK // 4)
    count = 0
    while slot.ask(cursor, name) is None:
        count += 1
        if count == 4:
            break
    refused = slot.feed.ask(slot.asked(cursor, K, 0, LARGE))
    assert count == 4 and refused is not None and refused[0] == OVERLOADED
    others = [ReplySink() for _ in range(feeds.MAX_ASKED_BYTES // feeds.MAX_ASKED_BYTES_OF_LINK * 4)]
    refusals = [slot.feed.ask(slot.asked(cursor, name, 0, LARGE, answers)) for answers in others]
    assert refusals[0] is None and refusals[-1] is not None, "all together have one as well"
    list(slot.feed.forget(slot.answers))
    assert slot.ask(cursor, K) is None, "it ends with the questions"


def test_what_a_change_costs_grows_with_those_who_wait_for_it(slot: Slot) -> None:
    cursor = begun(slot)
    looked = list[bytes]()

    class Table(dict[bytes, Any]):
        def get(self, name: Any, default: Any = None) -> Any:
            looked.append(name)
            return super().get(name, default)

    for length in range(2, 300):
        assert slot.ask(cursor, (K + b"x" * 300)[:length]) is None
    slot.feed._by_prefix = Table(slot.feed._by_prefix)
    slot.do(K + b"x" * 200, PUT, b"1")
    assert looked == [K + b"x" * 200, K]
    assert sorted(len(asked.prefix) for asked in slot.answered) == [len(K), len(K) + 200]


@pytest.mark.parametrize("length", [0, 1, 31, 32, 255, 256, 1024, 70_000])
def test_the_map_of_a_key_is_found_in_it(length: int) -> None:
    prefix = pack(["n" * length, b""])[: -len(pack(b""))]
    assert map_of(prefix + pack("key")) == map_of(prefix) == prefix
    assert map_of(pack(["n" * length, 5])) == prefix


@pytest.mark.parametrize(
    "entity", [b"", b"\x92", b"\x92\xd9", b"\x92\xda\x01", b"other", b"\x92\xc4\x01a", b"\x92\xa5ab"]
)
def test_what_is_the_key_of_no_map_stands_for_itself(entity: bytes) -> None:
    assert map_of(entity) == entity


def test_a_question_that_is_sent_again_waits_once(slot: Slot) -> None:
    cursor = begun(slot)
    asked = slot.asked(cursor, K, 0, LARGE)
    assert slot.feed.ask(asked) is None
    size_bytes = slot.feed.size_bytes
    assert slot.feed.ask(asked) is None and slot.feed.size_bytes == size_bytes
    slot.do(K + b"1", PUT, b"1")
    assert slot.answered == [asked]


def test_who_waits_hears_that_the_leadership_ended(slot: Slot) -> None:
    cursor = begun(slot)
    assert slot.ask(cursor) is None
    assert [(call_id, reply) for _, call_id, reply in slot.feed.take_waiting([17])] == [(slot.calls, [17])]
    slot.do(K + b"1", PUT, b"1")
    assert not slot.answered
