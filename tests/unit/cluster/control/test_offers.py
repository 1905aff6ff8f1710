"""What a process offers reaches the control state, whatever is lost, doubled or late."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.control.machine import FOUND, JOIN, NOT_ON_TOP, SERVICE, STATUS, ControlMachine
from casty.cluster.control.service_offers import ANNOUNCED_BYTES, WHOLE, Announcement, Offers
from casty.wire.pack import pack

REFS = ("r1", "r2", "r3")
STEP = st.one_of(
    st.tuples(st.sampled_from(["offer", "take back"]), st.sampled_from(REFS)),
    st.tuples(st.just("deliver"), st.integers(0, 50)),
    st.tuples(st.just("reply"), st.integers(0, 50)),
    st.tuples(st.sampled_from(["send", "remove", "show"]), st.just(0)),
)


class Path:
    """A process, a control state, and a network that loses, doubles and reorders what is between them."""

    def __init__(self) -> None:
        self.machine = ControlMachine()
        document = {
            "name": "shop", "generation": 1, "cluster_id": "c", "replication": 3, "slots": 1,
            "settings": {"session_ttl_s": 15.0, "drift": 0.01},
            "id": "f1",
            "founder": "a",
            "founders": [["a", "a-1", "a", 1, [None, 100, []]]],
        }  # fmt: skip
        self.machine.apply(pack([FOUND, document]))
        self.machine.apply(pack([JOIN, "b", "b-1", "b", 1, [None, 100, []]]))
        self.offers = Offers()
        self.wanted: dict[str, None] = {}
        self.sent: list[Announcement] = []
        self.replies: list[tuple[int, Any]] = []

    def step(self, what: str, which: Any) -> None:
        if what == "offer":
            self.wanted[which] = None
            self.offers.offer("k", which)
        elif what == "take back":
            self.wanted.pop(which, None)
            self.offers.take_back("k", which)
        elif what == "send":
            announcement = self.offers.next()
            self.sent.extend([] if announcement is None else [announcement])
        elif what == "deliver" and self.sent:
            self.deliver(self.sent[which % len(self.sent)])
        elif what == "reply" and self.replies:
            self.take(*self.replies[which % len(self.replies)])
        elif what == "remove":
            self.machine.apply(pack([STATUS, "b", "b-1", "removed"]))
            self.machine.apply(pack([JOIN, "b", "b-1", "b", 1, [None, 100, []]]))
        elif what == "show":
            self.offers.follow(self.machine.members["b"].offered)

    def deliver(self, sent: Announcement) -> None:
        changes = [list(change) for change in sent.changes]
        entry = pack([SERVICE, "b", "b-1", sent.previous, sent.number, changes])
        self.replies.append((sent.number, self.machine.apply(entry)))

    def take(self, number: int, reply: Any) -> None:
        """As the shell does: a reply counts for the announcement that is on its way, no other."""
        flying = self.offers.next()
        if flying is None or flying.number != number:
            return
        if reply[0] == NOT_ON_TOP:
            self.offers.anew(reply[1])
        else:
            self.offers.confirmed(number, [(key, ref) for key, ref in reply[1]])

    def settle(self) -> None:
        self.offers.follow(self.machine.members["b"].offered)
        for _ in range(10):
            announcement = self.offers.next()
            if announcement is None:
                return
            self.deliver(announcement)
            self.take(*self.replies[-1])
        raise AssertionError("ten announcements, and the control state still does not know all")


@given(st.lists(STEP, max_size=40))
def test_in_the_end_exactly_what_is_offered_is_listed(steps: list[tuple[str, Any]]) -> None:
    path = Path()
    for what, which in steps:
        path.step(what, which)
    path.settle()
    expected = {"k": dict.fromkeys(path.wanted, ("b", "b-1"))} if path.wanted else {}
    assert path.machine.services == expected
    before = path.machine.version
    for late in path.sent:
        path.deliver(late)
    assert (path.machine.services, path.machine.version) == (expected, before)


def test_what_is_taken_back_before_it_was_sent_is_not_announced() -> None:
    offers = Offers()
    offers.offer("k", "r")
    offers.take_back("k", "r")
    assert offers.next() is None


def test_an_announcement_stays_as_it_is_until_it_is_confirmed() -> None:
    offers = Offers()
    offers.offer("k", "r1")
    first = offers.next()
    offers.offer("k", "r2")
    assert offers.next() == first == Announcement(0, 1, (("k", "r1", True),))
    offers.confirmed(7, [])
    assert offers.next() == first
    offers.confirmed(1, [])
    assert offers.next() == Announcement(1, 2, (("k", "r2", True),))


def test_many_changes_go_in_several_announcements() -> None:
    offers = Offers()
    for number in range(100):
        offers.offer("k" * 1000, str(number))
    counts: list[int] = []
    while (announcement := offers.next()) is not None:
        counts.append(len(announcement.changes))
        offers.confirmed(announcement.number, [])
    assert sum(counts) == 100
    assert max(counts) <= ANNOUNCED_BYTES // 1000


def test_what_was_refused_is_offered_no_more_and_may_be_offered_again() -> None:
    offers = Offers()
    offers.offer("k", "r")
    assert offers.next() is not None
    offers.confirmed(1, [("k", "r")])
    assert (len(offers), offers.next()) == (0, None)
    offers.offer("k", "r")
    assert offers.next() == Announcement(1, 2, (("k", "r", True),))


def test_a_withdrawn_process_announces_everything_on_top_of_nothing() -> None:
    offers = Offers()
    offers.offer("k", "r")
    assert offers.next() is not None
    offers.confirmed(1, [])
    offers.follow(1)
    assert offers.next() is None
    offers.follow(2**32)
    assert offers.next() == Announcement(WHOLE, 2**32 + 1, (("k", "r", True),))


def test_who_was_forgotten_and_joined_again_announces_everything_again() -> None:
    offers = Offers()
    offers.follow(0)
    offers.offer("k", "r")
    offers.follow(0)
    assert offers.next() == Announcement(0, 1, (("k", "r", True),)), "it was just not confirmed yet"
    offers.confirmed(1, [])
    offers.follow(0)
    assert offers.next() == Announcement(WHOLE, 2, (("k", "r", True),))
    offers.follow(0)
    assert offers.next() == Announcement(WHOLE, 2, (("k", "r", True),)), "once"
