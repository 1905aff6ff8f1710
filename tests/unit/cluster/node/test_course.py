"""Which way a leader takes its group to a target, and what it tells of it on the way."""

from __future__ import annotations

from casty.cluster.node.course import Course, course_to
from casty.consensus import Membership


def test_who_keeps_its_place_changes_the_configuration() -> None:
    assert course_to("a", Membership(("a", "b", "c")), ["d", "b", "a"]) == Course(("a", "b", "d"))


def test_who_gives_up_its_place_hands_over_first_to_one_that_keeps_its_own() -> None:
    membership, target = Membership(("a", "b", "c")), ["b", "c", "d"]
    assert course_to("a", membership, target) == Course(("b", "c", "d"), ("b", "c"))
    assert course_to("a", membership, target, is_late=True) == Course(("b", "c", "d"))
    joint = Membership(("a", "b", "c"), ("a", "b", "e"))
    assert course_to("a", joint, target).heirs == (), "no hand-over amid a change"


def test_where_nobody_keeps_a_place_the_new_ones_come_beside_the_old() -> None:
    assert course_to("a", Membership(("a",)), ["b"]) == Course(("a", "b"))
    assert course_to("a", Membership(("a", "b")), ["b"]) == Course(("b",), ("b",))
